package runner

import (
	"math/rand/v2"
	"testing"
	"time"

	"tandem/healthcheck"
)

// TestAdvance: one step, however long ago a tick fell due, and always to the
// first moment of the phase that is still to come.
func TestAdvance(t *testing.T) {
	due := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		late   time.Duration
		next   time.Duration // after due
		passed uint64
	}{
		{0, time.Second, 0},
		{999 * time.Millisecond, time.Second, 0},
		{time.Second, 2 * time.Second, 1},
		{2500 * time.Millisecond, 3 * time.Second, 2},
		{24 * time.Hour, 24*time.Hour + time.Second, 86400},
	} {
		r := New(Options{Rand: rand.New(rand.NewPCG(1, 2))})
		e := &entry{target: healthcheck.Target{Interval: time.Second}, due: due, phased: true}
		if passed := r.advance(e, due.Add(tt.late)); passed != tt.passed || !e.due.Equal(due.Add(tt.next)) {
			t.Errorf("%v late: next tick %v after the one due, %d passed over; want %v and %d", tt.late, e.due.Sub(due), passed, tt.next, tt.passed)
		}
	}
}
