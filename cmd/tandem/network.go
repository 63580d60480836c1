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
	"time"

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
	record string // directory for what elections go through; empty: not recorded
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

	// routers are how the advertisements of the configuration in force travel, and
	// prepared those of the one that was prepared last. The keys are in them. generation
	// counts the configurations in force, from 1.
	routers, prepared map[director.RouterID]wire.RouterConfig
	generation        uint64

	view view
	// virtual is every virtual IP of the configurations in force. It has no lock: segments ask
	// for it while they are opened.
	virtual atomic.Pointer[map[netip.Addr]bool]
}

// segment is one interface.
type segment struct {
	name      string
	announcer *wire.Announcer
	repeater  *wire.Repeater
	adverts   map[bool]*adverts // by whether they travel over IPv6; none: not here
}

// adverts are the advertisements of one family on a segment.
type adverts struct {
	conn *wire.Conn
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
	// The Go scheduler has more processors than the machine: when the thread comes back
	// from the kernel it needs a free one, and must not wait for what the rest of the
	// daemon is doing.
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 4)
	if err := realtime.Favour(); err != nil {
		log.Debug("the daemon's other threads are not put before others", "err", err)
	}
	for _, err := range []error{realtime.Thread(), realtime.LockMemory()} {
		if err != nil {
			log.Warn("elections may be late when the machine is busy", "err", err)
		}
	}
}

// attach says who is told of link changes and conflicts.
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
		return sub.Run(ctx, func(ev netif.Event) {
			if n.ofVirtual(ev) {
				n.tell((*director.Director).AddressesChanged)
			} else {
				n.view.invalidate()
				n.tell((*director.Director).LinksChanged)
			}
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
		for _, a := range s.adverts {
			a.conn.Close()
		}
		s.announcer.Close()
	}
	for _, dev := range n.devices {
		dev.cancel()
		dev.outlet.Close()
	}
	n.poller.Close()
}

// ofVirtual says whether an event is about nothing but a virtual IP. A takeover
// brings one for each, and they say nothing of the links.
func (n *network) ofVirtual(ev netif.Event) bool {
	switch ev := ev.(type) {
	case netif.AddressAdded:
		return n.isVirtual(ev.Address.Prefix.Addr())
	case netif.AddressRemoved:
		return n.isVirtual(ev.Address.Prefix.Addr())
	}
	return false
}

// viewAge is how old a view of the links may be, should an event of a change have
// been lost.
const viewAge = time.Second

// view is the latest view of the links. Every virtual router asks for one, all of
// them at the same moments.
type view struct {
	mu    sync.Mutex
	at    time.Time // zero: there is none, or it is out of date
	links map[string]director.Link
}

func (v *view) invalidate() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.at = time.Time{}
}

// state is the links as the director wants them. The result is shared, and must not
// be changed.
func (n *network) state() (map[string]director.Link, error) {
	n.view.mu.Lock()
	defer n.view.mu.Unlock()
	if now := time.Now(); now.Sub(n.view.at) > viewAge {
		links, err := n.look()
		if err != nil {
			return nil, err
		}
		n.view.at, n.view.links = now, links
	}
	return n.view.links, nil
}

