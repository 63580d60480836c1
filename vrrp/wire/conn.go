package wire

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"tandem/internal/netif"
	"tandem/vrrp"
)

// dropReportInterval is the least time between two calls of Options.OnDrop for
// the same reason.
const dropReportInterval = 10 * time.Second

// Options adjusts a Conn. The zero value is usable, for IPv4. The functions are
// called from several goroutines and must return quickly; Router and OnPacket delay
// every election of the Poller. OnDrop and OnChange are called by Run.
type Options struct {
	// IPv6 chooses the family; an interface has a Conn for each.
	IPv6 bool
	// Virtual reports whether an address moves between directors. Such an
	// address is never the source of an advertisement.
	Virtual func(netip.Addr) bool
	// Router is the virtual router of a VRID on this interface, nil if there is
	// none: its advertisements are dropped. A nil function takes every VRID, in the
	// default configuration.
	Router func(vrid uint8) *Router
	// OnPacket gets every advertisement that passes the checks of RFC 9568, section
	// 7.1, and those of its Router. It is called by Poller.Receive and must keep
	// nothing of the packet; nil for nothing.
	OnPacket func(Packet)
	// OnDrop hears of discarded packets, for each reason at most every ten
	// seconds, however many there are.
	OnDrop func(Drop)
	// OnChange hears once that the interface became unusable, with the reason,
	// and once, with nil, that it works again.
	OnChange func(error)
}

// Conn sends and receives the advertisements of one interface. Queue is for the
// thread of its Poller, the other methods may be called by several goroutines at
// once.
type Conn struct {
	poller  *Poller
	family  *family
	port    port[*rawSocket]
	opts    Options
	primary atomic.Pointer[netip.Addr]
	drops   [256]atomic.Uint64 // by vrrp.DropReason

	reports chan Drop // that wait for Run

	// Only the thread of the Poller uses these.
	addrs    []netip.Addr // memory for those of the packet that is judged
	sender   sender
	outlets  []*Outlet // with packets to send
	dirty    bool      // it is in Poller.dirty
	overflow overflow
	reported [256]time.Time // when a drop was last reported
}

// Listen opens the interface for advertisements. It needs CAP_NET_RAW, and says
// so. The interface must exist; it need not be up nor have an address yet.
func (p *Poller) Listen(ifname string, opts Options) (*Conn, error) {
	links, err := netif.Open()
	if err != nil {
		return nil, fmt.Errorf("listen for VRRP on %s: %w", ifname, err)
	}
	if opts.Router == nil {
		everyone := NewRouter(RouterConfig{})
		opts.Router = func(uint8) *Router { return everyone }
	}
	c := &Conn{poller: p, family: familyOf(opts.IPv6), opts: opts, reports: make(chan Drop, 256)}
	c.port = port[*rawSocket]{
		ifname:  ifname,
		links:   links,
		open:    c.family.openRaw,
		changed: c.interfaceChanged,
		report:  opts.OnChange,
		wake:    make(chan struct{}, 1),
	}
	if err := c.port.dial(); err != nil {
		links.Close()
		return nil, fmt.Errorf("listen for VRRP: %w", err)
	}
	c.refreshPrimary()
	p.add(c)
	return c, nil
}

// Close releases the sockets. Call it after Run has returned and the last
// advertisement is sent.
func (c *Conn) Close() error {
	c.poller.remove(c)
	return c.port.close()
}

// PrimaryAddr is the address that advertisements are sent from: the interface's
// own, see netif.Handle.PrimaryIPv4 and PrimaryIPv6. It is the zero Addr while there
// is none. Run keeps it up to date.
func (c *Conn) PrimaryAddr() netip.Addr {
	if p := c.primary.Load(); p != nil {
		return *p
	}
	return netip.Addr{}
}

// VirtualChanged says that Options.Virtual gives other answers now.
func (c *Conn) VirtualChanged() { c.refreshPrimary() }

func (c *Conn) refreshPrimary() {
	primary := c.port.links.PrimaryIPv4
	if c.opts.IPv6 {
		primary = c.port.links.PrimaryIPv6
	}
	ip, err := primary(c.port.ifname, c.opts.Virtual)
	switch {
	case err == nil:
		c.primary.Store(&ip)
	case errors.Is(err, netif.ErrNoAddress), errors.Is(err, netif.ErrNoInterface):
		c.primary.Store(&netip.Addr{}) // Send says what is missing
	default:
		// The kernel could not be asked. That is no reason to fall silent: the
		// address is most likely the same, and the next event asks again.
	}
}

// interfaceChanged follows the primary address. A takeover brings one event for
// each virtual address; they cannot change it.
func (c *Conn) interfaceChanged(ev netif.Event) {
	if a, ok := ev.(netif.AddressAdded); ok && c.isVirtual(a.Address) {
		return
	}
	if a, ok := ev.(netif.AddressRemoved); ok && c.isVirtual(a.Address) {
		return
	}
	c.refreshPrimary()
}

func (c *Conn) isVirtual(a netif.Address) bool {
	return c.opts.Virtual != nil && c.opts.Virtual(a.Prefix.Addr())
}

// Queue takes one advertisement to the group or, one packet each, to the peers of
// its Router, for the next Poller.Flush. An error says that none was taken. When
// the interface cannot take a packet, Flush calls failed, for each that did not
// leave; the other peers get theirs.
func (c *Conn) Queue(a vrrp.Advert, failed func(error)) error {
	if err := c.queue(a, failed); err != nil {
		return fmt.Errorf("send advertisement of VRID %d: %w", a.VRID, err)
	}
	return nil
}

