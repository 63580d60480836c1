package runner

import "time"

// What a limiter lets through: a burst, so that the lines that belong together
// appear together, then a trickle.
const (
	limitBurst  = 10
	limitPeriod = 10 * time.Second
)

// limiter limits log lines that a neighbour can cause. The zero value is ready.
type limiter struct {
	start      time.Time // of the current period
	passed     int       // in the current period
	suppressed int       // since one passed
}

// allow reports whether a line may be written at the given time, and how many
// were not since the last one that was.
func (l *limiter) allow(at time.Time) (suppressed int, ok bool) {
	if at.Sub(l.start) >= limitPeriod {
		l.start, l.passed = at, 0
	}
	if l.passed == limitBurst {
		l.suppressed++
		return 0, false
	}
	l.passed++
	suppressed, l.suppressed = l.suppressed, 0
	return suppressed, true
}
