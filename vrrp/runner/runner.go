package runner

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"tandem/vrrp"
)

// A backup whose time has come may have stood still, with the whole process or
// machine, and then the packets that arrived meanwhile are not in the inbox yet:
// their reader has only just been woken, too. As long as some wait it leaves its
// reader alone for a pause, and looks again. The number is bounded, because a flood
// must not keep a backup from taking over.
const (
	settlePause  = 500 * time.Microsecond
	settlePauses = 10
)

// Options is what a Runner needs from the rest of the program; nothing is
// optional. The functions are called from the goroutine of Run, one at a time and
// in order, and delay the election for as long as they take.
type Options struct {
	// Send puts one advertisement on the wire. An error is counted, logged and told
	// to the Machine; the next advertisement is the retry.
	Send func(vrrp.Advert) error
	// Waiting says whether packets have arrived that Receive was not given yet.
	Waiting func() bool
	// OnRole gets every new role. It must not block.
	OnRole func(vrrp.Role)
	// OnAnnounce asks that the addresses be announced again. It must not block.
	// With a rival it may be called 100 times a second.
	OnAnnounce func(cause string)
	// Log gets one line for each role, and Notes and errors with a limited rate.
	// It may block.
	Log *slog.Logger
}

// Runner runs the election of one virtual router. All methods are safe for
// concurrent use.
type Runner struct {
	name  string
	o     Options
	inbox *inbox
	ready chan struct{}

	// Only the goroutine of Run uses these.
	machine     *vrrp.Machine
	journal     *journal
	settles     int       // pauses since the current deadline, see judge
	settleUntil time.Time // the end of the latest
	notes       limiter
	errs        limiter
	stats       stats

	mu     sync.Mutex
	status Status
}

// stats are the counters of the loop itself.
type stats struct {
	sendErrors   uint64
	maxLateness  time.Duration
	lastSendFail string
}

// Status is a snapshot of a Runner.
type Status struct {
	Name string
	vrrp.Status
	InboxDrops    uint64 // packets that found the inbox full
	SendErrors    uint64 // advertisements that could not be sent
	LastSendError string // the latest of them, empty if there was none
	// MaxAdvertLateness is the longest time from when a periodic advertisement was
	// due to when it had been sent.
	MaxAdvertLateness time.Duration
}

// New returns a Runner in Init; Startup makes it take part once Run is called.
// name is for logs. New panics if cfg is not valid, as vrrp.NewMachine does.
func New(name string, cfg vrrp.Config, o Options) *Runner {
	r := &Runner{
		name:    name,
		o:       o,
		inbox:   newInbox(),
		ready:   make(chan struct{}),
		machine: vrrp.NewMachine(cfg),
	}
	r.journal = newJournal(o.Log.With("router", name, "vrid", cfg.VRID))
	r.publish()
	return r
}

// String names the Runner.
func (r *Runner) String() string { return fmt.Sprintf("virtual router %s", r.name) }

// Ready is closed once Run takes events.
func (r *Runner) Ready() <-chan struct{} { return r.ready }

// Receive hands over an advertisement that passed vrrp.Parse, with the time at
// which it was read. It never blocks; the packet is dropped and counted if too
// many wait.
func (r *Runner) Receive(at time.Time, adv vrrp.Received) { r.inbox.packet(at, adv) }

// Startup says that the interface is usable and has this primary address.
func (r *Runner) Startup(primary netip.Addr) {
	r.inbox.command(time.Now(), vrrp.Startup{PrimaryAddr: primary})
}

// Shutdown gives the role up, see vrrp.Shutdown. The Runner goes on running: a
// program that wants to end waits for a role in Init without Hold.
func (r *Runner) Shutdown(cause string, handOver bool) {
	r.inbox.command(time.Now(), vrrp.Shutdown{Cause: cause, HandOver: handOver})
}

// TakeOver makes a router that is ready active, see vrrp.TakeOver.
func (r *Runner) TakeOver() { r.inbox.command(time.Now(), vrrp.TakeOver{}) }

// Resign gives the role up and stays in the election, see vrrp.Resign.
func (r *Runner) Resign(cause string) { r.inbox.command(time.Now(), vrrp.Resign{Cause: cause}) }

