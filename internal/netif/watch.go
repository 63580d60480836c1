package netif

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Event is a change that the kernel reported.
type Event interface{ event() }

type (
	// LinkChanged is a new interface, or one with another name, MAC, MTU or Up.
	LinkChanged struct{ Link Link }
	// LinkRemoved is an interface that has gone. Its index is never used again
	// for an interface that comes back under the same name.
	LinkRemoved struct {
		Name  string
		Index int
	}
	// AddressAdded is a new address that can be used: one of IPv6 is added when
	// duplicate address detection has ended. The renewal of one is no event.
	AddressAdded struct{ Address Address }
	// AddressRemoved is an address that somebody removed or that expired.
	AddressRemoved struct{ Address Address }
	// Resync says that events may have been missed: read everything again. It is
	// also the first event of every Subscription.
	Resync struct{}
)

func (LinkChanged) event()    {}
func (LinkRemoved) event()    {}
func (AddressAdded) event()   {}
func (AddressRemoved) event() {}
func (Resync) event()         {}

// watchBuffer holds some thousand messages, in bytes: with many virtual
// addresses a takeover changes them all at once.
const watchBuffer = 1 << 20

// A Subscription receives the changes of links and addresses from the moment
// that Subscribe returns.
type Subscription struct {
	handle  *Handle
	sock    *nl.NetlinkSocket
	decoder decoder
}

// Subscribe opens a Subscription. It must be called in the network namespace of
// the Handle.
func (h *Handle) Subscribe() (*Subscription, error) {
	sock, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return nil, fmt.Errorf("subscribe to interface changes: %w", explain(err))
	}
	// Forcing needs a privilege and goes beyond rmem_max; the fallback does not.
	if sock.SetReceiveBufferSize(watchBuffer, true) != nil {
		if err := sock.SetReceiveBufferSize(watchBuffer, false); err != nil {
			sock.Close()
			return nil, fmt.Errorf("subscribe to interface changes: receive buffer: %w", err)
		}
	}
	s := &Subscription{handle: h, sock: sock}
	if err := s.restart(); err != nil { // after the subscription: none is missed
		sock.Close()
		return nil, fmt.Errorf("subscribe to interface changes: %w", err)
	}
	return s, nil
}

// restart forgets what was reported, and learns the names of the interfaces
// anew, because messages about addresses carry only an index.
func (s *Subscription) restart() error {
	links, err := s.handle.Links()
	if err != nil {
		return err
	}
	s.decoder = newDecoder()
	for _, l := range links {
		s.decoder.names[l.Index] = l.Name
	}
	return nil
}

// Close releases the Subscription; only for one that is never Run.
func (s *Subscription) Close() { s.sock.Close() }

// Run calls f with every event, beginning with a Resync, until ctx is done; it
// then returns nil. It releases the Subscription. When the kernel drops
// messages because f is slow, f gets a Resync.
func (s *Subscription) Run(ctx context.Context, f func(Event)) error {
	defer s.sock.Close()
	defer context.AfterFunc(ctx, s.sock.Close)() // ends a blocked Receive

	f(Resync{})
	for {
		msgs, from, err := s.sock.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			if err := s.restart(); err != nil {
				return fmt.Errorf("watch interfaces: %w", err)
			}
			f(Resync{})
			continue
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, os.ErrClosed):
			return fmt.Errorf("watch interfaces: %w", err)
		case err != nil:
			return fmt.Errorf("watch interfaces: receive: %w", err)
		case from.Pid != nl.PidKernel:
			continue // another process can send to our socket
		}
		for _, m := range msgs {
			if ev := s.decoder.decode(m); ev != nil {
				f(ev)
			}
		}
	}
}

// Watch is Subscribe and Run in one.
func (h *Handle) Watch(ctx context.Context, f func(Event)) error {
	s, err := h.Subscribe()
	if err != nil {
		return err
	}
	return s.Run(ctx, f)
}
