package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"tandem/configs"
	"tandem/director"
	"tandem/internal/netif"
	"tandem/vrrp"
	vrrprunner "tandem/vrrp/runner"
	"tandem/vrrp/wire"
)

// network is the director's interfaces: one segment for each that carries
// advertisements or virtual IPs. Segments are opened when first needed, before
// or after a reload, and stay until the end.
type network struct {
	ctx    context.Context // of everything that runs on the segments
	cancel context.CancelFunc
	links  *netif.Handle
	log    *slog.Logger
	// changed is told of link and address events, beside the director.
	changed func()
	wg      sync.WaitGroup

	elections *slog.Logger
	ready     chan struct{}
	failed    chan error // the first part of a segment that ended before its time

	mu       sync.Mutex
	director *director.Director
	segments map[string]*segment

	// virtual is every virtual IP since the start. It has no lock: segments ask
	// for it while they are opened.
	virtual atomic.Pointer[map[netip.Addr]bool]
}

// segment is one interface.
type segment struct {
	name     string
	conn     *wire.Conn // nil: no advertisements here
	arp      *wire.Announcer
	repeater *wire.Repeater

	mu        sync.Mutex
	elections map[uint8]*election
}

func newNetwork(links *netif.Handle, changed func(), log *slog.Logger) *network {
	n := &network{
		links:     links,
		changed:   changed,
		log:       log.With("part", "network"),
		elections: log.With("part", "election"),
		ready:     make(chan struct{}),
		failed:    make(chan error, 1),
		segments:  make(map[string]*segment),
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.virtual.Store(&map[netip.Addr]bool{})
	return n
}

// attach says who is told of link changes and ARP conflicts.
func (n *network) attach(d *director.Director) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.director = d
}

func (n *network) tell(f func(*director.Director)) {
	n.mu.Lock()
	d := n.director
	n.mu.Unlock()
	if d != nil {
		f(d)
	}
}

func (n *network) String() string { return "network" }

// Ready is closed when link events are received.
func (n *network) Ready() <-chan struct{} { return n.ready }

// Run receives link and address events until ctx is done, or until a segment
// cannot be used any more: a director that is deaf must not go on.
func (n *network) Run(ctx context.Context) error {
	sub, err := n.links.Subscribe()
	if err != nil {
		return err
	}
	close(n.ready)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return sub.Run(ctx, func(netif.Event) {
			n.tell((*director.Director).LinksChanged)
			n.changed()
		})
	})
	g.Go(func() error {
		select {
		case err := <-n.failed:
			return err
		case <-ctx.Done():
			return nil
		}
	})
	return g.Wait()
}

// close ends what runs on the segments and closes them.
func (n *network) close() {
	n.cancel()
	n.wg.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.segments {
		if s.conn != nil {
			s.conn.Close()
		}
		s.arp.Close()
	}
}

// state is the links as the director wants them.
func (n *network) state() (map[string]director.Link, error) {
	list, err := n.links.Links()
	if err != nil {
		return nil, err
	}
	out := make(map[string]director.Link, len(list))
	for _, l := range list {
		primary, err := n.links.PrimaryIPv4(l.Name, n.isVirtual)
		if err != nil && !errors.Is(err, netif.ErrNoAddress) && !errors.Is(err, netif.ErrNoInterface) {
			return nil, err
		}
		out[l.Name] = director.Link{Up: l.Up, Primary: primary}
	}
	return out, nil
}

func (n *network) isVirtual(ip netip.Addr) bool {
	return (*n.virtual.Load())[ip]
}

// probe asks an interface's segment who has an address.
func (n *network) probe(ctx context.Context, name string, ip netip.Addr) (net.HardwareAddr, error) {
	s, err := n.segment(name)
	if err != nil {
		return nil, err
	}
	return s.arp.Probe(ctx, ip)
}

// Announce announces addresses now and again as long as they are held.
func (n *network) Announce(list []configs.VirtualAddress) {
	n.each(list, func(s *segment, ip netip.Addr) { s.repeater.Announce(ip) })
}

// Cancel ends the repeats.
func (n *network) Cancel(list []configs.VirtualAddress) {
	n.each(list, func(s *segment, ip netip.Addr) { s.repeater.Cancel(ip) })
}

// Defend announces an address once.
func (n *network) Defend(a configs.VirtualAddress) error {
	s, err := n.segment(a.Interface)
	if err != nil {
		return err
	}
	return s.arp.Announce(a.Prefix.Addr())
}

func (n *network) segment(name string) (*segment, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s, ok := n.segments[name]; ok {
		return s, nil
	}
	return nil, fmt.Errorf("%s: %w", name, errNoSegment)
}

func (n *network) each(list []configs.VirtualAddress, f func(*segment, netip.Addr)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range list {
		if s, ok := n.segments[a.Interface]; ok {
			f(s, a.Prefix.Addr())
		}
	}
}

