package load

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func sampleResult() Result {
	return Result{
		StartUnixNS: 1_700_000_000_000_000_000,
		Duration:    10_000,
		Connections: Connections{
			Rate: 200, Total: 2000, OK: 1968, Failed: 32,
			Failures:   map[Kind]int{DialTimeout: 30, Refused: 1, Reset: 1},
			Servers:    map[string]int{"s1": 984, "s2": 984},
			LongestGap: Gap{Length: 142.315, From: 3214.1, To: 3356.415},
			Latency:    Latency{P50: 0.512, P99: 2.25, Max: 104.5},
		},
		Streams: Streams{
			Count: 20, Survived: 19, Lost: 1, Interval: 20, Echoes: 9950,
			Failures:     map[Kind]int{EOF: 1},
			LongestStall: Stall{Length: 205, From: 3200, To: 3405, Stream: 7},
			Each:         []Stream{{Outcome: Lost, Kind: EOF, Error: "EOF", At: 3405, Echoes: 160, LongestStall: 205, StallFrom: 3200}},
		},
		Lateness: Lateness{P99: 1.1, Max: 4.75, MaxAt: 2000},
		CPU:      350,
		Timeline: Timeline{Bucket: 50, Streams: 20, Buckets: []Bucket{
			{OK: 10, Servers: map[string]int{"s1": 10}}, {Failed: 10, Stalled: 2, Lost: 1},
		}},
	}
}

func TestResultString(t *testing.T) {
	want := strings.TrimPrefix(`
connections    2000 in 10.0 s (200/s): 1968 ok, 32 failed (dial-timeout 30, refused 1, reset 1)
servers        s1 984 (50.0 %), s2 984 (50.0 %)
longest gap    142 ms, from 3.214 s to 3.356 s
latency        p50 0.51 ms, p99 2.25 ms, max 104 ms
streams        20: 19 survived, 1 lost, 0 never connected (eof 1); 9950 echoes
longest stall  205 ms of stream 7, from 3.200 s to 3.405 s
this client    late by 4.75 ms at most (p99 1.10 ms); 350 ms of processor time, 3.5 % of one
`, "\n")
	if diff := cmp.Diff(want, sampleResult().String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

// The JSON form is stable: a change of this text breaks those who read it.
func TestResultJSON(t *testing.T) {
	want := `{"start_unix_ns":1700000000000000000,"duration_ms":10000,` +
		`"connections":{"rate":200,"total":2000,"ok":1968,"failed":32,` +
		`"failures":{"dial-timeout":30,"refused":1,"reset":1},"servers":{"s1":984,"s2":984},` +
		`"longest_gap":{"ms":142.315,"from_ms":3214.1,"to_ms":3356.415},` +
		`"latency":{"p50_ms":0.512,"p99_ms":2.25,"max_ms":104.5}},` +
		`"streams":{"count":20,"survived":19,"lost":1,"never_connected":0,"interval_ms":20,"echoes":9950,` +
		`"failures":{"eof":1},"longest_stall":{"ms":205,"from_ms":3200,"to_ms":3405,"stream":7},` +
		`"each":[{"outcome":"lost","kind":"eof","error":"EOF","at_ms":3405,"echoes":160,` +
		`"longest_stall_ms":205,"stall_from_ms":3200}]},` +
		`"lateness":{"p99_ms":1.1,"max_ms":4.75,"max_at_ms":2000},"cpu_ms":350,` +
		`"timeline":{"bucket_ms":50,"streams":20,"buckets":[{"ok":10,"failed":0,"servers":{"s1":10}},` +
		`{"ok":0,"failed":10,"stalled":2,"lost":1}]}}`
	got, err := json.Marshal(sampleResult())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
}

func TestReadOutput(t *testing.T) {
	events := []Event{
		{Type: ServerSeen, At: 1.5, UnixNS: 10, Server: "s1"},
		{Type: StreamLost, At: 20, UnixNS: 30, Kind: Reset, Stream: new(0)},
	}
	var text strings.Builder
	enc := json.NewEncoder(&text)
	for _, v := range []any{events[0], events[1], sampleResult()} {
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	var got []Event
	res, err := ReadOutput(strings.NewReader(text.String()), func(e Event) { got = append(got, e) })
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(events, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(sampleResult(), res); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	eventsOnly := text.String()[:strings.Index(text.String(), `{"start`)]
	if _, err := ReadOutput(strings.NewReader(eventsOnly), nil); !errors.Is(err, errNoResult) {
		t.Errorf("without a result: %v, want %v", err, errNoResult)
	}
	if res, err := ReadOutput(strings.NewReader(text.String()[:len(text.String())-10]), nil); err == nil {
		t.Errorf("cut short: %+v, want an error", res)
	}
	if res, err := ReadOutput(strings.NewReader("{}\n"), nil); err == nil {
		t.Errorf("an empty object: %+v, want an error", res)
	}
}

func TestEventAndProgressString(t *testing.T) {
	tests := []struct {
		v    interface{ String() string }
		want string
	}{
		{Event{Type: ServerSeen, At: 12.5, Server: "s1"}, "   0.013 s  server-seen s1"},
		{Event{Type: Failing, At: 12345, Kind: Refused}, "  12.345 s  failing (refused)"},
		{Event{Type: GapClosed, At: 1000, Gap: 142.3}, "   1.000 s  gap-closed 142 ms"},
		{Event{Type: StreamLost, At: 1000, Stream: new(3), Kind: EOF}, "   1.000 s  stream-lost 3 (eof)"},
		{Progress{At: 3e9, OK: 198, Failed: 2, Servers: map[string]int{"s2": 99, "s1": 99}, Gap: 5200 * 1000,
			Streams: 19, Stalled: 1, Lost: 1},
			"   3 s  ok 198, failed 2  s1 99  s2 99  longest gap 5.20 ms  streams 19, stalled 1, lost 1"},
	}
	for _, tt := range tests {
		if got := tt.v.String(); got != tt.want {
			t.Errorf("got  %q\nwant %q", got, tt.want)
		}
	}
}
