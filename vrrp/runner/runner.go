package runner

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tandem/vrrp"
)

// Options is what a Runner needs from the rest of the program; nothing is
// optional, but for Record. The functions are called from the goroutine of
// Loop.Run, one at a time and in order, and delay every election for as long as
// they take.
type Options struct {
	// Queue takes one advertisement for the next Network.Flush. An error says that
	// it will not leave; Flush says so by calling failed. Errors are counted,
	// logged and told to the Machine; the next advertisement is the retry.
	Queue func(a vrrp.Advert, failed func(error)) error
	// OnRole gets every new role. It must not block.
	OnRole func(vrrp.Role)
	// OnAnnounce asks that the addresses be announced again. It must not block.
	// With a rival it may be called 100 times a second.
	OnAnnounce func(cause string)
	// Record gets every event with what came of it, and when the Machine is due next,
	// zero for never. It must not block, nor keep actions. nil: nothing is recorded.
	Record func(at time.Time, ev vrrp.Event, actions []vrrp.Action, deadline time.Time)
}

// Runner runs the election of one virtual router. All methods but Receive are safe
// for concurrent use.
type Runner struct {
	name string
	loop *Loop
	o    Options
	log  *slog.Logger

	// Only the goroutine of Loop.Run uses these.
	machine *vrrp.Machine
	due     time.Time      // when the machine is due; zero: never
	waited  time.Time      // since when a due takeover waits for packets to be read
	sending time.Time      // when the queued periodic advertisement was due; zero: none is
	pending []vrrp.Action  // to be done after the flush
	touched bool           // it is in Loop.changed
	failed  [2]func(error) // sendFailed and releaseFailed, made once
	notes   limiter
	errs    limiter
	stats   stats

	closed atomic.Bool

	mu     sync.Mutex
	status Status
}

// stats are the counters of the loop itself.
type stats struct {
	sendErrors   uint64
	lateness     Lateness
	lastSendFail string
}

// Status is a snapshot of a Runner.
type Status struct {
	Name string
	vrrp.Status
	SendErrors    uint64 // advertisements that could not be sent
	LastSendError string // the latest of them, empty if there was none
	Lateness      Lateness
}

// Add makes a Runner in Init; Startup makes it take part once Run is called. name
// is for logs. It panics if cfg is not valid, as vrrp.NewMachine does.
func (l *Loop) Add(name string, cfg vrrp.Config, o Options) *Runner {
	r := &Runner{
		name:    name,
		loop:    l,
		o:       o,
		log:     l.o.Log.With("router", name, "vrid", cfg.VRID),
		machine: vrrp.NewMachine(cfg),
	}
	r.failed = [2]func(error){r.sendFailed, r.releaseFailed}
	r.publish()
	l.command(func(time.Time) { l.runners = append(l.runners, r) })
	return r
}

// String names the Runner.
func (r *Runner) String() string { return fmt.Sprintf("virtual router %s", r.name) }

// Close ends the election without a goodbye. When it returns, no function of
// Options is called any more.
func (r *Runner) Close() {
	r.closed.Store(true)
	isThis := func(other *Runner) bool { return other == r }
	done := make(chan struct{})
	r.loop.command(func(time.Time) {
		r.loop.runners = slices.DeleteFunc(r.loop.runners, isThis)
		r.loop.changed = slices.DeleteFunc(r.loop.changed, isThis)
		r.loop.failed = slices.DeleteFunc(r.loop.failed, isThis)
		close(done)
	})
	select {
	case <-r.loop.started:
	default:
		return
	}
	select {
	case <-done:
	case <-r.loop.ended:
	}
}

// Receive steps the machine with an advertisement that passed vrrp.Parse and was
// read at the given time. Only Network.Receive may call it.
func (r *Runner) Receive(at time.Time, adv vrrp.Received) { r.step(at, adv) }

// Startup says that the interface is usable and has this primary address.
func (r *Runner) Startup(primary netip.Addr) { r.command(vrrp.Startup{PrimaryAddr: primary}) }

// Shutdown gives the role up, see vrrp.Shutdown. The Runner goes on running: a
// program that wants to end waits for a role in Init without Hold.
func (r *Runner) Shutdown(cause string, handOver bool) {
	r.command(vrrp.Shutdown{Cause: cause, HandOver: handOver})
}

// TakeOver makes a router that is ready active, see vrrp.TakeOver.
func (r *Runner) TakeOver() { r.command(vrrp.TakeOver{}) }

// Resign gives the role up and stays in the election, see vrrp.Resign.
func (r *Runner) Resign(cause string) { r.command(vrrp.Resign{Cause: cause}) }

// Reconfigure replaces the configuration while the election goes on. It panics
// if cfg is not valid or has another VRID.
func (r *Runner) Reconfigure(cfg vrrp.Config) {
	if err := cfg.Validate(); err != nil {
		panic(err)
	}
	if vrid := r.Status().VRID; cfg.VRID != vrid {
		panic(fmt.Sprintf("runner: VRID %d cannot become %d", vrid, cfg.VRID))
	}
	r.command(vrrp.Reconfigure{Config: cfg})
}

