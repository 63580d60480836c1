package elect

import (
	"sync"
	"time"
)

// A Witness keeps what a Tap sees, which must not be much.
type Witness struct {
	mu   sync.Mutex
	seen []Event
}

// See takes the next event.
func (w *Witness) See(e Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, e)
}

// Takeover finds the last advertisement of the dead, and the first advertisement and
// gratuitous ARP of the successor after it; zero: not seen.
func (w *Witness) Takeover(dead, successor [6]byte) (last, first, garp time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.seen {
		switch {
		case e.VRID != 0 && e.Sender == dead:
			last, first, garp = e.At, time.Time{}, time.Time{}
		case e.VRID != 0 && e.Sender == successor && first.IsZero():
			first = e.At
		case e.VRID == 0 && e.Sender == successor && garp.IsZero():
			garp = e.At
		}
	}
	if first.IsZero() {
		garp = time.Time{}
	}
	return last, first, garp
}

// Early says whether a sender advertised before a moment.
func (w *Witness) Early(sender [6]byte, before time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.seen {
		if e.VRID != 0 && e.Sender == sender && e.At.Before(before) {
			return true
		}
	}
	return false
}

// TakeoverOfAll finds the last advertisement of the dead, and when the last router of the
// successor advertised first after it, and how many have.
func (w *Witness) TakeoverOfAll(dead, successor [6]byte) (last, first time.Time, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	moved := make(map[uint8]bool)
	for _, e := range w.seen {
		switch {
		case e.VRID == 0:
		case e.Sender == dead:
			last = e.At
			clear(moved)
		case e.Sender == successor && !moved[e.VRID]:
			moved[e.VRID], first = true, e.At
		}
	}
	return last, first, len(moved)
}
