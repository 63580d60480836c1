package load

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"
)

// watchEvery is how often a run looks for what is notable because nothing
// happens, and hands out events.
const watchEvery = 20 * time.Millisecond

// run is one run of a Client: the goroutines and sockets around a recorder.
type run struct {
	Client
	start time.Time

	mu  sync.Mutex
	rec *recorder

	attempts sync.WaitGroup // those in flight
}

// Run produces the traffic until c.Duration has passed or ctx ends, waits for
// what is still in flight (streams may take up to c.StreamTimeout), and
// returns the account. Its errors say what is wrong with c.
func (c Client) Run(ctx context.Context) (Result, error) {
	c, err := c.withDefaults()
	if err != nil {
		return Result{}, err
	}
	cpu, err := processorTime()
	if err != nil {
		return Result{}, err
	}
	r := &run{Client: c, start: time.Now(), rec: newRecorder(c)}
	stopWatch := r.watch()
	end := r.produce(ctx)
	r.attempts.Wait()
	stopWatch()

	res := r.rec.result(c, end)
	res.StartUnixNS = r.start.UnixNano()
	used, err := processorTime()
	res.CPU = millis(used - cpu)
	return res, err
}

// now returns the offset from the start of the run.
func (r *run) now() time.Duration { return time.Since(r.start) }

// record calls f with the recorder, for itself alone.
func (r *run) record(f func(*recorder)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r.rec)
}

// produce starts all traffic and returns the offset at which it ended. The
// streams have their outcomes then; attempts may still be in flight.
func (r *run) produce(ctx context.Context) (end time.Duration) {
	until := ctx
	if r.Duration > 0 {
		var cancel context.CancelFunc
		until, cancel = context.WithDeadline(ctx, r.start.Add(r.Duration))
		defer cancel()
	}
	var traffic sync.WaitGroup
	if r.Streams > 0 {
		traffic.Go(func() { r.runStreams(until) })
	}
	if r.Rate > 0 {
		// The schedule knows its end by itself: the deadline would rob a late
		// one of the attempts that it still has to catch up with.
		traffic.Go(func() { r.connect(ctx) })
	}
	<-until.Done()
	r.record(func(rec *recorder) {
		end = r.now()
		if r.Duration > 0 {
			end = min(end, r.Duration)
		}
		rec.over = true
	})
	traffic.Wait()
	return end
}

// connect runs the schedule of new connections.
func (r *run) connect(ctx context.Context) {
	x := newExchanger(r.Client)
	p := pacer{start: r.start, interval: float64(time.Second) / r.Rate, end: r.Duration}
	p.run(ctx, func(n int, due time.Duration) {
		r.attempts.Go(func() {
			a := attempt{due: due, began: r.now()}
			var done time.Time
			done, a.server, a.kind = x.do(n)
			a.done = done.Sub(r.start)
			r.record(func(rec *recorder) { rec.attempt(a) })
		})
	})
}

// watch hands out events and progress until the returned function is called.
func (r *run) watch() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		next := time.Second
		for {
			select {
			case <-ctx.Done():
				r.report(&next)
				return
			case <-tick.C:
				r.report(&next)
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

// report calls the client's functions; next is when progress is due again.
func (r *run) report(next *time.Duration) {
	var events []Event
	var progress *Progress
	now := r.now()
	r.record(func(rec *recorder) {
		rec.tick(now)
		events = rec.takeEvents()
		if now >= *next && r.OnProgress != nil {
			progress = new(rec.progress(now))
			*next = now.Truncate(time.Second) + time.Second
		}
	})
	for _, e := range events {
		if r.OnEvent != nil {
			e.UnixNS = r.start.Add(e.At.Duration()).UnixNano()
			r.OnEvent(e)
		}
	}
	if progress != nil {
		r.OnProgress(*progress)
	}
}

// processorTime returns the user and system time of this process.
func processorTime() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("load: read processor time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}
