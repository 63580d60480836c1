package load

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestPacerIsOnTime(t *testing.T) {
	tests := []struct {
		name     string
		interval float64
		end      time.Duration
		want     int // events
	}{
		{"200/s", float64(time.Second) / 200, time.Second, 200},
		{"a rate that does not divide a second", float64(time.Second) / 300, time.Second, 300},
		{"slower than the run is long", float64(time.Hour), time.Second, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := pacer{start: time.Now(), interval: tt.interval, end: tt.end}
				next := 0
				p.run(t.Context(), func(n int, due time.Duration) {
					if n != next {
						t.Errorf("event %d, want %d", n, next)
					}
					if now := time.Since(p.start); now != due {
						t.Errorf("event %d was due at %v, fired at %v", n, due, now)
					}
					next++
				})
				if next != tt.want {
					t.Errorf("%d events, want %d", next, tt.want)
				}
				if elapsed := time.Since(p.start); elapsed > tt.end {
					t.Errorf("ended after %v, want %v at the latest", elapsed, tt.end)
				}
			})
		})
	}
}

// A machine that stalls leaves no attempt out and shifts no due time.
func TestPacerCatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer{start: time.Now(), interval: float64(10 * ms), end: 100 * ms}
		var dues, fired []time.Duration
		p.run(t.Context(), func(n int, due time.Duration) {
			if n == 3 {
				<-time.After(25 * ms) // the stall
			}
			dues = append(dues, due/ms)
			fired = append(fired, time.Since(p.start)/ms)
		})
		if want := []time.Duration{0, 10, 20, 30, 40, 50, 60, 70, 80, 90}; !slices.Equal(dues, want) {
			t.Errorf("due at %d, want %d", dues, want)
		}
		if want := []time.Duration{0, 10, 20, 55, 55, 55, 60, 70, 80, 90}; !slices.Equal(fired, want) {
			t.Errorf("fired at %d, want %d", fired, want)
		}
	})
}

// Attempts that were due before the end are made even when it has passed.
func TestPacerCatchesUpAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer{start: time.Now(), interval: float64(10 * ms), end: 100 * ms}
		events := 0
		p.run(t.Context(), func(n int, _ time.Duration) {
			events++
			if n == 5 {
				<-time.After(time.Second)
			}
		})
		if events != 10 {
			t.Errorf("%d events, want 10", events)
		}
	})
}

func TestPacerEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 35*ms)
		defer cancel()
		p := pacer{start: time.Now(), interval: float64(10 * ms)}
		events := 0
		p.run(ctx, func(int, time.Duration) { events++ })
		if elapsed := time.Since(p.start); events != 4 || elapsed != 35*ms {
			t.Errorf("%d events in %v, want 4 in 35ms", events, elapsed)
		}
	})
}
