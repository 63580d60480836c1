package elect

import (
	"testing"
	"time"
)

var (
	first, second = [6]byte{2, 0, 10, 77, 0, 1}, [6]byte{2, 0, 10, 77, 0, 2}
	noon          = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
)

// said is an advertisement of a router, in milliseconds after noon; VRID 0 makes it
// a gratuitous ARP.
func said(at int, sender [6]byte, vrid uint8) Event {
	return Event{At: noon.Add(time.Duration(at) * time.Millisecond), Sender: sender, VRID: vrid, Priority: 100}
}

// TestWatch: each router has a silence and a speaker of its own.
func TestWatch(t *testing.T) {
	w := NewWatch(first)
	for i, step := range []struct {
		e    Event
		want Calm
	}{
		{said(0, first, 1), Calm{Adverts: 1}},
		{said(5, first, 2), Calm{Adverts: 2}},
		{said(10, first, 1), Calm{Adverts: 3, Gap: 10 * time.Millisecond}},
		{said(11, second, 0), Calm{Adverts: 3, Gap: 10 * time.Millisecond}}, // ARP
		{said(30, first, 2), Calm{Adverts: 4, Gap: 25 * time.Millisecond}},
		{said(90, second, 1), Calm{Adverts: 5, Changes: 1, Gap: 25 * time.Millisecond}}, // a change is no gap
		{said(100, second, 1), Calm{Adverts: 6, Changes: 1, Gap: 25 * time.Millisecond}},
		{said(101, first, 1), Calm{Adverts: 7, Changes: 2, Gap: 25 * time.Millisecond}},
		{said(102, second, 3), Calm{Adverts: 8, Changes: 3, Gap: 25 * time.Millisecond}}, // the first word of a router
	} {
		w.See(step.e)
		if got := w.Calm(); got != step.want {
			t.Errorf("after event %d: %+v, want %+v", i, got, step.want)
		}
	}
}

// TestWitness: what counts is what follows the last word of the dead.
func TestWitness(t *testing.T) {
	var w Witness
	see := func(events ...Event) {
		for _, e := range events {
			w.See(e)
		}
	}
	expect := func(what string, last, advert, garp int) {
		t.Helper()
		at := func(ms int) time.Time {
			if ms < 0 {
				return time.Time{}
			}
			return noon.Add(time.Duration(ms) * time.Millisecond)
		}
		if a, b, c := w.Takeover(first, second); !a.Equal(at(last)) || !b.Equal(at(advert)) || !c.Equal(at(garp)) {
			t.Errorf("%s: %v, %v, %v", what, a, b, c)
		}
	}
	expect("nothing", -1, -1, -1)
	see(said(0, first, 1), said(1, second, 1), said(2, second, 0), said(100, first, 1))
	expect("an early takeover is undone", 100, -1, -1)
	if !w.Early(second, noon.Add(100*time.Millisecond)) || w.Early(second, noon) {
		t.Error("the early takeover is not seen, or too early")
	}
	see(said(440, second, 0))
	expect("announced without a word", 100, -1, -1)
	see(said(460, second, 1), said(461, second, 0), said(560, second, 1))
	expect("taken over", 100, 460, 440)

	if last, all, n := w.TakeoverOfAll(first, second); !last.Equal(noon.Add(100*time.Millisecond)) || !all.Equal(noon.Add(460*time.Millisecond)) || n != 1 {
		t.Errorf("of all: %v, %v, %d", last, all, n)
	}
	see(said(570, second, 2), said(580, second, 1), said(581, second, 2))
	if _, all, n := w.TakeoverOfAll(first, second); !all.Equal(noon.Add(570*time.Millisecond)) || n != 2 {
		t.Errorf("of all: %v, %d", all, n)
	}
}
