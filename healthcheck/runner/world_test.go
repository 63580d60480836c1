package runner_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tandem/healthcheck"
	"tandem/healthcheck/runner"
)

// grace is how late a probe may be before the runner gives up on it.
const grace = 50 * time.Millisecond

// behaviour is how a server answers a probe.
type behaviour func(context.Context) healthcheck.Result

// answers responds after a latency, or times out like a real probe.
func answers(latency time.Duration, reason healthcheck.Reason) behaviour {
	return func(ctx context.Context) healthcheck.Result {
		select {
		case <-time.After(latency):
			return healthcheck.Result{Reason: reason, Detail: "said so", Latency: latency}
		case <-ctx.Done():
			return healthcheck.Result{Reason: healthcheck.ReasonTimeout, Detail: "no answer in time"}
		}
	}
}

var (
	good    = answers(3*time.Millisecond, healthcheck.ReasonOK)
	refuses = answers(time.Millisecond, healthcheck.ReasonRefused)
	silent  = answers(time.Hour, healthcheck.ReasonOK)
	broken  = answers(time.Millisecond, healthcheck.ReasonLocal)
)

// world is what the runner under test sees: servers, and somebody who takes
// its verdicts.
type world struct {
	*runner.Runner

	mu       sync.Mutex
	servers  map[netip.AddrPort]behaviour // default: good
	starts   map[healthcheck.Target][]time.Time
	out      map[healthcheck.Target]int // probes on their way
	most     int                        // at any one time, of all targets
	verdicts []told
	hook     func(healthcheck.Target, healthcheck.Verdict)
}

// told is one call of OnVerdict.
type told struct {
	target healthcheck.Target
	healthcheck.Verdict
	at time.Time
}

// newWorld makes a runner with a fixed seed. Options other than Probe,
// OnVerdict and Rand are the caller's.
func newWorld(o runner.Options) *world {
	w := &world{
		servers: make(map[netip.AddrPort]behaviour),
		starts:  make(map[healthcheck.Target][]time.Time),
		out:     make(map[healthcheck.Target]int),
	}
	o.Probe = w.probe
	o.OnVerdict = w.onVerdict
	o.Rand = rand.New(rand.NewPCG(1, 2))
	w.Runner = runner.New(o)
	return w
}

func (w *world) probe(ctx context.Context, t healthcheck.Target) healthcheck.Result {
	w.mu.Lock()
	w.starts[t] = append(w.starts[t], time.Now())
	w.out[t]++
	if w.out[t] > 1 {
		panic("two probes of one target at a time")
	}
	all := 0
	for _, n := range w.out {
		all += n
	}
	w.most = max(w.most, all)
	behave := w.servers[t.Address]
	w.mu.Unlock()
	if behave == nil {
		behave = good
	}
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.out[t]--; w.out[t] == 0 {
			delete(w.out, t)
		}
	}()
	return behave(ctx)
}

func (w *world) onVerdict(t healthcheck.Target, v healthcheck.Verdict) {
	w.mu.Lock()
	w.verdicts = append(w.verdicts, told{t, v, time.Now()})
	hook := w.hook
	w.mu.Unlock()
	if hook != nil {
		hook(t, v)
	}
}

// set makes a server behave so from now on.
func (w *world) set(t healthcheck.Target, b behaviour) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.servers[t.Address] = b
}

// started returns when the probes of a target began.
func (w *world) started(t healthcheck.Target) []time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]time.Time(nil), w.starts[t]...)
}

// told returns all that OnVerdict was told, oldest first.
func (w *world) told() []told {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]told(nil), w.verdicts...)
}

// newest returns what OnVerdict was told last of a target.
func (w *world) newest(t healthcheck.Target) healthcheck.Verdict {
	w.mu.Lock()
	defer w.mu.Unlock()
	var v healthcheck.Verdict
	for _, c := range w.verdicts {
		if c.target == t {
			v = c.Verdict
		}
	}
	return v
}

// start runs the runner until the test ends, at which all its goroutines must
// be gone: synctest sees to that.
func (w *world) start(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	<-w.Ready()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// pass lets virtual time go by and everything settle.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// target is the n-th server: probed every second, with half a second to
// answer, rise 2 and fall 3.
func target(n int) healthcheck.Target {
	return healthcheck.Target{
		Kind:     healthcheck.TCP,
		Address:  netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), 80),
		Interval: time.Second,
		Timeout:  500 * time.Millisecond,
		Rise:     2,
		Fall:     3,
	}
}

func targets(n int) []healthcheck.Target {
	ts := make([]healthcheck.Target, n)
	for i := range ts {
		ts[i] = target(i)
	}
	return ts
}

// recorder is a slog.Handler that keeps the records.
type recorder struct {
	mu      sync.Mutex
	records []slog.Record
}

func (r *recorder) logger() *slog.Logger { return slog.New(r) }

func (r *recorder) Enabled(context.Context, slog.Level) bool { return true }
func (r *recorder) WithAttrs([]slog.Attr) slog.Handler       { panic("not used") }
func (r *recorder) WithGroup(string) slog.Handler            { panic("not used") }

func (r *recorder) Handle(_ context.Context, rec slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records = append(r.records, rec)
	return nil
}

// lines returns level, message and attributes of each record.
func (r *recorder) lines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines []string
	for _, rec := range r.records {
		line := rec.Level.String() + " " + rec.Message
		rec.Attrs(func(a slog.Attr) bool {
			line += " " + a.Key + "=" + a.Value.String()
			return true
		})
		lines = append(lines, line)
	}
	return lines
}
