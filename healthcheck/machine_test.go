package healthcheck_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tandem/healthcheck"
)

var epoch = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// at is the time of the n-th result.
func at(n int) time.Time { return epoch.Add(time.Duration(n) * time.Second) }

// results turns a word into results: '+' a success, '-' a refused connection,
// '0' a probe that could not be made.
func results(word string) []healthcheck.Result {
	var rs []healthcheck.Result
	for _, c := range word {
		switch c {
		case '+':
			rs = append(rs, healthcheck.Result{Reason: healthcheck.ReasonOK, Detail: "200 OK", Latency: time.Millisecond})
		case '-':
			rs = append(rs, healthcheck.Result{Reason: healthcheck.ReasonRefused, Detail: "connection refused"})
		case '0':
			rs = append(rs, healthcheck.Result{Reason: healthcheck.ReasonLocal, Detail: "too many open files"})
		}
	}
	return rs
}

func TestStep(t *testing.T) {
	tests := []struct {
		name       string
		rise, fall int
		word       string
		states     string // after each result: u unknown, U up, D down
	}{
		{"one success decides at first", 3, 3, "+", "U"},
		{"one failure decides at first", 3, 3, "-", "D"},
		{"fall", 1, 3, "+---", "UUUD"},
		{"rise", 3, 1, "-+++", "DDDU"},
		{"a success breaks the run of failures", 1, 3, "+--+--+---", "UUUUUUUUUD"},
		{"a failure breaks the run of successes", 3, 1, "-++-++-+++", "DDDDDDDDDU"},
		{"rise and fall of one", 1, 1, "+-+-", "UDUD"},
		{"thresholds below one act as one", 0, -1, "+-+-", "UDUD"},
		{"unknown stays unknown", 1, 1, "000", "uuu"},
		{"the first conclusive result decides after local ones", 3, 3, "00+", "uuU"},
		{"up stays up", 1, 1, "+000", "UUUU"},
		{"down stays down", 1, 1, "-000", "DDDD"},
		{"a local result does not break a run of failures", 1, 3, "+-0-0-", "UUUUUD"},
		{"a local result does not break a run of successes", 3, 1, "-+0+0+", "DDDDDU"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := healthcheck.NewMachine(healthcheck.Target{Rise: tt.rise, Fall: tt.fall})
			var got []byte
			for i, r := range results(tt.word) {
				before := m.Status().Verdict
				v, changed := m.Step(at(i), r)
				got = append(got, "uUD"[v.State])
				if changed != (v.State != before.State) {
					t.Errorf("result %d: changed = %v, but the state went from %v to %v", i, changed, before.State, v.State)
				}
				if v != m.Status().Verdict {
					t.Errorf("result %d: Step returned %v, Status has %v", i, v, m.Status().Verdict)
				}
			}
			if string(got) != tt.states {
				t.Errorf("states after %q:\n got %s\nwant %s", tt.word, got, tt.states)
			}
		})
	}
}

// TestStatus follows every field through a life.
func TestStatus(t *testing.T) {
	m := healthcheck.NewMachine(healthcheck.Target{Rise: 2, Fall: 2})
	if got := m.Status(); got != (healthcheck.Status{}) {
		t.Errorf("a new machine knows %+v", got)
	}
	word := "0+0--0-"
	rs := results(word)
	up := healthcheck.Verdict{State: healthcheck.Up, Reason: healthcheck.ReasonOK, Detail: "200 OK", Since: at(1)}
	down := healthcheck.Verdict{State: healthcheck.Down, Reason: healthcheck.ReasonRefused, Detail: "connection refused", Since: at(4)}
	want := []healthcheck.Status{
		{Last: rs[0], LastAt: at(0)},
		{Verdict: up, Last: rs[1], LastAt: at(1), Successes: 1, Transitions: 1},
		{Verdict: up, Last: rs[2], LastAt: at(2), Successes: 1, Transitions: 1},
		{Verdict: up, Last: rs[3], LastAt: at(3), Failures: 1, Transitions: 1},
		{Verdict: down, Last: rs[4], LastAt: at(4), Failures: 2, Transitions: 2},
		{Verdict: down, Last: rs[5], LastAt: at(5), Failures: 2, Transitions: 2},
		{Verdict: down, Last: rs[6], LastAt: at(6), Failures: 3, Transitions: 2},
	}
	for i, r := range rs {
		m.Step(at(i), r)
		if diff := cmp.Diff(want[i], m.Status()); diff != "" {
			t.Fatalf("after %q (-want +got):\n%s", word[:i+1], diff)
		}
	}
}

