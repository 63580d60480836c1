package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"tandem/internal/netif"
)

// retryInterval is when a socket that failed is opened again although no change
// of the interface was heard.
const retryInterval = time.Second

// past is a deadline that ends a blocked read.
var past = time.Unix(1, 0)

// socket is what a port needs of the sockets it keeps.
type socket interface {
	SetReadDeadline(time.Time) error
	Close() error
}

// port keeps one socket of an interface open while the interface comes and goes.
// It is the only place that opens sockets again.
type port[S socket] struct {
	ifname string
	links  *netif.Handle
	open   func(netif.Link) (S, error)
	// changed is called, from another goroutine, when the interface or an address
	// of it may have changed; nil for nothing.
	changed func(netif.Event)
	// report is called with the error when the interface becomes unusable, and
	// with nil when it works again; nil for nothing.
	report func(error)

	current atomic.Pointer[opened[S]] // nil while there is no socket
	wake    chan struct{}             // the interface may be back
}

// opened is a socket and the interface as it was when it was opened.
type opened[S socket] struct {
	sock S
	link netif.Link
}

// dial opens the socket for the interface as it is now.
func (p *port[S]) dial() error {
	link, err := p.links.Link(p.ifname)
	if err != nil {
		return err
	}
	sock, err := p.open(link)
	if err != nil {
		return fmt.Errorf("interface %s: %w", p.ifname, explain(err))
	}
	p.current.Store(&opened[S]{sock: sock, link: link})
	return nil
}

// get returns the socket to send with.
func (p *port[S]) get() (*opened[S], error) {
	if o := p.current.Load(); o != nil {
		return o, nil
	}
	return nil, fmt.Errorf("interface %s: %w", p.ifname, netif.ErrNoInterface)
}

// close ends the port for good; run must have returned.
func (p *port[S]) close() error {
	defer p.links.Close()
	if o := p.current.Swap(nil); o != nil {
		return o.sock.Close()
	}
	return nil
}

// run calls read with the socket, again with a new one after it failed, until
// ctx is done; it then returns nil. The last socket stays open, so that a
// goodbye can still be sent. New sockets are opened by the calling goroutine.
func (p *port[S]) run(ctx context.Context, read func(S, netif.Link) error) error {
	sub, err := p.links.Subscribe()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var g errgroup.Group
	g.Go(func() error {
		defer cancel()
		return sub.Run(ctx, p.event)
	})
	err = p.readAll(ctx, read)
	cancel()
	return errors.Join(err, g.Wait())
}

func (p *port[S]) readAll(ctx context.Context, read func(S, netif.Link) error) error {
	broken := false
	fail := func(err error) {
		if !broken && p.report != nil {
			p.report(err)
		}
		broken = true
		p.wait(ctx)
	}
	for ctx.Err() == nil {
		o := p.current.Load()
		if o == nil {
			if err := p.dial(); !retryable(err) {
				return err
			} else if err != nil {
				fail(err)
				continue
			}
			o = p.current.Load()
			// On an interface that is down, opening succeeds and reading may not.
			if broken && o.link.Up {
				broken = false
				if p.report != nil {
					p.report(nil)
				}
			}
		}
		stop := context.AfterFunc(ctx, func() { o.sock.SetReadDeadline(past) })
		err := read(o.sock, o.link)
		stop()
		if ctx.Err() != nil {
			return nil
		}
		p.current.Store(nil)
		o.sock.Close() // what it read is delivered, what it sent is sent
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded): // by event: open it again
		case retryable(err):
			fail(fmt.Errorf("interface %s: %w", p.ifname, err))
		default:
			return fmt.Errorf("interface %s: %w", p.ifname, explain(err))
		}
	}
	return nil
}

// event looks at the interface again. It runs while readAll reads.
func (p *port[S]) event(ev netif.Event) {
	if !concerns(ev, p.ifname) {
		return
	}
	if !aboutAddress(ev) {
		link, err := p.links.Link(p.ifname)
		if o := p.current.Load(); o != nil && (err != nil || outdated(o.link, link)) {
			o.sock.SetReadDeadline(past)
		}
	}
	if p.changed != nil {
		p.changed(ev)
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// aboutAddress says that an event says nothing of the interface itself. A takeover
// brings one for each address.
func aboutAddress(ev netif.Event) bool {
	switch ev.(type) {
	case netif.AddressAdded, netif.AddressRemoved:
		return true
	}
	return false
}

// outdated says that a socket opened for old does not do for now. An interface
// that was removed and made again has another index, and a socket bound to the
// old one stays silent without an error. What was opened on an interface that
// was still down is opened again, once, to be sure that it works.
func outdated(old, now netif.Link) bool {
	return old.Index != now.Index || !bytes.Equal(old.MAC, now.MAC) || now.Up && !old.Up
}

func concerns(ev netif.Event, ifname string) bool {
	switch ev := ev.(type) {
	case netif.LinkChanged:
		return ev.Link.Name == ifname
	case netif.LinkRemoved:
		return ev.Name == ifname
	case netif.AddressAdded:
		return ev.Address.Interface == ifname
	case netif.AddressRemoved:
		return ev.Address.Interface == ifname
	}
	return true // Resync
}

// wait ends when the interface may be back.
func (p *port[S]) wait(ctx context.Context) {
	timer := time.NewTimer(retryInterval)
	defer timer.Stop()
	select {
	case <-p.wake:
	case <-timer.C:
	case <-ctx.Done():
	}
}
