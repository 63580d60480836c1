package sim

import (
	"time"

	"tandem/vrrp"
)

// trouble does something bad to the network or to a director, or undoes it.
func (w *World) trouble() {
	d := w.directors[w.rand.IntN(len(w.directors))]
	switch w.pick(30, 70) {
	case 0:
		w.troubleNetwork(d)
	default:
		w.troubleDirector(d)
	}
	w.disturb()
}

func (w *World) troubleNetwork(d *director) {
	switch w.pick(4, 2, 2, 2, 2) {
	case 0:
		w.net.weather = weather{
			loss:   []float64{0, 0.1, 0.4, 0.8}[w.rand.IntN(4)],
			double: []float64{0, 0.3}[w.rand.IntN(2)],
			delay:  []time.Duration{calmDelay, 5 * ms, w.longest / 2, lateDelay * w.longest}[w.rand.IntN(4)],
		}
		w.note("weather", "%+v", w.net.weather)
	case 1:
		w.partition()
	case 2: // one way
		other := (d.id + 1 + w.rand.IntN(len(w.directors)-1)) % len(w.directors)
		w.net.link[d.id][other] = !w.net.link[d.id][other]
		w.note("one way", "%s to %s: %v", d.name, w.directors[other].name, w.net.link[d.id][other])
	case 3: // everything one way: it is not heard, or it does not hear
		deaf := w.rand.IntN(2) == 0
		for other := range w.directors {
			if deaf {
				w.net.link[other][d.id] = false
			} else {
				w.net.link[d.id][other] = false
			}
		}
		w.note("one way", "%s deaf %v, mute %v", d.name, deaf, !deaf)
	case 4:
		w.net.heal()
		w.note("heal", "")
	}
}

func (w *World) troubleDirector(d *director) {
	switch {
	case d.node == nil, d.frozen, !d.linkUp:
		w.mend(d)
		return
	case d.stopping:
		return
	}
	switch w.pick(2, 2, 2, 1, 2, 2) {
	case 0:
		w.note("stop", "%s", d.name)
		w.stop(d)
	case 1:
		w.crash(d)
	case 2:
		w.note("freeze", "%s", d.name)
		w.freeze(d)
		if w.pick(1, 1) == 0 { // perhaps asked to stop, perhaps without its link
			w.disturb()
			w.run(w.soon(5 * d.cfg.Interval))
			if w.pick(1, 1) == 0 {
				w.note("stop", "%s, while it stands still", d.name)
				w.stop(d)
			} else {
				w.note("link down", "%s, while it stands still", d.name)
				w.setLink(d, false)
			}
		}
	case 3:
		stall := w.soon(6 * d.cfg.Interval)
		w.note("stall", "%s for %v", d.name, stall)
		d.busyUntil = w.now + stall
		d.loopAt = max(d.loopAt, d.busyUntil)
	case 4:
		w.note("link down", "%s", d.name)
		w.setLink(d, false)
	case 5:
		w.retune(d)
	}
}

// crash ends a process without a word. Its addresses stay until their lease ends,
// unless tandem release takes them away, or the host is gone too.
func (w *World) crash(d *director) {
	how := []string{"kill", "kill and release", "host death"}[w.rand.IntN(3)]
	w.note(how, "%s", d.name)
	d.halt()
	if how != "kill" {
		w.setHeld(d, false)
	}
	w.changed = true
}

// retune gives a director another configuration.
func (w *World) retune(d *director) {
	cfg := d.cfg
	if w.pick(2, 1) == 0 {
		cfg.Priority = w.directors[w.rand.IntN(len(w.directors))].cfg.Priority
		if w.pick(1, 1) == 0 {
			cfg.Priority = uint8(1 + w.rand.IntN(254))
		}
	}
	if w.pick(2, 1) == 0 {
		cfg.Failback = vrrp.Failback(w.rand.IntN(3))
	}
	if !w.sameInterval && w.pick(1, 1) == 0 {
		cfg.Interval = w.drawInterval(w.rand.IntN(len(intervals)))
		w.meet(cfg.Interval)
	}
	w.note("reconfigure", "%s: %s", d.name, configText(cfg))
	w.command(d, vrrp.Reconfigure{Config: cfg})
}