func TestAdopt(t *testing.T) {
	serving := healthcheck.Verdict{State: healthcheck.Up, Detail: "in the kernel's table", Since: epoch}
	quiet := healthcheck.Verdict{State: healthcheck.Down, Detail: "in the kernel's table", Since: epoch}
	tests := []struct {
		name   string
		before string // results
		adopt  healthcheck.Verdict
		taken  bool
		after  string
		want   healthcheck.State
	}{
		{"up needs fall failures", "", serving, true, "--", healthcheck.Up},
		{"up goes down by fall failures", "", serving, true, "---", healthcheck.Down},
		{"down needs rise successes", "", quiet, true, "+", healthcheck.Down},
		{"down comes up by rise successes", "", quiet, true, "++", healthcheck.Up},
		{"local results leave it to adoption", "00", serving, true, "", healthcheck.Up},
		{"own probes know better: down", "-", serving, false, "", healthcheck.Down},
		{"own probes know better: up", "+", quiet, false, "", healthcheck.Up},
		{"unknown is nothing to take", "", healthcheck.Verdict{}, false, "-", healthcheck.Down},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := healthcheck.NewMachine(healthcheck.Target{Rise: 2, Fall: 3})
			for _, r := range results(tt.before) {
				m.Step(at(0), r)
			}
			if got := m.Adopt(tt.adopt); got != tt.taken {
				t.Errorf("Adopt = %v, want %v", got, tt.taken)
			}
			if got := m.Status().Verdict; tt.taken && got != tt.adopt {
				t.Errorf("verdict %+v, want the adopted %+v", got, tt.adopt)
			}
			if m.Adopt(quiet) && tt.taken {
				t.Error("a second verdict was adopted over the first")
			}
			for _, r := range results(tt.after) {
				m.Step(at(1), r)
			}
			if got := m.Status().Verdict.State; got != tt.want {
				t.Errorf("state %v, want %v", got, tt.want)
			}
		})
	}
}

func TestSetThresholds(t *testing.T) {
	m := healthcheck.NewMachine(healthcheck.Target{Rise: 1, Fall: 5})
	for i, r := range results("+--") {
		m.Step(at(i), r)
	}
	before := m.Status()
	m.SetThresholds(1, 3)
	if diff := cmp.Diff(before, m.Status()); diff != "" {
		t.Errorf("new thresholds changed what is known (-before +after):\n%s", diff)
	}
	v, _ := m.Step(at(3), results("-")[0])
	if v.State != healthcheck.Down {
		t.Errorf("after three failures in a row and a new fall of 3: %v", v.State)
	}
}

// TestCopy: a copy of a machine goes its own way.
func TestCopy(t *testing.T) {
	m := healthcheck.NewMachine(healthcheck.Target{Rise: 1, Fall: 1})
	m.Step(at(0), results("+")[0])
	c := *m
	c.Step(at(1), results("-")[0])
	if got := m.Status().Verdict.State; got != healthcheck.Up {
		t.Errorf("a failure of the copy took the original to %v", got)
	}
}

func TestStateString(t *testing.T) {
	want := map[healthcheck.State]string{healthcheck.Unknown: "unknown", healthcheck.Up: "up", healthcheck.Down: "down", 9: "state 9"}
	for s, w := range want {
		if s.String() != w {
			t.Errorf("State(%d) = %q, want %q", uint8(s), s, w)
		}
	}
}