// Reconfigure replaces the configuration while the election goes on. It panics
// if cfg is not valid or has another VRID.
func (r *Runner) Reconfigure(cfg vrrp.Config) {
	if err := cfg.Validate(); err != nil {
		panic(err)
	}
	if vrid := r.Status().VRID; cfg.VRID != vrid {
		panic(fmt.Sprintf("runner: VRID %d cannot become %d", vrid, cfg.VRID))
	}
	r.inbox.command(time.Now(), vrrp.Reconfigure{Config: cfg})
}

// Status returns the latest snapshot.
func (r *Runner) Status() Status {
	r.mu.Lock()
	s := r.status
	r.mu.Unlock()
	s.InboxDrops = r.inbox.drops()
	return s
}

// Run runs the election until ctx ends and returns nil. It ends without a
// goodbye: the others notice the silence. That is right for a restart, where the
// addresses stay and the next process takes over; a planned stop calls Shutdown
// first. Run may be called once.
func (r *Runner) Run(ctx context.Context) error {
	var logging sync.WaitGroup
	logging.Go(r.journal.run)
	defer logging.Wait()
	defer r.journal.close()

	close(r.ready)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		// The queue comes first: a packet that was there before the timer ran out may
		// have stopped it.
		for _, e := range r.inbox.take() {
			r.step(e.at, e.ev)
		}
		next, ok := r.judge(time.Now())
		r.publish()
		if ok {
			timer.Reset(time.Until(next))
		} else {
			timer.Stop()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.inbox.wake:
		case <-timer.C:
		}
	}
}

// judge fires the timers that are due and returns when to wake up next.
func (r *Runner) judge(now time.Time) (next time.Time, ok bool) {
	next, ok = r.machine.Deadline()
	if !ok || now.Before(next) {
		r.settles = 0
		return next, ok
	}
	// A backup that stood still must not take silence for what is only its own
	// deafness. An active router loses nothing by speaking: the Machine guards it.
	state := r.machine.Role().State
	if state == vrrp.Backup && r.o.Waiting() {
		if r.settles > 0 && now.Before(r.settleUntil) {
			return r.settleUntil, true
		}
		if r.settles < settlePauses {
			r.settles++
			r.settleUntil = now.Add(settlePause)
			return r.settleUntil, true
		}
	}
	r.settles = 0
	r.step(now, vrrp.Timeout{})
	if state == vrrp.Active {
		r.stats.maxLateness = max(r.stats.maxLateness, time.Since(next))
	}
	return r.machine.Deadline()
}

// step steps the machine and carries the actions out.
func (r *Runner) step(at time.Time, ev vrrp.Event) {
	for _, a := range r.machine.Step(at, ev) {
		switch a := a.(type) {
		case vrrp.SendAdvert:
			r.send(at, a.Priority)
		case vrrp.SetRole:
			r.o.OnRole(a.Role)
			r.journal.write(at, slog.LevelInfo, "role "+a.Role.State.String(),
				"hold", a.Role.Hold, "ready", a.Role.Ready, "cause", a.Role.Cause, "number", a.Role.Number)
		case vrrp.Announce:
			r.o.OnAnnounce(a.Cause)
		case vrrp.Note:
			r.limited(&r.notes, at, slog.LevelWarn, a.Text)
		}
	}
}

func (r *Runner) send(at time.Time, priority uint8) {
	err := r.o.Send(r.machine.Advert(priority))
	if err == nil {
		return
	}
	r.stats.sendErrors++
	r.stats.lastSendFail = err.Error()
	r.limited(&r.errs, at, slog.LevelError, "advertisement not sent", "priority", priority, "err", err)
	if priority > 0 {
		r.step(at, vrrp.SendFailed{})
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
	r.journal.write(at, level, msg, args...)
}

// publish replaces the snapshot.
func (r *Runner) publish() {
	s := Status{
		Name:              r.name,
		Status:            r.machine.Status(),
		SendErrors:        r.stats.sendErrors,
		LastSendError:     r.stats.lastSendFail,
		MaxAdvertLateness: r.stats.maxLateness,
	}
	r.mu.Lock()
	r.status = s
	r.mu.Unlock()
}
