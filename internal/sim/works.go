package sim

// works does what operators do, and lets things fail one at a time, on a settled
// network without one-way links.
func (w *World) works() {
	for range 1 + w.rand.IntN(3) {
		if w.failure != nil || !w.allRegular() {
			return
		}
		w.becalm()
		d := w.directors[w.rand.IntN(len(w.directors))]
		switch {
		case d.stopping:
		case d.frozen, !d.linkUp:
			w.mend(d)
			w.disturb() // what it does next depends on what it missed
		case d.node == nil:
			w.note("work: start", "%s", d.name)
			w.start(d)
			w.work()
		case w.alone(d):
			continue
		default:
			w.workOn(d)
		}
		w.rest()
	}
}

// alone says whether nobody could take over from d.
func (w *World) alone(d *director) bool {
	for _, other := range w.directors {
		if other != d && other.well() && w.together(d, other) {
			return false
		}
	}
	return true
}

func (w *World) workOn(d *director) {
	active := d.active()
	switch w.pick(4, 3, 2, 2, 1) {
	case 0:
		w.note("work: stop", "%s", d.name)
		if active {
			w.expectTakeover(d, 0)
		}
		w.stop(d)
		w.work()
	case 1:
		w.retune(d)
		w.work()
		w.calm.uniform = w.calm.uniform && w.sameInterval
	case 2:
		if active {
			w.expectTakeover(d, 3*d.cfg.Interval)
		}
		w.crash(d)
		w.harm()
	case 3:
		if active {
			w.expectTakeover(d, 3*d.cfg.Interval)
		}
		w.note("work: freeze", "%s", d.name)
		w.freeze(d)
		w.harm()
	case 4:
		if active {
			w.expectTakeover(d, 3*d.cfg.Interval)
		}
		w.note("work: link down", "%s", d.name)
		w.setLink(d, false)
		w.harm()
	}
}
