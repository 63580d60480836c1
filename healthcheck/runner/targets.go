package runner

import (
	"container/heap"
	"net/netip"
	"time"

	"tandem/healthcheck"
)

// identity is what a probe is about. Targets that differ in anything else
// differ in how often they ask and how they judge, not in what the answer says.
type identity struct {
	kind    healthcheck.Kind
	address netip.AddrPort
	http    healthcheck.HTTPSpec
}

func identify(t healthcheck.Target) identity {
	return identity{t.Kind, t.Address, t.HTTP}
}

// SetTargets replaces the set of targets; duplicates count once. Targets that
// stay are not touched. A new target that asks the same of the same server as
// an earlier one (Kind, Address and HTTP agree) starts from what is known of
// that one, so a reload that only changes an interval, a timeout, a rise or a
// fall forgets nothing. Other new targets are probed at once. The probes of
// targets that are gone are cancelled and their results dropped.
func (r *Runner) SetTargets(targets []healthcheck.Target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	old, fresh := r.entries, []healthcheck.Target(nil)
	r.entries = make(map[healthcheck.Target]*entry, len(targets))
	for _, t := range targets {
		if e, ok := old[t]; ok {
			r.entries[t] = e
			delete(old, t)
		} else {
			fresh = append(fresh, t)
		}
	}
	known := index(r.entries, old)
	for _, t := range fresh {
		if _, ok := r.entries[t]; ok {
			continue // a duplicate
		}
		r.entries[t] = r.enter(t, known, old, now)
	}
	for _, e := range old {
		r.remove(e)
	}
	r.poke()
}

// index finds entries by identity. Leaving ones win, for they can be taken
// over whole; among several of those, the one heard of last.
func index(staying, leaving map[healthcheck.Target]*entry) map[identity]*entry {
	known := make(map[identity]*entry, len(staying)+len(leaving))
	for t, e := range staying {
		known[identify(t)] = e
	}
	for t, e := range leaving {
		have, ok := known[identify(t)]
		if ok && leaving[have.target] == have && have.heard().After(e.heard()) {
			continue
		}
		known[identify(t)] = e
	}
	return known
}

// heard is when the newest result came.
func (e *entry) heard() time.Time { return e.machine.Status().LastAt }

// enter puts a new target on the schedule, with what is known of it. An entry
// that is taken over is deleted from leaving.
func (r *Runner) enter(t healthcheck.Target, known map[identity]*entry, leaving map[healthcheck.Target]*entry, now time.Time) *entry {
	e, ok := known[identify(t)]
	switch {
	case ok && leaving[e.target] == e:
		delete(leaving, e.target)
		e.target = t
		if next := now.Add(e.interval()); e.due.After(next) {
			e.due = next // the interval has become shorter
		}
		r.place(e)
	case ok:
		e = &entry{machine: e.machine}
		r.push(e, t, now)
	default:
		e = new(entry)
		r.push(e, t, now)
	}
	e.machine.SetThresholds(t.Rise, t.Fall)
	if v := e.machine.Status().Verdict; v.State != healthcheck.Unknown {
		r.changes = append(r.changes, change{target: t, old: v.State, verdict: v})
	}
	return e
}

// push schedules the first probe of an entry: now, a little spread.
func (r *Runner) push(e *entry, t healthcheck.Target, now time.Time) {
	e.target = t
	spread := min(e.interval()/10, firstSpread)
	e.due = now.Add(time.Duration(r.o.Rand.Int64N(int64(spread))))
	e.wake = e.due
	heap.Push(&r.schedule, e)
}

// remove takes an entry off the schedule.
func (r *Runner) remove(e *entry) {
	e.gone = true
	heap.Remove(&r.schedule, e.index)
	if e.flight != nil {
		e.flight.cancel()
	}
}

// Adopt starts targets from verdicts that were reached elsewhere, such as what
// the kernel's table says when the daemon starts; see
// healthcheck.Machine.Adopt. It is meant to follow the first SetTargets. Verdicts
// on targets that are not in the set, or that have one already, are ignored.
// OnVerdict is told those that are taken.
func (r *Runner) Adopt(verdicts map[healthcheck.Target]healthcheck.Verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for t, v := range verdicts {
		if e, ok := r.entries[t]; ok && e.machine.Adopt(v) {
			r.changes = append(r.changes, change{target: t, verdict: v})
		}
	}
	r.poke()
}