// look asks the kernel for the links.
func (n *network) look() (map[string]director.Link, error) {
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
		l, ok := out[a.Interface]
		switch {
		case !ok || n.isVirtual(ip):
			continue
		case ip.Is4() && !l.Primary.IsValid():
			l.Primary = ip
		case a.LinkLocal: // the last one is the oldest
			l.Primary6 = ip
		}
		out[a.Interface] = l
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
		for _, ipv6 := range []bool{false, true} {
			a := n.segments[name].adverts[ipv6]
			if a == nil {
				continue
			}
			drops := a.conn.Drops()
			for _, reason := range slices.Sorted(maps.Keys(drops)) {
				out = append(out, director.DropStatus{Interface: name, IPv6: ipv6, Reason: reason.String(), Packets: drops[reason]})
			}
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
	return s.announcer.Probe(ctx, ip)
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
	return s.announcer.Announce(a.Prefix.Addr())
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

// open opens the segment of an interface.
func (n *network) open(name string) (*segment, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s, ok := n.segments[name]
	if !ok {
		var err error
		if s, err = n.openSegment(name, name, n.goRun); err != nil {
			return nil, err
		}
		n.segments[name] = s
	}
	return s, nil
}

// openAdverts opens the segment of a virtual router for the advertisements of its
// family.
func (n *network) openAdverts(r configs.VirtualRouter) (*adverts, error) {
	s, err := n.open(r.Interface)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if a, ok := s.adverts[r.IPv6()]; ok {
		return a, nil
	}
	a, err := n.listen(s.name, r.IPv6())
	if err != nil {
		return nil, err
	}
	s.adverts[r.IPv6()] = a
	return a, nil
}

// openSegment opens an interface for announcements, where the kernel forwards IPv6 as
// on the interface called router. run runs a part of it until the end.
func (n *network) openSegment(name, router string, run func(string, func(context.Context) error)) (*segment, error) {
	announcer, err := wire.NewAnnouncer(name, wire.AnnouncerOptions{
		Report: func(err error) { n.log.Warn("neighbours", "interface", name, "usable", err == nil, "err", err) },
		Router: func() bool { return forwardsIPv6(router) },
	})
	if err != nil {
		return nil, err
	}
	s := &segment{name: name, announcer: announcer, adverts: make(map[bool]*adverts)}
	s.repeater = wire.NewRepeater(
		announcer.Announce,
		func(ip netip.Addr) wire.Standing { return n.standing(name, ip) },
		func(ip netip.Addr, err error) {
			n.log.Warn("address was not announced", "address", ip, "interface", name, "err", err)
		})
	run("announcements on "+name, s.repeater.Run)
	run("neighbours on "+name, func(ctx context.Context) error {
		return announcer.Watch(ctx, func(c wire.Conflict) {
			n.tell(func(d *director.Director) { d.AddressClaimed(c.At, c.IP, name, c.MAC.String()) })
		})
	})
	return s, nil
}

func (n *network) listen(name string, ipv6 bool) (*adverts, error) {
	a := &adverts{}
	conn, err := n.poller.Listen(name, wire.Options{
		IPv6:     ipv6,
		Virtual:  n.isVirtual,
		Router:   a.router,
		OnPacket: a.receive,
		OnDrop: func(d wire.Drop) {
			n.log.Warn("packets dropped", "interface", name, "reason", d.Reason.String(), "from", d.Src, "total", d.Total)
		},
		OnChange: func(err error) {
			n.log.Warn("advertisements", "interface", name, "ipv6", ipv6, "usable", err == nil, "err", err)
		},
	})
	if err != nil {
		return nil, err
	}
	a.conn = conn
	n.goRun("advertisements on "+name, conn.Run)
	return a, nil
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

func (a *adverts) election(vrid uint8) *election { return a.elections[vrid].Load() }

// router is how the advertisements of a VRID travel.
func (a *adverts) router(vrid uint8) *wire.Router {
	if e := a.election(vrid); e != nil {
		return e.router
	}
	return nil
}

func (a *adverts) receive(p wire.Packet) {
	if e := a.election(p.Advert.VRID); e != nil {
		e.events.Heard()
		e.Receive(p.At, vrrp.Received{Advert: p.Advert, Src: p.Src})
	}
}

// election is a runner on its segment.
type election struct {
	*vrrprunner.Runner
	network *network
	router  *wire.Router
	// generation is of the configuration that router has; 0: it was prepared and not in
	// force. Only the router's gate uses it.
	generation uint64
	events     director.ElectionEvents
	close      func()
}

// Reconfigure replaces the configuration by one that was prepared. What is sent
// and accepted changes first; advertisements do not pause.
func (e *election) Reconfigure(r configs.VirtualRouter, c vrrp.Config) {
	e.network.update(e, r)
	e.Runner.Reconfigure(c)
}

// Close ends the election without a goodbye.
func (e *election) Close() { e.close() }

// update has an election compose and judge as the configuration in force says, if
// that is another one than before. With another priority alone it is not, and the
// thread of the elections need not share a lock.
func (n *network) update(e *election, r configs.VirtualRouter) {
	n.mu.Lock()
	current := n.generation
	n.mu.Unlock()
	if e.generation != current {
		e.generation = current
		e.router.Set(n.router(r))
	}
}

// commit makes what was prepared last, for cfg, the configuration in force.
func (n *network) commit(cfg *configs.Config) {
	virtual := make(map[netip.Addr]bool)
	for _, r := range cfg.Routers {
		for _, a := range r.Addresses {
			virtual[a.Prefix.Addr()] = true
		}
	}
	n.setVirtual(virtual)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.routers = n.prepared
	n.generation++
}

// setVirtual says which addresses are virtual.
func (n *network) setVirtual(virtual map[netip.Addr]bool) {
	n.virtual.Store(&virtual)
	n.view.invalidate()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.segments {
		for _, a := range s.adverts {
			a.conn.VirtualChanged()
		}
	}
}

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
			if _, err := n.openAdverts(r); err != nil {
				return fmt.Errorf("virtual router %s: %w", r.Name, err)
			}
			for _, a := range r.Addresses {
				s, err := n.open(a.Interface)
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
	n.setVirtual(virtual)
	watched := slices.Collect(maps.Keys(virtual))
	for _, s := range carriers {
		s.announcer.SetWatched(watched...)
	}
	n.mu.Lock()
	n.prepared = routers
	n.mu.Unlock()
	return nil
}

// router is how the advertisements of a router are composed and judged.
func (n *network) router(r configs.VirtualRouter) wire.RouterConfig {
	n.mu.Lock()
	defer n.mu.Unlock()
	c, ok := n.routers[routerID(r)]
	if !ok { // it is new
		c = n.prepared[routerID(r)]
	}
	c.Outlet = n.outletOf(r)
	return c
}

// newElection runs the election of a virtual router whose interfaces are open.
func (n *network) newElection(r configs.VirtualRouter, c vrrp.Config, events director.ElectionEvents) (director.Election, error) {
	a, err := n.openAdverts(r)
	if err != nil {
		return nil, err
	}
	record, endRecording, err := n.recording(r, c)
	if err != nil {
		return nil, err
	}
	e := &election{network: n, router: wire.NewRouter(n.router(r)), events: events}
	e.Runner = n.loop.Add(r.Name, c, vrrprunner.Options{
		Queue:      a.conn.Queue,
		OnRole:     events.Role,
		OnAnnounce: events.Announce,
		Record:     record,
	})
	a.elections[r.VRID].Store(e)
	e.close = sync.OnceFunc(func() {
		a.elections[r.VRID].CompareAndSwap(e, nil)
		e.Runner.Close()
		endRecording()
	})
	return e, nil
}
