package sim

import "tandem/vrrp"

// minHandOver is as in package vrrp.
const minHandOver = 500 * ms

// checkHolding finds two directors of one component that hold the addresses for
// too long, counted from when they both did or from the last disturbance. It says
// nothing while packets are lost.
//
// While both processes run: one of them may hold on, for the overlap, become
// active meanwhile, after an Active_Down_Interval; the better one then speaks, an
// interval later at most, and the other one yields and holds on for the overlap.
// If both have given the role up they wait for a successor, minHandOver or
// Active_Down_Interval at most. If one of the processes is dead or stands still,
// until the lease ends.
func (w *World) checkHolding() {
	if w.net.weather.loss > 0 {
		return
	}
	for i, a := range w.directors {
		for _, b := range w.directors[:i] {
			since := &w.bothSince[a.id][b.id]
			if !a.held || !b.held || !w.together(a, b) {
				*since = never
				continue
			}
			if *since == never {
				*since = w.now
			}
			limit := 5*w.longest + vrrp.HandOverOverlap + 2*holderDelay + lateDelay*w.longest
			if !a.active() && !b.active() {
				limit += max(minHandOver, 4*w.longest)
			}
			if !a.running() || !b.running() {
				limit += max(leaseFor(a.cfg.Interval), leaseFor(b.cfg.Interval))
			}
			both := w.now - max(*since, a.busyUntil, b.busyUntil) // who stalls does not yield
			if both > limit {
				w.fail("two holders", a, "holds the addresses together with %s for %v", b.name, both)
			}
		}
	}
}

// forgive counts anew from now on for d.
func (w *World) forgive(d *director) {
	for other := range w.directors {
		w.bothSince[d.id][other] = never
		w.bothSince[other][d.id] = never
	}
}
