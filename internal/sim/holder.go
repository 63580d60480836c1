package sim

import (
	"time"

	"tandem/vrrp"
)

const (
	// holderDelay is the longest from a role to the pass of the holder that it
	// wakes, the netlink call included.
	holderDelay = 5 * ms
	// retryAfter is as in package director.
	retryAfter = 50 * ms
)

// leaseFor is the automatic lease of package configs.
func leaseFor(interval time.Duration) time.Duration {
	lease := (4*interval*4/3 + time.Second - 1).Truncate(time.Second)
	return max(2*time.Second, lease)
}

// kernel is the kernel's address and what the holder of package director knows
// of it. The address outlives the process; the kernel takes it away when the
// lease ends.
type kernel struct {
	held     bool
	leaseEnd time.Duration
	renewed  time.Duration
	passAt   time.Duration
}

// pass is one pass of the holder: the address follows the role, and is added or
// renewed only while the election is alive.
func (w *World) pass(d *director) {
	d.passAt = never
	switch {
	case !d.role.Hold:
		w.setHeld(d, false)
	case d.role.State != vrrp.Active:
		// Held for a while after a hand-over: nothing prolongs it.
	case d.held && w.now < d.renewed+leaseFor(d.cfg.Interval)/4:
		d.passAt = d.renewed + leaseFor(d.cfg.Interval)/4
	case !w.fresh(d):
		d.passAt = w.now + retryAfter
	default:
		d.renewed, d.leaseEnd = w.now, w.now+leaseFor(d.cfg.Interval)
		d.passAt = d.renewed + leaseFor(d.cfg.Interval)/4
		w.setHeld(d, true)
	}
	if d.stopping {
		w.leave(d)
	}
}

// fresh is director.Director.fresh: no backup can have taken over because of
// silence.
func (w *World) fresh(d *director) bool {
	s := d.published
	if s.Role.Number < d.role.Number {
		return wall(w.now).Sub(d.role.Since) < 3*d.cfg.Interval
	}
	return s.Role.State == vrrp.Active && wall(w.now).Sub(s.AdvertAt) < 2*d.cfg.Interval
}

// expire is the end of the lease.
func (w *World) expire(d *director) {
	w.setHeld(d, false)
	if d.node != nil {
		d.passAt = min(d.passAt, w.now+w.soon(holderDelay)) // the kernel tells
	}
}

func (w *World) setHeld(d *director, held bool) {
	if held != d.held {
		w.changed = true
		w.tracef("%s the address is %s the kernel", d.name, map[bool]string{true: "in", false: "out of"}[held])
	}
	d.held = held
	if !held {
		d.leaseEnd = never
	}
}

// leave ends a process that has handed over, as director.Director.Stop does.
func (w *World) leave(d *director) {
	if over := d.role.State == vrrp.Init && !d.role.Hold && !d.held; !over {
		if w.now > d.stopBy {
			w.fail("hand-over", d, "not over after %v", 5*d.cfg.Interval+2*time.Second)
		}
		return
	}
	w.tracef("%s the process ends", d.name)
	d.halt()
	w.changed = true
}
