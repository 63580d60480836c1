// Package runner schedules the health checks of all targets.
//
// There is one schedule, one goroutine that drives it and one probe in flight
// per target at most. Each target has a healthcheck.Machine that turns the
// results into a verdict; the verdicts that change are handed on.
//
// What a probe does cannot hurt another one: probes run in goroutines of their
// own, their number is bounded, and one that outlives its deadline, even one
// that ignores its context, loses its place to the next.
package runner

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"tandem/healthcheck"
)

// DefaultConcurrency is how many probes may be in flight when Options does not
// say. A thousand dead servers that hold on to their probes for a timeout of
// one interval still leave the live ones unhindered.
const DefaultConcurrency = 1024

const (
	// grace is how late a probe may return after its deadline. Past it the probe
	// is stuck, or this process was not running; see Runner.expire.
	grace = 50 * time.Millisecond

	// firstSpread bounds how far apart the first probes of new targets start.
	// It is short, because nothing is served until they have ended.
	firstSpread = 50 * time.Millisecond

	// minInterval keeps a target with no sensible interval from taking the
	// whole schedule.
	minInterval = 10 * time.Millisecond
)

// Options are what a Runner needs to work.
type Options struct {
	// Probe makes one probe; it is called from many goroutines. The context ends
	// at the target's timeout, or sooner when the result is no longer wanted.
	// Required.
	Probe func(ctx context.Context, t healthcheck.Target) healthcheck.Result

	// OnVerdict is told each verdict that holds anew for a target: reached by
	// probes, adopted, or carried over to a target that replaces another. Calls
	// come from the goroutine of Run, one at a time and in order, so it must not
	// block. It may call the Runner's methods. A verdict on a target that was
	// just removed may still arrive. Nil: nobody is told.
	OnVerdict func(healthcheck.Target, healthcheck.Verdict)

	// Concurrency bounds the probes in flight; 0 or less: DefaultConcurrency.
	// A probe that finds no place waits for one, in the order of the schedule.
	Concurrency int

	Log  *slog.Logger // nil: no log
	Rand *rand.Rand   // spreads the probes; nil: seeded at random
}

// Stats counts what the schedule did. The counters only grow.
type Stats struct {
	Started uint64 // probes
	Skipped uint64 // ticks without a probe: the one before was still out, or this process stood still
	Stuck   uint64 // probes that did not return at their deadline
	Local   uint64 // probes that could not be made (healthcheck.ReasonLocal)

	InFlight int // probes that hold a place now
	Waiting  int // probes that wait for a place now
	StuckNow int // stuck probes that have still not returned
}

// Runner schedules the probes of a set of targets. All methods may be called
// from any goroutine and none of them blocks, except Run.
type Runner struct {
	o     Options
	ready chan struct{}
	wake  chan struct{} // holds one token: there is something for Run to do

	mu       sync.Mutex
	entries  map[healthcheck.Target]*entry
	schedule schedule
	waiting  []*entry // for a place, first come, first served
	changes  []change // not yet handed on
	stopping bool
	stats    Stats
	locals   localLog
}

// change is a verdict to hand on.
type change struct {
	target  healthcheck.Target
	old     healthcheck.State
	verdict healthcheck.Verdict
}

// New returns a Runner without targets.
func New(o Options) *Runner {
	if o.OnVerdict == nil {
		o.OnVerdict = func(healthcheck.Target, healthcheck.Verdict) {}
	}
	if o.Concurrency <= 0 {
		o.Concurrency = DefaultConcurrency
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Rand == nil {
		o.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	return &Runner{
		o:       o,
		ready:   make(chan struct{}),
		wake:    make(chan struct{}, 1),
		entries: make(map[healthcheck.Target]*entry),
	}
}

// String names the task.
func (r *Runner) String() string { return "health checks" }

// Ready is closed when Run has begun to probe. It does not wait for verdicts:
// how soon those come is up to the servers.
func (r *Runner) Ready() <-chan struct{} { return r.ready }

// Run probes until ctx ends, then cancels the probes in flight and waits for
// them, but not for those that ignore their context. It must be called once.
// Its error is always nil.
func (r *Runner) Run(ctx context.Context) error {
	close(r.ready)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-r.wake:
		}
		if ctx.Err() != nil { // asked apart, for select may prefer the others
			r.stop()
			return nil
		}
		next, some := r.turn(ctx)
		r.publish()
		if some {
			timer.Reset(time.Until(next))
		} else {
			timer.Stop()
		}
	}
}

// stop waits until the probes in flight, whose contexts have ended, are back.
func (r *Runner) stop() {
	r.mu.Lock()
	r.stopping = true
	r.mu.Unlock()
	limit := time.NewTimer(grace)
	defer limit.Stop()
	for r.Stats().InFlight > 0 {
		select {
		case <-r.wake:
		case <-limit.C:
			return
		}
	}
}

// poke makes Run take a turn soon.
func (r *Runner) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// publish hands the changes on, without the lock: OnVerdict may call back.
func (r *Runner) publish() {
	r.mu.Lock()
	changes := r.changes
	r.changes = nil
	local, ok := r.locals.take(time.Now())
	r.mu.Unlock()
	if ok {
		r.o.Log.Warn("health checks could not be made; verdicts stay as they are",
			"count", local.count, "server", local.target.Address, "check", local.target.Kind, "detail", local.detail)
	}
	for _, c := range changes {
		r.logChange(c)
		r.o.OnVerdict(c.target, c.verdict)
	}
}

// logChange logs a change of state. A verdict that was merely carried over to
// another target is none.
func (r *Runner) logChange(c change) {
	v := c.verdict
	if c.old == v.State {
		return
	}
	level := slog.LevelInfo
	if v.State == healthcheck.Down {
		level = slog.LevelWarn
	}
	r.o.Log.Log(context.Background(), level, "server "+v.State.String(),
		"server", c.target.Address, "check", c.target.Kind,
		"old", c.old.String(), "new", v.State.String(),
		"reason", v.Reason, "detail", v.Detail)
}

// Snapshot returns what is known of every target.
func (r *Runner) Snapshot() map[healthcheck.Target]healthcheck.Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := make(map[healthcheck.Target]healthcheck.Status, len(r.entries))
	for t, e := range r.entries {
		s[t] = e.machine.Status()
	}
	return s
}

// Stats returns what the schedule did so far.
func (r *Runner) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.Waiting = len(r.waiting)
	return s
}
