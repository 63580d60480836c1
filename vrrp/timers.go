package vrrp

import "time"

// Durations of the extensions to RFC 9568.
const (
	// HandOverOverlap is how long a router that gave its role up goes on holding
	// the addresses after it has heard its successor. The successor needs that
	// time to add them and to tell the neighbours; until then frames still arrive
	// at the old router, which forwards them as before.
	HandOverOverlap = 100 * time.Millisecond
	// minHandOver is the shortest time that a router which stops on purpose waits
	// for a successor. Active_Down_Interval alone would be a few milliseconds with
	// short intervals, less than a busy peer may need.
	minHandOver = 500 * time.Millisecond
	// assertGap is the least time before an answer to a rival: the smallest
	// interval of the protocol. See Machine.assert.
	assertGap = MinInterval
	// releaseGap is the least time between an advertisement and the answer to a
	// release. Anybody on the segment can send releases, signed by nobody; an answer to
	// each would multiply what a flood costs. It is not assertGap: a backup takes over
	// when its skew is over, (256-priority)/256 of an interval, and the answer has to be
	// there before. With intervals of 10 ms that is more than this gap up to priority 230,
	// with 100 ms up to 253, from 128 ms on for every backup.
	releaseGap = time.Millisecond
	// announceGap is the least time between two rounds of announcements because of
	// rivals. A round repeats itself for some seconds; without a bound, one forged
	// advertisement could cause a broadcast for each address.
	announceGap = time.Second
	// differGap is the least time between two Notes about what others have
	// configured. They list addresses, which takes longer than judging a packet.
	differGap = time.Second
)

// timer is a point in time at which a Timeout is wanted; the zero timer is off.
type timer struct{ at time.Time }

func (t *timer) set(at time.Time) { t.at = at }
func (t *timer) stop()            { t.at = time.Time{} }
func (t timer) running() bool     { return !t.at.IsZero() }

// expired reports whether the timer is running and its time has come.
func (t timer) expired(at time.Time) bool { return t.running() && !at.Before(t.at) }

// advance brings the timer forward to at. It never delays one that is running.
func (t *timer) advance(at time.Time) {
	if !t.running() || at.Before(t.at) {
		t.at = at
	}
}

// round is for texts: nobody wants to read nanoseconds.
func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