// open opens the segment of an interface, for advertisements too if adverts.
func (n *network) open(name string, adverts bool) (*segment, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s, ok := n.segments[name]
	if !ok {
		var err error
		if s, err = n.openSegment(name); err != nil {
			return nil, err
		}
		n.segments[name] = s
	}
	if adverts && s.conn == nil {
		if err := n.openConn(s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (n *network) openSegment(name string) (*segment, error) {
	arp, err := wire.NewAnnouncer(name, func(err error) {
		n.log.Warn("ARP", "interface", name, "usable", err == nil, "err", err)
	})
	if err != nil {
		return nil, err
	}
	s := &segment{name: name, arp: arp, elections: make(map[uint8]*election)}
	s.repeater = wire.NewRepeater(
		arp.Announce,
		func(ip netip.Addr) bool { return n.held(name, ip) },
		func(ip netip.Addr, err error) {
			n.log.Warn("address was not announced", "address", ip, "interface", name, "err", err)
		})
	n.goRun("announcements on "+name, s.repeater.Run)
	n.goRun("ARP on "+name, func(ctx context.Context) error {
		return arp.Watch(ctx, func(c wire.Conflict) {
			n.tell(func(d *director.Director) { d.AddressClaimed(c.At, c.IP, name, c.MAC.String()) })
		})
	})
	return s, nil
}

func (n *network) openConn(s *segment) error {
	conn, err := wire.Listen(s.name, wire.Options{
		Virtual: n.isVirtual,
		Known:   func(vrid uint8) bool { return s.election(vrid) != nil },
		OnDrop: func(d wire.Drop) {
			n.log.Warn("packets dropped", "interface", s.name, "reason", d.Reason.String(), "from", d.Src, "total", d.Total)
		},
		OnChange: func(err error) { n.log.Warn("advertisements", "interface", s.name, "usable", err == nil, "err", err) },
	})
	if err != nil {
		return err
	}
	s.conn = conn
	n.goRun("advertisements on "+s.name, func(ctx context.Context) error {
		return conn.Run(ctx, s.receive)
	})
	return nil
}

// goRun runs a part of a segment until the end.
func (n *network) goRun(what string, run func(context.Context) error) {
	n.wg.Go(func() {
		if err := run(n.ctx); err != nil && n.ctx.Err() == nil {
			select {
			case n.failed <- fmt.Errorf("%s: %w", what, err):
			default: // one is enough
			}
		}
	})
}

func (n *network) held(name string, ip netip.Addr) bool {
	n.mu.Lock()
	d := n.director
	n.mu.Unlock()
	return d != nil && d.HoldsIP(ip, name)
}

func (s *segment) election(vrid uint8) *election {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.elections[vrid]
}

func (s *segment) receive(p wire.Packet) {
	if e := s.election(p.Advert.VRID); e != nil {
		e.events.Heard()
		e.Receive(p.At, vrrp.Received{Advert: p.Advert, Src: p.Src})
	}
}

// election is a runner on its segment.
type election struct {
	*vrrprunner.Runner
	events director.ElectionEvents
	close  func()
}

// Close ends the election without a goodbye.
func (e *election) Close() { e.close() }

// prepare opens every interface that a configuration names. What fails leaves
// segments open that nothing uses, which does no harm.
func (n *network) prepare(cfg *configs.Config) error {
	virtual := maps.Clone(*n.virtual.Load())
	for _, r := range cfg.Routers {
		for _, a := range r.Addresses {
			virtual[a.Prefix.Addr()] = true
		}
	}
	n.virtual.Store(&virtual)
	watched := slices.Collect(maps.Keys(virtual))
	for _, r := range cfg.Routers {
		if _, err := n.open(r.Interface, true); err != nil {
			return fmt.Errorf("virtual router %s: %w", r.Name, err)
		}
		for _, a := range r.Addresses {
			s, err := n.open(a.Interface, false)
			if err != nil {
				return fmt.Errorf("virtual router %s, address %s: %w", r.Name, a.Prefix, err)
			}
			s.arp.SetWatched(watched...)
		}
	}
	return nil
}

// newElection runs the election of a virtual router whose interfaces are open.
func (n *network) newElection(r configs.VirtualRouter, c vrrp.Config, events director.ElectionEvents) (director.Election, error) {
	s, err := n.open(r.Interface, true)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(n.ctx)
	e := &election{events: events}
	e.Runner = vrrprunner.New(r.Name, c, vrrprunner.Options{
		Send:       s.conn.Send,
		OnRole:     events.Role,
		OnAnnounce: events.Announce,
		Log:        n.elections,
	})
	s.mu.Lock()
	s.elections[r.VRID] = e
	s.mu.Unlock()
	done := make(chan struct{})
	e.close = sync.OnceFunc(func() {
		s.mu.Lock()
		if s.elections[r.VRID] == e {
			delete(s.elections, r.VRID)
		}
		s.mu.Unlock()
		cancel()
		<-done
	})
	n.wg.Go(func() {
		defer close(done)
		if err := e.Run(ctx); err != nil {
			n.log.Error("election ended", "router", r.Name, "err", err)
		}
	})
	return e, nil
}
