package load

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const ms = time.Millisecond

// okAt is a successful attempt that was on time and took no time.
func okAt(at time.Duration) attempt { return attempt{due: at, began: at, done: at, server: "s1"} }

// failedAt is an attempt that ran into a timeout of 150 ms.
func failedAt(at time.Duration) attempt {
	return attempt{due: at, began: at, done: at + 150*ms, kind: DialTimeout}
}

func testRecorder(t testing.TB, c Client) *recorder {
	t.Helper()
	if c.Rate > 0 {
		c.HTTP = loopback(80)
	}
	if c.Streams > 0 {
		c.Echo = loopback(7)
	}
	c, err := c.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	return newRecorder(c)
}

func TestLongestGap(t *testing.T) {
	const end = time.Second
	tests := []struct {
		name     string
		attempts []attempt
		want     Gap
	}{
		{"between two successes",
			[]attempt{okAt(10 * ms), okAt(300 * ms), failedAt(310 * ms), failedAt(500 * ms), okAt(710 * ms), okAt(900 * ms)},
			Gap{Length: 410, From: 300, To: 710}},
		{"by completion, not by due time",
			[]attempt{okAt(400 * ms), {due: 410 * ms, began: 410 * ms, done: 950 * ms, server: "s1"}},
			Gap{Length: 550, From: 400, To: 950}},
		{"before the first success",
			[]attempt{failedAt(0), okAt(600 * ms), okAt(900 * ms)},
			Gap{Length: 600, From: 0, To: 600}},
		{"without recovery",
			[]attempt{okAt(100 * ms), okAt(200 * ms), failedAt(300 * ms)},
			Gap{Length: 800, From: 200, To: 1000, Open: true}},
		{"without any success",
			[]attempt{failedAt(100 * ms)},
			Gap{Length: 1000, From: 0, To: 1000, Open: true}},
		{"completions reported out of order",
			[]attempt{okAt(400 * ms), okAt(390 * ms), okAt(800 * ms)},
			Gap{Length: 400, From: 0, To: 400}},
		{"a success after the end closes the last gap",
			[]attempt{okAt(100 * ms), {due: 990 * ms, began: 990 * ms, done: 1100 * ms, server: "s1"}},
			Gap{Length: 1000, From: 100, To: 1100}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := testRecorder(t, Client{Rate: 10})
			for _, a := range tt.attempts {
				r.attempt(a)
			}
			got := r.result(Client{Rate: 10}, end).Connections.LongestGap
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("gap (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConnectionsAccount(t *testing.T) {
	r := testRecorder(t, Client{Rate: 100})
	r.attempt(attempt{due: 0, began: 1 * ms, done: 3 * ms, server: "s1"})
	r.attempt(attempt{due: 60 * ms, began: 68 * ms, done: 70 * ms, server: "s2"})
	r.attempt(attempt{due: 70 * ms, began: 70 * ms, done: 71 * ms, kind: Refused})
	r.attempt(attempt{due: 80 * ms, began: 80 * ms, done: 81 * ms, server: "s2"})
	r.attempt(attempt{due: 90 * ms, began: 90 * ms, done: 240 * ms, kind: DialTimeout})
	got := r.result(Client{Rate: 100}, 200*ms)
	want := Result{
		Duration: 200,
		Connections: Connections{
			Rate: 100, Total: 5, OK: 3, Failed: 2,
			Failures:   map[Kind]int{Refused: 1, DialTimeout: 1},
			Servers:    map[string]int{"s1": 1, "s2": 2},
			LongestGap: Gap{Length: 119, From: 81, To: 200, Open: true},
			Latency:    Latency{P50: 3, P99: 10, Max: 10}, // 1, 3 and 10, from the due time
		},
		Streams:  Streams{Failures: map[Kind]int{}, Each: []Stream{}},
		Lateness: Lateness{P99: 8, Max: 8, MaxAt: 60},
		Timeline: Timeline{Bucket: 50, Buckets: []Bucket{
			{OK: 1, Servers: map[string]int{"s1": 1}},
			{OK: 2, Failed: 2, Servers: map[string]int{"s2": 2}},
			{},
			{},
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
}

func TestNearestRank(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	tests := []struct {
		d    []time.Duration
		pct  int
		want time.Duration
	}{
		{[]time.Duration{7}, 1, 7},
		{[]time.Duration{7}, 99, 7},
		{[]time.Duration{1, 2}, 50, 1},
		{[]time.Duration{1, 2}, 51, 2},
		{[]time.Duration{1, 2, 3}, 50, 2},
		{hundred, 50, 50},
		{hundred, 99, 99},
		{hundred, 100, 100},
	}
	for _, tt := range tests {
		if got := nearestRank(tt.d, tt.pct); got != tt.want {
			t.Errorf("nearestRank(%d values, %d) = %d, want %d", len(tt.d), tt.pct, got, tt.want)
		}
	}
}

// eventTypes returns the types of the events since the last call.
func eventTypes(r *recorder) []EventType {
	var types []EventType
	for _, e := range r.takeEvents() {
		types = append(types, e.Type)
	}
	return types
}

func TestEvents(t *testing.T) {
	r := testRecorder(t, Client{Rate: 10, Streams: 1})
	steps := []struct {
		what string
		do   func()
		want []EventType
	}{
		{"first success", func() { r.attempt(okAt(10 * ms)) }, []EventType{ServerSeen}},
		{"stream connects: all traffic flows", func() { r.streamConnected(0, 20*ms) }, []EventType{Ready}},
		{"second success", func() { r.attempt(okAt(30 * ms)) }, nil},
		{"short silence", func() { r.tick(129 * ms) }, nil},
		{"long silence", func() { r.tick(130 * ms) }, []EventType{GapOpen}},
		{"told once", func() { r.tick(150 * ms) }, nil},
		{"first failure", func() { r.attempt(failedAt(40 * ms)) }, []EventType{Failing}},
		{"more of the same", func() { r.attempt(failedAt(50 * ms)) }, nil},
		{"recovery", func() { r.attempt(okAt(250 * ms)) }, []EventType{GapClosed}},
		{"failure soon after", func() { r.attempt(failedAt(260 * ms)) }, nil},
		{"failure after a second in peace", func() { r.attempt(failedAt(1260 * ms)) }, []EventType{Failing}},
		{"gap that no tick has noticed", func() { r.attempt(okAt(1500 * ms)) }, []EventType{GapClosed}},
		{"stream breaks", func() { r.streamEnded(0, 1510*ms, Reset, errors.New("reset")) }, []EventType{StreamLost}},
		{"second witness of it", func() { r.streamEnded(0, 1511*ms, EOF, errors.New("eof")) }, nil},
		{"after the end, silence means nothing", func() { r.over = true; r.tick(5 * time.Second) }, nil},
	}
	for _, s := range steps {
		s.do()
		if got := eventTypes(r); !slices.Equal(got, s.want) {
			t.Errorf("%s: events %q, want %q", s.what, got, s.want)
		}
	}
}

func TestReadyWithoutStreamsOrConnections(t *testing.T) {
	r := testRecorder(t, Client{Rate: 10})
	r.attempt(okAt(0))
	if got, want := eventTypes(r), []EventType{ServerSeen, Ready}; !slices.Equal(got, want) {
		t.Errorf("connections only: events %q, want %q", got, want)
	}
	// A stream that cannot be opened was tried, too.
	r = testRecorder(t, Client{Streams: 2})
	r.streamConnected(1, 10*ms)
	r.streamEnded(0, 20*ms, Refused, errors.New("refused"))
	if got, want := eventTypes(r), []EventType{StreamLost, Ready}; !slices.Equal(got, want) {
		t.Errorf("streams only: events %q, want %q", got, want)
	}
}

func TestProgress(t *testing.T) {
	r := testRecorder(t, Client{Rate: 10, Streams: 3})
	for i := range 3 {
		r.streamConnected(i, 0)
	}
	r.attempt(okAt(100 * ms))
	r.attempt(okAt(900 * ms))
	r.streamSend(0, 850*ms)
	r.streamSend(1, 950*ms)
	want := Progress{At: time.Second, OK: 2, Servers: map[string]int{"s1": 2}, Gap: 800 * ms, Streams: 3, Stalled: 1}
	if diff := cmp.Diff(want, r.progress(time.Second)); diff != "" {
		t.Errorf("first second (-want +got):\n%s", diff)
	}
	r.attempt(failedAt(1000 * ms))
	r.streamEnded(0, 1100*ms, Reset, nil)
	r.streamEchoed(1, 1, 1200*ms)
	want = Progress{At: 2 * time.Second, Failed: 1, Servers: map[string]int{}, Gap: 1100 * ms, Streams: 2, Lost: 1}
	if diff := cmp.Diff(want, r.progress(2*time.Second)); diff != "" {
		t.Errorf("second second (-want +got):\n%s", diff)
	}
}

// BenchmarkRecordAttempt is the account of one connection attempt.
func BenchmarkRecordAttempt(b *testing.B) {
	r := testRecorder(b, Client{Rate: 500})
	b.ReportAllocs()
	for i := range b.N {
		at := time.Duration(i) * 2 * ms
		r.attempt(attempt{due: at, began: at, done: at + ms, server: "s1"})
	}
}

// BenchmarkRecordEcho is the account of one frame there and back.
func BenchmarkRecordEcho(b *testing.B) {
	r := testRecorder(b, Client{Streams: 1000})
	for i := range 1000 {
		r.streamConnected(i, 0)
	}
	b.ReportAllocs()
	for i := range b.N {
		at := time.Duration(i) * 100 * time.Microsecond
		r.streamSend(i%1000, at)
		r.streamEchoed(i%1000, 1, at+ms)
	}
}
