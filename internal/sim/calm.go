package sim

import (
	"time"

	"tandem/vrrp"
)

// calm judges a settled network that is only worked on: one thing at a time, and
// then as long as it takes to settle again.
type calm struct {
	on      bool
	uniform bool // all advertise with the same interval
	// covered says that somebody holds the addresses in this component at every
	// instant.
	covered [maxDirectors]bool
	// twoSince is since when two have been active in a component.
	twoSince [maxDirectors]time.Duration
	// takeover is when the component of director heir has an active one again at
	// the latest; never if nothing is expected.
	takeover time.Duration
	heir     *director
}

// race is how long two that do not hear each other's first word can both be on
// their way to become active: each on a network that is well.
const race = 2 * calmDelay

// becalm begins to judge, or judges the next work. The network is settled.
func (w *World) becalm() {
	c := calm{on: true, uniform: true, takeover: never}
	interval := time.Duration(0)
	for _, d := range w.directors {
		c.twoSince[d.id] = never
		if d.active() { // not if only a dead process left the address behind
			c.covered[w.topology.part[d.id]] = true
		}
		if interval == 0 {
			interval = d.cfg.Interval
		}
		c.uniform = c.uniform && interval == d.cfg.Interval
	}
	w.calm = c
}

// work is done on a settled network: the settling time starts anew, but nothing
// is excused.
func (w *World) work() {
	w.survey()
	w.settled, w.changed = w.now+w.settlingTime(), true
}

// harm is a failure on a settled network. Until a backup has taken over nobody
// may hold the addresses.
func (w *World) harm() {
	w.work()
	clear(w.calm.covered[:])
	for _, d := range w.directors {
		w.forgive(d)
	}
}

// expectTakeover says that the active director d goes away now, and how long the
// best backup waits before its skew.
func (w *World) expectTakeover(d *director, wait time.Duration) {
	for _, other := range w.directors {
		if other == d || !other.well() || !w.topology.hears[other.id][d.id] {
			continue
		}
		by := w.now + wait + skew(other.cfg.Priority, d.cfg.Interval) + calmDelay
		if by < w.calm.takeover {
			w.calm.takeover, w.calm.heir = by, other
		}
	}
}

// checkCalmUntil judges what has lasted until a moment that has come.
func (w *World) checkCalmUntil(to time.Duration) {
	c := &w.calm
	if !c.on {
		return
	}
	if to > c.takeover {
		if !w.partHas(c.heir, (*director).active) {
			w.fail("takeover", c.heir, "and its peers have no active director when the best backup should have taken over, at %v", c.takeover)
		}
		c.takeover = never
	}
	for _, d := range w.directors {
		since := c.twoSince[w.topology.part[d.id]]
		if since == never {
			continue
		}
		limit := race
		if !c.uniform || w.partHas(d, (*director).owns) || w.partHas(d, (*director).hasty) {
			// An owner, and one whose interval is shorter than that of the active
			// director, starts without having heard it; see hasty, too. And the active
			// director may have spoken just now.
			limit += w.longest
		}
		if to-since > limit {
			w.fail("two active", d, "is in a component with two active directors for %v", to-since)
		}
	}
}

// checkCalm judges the present.
func (w *World) checkCalm() {
	c := &w.calm
	if !c.on || !w.changed {
		return
	}
	var actives [maxDirectors]int
	var held [maxDirectors]bool
	for _, d := range w.directors {
		part := w.topology.part[d.id]
		if d.active() {
			actives[part]++
		}
		held[part] = held[part] || d.held
	}
	for _, d := range w.directors {
		part := w.topology.part[d.id]
		switch {
		case actives[part] < 2:
			c.twoSince[part] = never
		case c.twoSince[part] == never:
			c.twoSince[part] = w.now
		}
		if c.covered[part] && !held[part] {
			w.fail("make before break", d, "and its peers: nobody holds the addresses")
		}
	}
}

// tookOver judges a director that has just become active.
func (w *World) tookOver(d *director) {
	if !w.calm.on || !w.calm.uniform || d.owns() {
		return
	}
	vacant := true
	for _, other := range w.directors {
		if other == d || !w.together(d, other) || !other.active() || !other.well() {
			continue
		}
		vacant = false
		since := wall(w.now).Sub(other.role.Since)
		if since <= race || other.hasty() && since <= race+skew(d.cfg.Priority, d.cfg.Interval) {
			continue // both were on their way
		}
		if other.cfg.Priority >= d.cfg.Priority || !d.failsBack() {
			w.fail("entitled", d, "takes the role from %s, which is well", other.name)
		}
	}
	if !vacant {
		return
	}
	for _, other := range w.directors {
		waiting := other != d && w.together(d, other) && other.well() && other.role.State == vrrp.Backup &&
			wall(w.now).Sub(other.role.Since) > activeDown(other.cfg.Priority, other.cfg.Interval)
		if waiting && skew(d.cfg.Priority, d.cfg.Interval)-skew(other.cfg.Priority, other.cfg.Interval) > race {
			w.fail("order", d, "takes over before %s, which has the higher priority", other.name)
		}
	}
}

// hasty says whether the skew of d is shorter than a race. After a release others
// may hear it before they hear the release, and then act on that.
func (d *director) hasty() bool { return skew(d.cfg.Priority, d.cfg.Interval) <= race }

// owns says whether d is an address owner.
func (d *director) owns() bool { return d.cfg.Priority == vrrp.PriorityOwner }

// partHas says whether somebody in the component of d is so.
func (w *World) partHas(d *director, so func(*director) bool) bool {
	for _, other := range w.directors {
		if w.topology.part[other.id] == w.topology.part[d.id] && so(other) {
			return true
		}
	}
	return false
}
