package wire

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"tandem/internal/netif"
	"tandem/vrrp"
)

const (
	// tos is DSCP CS6, network control (RFC 4594, section 3.1), in the byte of
	// the IP header.
	tos = 0xc0
	// priority is the highest that needs no privilege (socket(7), SO_PRIORITY).
	// It puts adverts into the first band of the interface's queue, before
	// whatever else the machine sends.
	priority = 6
	// buffer holds more than a thousand packets, in bytes: a burst must not crowd out
	// the one advert that matters, and those of all routers leave at once.
	buffer = 1 << 20
)

// rawSocket is a raw socket of protocol 112 on one interface. The thread of the
// elections reads and writes it without ever waiting; who opened it waits for its
// end, to close it. It is not one of package net, whose poller would wake another
// thread for each packet that the elections have read already.
type rawSocket struct {
	link  netif.Link
	ended chan error // why it is of no use any more

	// fd is -1 once it is closed. It is used and closed under mu, so that no other
	// file is taken for it; poll(2) with an old one does no harm.
	mu sync.Mutex
	fd atomic.Int32
	// broken says that reading fails. It is not polled any more, which would come back
	// at once until it is closed.
	broken atomic.Bool
}

// openRaw opens the socket. It is bound to the interface and not to an address:
// advertisements come to the group and, by unicast, to any address of ours.
func (f family) openRaw(link netif.Link) (*rawSocket, error) {
	return f.openWith(link, slices.Concat(commonOptions(link), f.send(link), f.receive(link)))
}

func (f family) openWith(link netif.Link, options []option) (*rawSocket, error) {
	fd, err := unix.Socket(f.domain, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, vrrp.Protocol)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	for _, o := range options {
		if err := o.set(fd); err != nil {
			_ = unix.Close(fd)
			return nil, fmt.Errorf("%s: %w", o.what, os.NewSyscallError("setsockopt", err))
		}
	}
	s := &rawSocket{link: link, ended: make(chan error, 1)}
	s.fd.Store(int32(fd))
	return s, nil
}

// option is a step of setting a socket up.
type option struct {
	what string
	set  func(fd int) error
}

// value is an option that is a number.
func value(what string, level, name, v int) option {
	return option{what, func(fd int) error { return unix.SetsockoptInt(fd, level, name, v) }}
}

func bound(link netif.Link) option {
	return option{"bind to interface", func(fd int) error { return unix.BindToDevice(fd, link.Name) }}
}

// bufferSize sets a buffer. Beyond the system's limit (net.core.rmem_max, wmem_max) it
// takes CAP_NET_ADMIN, which the daemon has and a test may not.
func bufferSize(force, plain int) func(fd int) error {
	return func(fd int) error {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, buffer) == nil {
			return nil
		}
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, buffer)
	}
}

func commonOptions(link netif.Link) []option {
	return []option{
		bound(link),
		{"set receive buffer", bufferSize(unix.SO_RCVBUFFORCE, unix.SO_RCVBUF)},
		{"set send buffer", bufferSize(unix.SO_SNDBUFFORCE, unix.SO_SNDBUF)},
		value("count what the buffer has no room for", unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1),
	}
}

// SetReadDeadline ends the use of the socket: a port sets no other deadline than one
// that is past.
func (s *rawSocket) SetReadDeadline(time.Time) error {
	s.fail(os.ErrDeadlineExceeded)
	return nil
}

// fail says why the socket is of no use any more. The first reason counts.
func (s *rawSocket) fail(err error) {
	select {
	case s.ended <- err:
	default:
	}
}

// Close closes the socket. It may take as long as the kernel's locks do, and holds
// none that the elections need meanwhile.
func (s *rawSocket) Close() error {
	s.mu.Lock()
	fd := s.fd.Swap(-1)
	s.mu.Unlock()
	if fd < 0 {
		return os.ErrClosed
	}
	return unix.Close(int(fd))
}

// acquire returns the file descriptor, which stays open until release; false if it
// is closed.
func (s *rawSocket) acquire() (fd int, ok bool) {
	s.mu.Lock()
	fd = int(s.fd.Load())
	if fd < 0 {
		s.mu.Unlock()
	}
	return fd, fd >= 0
}

func (s *rawSocket) release() { s.mu.Unlock() }
