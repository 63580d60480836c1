package director

import (
	"context"
	"time"
)

const (
	// tuningResync is how often the sysctls are compared with the profile without a
	// cause.
	tuningResync = 10 * time.Second
	// tuningDelay is how long after a change of a link they are. A takeover brings
	// many changes and must not wait for this.
	tuningDelay = time.Second
)

// keepTuned repairs the sysctls until ctx is done.
func (d *Director) keepTuned(ctx context.Context) error {
	timer := time.NewTimer(tuningResync)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.retune:
			timer.Reset(tuningDelay)
		case at := <-timer.C:
			d.tune(at)
			timer.Reset(tuningResync)
		}
	}
}

// tune repairs the sysctls once. A reload or a stop that is under way does so by
// itself.
func (d *Director) tune(at time.Time) {
	if !d.changing.TryLock() {
		return
	}
	defer d.changing.Unlock()
	n, err := d.tuner.repair(d.profile(d.cfg))
	d.tuning.note(d.log, at, err)
	d.mu.Lock()
	d.retuned += n
	d.mu.Unlock()
}