func (r *Runner) command(ev vrrp.Event) {
	r.loop.command(func(at time.Time) { r.step(at, ev) })
}

// Status returns the latest snapshot.
func (r *Runner) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status
}

// early is how much before its time a periodic advertisement may leave with others.
// Routers that became active at different moments then share wake-ups: a hundred of
// them at 10 ms would otherwise wake the thread ten thousand times a second.
const early = 500 * time.Microsecond

// fire fires the timers that are due. more says that packets wait in the sockets.
func (r *Runner) fire(now time.Time, more bool) {
	if r.due.IsZero() {
		return
	}
	state := r.machine.Role().State
	if state == vrrp.Active {
		r.advertise(now)
		return
	}
	if now.Before(r.due) {
		return
	}
	// A backup that stood still must not take silence for what is only its own
	// deafness. An active router loses nothing by speaking: the Machine guards it.
	if state == vrrp.Backup && more {
		if r.waited.IsZero() {
			r.waited = now
		}
		if now.Sub(r.waited) < settle {
			return
		}
	}
	r.waited = time.Time{}
	r.step(now, vrrp.Timeout{})
}

// advertise sends the periodic advertisement if it is due, or nearly.
func (r *Runner) advertise(now time.Time) {
	due := r.due
	if now.Before(due.Add(-early)) {
		return
	}
	at := now
	if now.Before(due) {
		at = due
	}
	r.step(at, vrrp.Timeout{})
	if r.machine.Role().State == vrrp.Active {
		r.sending = due
	}
}

// step steps the machine and queues what it wants to be sent. The rest is done
// after the flush.
func (r *Runner) step(at time.Time, ev vrrp.Event) {
	if r.closed.Load() {
		return
	}
	actions := r.machine.Step(at, ev)
	r.due, _ = r.machine.Deadline()
	if r.o.Record != nil {
		r.o.Record(at, ev, actions, r.due)
	}
	for _, a := range actions {
		if a, ok := a.(vrrp.SendAdvert); ok {
			r.send(at, a.Priority)
			continue
		}
		r.pending = append(r.pending, a)
	}
	if r.due.IsZero() || r.due.After(at) {
		r.waited = time.Time{}
	}
	if !r.touched {
		r.touched = true
		r.loop.changed = append(r.loop.changed, r)
	}
}

// send queues an advertisement.
func (r *Runner) send(at time.Time, priority uint8) {
	failed := r.failed[0]
	if priority == 0 {
		failed = r.failed[1]
	}
	if err := r.o.Queue(r.machine.Advert(priority), failed); err != nil {
		failed(err)
	}
}

// sendFailed counts an advertisement that did not leave, and tells the machine
// after the flush.
func (r *Runner) sendFailed(err error) {
	r.releaseFailed(err)
	if !r.closed.Load() && !slices.Contains(r.loop.failed, r) {
		r.loop.failed = append(r.loop.failed, r)
	}
}

// releaseFailed counts a release that did not leave. The machine has let go: that
// nobody heard it is all that it means.
func (r *Runner) releaseFailed(err error) {
	r.stats.sendErrors++
	r.stats.lastSendFail = err.Error()
	r.limited(&r.errs, time.Now(), slog.LevelError, "advertisement not sent", "err", err)
}

// finish does what comes after the flush.
func (r *Runner) finish(now time.Time) {
	r.touched = false
	if !r.sending.IsZero() {
		r.stats.lateness.add(now.Sub(r.sending))
		r.sending = time.Time{}
	}
	pending := r.pending
	r.pending = nil
	r.publish()
	for _, a := range pending {
		switch a := a.(type) {
		case vrrp.SetRole:
			r.o.OnRole(a.Role)
			r.loop.journal.write(r.log, now, slog.LevelInfo, "role "+a.Role.State.String(),
				"hold", a.Role.Hold, "ready", a.Role.Ready, "cause", a.Role.Cause, "number", a.Role.Number)
		case vrrp.Announce:
			r.o.OnAnnounce(a.Cause)
		case vrrp.Note:
			r.limited(&r.notes, now, slog.LevelWarn, a.Text)
		}
	}
	clear(pending)
	if r.pending == nil {
		r.pending = pending[:0]
	}
}

// limited writes a log line unless there were too many of its kind.
func (r *Runner) limited(l *limiter, at time.Time, level slog.Level, msg string, args ...any) {
	suppressed, ok := l.allow(at)
	if !ok {
		return
	}
	if suppressed > 0 {
		args = append(args, "suppressed_lines", suppressed)
	}
	r.loop.journal.write(r.log, at, level, msg, args...)
}

// publish replaces the snapshot.
func (r *Runner) publish() {
	s := Status{
		Name:          r.name,
		Status:        r.machine.Status(),
		SendErrors:    r.stats.sendErrors,
		LastSendError: r.stats.lastSendFail,
		Lateness:      r.stats.lateness,
	}
	r.mu.Lock()
	r.status = s
	r.mu.Unlock()
}
