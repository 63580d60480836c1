package load

import (
	"context"
	"math"
	"time"
)

// pacer is an open-loop schedule: event n is due n intervals after the start,
// whatever became of the events before it.
type pacer struct {
	start time.Time
	// interval is in nanoseconds; a fraction keeps rates such as 300/s exact.
	interval float64
	// end is the offset at which the schedule ends; no event is due at or
	// after it. 0: never.
	end time.Duration
}

// due returns the offset of event n.
func (p pacer) due(n int) time.Duration {
	return time.Duration(math.Round(float64(n) * p.interval))
}

// over reports whether event n is beyond the end of the schedule.
func (p pacer) over(n int) bool { return p.end > 0 && p.due(n) >= p.end }

// run calls fire for every event, in order and never early, until the schedule
// or ctx ends. A late wake-up fires all that has become due, so that none is
// left out; fire must not block.
func (p pacer) run(ctx context.Context, fire func(n int, due time.Duration)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := 0; !p.over(n); {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		now := time.Since(p.start)
		for ; p.due(n) <= now && !p.over(n); n++ {
			fire(n, p.due(n))
		}
		// Not now: fire may have taken its time.
		timer.Reset(p.due(n) - time.Since(p.start))
	}
}
