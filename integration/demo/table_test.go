package main

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"tandem/integration/load"
)

// account is a run of 6 s with 100 attempts a second: at 1.02 s a server fails
// half of them for 0.5 s, at 3 s nothing succeeds for 0.4 s, and three streams
// break.
func account() (load.Result, []load.Event, []load.Mark) {
	res := load.Result{Duration: 6000, Lateness: load.Lateness{P99: 2, Max: 12.7, MaxAt: 4000}}
	res.Timeline = load.Timeline{Bucket: 50, Streams: 20}
	for i := range 120 {
		b := load.Bucket{OK: 5}
		switch {
		case i >= 20 && i < 30: // the first one holds the mark
			b = load.Bucket{OK: 3, Failed: 2}
		case i >= 60 && i < 68:
			b = load.Bucket{Failed: 5}
		}
		res.Timeline.Buckets = append(res.Timeline.Buckets, b)
		res.Connections.OK += b.OK
		res.Connections.Failed += b.Failed
	}
	res.Connections.Total = res.Connections.OK + res.Connections.Failed
	res.Streams = load.Streams{Count: 20, Survived: 17, Lost: 2, NeverConnected: 1, Each: []load.Stream{
		{Outcome: load.Survived, LongestStall: 400, StallFrom: 2990},
		// Reset at once, long after a stall of another origin.
		{Outcome: load.Lost, Kind: load.Reset, At: 3200, LongestStall: 30, StallFrom: 500},
		// Given up after the silence that began with the server's failure.
		{Outcome: load.Lost, Kind: load.ResponseTimeout, At: 5100, LongestStall: 4000, StallFrom: 1100},
		{Outcome: load.NeverConnected, Kind: load.Refused, At: 100},
	}}
	for range 16 {
		res.Streams.Each = append(res.Streams.Each, load.Stream{Outcome: load.Survived})
	}
	events := []load.Event{
		{Type: load.GapClosed, At: 700, Gap: 700}, // up to the very first success
		{Type: load.GapOpen, At: 3095, Gap: 100},
		{Type: load.GapClosed, At: 3400, Gap: 405},
		{Type: load.GapClosed, At: 3600, Gap: 120},
	}
	return res, events, []load.Mark{
		{At: 1020 * time.Millisecond, Label: "s2 answers 503"},
		{At: 3 * time.Second, Label: "a mark with a label that is far too long"},
		{At: 5 * time.Second, Label: "nothing happens"},
	}
}

func TestWindows(t *testing.T) {
	got := windows(account())
	want := []window{
		{label: "(before the first event)", total: 100, lost: 1},
		{label: "s2 answers 503", failed: 20, total: 200, lost: 1},
		{label: "a mark with a label that is far too long", gap: 405 * time.Millisecond, failed: 40, total: 200, lost: 1},
		{label: "nothing happens", total: 100},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(window{})); diff != "" {
		t.Errorf("windows (-want +got):\n%s", diff)
	}
}

// An outage that lasts to the end is one.
func TestWindowsOpenGap(t *testing.T) {
	res, events, marks := account()
	res.Connections.LongestGap = load.Gap{Length: 800, From: 5200, To: 6000, Open: true}
	got := windows(res, events, marks)
	if last := got[len(got)-1]; last.gap != 800*time.Millisecond {
		t.Errorf("the last window has a gap of %v", last.gap)
	}
}

func TestTable(t *testing.T) {
	res, events, marks := account()
	want := `
                                longest time                new       long-lived
                           without a success connections failed connections lost
────────────────────────────────────────────────────────────────────────────────
(before the first event)            < 100 ms           0 of 100                1
s2 answers 503                      < 100 ms          20 of 200                1
a mark with a label that …            405 ms          40 of 200                1
nothing happens                     < 100 ms           0 of 100                0
────────────────────────────────────────────────────────────────────────────────
in all                                405 ms          60 of 600          3 of 20

The clients themselves ran late by 12 ms at most, by 2 ms in 99 of 100 cases.
`
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), table(windows(res, events, marks), res)); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

// Before the first event there is normally nothing to tell.
func TestTableLeavesOut(t *testing.T) {
	text := table([]window{{label: "before", total: 5}, {label: "first", total: 5}}, load.Result{})
	if strings.Contains(text, "before") || !strings.Contains(text, "first") {
		t.Errorf("got\n%s", text)
	}
}

func TestLateness(t *testing.T) {
	want := `
The clients themselves ran late by 308 ms at most, by 48 ms in 99 of 100 cases.
That is much: this machine is busy or slow (an emulated one is), and stood still
around 4.0 s. Figures that are not well above it are the machine's, not the
pair's.
`
	got := latenessText(load.Lateness{P99: 48, Max: 308, MaxAt: 4000})
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestServed(t *testing.T) {
	tests := []struct {
		connections load.Connections
		want        string
	}{
		{load.Connections{Total: 9, OK: 9}, ""},
		{load.Connections{Total: 9, OK: 8, Failed: 1, LongestGap: load.Gap{Length: 3000}}, ""},
		{load.Connections{Total: 9, OK: 8, Failed: 1, LongestGap: load.Gap{Length: 100, Open: true}}, ""},
		{load.Connections{Total: 9, Failed: 9}, "not one of 9 new connections succeeded"},
		{load.Connections{Total: 9, OK: 1, Failed: 8, LongestGap: load.Gap{Length: 4000, Open: true}}, "the clients were not served again: nothing succeeded in the last 4s"},
	}
	for _, tt := range tests {
		got := ""
		if err := served(load.Result{Connections: tt.connections}); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.connections, got, tt.want)
		}
	}
}

// What is written as it stands fits the terminal too.
func TestTextsFit(t *testing.T) {
	for l := range strings.Lines(opening + closing) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(l, "\n")); n > width {
			t.Errorf("%d columns: %s", n, l)
		}
	}
}
