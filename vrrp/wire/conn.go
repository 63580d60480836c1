package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"

	"tandem/internal/netif"
	"tandem/vrrp"
)

// group is the multicast group of VRRP for IPv4 (RFC 9568, section 5.1.1.2).
var group = netip.AddrFrom4([4]byte{224, 0, 0, 18})

var groupAddr = &net.IPAddr{IP: group.AsSlice()}

// toGroup is the destinations of a router without peers.
var toGroup = []netip.Addr{group}

// dropReportInterval is the least time between two calls of Options.OnDrop for
// the same reason.
const dropReportInterval = 10 * time.Second

// Options adjusts a Conn. The zero value is usable. The functions are called
// from several goroutines and must return quickly.
type Options struct {
	// Virtual reports whether an address moves between directors. Such an
	// address is never the source of an advertisement.
	Virtual func(netip.Addr) bool
	// Router is the virtual router of a VRID on this interface, nil if there is
	// none: its advertisements are dropped. A nil function takes every VRID, in the
	// default configuration.
	Router func(vrid uint8) *Router
	// OnDrop hears of discarded packets, for each reason at most every ten
	// seconds, however many there are.
	OnDrop func(Drop)
	// OnChange hears once that the interface became unusable, with the reason,
	// and once, with nil, that it works again.
	OnChange func(error)
}

// Conn sends and receives the advertisements of one interface. Its methods may
// be called by several goroutines at once.
type Conn struct {
	port    port[*rawSocket]
	opts    Options
	primary atomic.Pointer[netip.Addr]
	drops   [256]atomic.Uint64 // by vrrp.DropReason
	judging atomic.Bool        // packets were read and not handed on yet
	// reported is when OnDrop was last called; only Run's goroutine uses it.
	reported [256]time.Time
}

// Listen opens the interface for advertisements. It needs CAP_NET_RAW, and says
// so. The interface must exist; it need not be up nor have an address yet.
func Listen(ifname string, opts Options) (*Conn, error) {
	links, err := netif.Open()
	if err != nil {
		return nil, fmt.Errorf("listen for VRRP on %s: %w", ifname, err)
	}
	if opts.Router == nil {
		everyone := NewRouter(RouterConfig{})
		opts.Router = func(uint8) *Router { return everyone }
	}
	c := &Conn{opts: opts}
	c.port = port[*rawSocket]{
		ifname:  ifname,
		links:   links,
		open:    openRaw,
		changed: c.interfaceChanged,
		report:  opts.OnChange,
		wake:    make(chan struct{}, 1),
	}
	if err := c.port.dial(); err != nil {
		links.Close()
		return nil, fmt.Errorf("listen for VRRP: %w", err)
	}
	c.refreshPrimary()
	return c, nil
}

// Close releases the sockets. Call it after Run has returned and the last
// advertisement is sent.
func (c *Conn) Close() error { return c.port.close() }

// PrimaryAddr is the address that advertisements are sent from: the first IPv4
// address of the interface that is not virtual. It is the zero Addr while there
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
	ip, err := c.port.links.PrimaryIPv4(c.port.ifname, c.opts.Virtual)
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

// Send sends one advertisement to the group or, one packet each, to the peers of
// its Router. It never blocks: when the interface cannot take a packet now, that
// is an error, and the other peers get theirs.
func (c *Conn) Send(a vrrp.Advert) error {
	err := c.send(a)
	if err != nil {
		return fmt.Errorf("send advertisement of VRID %d: %w", a.VRID, err)
	}
	return nil
}

func (c *Conn) send(a vrrp.Advert) error {
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
	var errs []error
	for _, dst := range r.destinations() {
		b, err := r.append(make([]byte, 0, 128), a, src, dst)
		if err != nil {
			return err
		}
		if err := o.sock.send(b, src, dst, o.link.Index); err != nil {
			errs = append(errs, fmt.Errorf("interface %s, to %v: %w", c.port.ifname, dst, err))
		}
	}
	return errors.Join(errs...)
}

// Waiting says whether packets have arrived that Run's function was not given yet.
func (c *Conn) Waiting() bool {
	if c.judging.Load() {
		return true
	}
	o := c.port.current.Load()
	return o != nil && o.sock.waiting()
}

// Run receives until ctx is done and then returns nil; Send still works after
// that, for the goodbye. f gets every advertisement that passes the checks of
// RFC 9568, section 7.1. An interface that goes and comes back does not end Run.
func (c *Conn) Run(ctx context.Context, f func(Packet)) error {
	err := c.port.run(ctx, func(s *rawSocket, link netif.Link) error {
		return c.receive(s, link, f)
	})
	if err != nil {
		return fmt.Errorf("receive VRRP: %w", err)
	}
	return nil
}

// receive reads until the socket fails.
func (c *Conn) receive(s *rawSocket, link netif.Link, f func(Packet)) error {
	// The interface may have other addresses than the one it replaces.
	c.refreshPrimary()
	msgs := newBatch()
	var cm ipv4.ControlMessage
	for {
		n, err := s.ReadBatch(msgs, 0)
		at := time.Now()
		if err != nil {
			return err
		}
		c.judging.Store(true)
		for _, m := range msgs[:n] {
			// Before the socket was bound it could hear other interfaces.
			if err := cm.Parse(m.OOB[:m.NN]); err != nil || cm.IfIndex != link.Index {
				continue
			}
			p, err := judge(at, m.Buffers[0][:m.N], c.PrimaryAddr(), c.opts.Router)
			if reason, dropped := errors.AsType[vrrp.DropReason](err); dropped {
				c.drop(at, reason, p.Src)
				continue
			}
			f(p)
		}
		c.judging.Store(false)
	}
}

// drop counts a discarded packet.
func (c *Conn) drop(at time.Time, reason vrrp.DropReason, src netip.Addr) {
	total := c.drops[reason].Add(1)
	if c.opts.OnDrop == nil || at.Sub(c.reported[reason]) < dropReportInterval {
		return
	}
	c.reported[reason] = at
	c.opts.OnDrop(Drop{Reason: reason, Src: src, Total: total})
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