func (c *Conn) queue(a vrrp.Advert, failed func(error)) error {
	o, err := c.port.get()
	if err != nil {
		return err
	}
	src := c.PrimaryAddr()
	if !src.IsValid() {
		return fmt.Errorf("interface %s: %w", c.port.ifname, netif.ErrNoAddress)
	}
	r := c.opts.Router(a.VRID)
	if r == nil {
		return fmt.Errorf("interface %s: %w", c.port.ifname, errNoRouter)
	}
	if !c.dirty {
		c.poller.dirty, c.dirty = append(c.poller.dirty, c), true
	}
	destinations, outlet := r.destinations(c.family)
	via, index := c.via(outlet, o.link.Index)
	for _, dst := range destinations {
		if err := via.queue(c.family, r, a, src, dst, index, failed); err != nil {
			return err
		}
	}
	return nil
}

// flush sends what was queued. What an outlet does not take leaves from the interface.
func (c *Conn) flush() {
	c.dirty = false
	c.flushOutlets()
	o, err := c.port.get()
	if err != nil {
		o = &opened[*rawSocket]{sock: closedSocket}
	}
	c.sender.out.flush(o.sock, func(p *outgoing, err error) {
		p.failed(fmt.Errorf("send advertisement: interface %s, to %v: %w", c.port.ifname, p.dst, err))
	})
}

// fd is the file descriptor to be polled, -1 for none.
func (c *Conn) fd() int32 {
	if o := c.port.current.Load(); o != nil && !o.sock.broken.Load() {
		return o.sock.fd.Load()
	}
	return -1
}

// Run keeps the socket open while the interface comes and goes, until ctx is done,
// and then returns nil. The last one stays open, for the goodbye. An interface that
// goes and comes back does not end Run.
func (c *Conn) Run(ctx context.Context) error {
	err := c.port.run(ctx, func(s *rawSocket, _ netif.Link) error {
		// The interface may have other addresses than the one it replaces.
		c.refreshPrimary()
		c.poller.Wake() // there is another socket to wait for
		for {
			select {
			case err := <-s.ended:
				return err
			case d := <-c.reports:
				c.opts.OnDrop(d)
			}
		}
	})
	if err != nil {
		return fmt.Errorf("receive VRRP: %w", err)
	}
	return nil
}

// receive reads what has arrived, within the budget, and says whether that was
// spent.
func (c *Conn) receive(in *inbound) (more bool) {
	o, err := c.port.get()
	if err != nil {
		return false
	}
	for range readBudget {
		n, err := in.receive(o.sock)
		at := time.Now()
		switch {
		case err == unix.EAGAIN || err == os.ErrClosed:
			return false
		case err == unix.EINTR:
			continue
		case err != nil:
			o.sock.broken.Store(true)
			o.sock.fail(os.NewSyscallError("recvmmsg", err))
			return false
		}
		own := c.PrimaryAddr()
		for i := range n {
			c.judge(at, in, i, own, o.link.Index)
		}
		c.drops[vrrp.DropOverflow].Add(c.overflow.count(o.sock, in.overflow(n)))
		if n < batch {
			return false
		}
	}
	return true
}

// overflow counts what a socket's buffer had no room for (SO_RXQ_OVFL, socket(7)).
type overflow struct {
	sock  *rawSocket
	total uint32 // of this socket
}

// count returns how many there were since the last time.
func (o *overflow) count(sock *rawSocket, total uint32) uint64 {
	if o.sock != sock {
		*o = overflow{sock: sock}
	}
	if total == 0 { // the kernel says nothing
		return 0
	}
	more := total - o.total
	o.total = total
	return uint64(more)
}

// judge decides about the i-th packet.
func (c *Conn) judge(at time.Time, in *inbound, i int, own netip.Addr, index int) {
	h, payload, from, ok := c.family.split(in.packet(i))
	if ok && from != index {
		return // before the socket was bound it could hear other interfaces
	}
	p, err := Packet{At: at, Src: h.Src}, error(vrrp.DropTruncated)
	if ok {
		p, err = judge(at, h, payload, own, c.opts.Router, c.addrs)
		c.addrs = p.Advert.Addresses
	}
	if reason, dropped := err.(vrrp.DropReason); dropped {
		c.drop(at, reason, p.Src)
		return
	}
	if c.opts.OnPacket != nil {
		c.opts.OnPacket(p)
	}
}

// drop counts a discarded packet.
func (c *Conn) drop(at time.Time, reason vrrp.DropReason, src netip.Addr) {
	total := c.drops[reason].Add(1)
	if c.opts.OnDrop == nil || at.Sub(c.reported[reason]) < dropReportInterval {
		return
	}
	select {
	case c.reports <- Drop{Reason: reason, Src: src, Total: total}:
		c.reported[reason] = at
	default: // the next one is reported
	}
}

// Drops returns how many packets were discarded so far, by reason.
func (c *Conn) Drops() map[vrrp.DropReason]uint64 {
	m := map[vrrp.DropReason]uint64{}
	for reason := range c.drops {
		if n := c.drops[reason].Load(); n > 0 {
			m[vrrp.DropReason(reason)] = n
		}
	}
	return m
}
