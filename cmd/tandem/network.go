package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"tandem/configs"
	"tandem/director"
	"tandem/internal/netif"
	"tandem/internal/realtime"
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
	node   string // which director this is
	links  *netif.Handle
	log    *slog.Logger
	// changed is told of link and address events, beside the director.
	changed func()
	wg      sync.WaitGroup

	poller *wire.Poller
	loop   *vrrprunner.Loop // of all elections, on all segments
	ready  chan struct{}
	failed chan error // the first part of a segment that ended before its time

	mu       sync.Mutex
	director *director.Director
	segments map[string]*segment
	devices  map[string]*device // the segments of virtual MACs

	// routers are how the advertisements of the configuration that was prepared last
	// travel. The keys are in them.
	routers map[director.RouterID]wire.RouterConfig

	// virtual is every virtual IP of the configurations in force. It has no lock: segments ask
	// for it while they are opened.
	virtual atomic.Pointer[map[netip.Addr]bool]
}

// segment is one interface.
type segment struct {
	name     string
	conn     *wire.Conn // nil: no advertisements here
	arp      *wire.Announcer
	repeater *wire.Repeater

	// elections are by VRID. They have no lock: the thread of the elections reads them.
	elections [256]atomic.Pointer[election]
}

// newNetwork starts the thread of the elections: onThread runs a function on the
// thread that is to be theirs, and returns when it has returned.
func newNetwork(node string, links *netif.Handle, changed func(), onThread func(func()), log *slog.Logger) (*network, error) {
	poller, err := wire.NewPoller()
	if err != nil {
		return nil, err
	}
	n := &network{
		node:     node,
		links:    links,
		changed:  changed,
		log:      log.With("part", "network"),
		poller:   poller,
		ready:    make(chan struct{}),
		failed:   make(chan error, 1),
		segments: make(map[string]*segment),
		devices:  make(map[string]*device),
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.virtual.Store(&map[netip.Addr]bool{})
	elections := log.With("part", "election")
	n.loop = vrrprunner.NewLoop(vrrprunner.LoopOptions{
		Network: poller,
		Thread:  func() { preferElections(elections) },
		Log:     elections,
	})
	n.goRun("elections", func(ctx context.Context) (err error) {
		onThread(func() { err = n.loop.Run(ctx) })
		return err
	})
	return n, nil
}

// preferElections puts the calling thread before all else. Without it elections
// work, and are late when the machine is busy.
func preferElections(log *slog.Logger) {
	// One processor of the Go scheduler more than the machine has: whatever the rest of
	// the daemon does, one is left when a packet arrives or a timer runs out.
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	for _, err := range []error{realtime.Thread(), realtime.LockMemory()} {
		if err != nil {
			log.Warn("elections may be late when the machine is busy", "err", err)
		}
	}
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
	for _, dev := range n.devices {
		dev.cancel()
		dev.outlet.Close()
	}
	n.poller.Close()
}

// state is the links as the director wants them.
func (n *network) state() (map[string]director.Link, error) {
	list, err := n.links.Links()
	if err != nil {
		return nil, err
	}
	held, err := n.links.Addresses()
	if err != nil {
		return nil, err
	}
	out := make(map[string]director.Link, len(list))
	for _, l := range list {
		out[l.Name] = director.Link{Up: l.Up}
	}
	for _, a := range held {
		ip := a.Prefix.Addr()
		if l, ok := out[a.Interface]; ok && !l.Primary.IsValid() && ip.Is4() && !n.isVirtual(ip) {
			l.Primary = ip
			out[a.Interface] = l
		}
	}
	return out, nil
}

func (n *network) isVirtual(ip netip.Addr) bool {
	return (*n.virtual.Load())[ip]
}

// drops counts what was discarded on every segment.
func (n *network) drops() []director.DropStatus {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []director.DropStatus
	for _, name := range slices.Sorted(maps.Keys(n.segments)) {
		conn := n.segments[name].conn
		if conn == nil {
			continue
		}
		drops := conn.Drops()
		for _, reason := range slices.Sorted(maps.Keys(drops)) {
			out = append(out, director.DropStatus{Interface: name, Reason: reason.String(), Packets: drops[reason]})
		}
	}
	return out
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
	n.mu.Lock()
	defer n.mu.Unlock()
	n.useOutlets(list)
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
		if s, err = n.openSegment(name, n.goRun); err != nil {
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

// openSegment opens an interface for announcements. run runs a part of it until the
// end.
func (n *network) openSegment(name string, run func(string, func(context.Context) error)) (*segment, error) {
	arp, err := wire.NewAnnouncer(name, func(err error) {
		n.log.Warn("ARP", "interface", name, "usable", err == nil, "err", err)
	})
	if err != nil {
		return nil, err
	}
	s := &segment{name: name, arp: arp}
	s.repeater = wire.NewRepeater(
		arp.Announce,
		func(ip netip.Addr) wire.Standing { return n.standing(name, ip) },
		func(ip netip.Addr, err error) {
			n.log.Warn("address was not announced", "address", ip, "interface", name, "err", err)
		})
	run("announcements on "+name, s.repeater.Run)
	run("ARP on "+name, func(ctx context.Context) error {
		return arp.Watch(ctx, func(c wire.Conflict) {
			n.tell(func(d *director.Director) { d.AddressClaimed(c.At, c.IP, name, c.MAC.String()) })
		})
	})
	return s, nil
}

func (n *network) openConn(s *segment) error {
	conn, err := n.poller.Listen(s.name, wire.Options{
		Virtual:  n.isVirtual,
		Router:   s.router,
		OnPacket: s.receive,
		OnDrop: func(d wire.Drop) {
			n.log.Warn("packets dropped", "interface", s.name, "reason", d.Reason.String(), "from", d.Src, "total", d.Total)
		},
		OnChange: func(err error) { n.log.Warn("advertisements", "interface", s.name, "usable", err == nil, "err", err) },
	})
	if err != nil {
		return err
	}
	s.conn = conn
	n.goRun("advertisements on "+s.name, conn.Run)
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

func (n *network) standing(name string, ip netip.Addr) wire.Standing {
	n.mu.Lock()
	d := n.director
	n.mu.Unlock()
	if d == nil {
		return wire.Lost
	}
	held, fresh := d.HoldsIP(ip, name)
	switch {
	case !held:
		return wire.Lost
	case !fresh:
		return wire.Doubtful
	}
	return wire.Held
}

func (s *segment) election(vrid uint8) *election { return s.elections[vrid].Load() }

// router is how the advertisements of a VRID travel.
func (s *segment) router(vrid uint8) *wire.Router {
	if e := s.election(vrid); e != nil {
		return e.router
	}
	return nil
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
	network *network
	router  *wire.Router
	events  director.ElectionEvents
	close   func()
}

// Reconfigure replaces the configuration by one that was prepared. What is sent
// and accepted changes first; advertisements do not pause.
func (e *election) Reconfigure(r configs.VirtualRouter, c vrrp.Config) {
	e.router.Set(e.network.router(r))
	e.Runner.Reconfigure(c)
}

// Close ends the election without a goodbye.
func (e *election) Close() { e.close() }

// prepare reads the keys of the newest of configurations, the last, and opens every
// interface that they name. They are all that is in force or about to be. What
// fails leaves segments open that nothing uses, which does no harm; keys and what
// counts as a virtual IP change only in the end.
func (n *network) prepare(cfgs ...*configs.Config) error {
	routers, err := wireRouters(cfgs[len(cfgs)-1], n.node)
	if err != nil {
		return err
	}
	virtual := make(map[netip.Addr]bool)
	var carriers []*segment
	for _, cfg := range cfgs {
		for _, r := range cfg.Routers {
			if _, err := n.open(r.Interface, true); err != nil {
				return fmt.Errorf("virtual router %s: %w", r.Name, err)
			}
			for _, a := range r.Addresses {
				s, err := n.open(a.Interface, false)
				if err != nil {
					return fmt.Errorf("virtual router %s, address %s: %w", r.Name, a.Prefix, err)
				}
				carriers = append(carriers, s)
				virtual[a.Prefix.Addr()] = true
			}
		}
		if cs := cfg.ConnectionSync; cs.Mode != configs.SyncOff {
			if _, err := n.links.Link(cs.Interface); err != nil {
				return fmt.Errorf("connection_sync: %w", err)
			}
		}
	}
	n.virtual.Store(&virtual)
	n.mu.Lock()
	for _, s := range n.segments {
		if s.conn != nil {
			s.conn.VirtualChanged()
		}
	}
	n.mu.Unlock()
	watched := slices.Collect(maps.Keys(virtual))
	for _, s := range carriers {
		s.arp.SetWatched(watched...)
	}
	n.mu.Lock()
	n.routers = routers
	n.mu.Unlock()
	return nil
}

// router is how the advertisements of a router are composed and judged.
func (n *network) router(r configs.VirtualRouter) wire.RouterConfig {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.routers[routerID(r)]
	c.Outlet = n.outletOf(r)
	return c
}

// newElection runs the election of a virtual router whose interfaces are open.
func (n *network) newElection(r configs.VirtualRouter, c vrrp.Config, events director.ElectionEvents) (director.Election, error) {
	s, err := n.open(r.Interface, true)
	if err != nil {
		return nil, err
	}
	e := &election{network: n, router: wire.NewRouter(n.router(r)), events: events}
	e.Runner = n.loop.Add(r.Name, c, vrrprunner.Options{
		Queue:      s.conn.Queue,
		OnRole:     events.Role,
		OnAnnounce: events.Announce,
	})
	s.elections[r.VRID].Store(e)
	e.close = sync.OnceFunc(func() {
		s.elections[r.VRID].CompareAndSwap(e, nil)
		e.Runner.Close()
	})
	return e, nil
}
