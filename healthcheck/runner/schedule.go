package runner

import (
	"container/heap"
	"context"
	"fmt"
	"time"

	"tandem/healthcheck"
)

// entry is one target on the schedule.
type entry struct {
	target  healthcheck.Target
	machine healthcheck.Machine

	due    time.Time // next tick, at which a probe starts
	phased bool      // the first tick is over and due keeps a fixed phase
	queued bool      // waits for a place
	gone   bool      // no longer a target
	flight *flight   // the probe in flight, stuck or not

	wake  time.Time // when the schedule must look at it: due, or its flight's watch
	index int       // in the schedule
}

// flight is one probe on its way.
type flight struct {
	start    time.Time
	deadline time.Time // when its context ends
	watch    time.Time // when the schedule gives up on it; zero: it has
	stuck    bool      // given up, has lost its place
	cancel   context.CancelFunc
}

// interval is the target's, kept sane.
func (e *entry) interval() time.Duration { return max(e.target.Interval, minInterval) }

// schedule is a heap of entries, the one to look at next first.
type schedule []*entry

func (s schedule) Len() int           { return len(s) }
func (s schedule) Less(i, j int) bool { return s[i].wake.Before(s[j].wake) }
func (s schedule) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].index, s[j].index = i, j
}

// Push is for container/heap.
func (s *schedule) Push(x any) {
	e := x.(*entry)
	e.index = len(*s)
	*s = append(*s, e)
}

// Pop is for container/heap.
func (s *schedule) Pop() any {
	last := len(*s) - 1
	e := (*s)[last]
	(*s)[last] = nil
	*s = (*s)[:last]
	return e
}

// place moves an entry to where its next event belongs.
func (r *Runner) place(e *entry) {
	e.wake = e.due
	if f := e.flight; f != nil && !f.watch.IsZero() && f.watch.Before(e.due) {
		e.wake = f.watch
	}
	heap.Fix(&r.schedule, e.index)
}

// turn does all that has fallen due and says when the next thing does.
func (r *Runner) turn(ctx context.Context) (next time.Time, some bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for len(r.schedule) > 0 && !r.schedule[0].wake.After(now) {
		e := r.schedule[0]
		if f := e.flight; f != nil && !f.watch.IsZero() && !f.watch.After(now) {
			r.expire(e, f, now)
		}
		if !e.due.After(now) {
			r.tick(e, now)
		}
		r.place(e)
	}
	r.startWaiting(ctx, now)
	if len(r.schedule) == 0 {
		return time.Time{}, false
	}
	return r.schedule[0].wake, true
}

// tick is the moment at which a probe of e should start. A tick that finds the
// one before still on its way is skipped, and so are those that this process
// slept through, but for one.
func (r *Runner) tick(e *entry, now time.Time) {
	r.stats.Skipped += r.advance(e, now)
	f := e.flight
	switch {
	case f == nil && !e.queued:
		e.queued = true
		r.waiting = append(r.waiting, e)
		return
	case f != nil && f.stuck && f.watch.IsZero():
		// A probe that never returns must not freeze the verdict. This tick
		// stands for a probe that goes unanswered like the one that is stuck.
		f.watch = now.Add(e.target.Timeout + grace)
	}
	r.stats.Skipped++
}

// advance sets the next tick, after now, and returns how many more than this one
// it has passed over: after a day of standstill they are not worth a step each,
// while the lock is held. The first one of a target was pulled forward to
// know the server soon; the second is put at random within the interval, and
// fixes the phase. So the probes of thousands of targets spread evenly, no
// matter that the targets came all at once.
func (r *Runner) advance(e *entry, now time.Time) (passed uint64) {
	if !e.phased {
		e.phased = true
		e.due = now.Add(1 + time.Duration(r.o.Rand.Int64N(int64(e.interval()))))
		return 0
	}
	n := now.Sub(e.due) / e.interval()
	e.due = e.due.Add((n + 1) * e.interval())
	return uint64(n)
}

// startWaiting starts probes while there are places.
func (r *Runner) startWaiting(ctx context.Context, now time.Time) {
	for len(r.waiting) > 0 && r.stats.InFlight < r.o.Concurrency {
		e := r.waiting[0]
		r.waiting[0] = nil
		r.waiting = r.waiting[1:]
		e.queued = false
		if !e.gone {
			r.start(ctx, e, now)
		}
	}
}

// start sends a probe on its way.
func (r *Runner) start(ctx context.Context, e *entry, now time.Time) {
	f := &flight{start: now, deadline: now.Add(e.target.Timeout)}
	f.watch = f.deadline.Add(grace)
	var limited context.Context
	limited, f.cancel = context.WithDeadline(ctx, f.deadline)
	e.flight = f
	r.place(e)
	r.stats.Started++
	r.stats.InFlight++
	target := e.target
	go func() {
		result := r.o.Probe(limited, target)
		end := time.Now()
		f.cancel()
		r.finish(e, f, end, result, ctx.Err() == nil)
	}()
}

// finish takes the result of a probe that has returned. It is not wanted once
// Run is about to end: then it may only tell of our own cancelling.
func (r *Runner) finish(e *entry, f *flight, end time.Time, result healthcheck.Result, wanted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.stuck {
		r.stats.StuckNow--
	} else {
		r.stats.InFlight--
	}
	if r.stopping || len(r.waiting) > 0 {
		r.poke()
	}
	e.flight = nil
	if e.gone || !wanted {
		return
	}
	r.place(e)
	if f.stuck {
		return // the verdict on this probe was given at its deadline
	}
	if late := end.Sub(f.deadline); late > grace && result.Reason != healthcheck.ReasonOK {
		// Had the schedule been running, it would have given up on this probe
		// long ago. So the whole process stood still, and a server that answered
		// in time would look just as dead.
		result.Reason = healthcheck.ReasonLocal
		result.Detail = fmt.Sprintf("this process stood still for %v", late.Round(time.Millisecond))
	}
	r.record(e, end, result)
}

// expire gives up on a probe that has not returned at its deadline. Its place
// goes to the next; its server is judged as having not answered.
func (r *Runner) expire(e *entry, f *flight, now time.Time) {
	if now.Sub(f.watch) > grace {
		// The schedule itself is late: this process was not running. Let the
		// probe have its say first.
		f.watch = now.Add(grace)
		return
	}
	f.watch = time.Time{}
	if !f.stuck {
		f.stuck = true
		r.stats.Stuck++
		r.stats.StuckNow++
		r.stats.InFlight--
	}
	out := now.Sub(f.start)
	r.record(e, now, healthcheck.Result{
		Reason:  healthcheck.ReasonTimeout,
		Detail:  fmt.Sprintf("the probe has not returned for %v", out.Round(time.Millisecond)),
		Latency: out,
	})
}

// record gives a result to the target's machine.
func (r *Runner) record(e *entry, at time.Time, result healthcheck.Result) {
	old := e.machine.Status().Verdict.State
	v, changed := e.machine.Step(at, result)
	if changed {
		r.changes = append(r.changes, change{target: e.target, old: old, verdict: v})
		r.poke()
	}
	if result.Reason == healthcheck.ReasonLocal {
		r.stats.Local++
		r.locals.note(e.target, result.Detail)
	}
}
