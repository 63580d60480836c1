package wire

import (
	"encoding/binary"
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
	p := &Poller{wake: fd, in: newInbound()}
	p.conns.Store(&[]*Conn{})
	return p, nil
}

// Close releases the Poller. Its Conns must be closed, and no Wait may follow.
func (p *Poller) Close() error { return unix.Close(p.wake) }

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
	p.fds = append(p.fds[:0], unix.PollFd{Fd: int32(p.wake), Events: unix.POLLIN})
	conns := *p.conns.Load()
	for _, c := range conns {
		p.fds = append(p.fds, unix.PollFd{Fd: c.fd(), Events: unix.POLLIN})
	}
	var timeout *unix.Timespec
	if !until.IsZero() {
		t := unix.NsecToTimespec(int64(max(0, time.Until(until))))
		timeout = &t
	}
	p.ready = p.ready[:0]
	if _, err := unix.Ppoll(p.fds, timeout, nil); err != nil {
		return // EINTR; what has arrived is found by the next
	}
	if p.fds[0].Revents != 0 {
		var b [8]byte
		_, _ = unix.Read(p.wake, b[:])
	}
	for i, fd := range p.fds[1:] {
		if fd.Revents != 0 {
			p.ready = append(p.ready, conns[i])
		}
	}
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
