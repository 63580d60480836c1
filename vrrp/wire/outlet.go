package wire

import (
	"context"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"tandem/internal/netif"
)

// Outlet is an interface that the advertisements of one virtual router leave from,
// with its MAC as their source, and with the addresses of the interface that the
// Conn is for. It is that of the router's virtual MAC. Switches learn from them where
// the active is.
//
// It receives nothing and joins no group: what it joined the kernel would report
// with that MAC, from a backup, too.
//
// An election does not depend on it. What cannot leave from it leaves from the
// interface of the Conn, in the same Poller.Flush.
type Outlet struct {
	port port[*rawSocket]
	used atomic.Bool

	sender sender // only the thread of the Poller uses it
}

// NewOutlet opens an interface for sending. It must exist. Until Use it is not
// used. report is that of NewAnnouncer.
func NewOutlet(ifname string, ipv6 bool, report func(error)) (*Outlet, error) {
	links, err := netif.Open()
	if err != nil {
		return nil, fmt.Errorf("open %s for advertisements: %w", ifname, err)
	}
	f := familyOf(ipv6)
	o := &Outlet{port: port[*rawSocket]{
		ifname: ifname,
		links:  links,
		open: func(link netif.Link) (*rawSocket, error) {
			options := append([]option{deaf, bound(link)}, f.send(link)...)
			if ipv6 {
				options = append(options, anySource)
			}
			return f.openWith(link, options)
		},
		report: report,
		wake:   make(chan struct{}, 1),
	}}
	if err := o.port.dial(); err != nil {
		links.Close()
		return nil, fmt.Errorf("open for advertisements: %w", err)
	}
	return o, nil
}

// deaf lets nothing be received, which nobody would read.
var deaf = option{"refuse to receive", func(fd int) error {
	nothing := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing})
}}

// anySource allows a link-local source that another interface has. Of IPv4 any
// address of the machine will do.
var anySource = value("allow any source", unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1)

// Use says whether advertisements are to leave from here. It does not block.
func (o *Outlet) Use(use bool) { o.used.Store(use) }

// Run keeps the socket open while the interface comes and goes, until ctx is done,
// and then returns nil.
func (o *Outlet) Run(ctx context.Context) error {
	err := o.port.run(ctx, func(s *rawSocket, _ netif.Link) error { return <-s.ended })
	if err != nil {
		return fmt.Errorf("send VRRP: %w", err)
	}
	return nil
}

// Close releases the socket. Call it after Run has returned.
func (o *Outlet) Close() error { return o.port.close() }

// via is what sends an advertisement, and by which interface: the outlet, if there is
// one in use, or the Conn with the given index.
func (c *Conn) via(outlet *Outlet, own int) (*sender, int) {
	if outlet == nil || !outlet.used.Load() {
		return &c.sender, own
	}
	o, err := outlet.port.get()
	if err != nil { // the port has reported it
		return &c.sender, own
	}
	if len(outlet.sender.out.packets) == 0 {
		c.outlets = append(c.outlets, outlet)
	}
	return &outlet.sender, o.link.Index
}

// flushOutlets sends what waits in the outlets, and queues anew what they refuse.
func (c *Conn) flushOutlets() {
	for _, outlet := range c.outlets {
		sock := closedSocket
		if o, err := outlet.port.get(); err == nil {
			sock = o.sock
		}
		outlet.sender.out.flush(sock, func(p *outgoing, _ error) {
			if o, err := c.port.get(); err == nil {
				c.sender.requeue(c.family, p, o.link.Index)
			} else {
				p.failed(err)
			}
		})
	}
	clear(c.outlets)
	c.outlets = c.outlets[:0]
}
