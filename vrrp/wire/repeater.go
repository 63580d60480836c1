package wire

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// Announcements are paced: at most announceBurst addresses, then a pause. With
// a thousand virtual addresses a takeover then takes a tenth of a second, and
// does not overrun the queues of switches, which handle ARP in software.
const (
	announceBurst = 50
	announcePause = 5 * time.Millisecond
)

// Repeater announces addresses: at once, several times in the first seconds,
// and then every minute for as long as they are held.
type Repeater struct {
	send func(netip.Addr) error
	held func(netip.Addr) Standing
	fail func(netip.Addr, error)

	mu      sync.Mutex
	pending *schedule
	wake    chan struct{} // the schedule has changed
}

// Standing is what an address is to this director.
type Standing uint8

// The standings that a Repeater asks for.
const (
	// Lost: not on the interface, or this director is not active.
	Lost Standing = iota
	// Doubtful: held, but the election has been silent for so long that another
	// director may be active by now. That passes, in one way or the other.
	Doubtful
	// Held: on the interface, and this director is active.
	Held
)

// NewRepeater makes a Repeater. send announces an address once. held says, before
// each announcement, how the address stands: one that is Lost is announced no
// more, one that is Doubtful is left out this time. fail hears of errors of send,
// after which the schedule goes on; it may be nil. All are called by Run's
// goroutine.
func NewRepeater(send func(netip.Addr) error, held func(netip.Addr) Standing, fail func(netip.Addr, error)) *Repeater {
	return &Repeater{send: send, held: held, fail: fail, pending: newSchedule(), wake: make(chan struct{}, 1)}
}

// Announce starts the announcements of addresses, anew for those under way. It
// does not block.
func (r *Repeater) Announce(addrs ...netip.Addr) {
	now := time.Now()
	r.mu.Lock()
	for _, a := range addrs {
		r.pending.restart(now, a)
	}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Cancel ends the announcements of addresses. It does not block; one that is
// being sent is still sent.
func (r *Repeater) Cancel(addrs ...netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range addrs {
		r.pending.remove(a)
	}
}

// Run sends announcements until ctx is done, and then returns nil.
func (r *Repeater) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		wake := r.wake
		if r.burst() {
			wake = nil // not even new addresses shorten the pause
			timer.Reset(announcePause)
		} else if next, ok := r.next(); ok {
			timer.Reset(time.Until(next))
		} else {
			timer.Stop()
		}
		select {
		case <-wake:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return nil
}

// burst announces what is due, at most announceBurst addresses, and reports
// whether that was anything.
func (r *Repeater) burst() bool {
	for i := range announceBurst {
		t, due := r.pop()
		if !due {
			return i > 0
		}
		switch r.held(t.addr) {
		case Lost:
			r.abandon(t)
		case Held:
			if err := r.send(t.addr); err != nil && r.fail != nil {
				r.fail(t.addr, err)
			}
		}
	}
	return true
}

func (r *Repeater) pop() (turn, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pending.pop(time.Now())
}

func (r *Repeater) next() (time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pending.next()
}

func (r *Repeater) abandon(t turn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending.abandon(t)
}
