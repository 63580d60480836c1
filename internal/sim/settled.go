package sim

import (
	"time"

	"tandem/vrrp"
)

// settlingTime is how long an election needs after the last disturbance, at the
// longest intervals and failback delays of the scenario.
//
// On a network without one-way links: the packets that are still under way; one
// Active_Down_Interval until somebody is active, one interval until everybody has
// heard it, the failback delay of a better one and its Active_Down_Interval; each
// of these is less than four intervals. Then the holds end. With one-way links
// the outcome is reached one director after the other.
func (w *World) settlingTime() time.Duration {
	rounds := time.Duration(1)
	if !w.allRegular() {
		rounds = time.Duration(len(w.directors))
	}
	tail := lateDelay*w.longest + minHandOver + 200*ms // HandOverOverlap, and the passes of the loops
	return rounds*(w.longestDelay+12*w.longest) + tail
}

// disturb starts the settling time anew.
func (w *World) disturb() {
	w.calm.on = false
	w.changed = true
	w.survey()
	last := w.now
	for _, d := range w.directors {
		last = max(last, d.busyUntil) // the end of a stall
	}
	w.settled = last + w.settlingTime()
	for _, d := range w.directors {
		w.forgive(d)
	}
}

// checkSettled judges who is active and who holds the addresses.
//
// A component with one-way links has a stable outcome only if all intervals are
// the same. A backup that hears two active directors, which do not hear each
// other, takes its interval from both, and with the shorter one it may not wait for
// the next word of the other.
func (w *World) checkSettled() {
	var actives, wells [maxDirectors]int
	for _, d := range w.directors {
		part := w.topology.part[d.id]
		if !w.topology.regular[part] && !w.sameInterval {
			continue
		}
		if d.active() {
			actives[part]++
		}
		if d.well() {
			wells[part]++
			w.checkRespect(d)
		} else if d.active() {
			w.fail("settled", d, "is active and takes no part")
		}
		if d.running() && d.held != d.active() {
			w.fail("settled", d, "active %v, but address held %v", d.active(), d.held)
		}
	}
	for _, d := range w.directors {
		part := w.topology.part[d.id]
		if w.topology.regular[part] && wells[part] > 0 && actives[part] != 1 {
			w.fail("settled", d, "%d are active", actives[part])
		}
	}
}

// checkRespect judges one director by what it hears.
func (w *World) checkRespect(d *director) {
	respects := false
	for _, other := range w.directors {
		if !other.active() || !w.topology.hears[d.id][other.id] {
			continue
		}
		p := other.cfg.Priority
		better := p > d.cfg.Priority || p == d.cfg.Priority && other.addr.Compare(d.addr) > 0
		if d.active() && better {
			w.fail("settled", d, "is active although it hears %s", other.name)
		}
		respects = respects || p >= d.cfg.Priority || !d.failsBack()
	}
	if !d.active() && !respects {
		w.fail("settled", d, "is not active although it hears nobody that it has to respect")
	}
}

// failsBack says whether d takes the role from a lower priority, sooner or later.
func (d *director) failsBack() bool {
	return d.owns() || d.cfg.Failback != vrrp.FailbackNever
}
