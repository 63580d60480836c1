package runner

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"tandem/vrrp"
)

// settle is how long a backup whose time has come lets packets that wait in a
// socket be read first. It may have stood still, with the whole process or
// machine, and what it takes for silence is only its own deafness. It is bounded,
// because a flood must not keep a backup from taking over.
const settle = 5 * time.Millisecond

// Network is the sockets of a Loop. All methods but Wake are called by the
// goroutine of Run only.
type Network interface {
	// Wait returns when a packet has arrived, after Wake, or at the given time; the
	// zero Time is never. One that is past still lets Receive find what has arrived.
	Wait(until time.Time)
	// Wake ends the current Wait, or the next. It does not block.
	Wake()
	// Receive gives packets that have arrived to Runner.Receive. It takes a bounded
	// number, and says whether it left some.
	Receive() (more bool)
	// Flush sends what was queued, all of it in as few system calls as it can.
	Flush()
}

// LoopOptions is what a Loop needs of the rest of the program.
type LoopOptions struct {
	Network Network
	// Thread is called first by the goroutine of Run, which has an operating system
	// thread of its own, to give that thread its priority; nil for nothing.
	Thread func()
	// Log gets one line for each role, and Notes and errors with a limited rate.
	// It may block.
	Log *slog.Logger
}

// Loop runs the elections of all virtual routers of a director. They have one
// goroutine and one thread: advertisements that are due together leave in one
// system call, a packet is judged without waking anybody, and nothing else of the
// program runs between a timer and its advertisement.
//
// What a pass does comes in this order: read what has arrived, step the machines,
// send, and only then tell others of new roles.
type Loop struct {
	o       LoopOptions
	journal *journal
	started chan struct{}
	ended   chan struct{}

	mu       sync.Mutex
	commands []command

	// Only the goroutine of Run uses these.
	runners []*Runner
	changed []*Runner // since the last flush
	failed  []*Runner // whose advertisement did not leave, since the last look
	spare   []command // the memory of the batch before
}

// command is something that the rest of the program wants.
type command struct {
	at time.Time
	do func(at time.Time)
}

// NewLoop returns a Loop without routers.
func NewLoop(o LoopOptions) *Loop {
	return &Loop{o: o, journal: newJournal(o.Log), started: make(chan struct{}), ended: make(chan struct{})}
}

// String names the Loop.
func (l *Loop) String() string { return "elections" }

// Ready is closed once Run takes events.
func (l *Loop) Ready() <-chan struct{} { return l.started }

// command queues what Run is to do. Commands are few and never dropped.
func (l *Loop) command(do func(at time.Time)) {
	l.mu.Lock()
	l.commands = append(l.commands, command{time.Now(), do})
	l.mu.Unlock()
	l.o.Network.Wake()
}

// Run runs the elections until ctx ends and returns nil. It ends without a
// goodbye: the others notice the silence. That is right for a restart, where the
// addresses stay and the next process takes over; a planned stop calls
// Runner.Shutdown first. Run may be called once.
func (l *Loop) Run(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var logging sync.WaitGroup
	logging.Go(l.journal.run)
	defer logging.Wait()
	defer l.journal.close()
	defer close(l.ended)
	if l.o.Thread != nil {
		l.o.Thread()
	}
	stop := context.AfterFunc(ctx, l.o.Network.Wake)
	defer stop()
	close(l.started)
	for {
		l.o.Network.Wait(l.next())
		if ctx.Err() != nil {
			return nil
		}
		l.pass()
	}
}

// next is when a machine is due; zero for never.
func (l *Loop) next() (next time.Time) {
	for _, r := range l.runners {
		if due := r.due; !due.IsZero() && (next.IsZero() || due.Before(next)) {
			next = due
		}
	}
	return next
}

func (l *Loop) pass() {
	// Packets come first: one that was there before a timer ran out may have stopped
	// it.
	more := l.o.Network.Receive()
	for _, c := range l.take() {
		c.do(c.at)
	}
	now := time.Now()
	for _, r := range l.runners {
		r.fire(now, more)
	}
	l.flush()
}

// flush sends, and tells the others. What that brings about, by failures, is sent
// in turn: a machine that gave its role up has nothing more to send.
func (l *Loop) flush() {
	for len(l.changed) > 0 {
		l.o.Network.Flush()
		now := time.Now()
		changed := l.changed
		l.changed = nil
		for _, r := range changed {
			r.finish(now)
		}
		for _, r := range l.failed {
			r.step(now, vrrp.SendFailed{})
		}
		l.failed = l.failed[:0]
		if l.changed == nil {
			l.changed = changed[:0]
		}
	}
}

// take empties the queue of commands. The result is valid until the next take.
func (l *Loop) take() []command {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch := l.commands
	clear(l.spare)
	l.commands, l.spare = l.spare[:0], batch
	return batch
}
