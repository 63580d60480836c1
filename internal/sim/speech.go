package sim

import (
	"time"

	"tandem/vrrp"
)

const (
	// assertGap is the least time between an advertisement and an answer to a rival.
	assertGap = 10 * ms
	// releaseGap is the least time between an advertisement and an answer to a release.
	releaseGap = 1 * ms
)

// speech is what the rules remember of what one election said and heard. It is a
// second reading of RFC 9568, section 6.4, and of the extensions, that asks the
// Machine for nothing but its actions and its deadline.
type speech struct {
	now      time.Duration // the latest step
	lastSent time.Duration // the latest advertisement that was no release
	interval time.Duration // of that one; in Backup that of the active router, or the own
	learned  bool
	speaksAt time.Duration // Backup: when it takes over if it hears nothing
	answerAt time.Duration // Active: when it answers a release that came too early, or never
	// lowerSince is the first of the lower priorities that were heard since
	// something else was; never if none was.
	lowerSince time.Duration
}

// said is what a step has sent.
type said struct{ adverts, releases int }

// listen judges one step: what an election says, when, and what it does not say.
func (w *World) listen(d *director, at time.Duration, ev vrrp.Event, before vrrp.Role, actions []vrrp.Action) {
	at = max(at, d.speech.now)
	d.speech.now = at
	got := w.count(d, ev, actions)
	state := before.State
	if state == vrrp.Active && at-d.lastSent >= 3*d.interval {
		// A backup may have taken over: without another word it is a backup itself.
		state = vrrp.Backup
		d.backup(at, d.cfg.Interval, false)
		if got.releases > 0 || d.role.State == vrrp.Active {
			w.fail("pause", d, "goes on as the active router after %v of silence", at-d.lastSent)
		}
	}
	want := said{}
	optional := 0 // advertisements that may be sent, too
	switch ev := ev.(type) {
	case vrrp.Startup:
		if state == vrrp.Init {
			if d.owns() {
				want.adverts, state = 1, vrrp.Active
			} else {
				d.backup(at, d.cfg.Interval, false)
				state = vrrp.Backup
			}
		}
	case vrrp.Shutdown:
		if state == vrrp.Active {
			want.releases = 1
		}
		state = vrrp.Init
		if !ev.HandOver && d.role.Hold {
			w.fail("fault", d, "holds the addresses after a fault")
		}
	case vrrp.Reconfigure:
		state, optional = d.reconfigure(ev.Config, state)
	case vrrp.Timeout:
		switch {
		case state == vrrp.Backup && at >= d.speaksAt:
			want.adverts, state = 1, vrrp.Active
		case state == vrrp.Active && at >= d.wordAt():
			want.adverts = 1
		}
	case vrrp.Received:
		state, want.adverts, optional = d.hear(at, ev, state)
	}
	w.compare(d, ev, state, got, want, optional)
	if got.adverts > 0 {
		d.lastSent, d.answerAt = at, never
		if state == vrrp.Active {
			d.interval, d.learned = d.cfg.Interval, false
		}
	}
	w.punctual(d, state)
}

// count adds up what was sent and looks at the priorities.
func (w *World) count(d *director, ev vrrp.Event, actions []vrrp.Action) said {
	var s said
	own := d.cfg.Priority
	if ev, ok := ev.(vrrp.Reconfigure); ok {
		own = ev.Config.Priority
	}
	for _, a := range actions {
		a, ok := a.(vrrp.SendAdvert)
		switch {
		case !ok:
		case a.Priority == 0:
			s.releases++
		case a.Priority != own:
			w.fail("priority", d, "advertises priority %d, not its own", a.Priority)
		default:
			s.adverts++
		}
	}
	return s
}

func (w *World) compare(d *director, ev vrrp.Event, state vrrp.State, got, want said, optional int) {
	if d.role.State != state {
		w.fail("state", d, "%T makes it %v, not %v", ev, d.role.State, state)
	}
	if d.role.State == vrrp.Active && !d.role.Hold {
		w.fail("state", d, "is active without holding the addresses")
	}
	if got.adverts < want.adverts || got.adverts > want.adverts+optional || got.releases != want.releases {
		w.fail("speech", d, "%T makes it send %d advertisements and %d releases, not %d (and %d more at most) and %d",
			ev, got.adverts, got.releases, want.adverts, optional, want.releases)
	}
}

// punctual looks at the next deadline: no later than the next word is due.
func (w *World) punctual(d *director, state vrrp.State) {
	due := never
	switch state {
	case vrrp.Backup:
		due = d.speaksAt
	case vrrp.Active:
		due = d.wordAt()
	}
	if next := d.deadline(); next > due {
		w.fail("timer", d, "is due to speak at %v, and wakes at %v", due, next)
	}
}

// wordAt is when the next word of an active router is due.
func (d *director) wordAt() time.Duration { return min(d.lastSent+d.interval, d.answerAt) }

// backup begins to listen.
func (d *director) backup(at, interval time.Duration, learned bool) {
	d.interval, d.learned = interval, learned
	d.lowerSince, d.answerAt = never, never
	d.speaksAt = at + activeDown(d.cfg.Priority, interval)
}

// reconfigure moves the timer of a backup by the difference. An active router may
// say what has changed.
func (d *director) reconfigure(cfg vrrp.Config, state vrrp.State) (vrrp.State, int) {
	was := d.cfg.Priority
	d.cfg = cfg
	if state == vrrp.Active {
		return state, 1
	}
	down := activeDown(was, d.interval)
	if !d.learned {
		d.interval = cfg.Interval
	}
	d.speaksAt += activeDown(cfg.Priority, d.interval) - down
	return state, 0
}

// hear is what a received advertisement does: the state after it, what has to be
// sent, and what may be sent besides.
func (d *director) hear(at time.Duration, r vrrp.Received, state vrrp.State) (after vrrp.State, must, may int) {
	p := r.Advert.Priority
	switch {
	case state == vrrp.Backup && p == 0:
		d.speaksAt = min(d.speaksAt, at+skew(d.cfg.Priority, d.interval))
	case state == vrrp.Backup && p >= d.cfg.Priority:
		d.backup(at, r.Advert.Interval, true)
	case state == vrrp.Backup:
		d.lowerSince = min(d.lowerSince, at)
		if !d.preempts(at) {
			since := d.lowerSince
			d.backup(at, r.Advert.Interval, true)
			d.lowerSince = since
		}
	case state == vrrp.Active && p == 0 && at-d.lastSent < releaseGap:
		d.answerAt = d.lastSent + releaseGap
	case state == vrrp.Active && p == 0:
		return state, 1, 0
	case state == vrrp.Active && d.beatenBy(p, r):
		// It may say once more that it was there, so that the winner knows.
		d.backup(at, r.Advert.Interval, true)
		return vrrp.Backup, 0, 1
	case state == vrrp.Active && at-d.lastSent >= assertGap:
		return state, 1, 0
	case state == vrrp.Active:
		return state, 0, 1
	}
	return state, 0, 0
}

func (d *director) beatenBy(p uint8, r vrrp.Received) bool {
	return p > d.cfg.Priority || p == d.cfg.Priority && r.Src.Compare(d.addr) > 0
}

// preempts says whether a lower priority that is heard now is ignored.
func (d *director) preempts(at time.Duration) bool {
	switch {
	case d.owns():
		return true
	case d.cfg.Failback == vrrp.FailbackDelayed:
		return at-d.lowerSince >= d.cfg.FailbackDelay
	}
	return d.cfg.Failback == vrrp.FailbackImmediate
}
