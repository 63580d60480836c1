package elect

import (
	"sync"
	"time"
)

// A Watch follows the advertisements of many routers without keeping them: who
// speaks for each, and the longest silence. See is for a Tap.
type Watch struct {
	active [6]byte // at the beginning, of all routers

	mu      sync.Mutex
	speaker map[uint8][6]byte
	last    map[uint8]time.Time
	calm    Calm
}

// Calm is what a Watch has seen.
type Calm struct {
	Adverts int
	Changes int           // of the speaker of a router
	Gap     time.Duration // the longest between two advertisements of one speaker, with no other between them
}

// NewWatch returns a Watch of routers for which a MAC speaks.
func NewWatch(active [6]byte) *Watch {
	return &Watch{
		active:  active,
		speaker: make(map[uint8][6]byte),
		last:    make(map[uint8]time.Time),
	}
}

// See takes the next event.
func (w *Watch) See(e Event) {
	if e.VRID == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calm.Adverts++
	was, known := w.speaker[e.VRID]
	if !known {
		was = w.active
	}
	if was != e.Sender {
		w.calm.Changes++
	} else if known {
		w.calm.Gap = max(w.calm.Gap, e.At.Sub(w.last[e.VRID]))
	}
	w.speaker[e.VRID], w.last[e.VRID] = e.Sender, e.At
}

// Calm returns what was seen so far.
func (w *Watch) Calm() Calm {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calm
}
