package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// readBudget is how many system calls read one socket before timers are looked at
// again: some hundred packets, which takes less than a millisecond to judge.
const readBudget = 16

// Poller is the Conns of one thread, which reads and writes them all. Wait,
// Receive and Flush are for that thread; the rest may be used by others.
type Poller struct {
	wake  int // an eventfd(2)
	timer int // a timerfd(2): the timeout of ppoll may be late by a thousandth of it
	in    *inbound
	conns atomic.Pointer[[]*Conn]

	mu sync.Mutex // of changes of conns

	// Only the thread uses these.
	fds   []unix.PollFd
	ready []*Conn
	dirty []*Conn // with packets to send
}

// NewPoller returns a Poller without Conns.
func NewPoller() (*Poller, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("poll for VRRP: %w", os.NewSyscallError("eventfd", err))
	}
	timer, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("poll for VRRP: %w", os.NewSyscallError("timerfd_create", err)), unix.Close(fd))
	}
	p := &Poller{wake: fd, timer: timer, in: newInbound()}
	p.conns.Store(&[]*Conn{})
	return p, nil
}

// Close releases the Poller. Its Conns must be closed, and no Wait may follow.
func (p *Poller) Close() error { return errors.Join(unix.Close(p.wake), unix.Close(p.timer)) }

func (p *Poller) add(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := append(slices.Clone(*p.conns.Load()), c)
	p.conns.Store(&list)
	p.Wake()
}

func (p *Poller) remove(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(*p.conns.Load()), func(other *Conn) bool { return other == c })
	p.conns.Store(&list)
	p.Wake()
}

// Wake ends the current Wait, or the next. It does not block.
func (p *Poller) Wake() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(p.wake, one[:]) // an error says that it is full, and awake
}

// Wait returns when a packet has arrived, after Wake, or at the given time; the
// zero Time is never. It may also return for no reason.
func (p *Poller) Wait(until time.Time) {
	p.fds = append(p.fds[:0],
		unix.PollFd{Fd: int32(p.wake), Events: unix.POLLIN},
		unix.PollFd{Fd: int32(p.timer), Events: unix.POLLIN})
	conns := *p.conns.Load()
	for _, c := range conns {
		p.fds = append(p.fds, unix.PollFd{Fd: c.fd(), Events: unix.POLLIN})
	}
	p.ready = p.ready[:0]
	if _, err := unix.Ppoll(p.fds, p.arm(until), nil); err != nil {
		p.ready = append(p.ready, conns...) // EINTR: what has arrived is not known
		return
	}
	if p.fds[0].Revents != 0 {
		var b [8]byte
		_, _ = unix.Read(p.wake, b[:])
	}
	for i, fd := range p.fds[2:] {
		if fd.Revents != 0 {
			p.ready = append(p.ready, conns[i])
		}
	}
}

// arm sets the timer, and returns the timeout of a ppoll that it does not end: none,
// or zero if the time is past. A timer that was set anew is no longer ready.
func (p *Poller) arm(until time.Time) *unix.Timespec {
	var at unix.ItimerSpec // zero disarms
	var timeout *unix.Timespec
	if !until.IsZero() {
		left := time.Until(until)
		if left <= 0 {
			return &unix.Timespec{}
		}
		at.Value = unix.NsecToTimespec(int64(left))
	}
	if err := unix.TimerfdSettime(p.timer, 0, &at, nil); err != nil {
		timeout = &at.Value // less exact, and never late for ever
	}
	return timeout
}

// Receive gives what has arrived to Options.OnPacket, and says whether it left
// some for the next time.
func (p *Poller) Receive() (more bool) {
	for _, c := range p.ready {
		if c.receive(p.in) {
			more = true
		}
	}
	return more
}

// Flush sends what was queued.
func (p *Poller) Flush() {
	for _, c := range p.dirty {
		c.flush()
	}
	p.dirty = p.dirty[:0]
}