// expected is the rule in its plainest form: from the whole history, without
// counters.
func expected(history []healthcheck.Reason, rise, fall int) healthcheck.State {
	history = slices.DeleteFunc(slices.Clone(history), func(r healthcheck.Reason) bool {
		return r == healthcheck.ReasonLocal || r == healthcheck.ReasonNone
	})
	all := func(rs []healthcheck.Reason, ok bool) bool {
		return !slices.ContainsFunc(rs, func(r healthcheck.Reason) bool { return (r == healthcheck.ReasonOK) != ok })
	}
	state := healthcheck.Unknown
	for i := range history {
		seen := history[:i+1]
		switch {
		case i == 0 && seen[0] == healthcheck.ReasonOK:
			state = healthcheck.Up
		case i == 0:
			state = healthcheck.Down
		case state == healthcheck.Up && len(seen) >= fall && all(seen[len(seen)-fall:], false):
			state = healthcheck.Down
		case state == healthcheck.Down && len(seen) >= rise && all(seen[len(seen)-rise:], true):
			state = healthcheck.Up
		}
	}
	return state
}

var reasons = []healthcheck.Reason{
	healthcheck.ReasonNone, healthcheck.ReasonOK, healthcheck.ReasonTimeout, healthcheck.ReasonRefused,
	healthcheck.ReasonReset, healthcheck.ReasonUnreachable, healthcheck.ReasonStatus,
	healthcheck.ReasonProtocol, healthcheck.ReasonLocal,
}

// run feeds a history to a machine and compares every step with the plain
// rule.
func run(t *testing.T, rise, fall int, history []healthcheck.Reason) {
	t.Helper()
	m := healthcheck.NewMachine(healthcheck.Target{Rise: rise, Fall: fall})
	var transitions uint64
	var since time.Time
	for i, reason := range history {
		v, changed := m.Step(at(i), healthcheck.Result{Reason: reason})
		if want := expected(history[:i+1], rise, fall); v.State != want {
			t.Fatalf("rise %d, fall %d: %v after %q, want %v", rise, fall, v.State, history[:i+1], want)
		}
		if changed {
			transitions++
			since = at(i)
			if v.Reason != reason {
				t.Fatalf("rise %d, fall %d: became %v for %q by a result %q", rise, fall, v.State, v.Reason, reason)
			}
		}
		s := m.Status()
		if s.Transitions != transitions || !v.Since.Equal(since) {
			t.Fatalf("rise %d, fall %d: %d transitions, the last at %v; want %d at %v", rise, fall, s.Transitions, v.Since, transitions, since)
		}
		if s.Last.Reason != reason || !s.LastAt.Equal(at(i)) || (s.Successes > 0 && s.Failures > 0) {
			t.Fatalf("status after %q: %+v", history[:i+1], s)
		}
	}
}

func TestAgainstPlainRule(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		history := make([]healthcheck.Reason, rnd.IntN(40))
		good := rnd.IntN(100) // how often the server answers, so that runs grow long
		for i := range history {
			history[i] = reasons[rnd.IntN(len(reasons))]
			if rnd.IntN(100) < good {
				history[i] = healthcheck.ReasonOK
			}
		}
		run(t, 1+rnd.IntN(5), 1+rnd.IntN(5), history)
	}
}

func FuzzStep(f *testing.F) {
	f.Add(1, 1, []byte{1, 2, 1})
	f.Add(2, 3, []byte{8, 1, 2, 8, 2, 2, 1, 0, 1})
	f.Fuzz(func(t *testing.T, rise, fall int, word []byte) {
		word = word[:min(len(word), 100)] // the plain rule is quadratic
		history := make([]healthcheck.Reason, len(word))
		for i, b := range word {
			history[i] = reasons[int(b)%len(reasons)]
		}
		run(t, max(rise, 1), max(fall, 1), history)
	})
}
