package runner

import "time"

// latenessBounds are the upper bounds of the buckets of a Lateness.
var latenessBounds = [...]time.Duration{
	100 * time.Microsecond,
	300 * time.Microsecond,
	time.Millisecond,
	3 * time.Millisecond,
	10 * time.Millisecond,
	100 * time.Millisecond,
	time.Second,
}

// LatenessBounds returns the inclusive upper bounds of all buckets but the last,
// which has none.
func LatenessBounds() []time.Duration { return latenessBounds[:] }

// Lateness is how late periodic advertisements were: the time from when one was
// due to when it had been given to the interface.
type Lateness struct {
	Max     time.Duration
	Sum     time.Duration
	Buckets [len(latenessBounds) + 1]uint64 // counts, see LatenessBounds; not cumulative
}

// Count is how many advertisements there were.
func (l Lateness) Count() (n uint64) {
	for _, b := range l.Buckets {
		n += b
	}
	return n
}

func (l *Lateness) add(d time.Duration) {
	d = max(d, 0) // it left early, with others
	l.Max = max(l.Max, d)
	l.Sum += d
	for i, bound := range latenessBounds {
		if d <= bound {
			l.Buckets[i]++
			return
		}
	}
	l.Buckets[len(latenessBounds)]++
}
