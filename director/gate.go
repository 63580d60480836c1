package director

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tandem/configs"
	healthrunner "tandem/healthcheck/runner"
	"tandem/internal/events"
)

const (
	// gateResync is how often a gate looks without being told to, and asks again
	// for an address that another host uses.
	gateResync = 5 * time.Second
	// A probe that could not be made is made again after probeRetry. After
	// probeTries the router joins unprobed: a segment that cannot be asked must
	// not keep the last director of a pair from serving.
	probeRetry = 200 * time.Millisecond
	probeTries = 5
)

// gate decides when a virtual router takes part in its election, and with which
// priority: its interfaces are up, what it tracks is well, the delay after the
// start of the process is over, and nobody outside the election uses its
// addresses. It alone starts, shuts and reconfigures a running election.
//
// An address is probed for (RFC 5227) only before the router joins, never
// before a takeover: a takeover must not wait, and a dead director's kernel may
// still answer for the address. A probe that finds a holder is no conflict when
// an advertisement of the router is heard: then the holder is the active.
type gate struct {
	election Election               // set before Run
	failing  func(time.Time) string // why it cannot hold its addresses, see holder.Failing
	links    func() (map[string]Link, error)
	probe    func(context.Context, string, netip.Addr) (net.HardwareAddr, error)
	groups   *groups
	things   Things
	checks   *healthrunner.Runner
	node     string
	started  time.Time // the process, see configs.VirtualRouter.StartupDelay
	events   *events.Log
	log      *slog.Logger
	kick     chan struct{}
	lapsed   chan struct{} // ask failing
	heard    atomic.Bool   // an advertisement since the gate was last shut

	// Only Run's goroutine uses these.
	primary  netip.Addr // that the election was started with; invalid: it was not
	unprobed int        // failed attempts to probe in a row
	weight   int        // that the election was told
	taken    string     // the conflict that the last probe found; empty: none

	mu       sync.Mutex
	cfg      configs.VirtualRouter
	own      netip.Addr        // this director's address in the configuration
	services []configs.Service // that the router tracks
	changed  bool              // the election was not told of cfg yet
	fault    string            // why the router stays out; empty: it does not
	waits    time.Time         // when startup_delay ends that keeps it out; zero: it does not
	priority uint8             // that the election was told
	tracked  Standing          // at the last look
}

func newGate(cfg configs.VirtualRouter, own netip.Addr, groups *groups, o Options) *gate {
	return &gate{
		failing: func(time.Time) string { return "" },
		groups:  groups,
		links:   o.Links,
		probe:   o.Probe,
		things:  o.Things,
		checks:  o.Checks,
		node:    o.Node,
		events:  o.Events,
		log:     o.Log.With("part", "gate"),
		kick:    make(chan struct{}, 1),
		lapsed:  make(chan struct{}, 1),
		cfg:     cfg,
		own:     own,

		priority: electionConfig(cfg, o.Node).Priority,
	}
}

// Heard notes an advertisement of this virtual router.
func (g *gate) Heard() {
	if !g.heard.Load() && !g.heard.Swap(true) {
		g.Kick()
	}
}

// Kick asks the gate to look again. It never blocks.
func (g *gate) Kick() {
	select {
	case g.kick <- struct{}{}:
	default:
	}
}

// Lapse says that the router may not hold its addresses. It never blocks.
func (g *gate) Lapse() {
	select {
	case g.lapsed <- struct{}{}:
	default:
	}
}

// Fault is why the router stays out of its election, in words.
func (g *gate) Fault() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fault
}

// Waits is when the delay after the start of the process ends that keeps the
// router out of its election; zero: it does not.
func (g *gate) Waits() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waits
}

// Priority is what the router elects with, weights included.
func (g *gate) Priority() uint8 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.priority
}

// Tracked is what the tracked things made of the router at the last look.
func (g *gate) Tracked() Standing {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.tracked
}

// SetConfig replaces the configuration of the router, this director's address in
// it, and the services of it that the router tracks.
func (g *gate) SetConfig(cfg configs.VirtualRouter, own netip.Addr, services []configs.Service) {
	g.mu.Lock()
	g.cfg, g.own, g.services, g.changed = cfg, own, services, true
	g.mu.Unlock()
	g.Kick()
}

// VerdictChanged wakes the gate if the verdicts of servers matter to it.
func (g *gate) VerdictChanged() {
	g.mu.Lock()
	matters := len(g.services) > 0
	g.mu.Unlock()
	if matters {
		g.Kick()
	}
}

// Run opens and shuts the gate until ctx is done. It leaves the election as it
// is then.
func (g *gate) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.lapsed:
			if fault := g.failing(time.Now()); fault != "" && g.primary.IsValid() {
				g.shut(g.config(), fault, false)
				timer.Reset(gateResync)
			}
			continue
		case <-g.kick:
		case <-timer.C:
		}
		timer.Reset(g.look(ctx))
	}
}

func (g *gate) config() configs.VirtualRouter {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cfg
}

// look checks once and returns when to check again without being asked.
func (g *gate) look(ctx context.Context) time.Duration {
	g.mu.Lock()
	cfg, source, services, changed := g.cfg, g.own, g.services, g.changed
	g.changed = false
	g.mu.Unlock()

	links, err := g.links()
	if err != nil {
		g.log.Error("links could not be read; trying again", "router", cfg.Name, "err", err)
		g.reconfigure(cfg, changed, g.weight)
		return time.Second
	}
	link, tracked := linkFault(cfg, source, links), g.weigh(cfg, services, links)
	own := finding{fault: joinFaults(link, tracked.Fault, g.taken), weight: tracked.Weight}
	others, weight := g.groups.Found(idOf(cfg), own)
	g.reconfigure(cfg, changed, weight)
	switch {
	case link != "":
		g.shut(cfg, joinFaults(link, tracked.Fault), false)
		return gateResync
	case tracked.Fault != "":
		// The router's own network is well: its successor takes over before it lets go.
		g.shut(cfg, tracked.Fault, true)
		return gateResync
	case others != "" && g.taken == "":
		g.shut(cfg, others, true)
		return gateResync
	}
	primary := links[cfg.Interface].source(cfg)
	if g.primary.IsValid() {
		if g.primary != primary {
			g.open(primary)
		}
		return gateResync
	}
	if until := g.started.Add(cfg.StartupDelay); time.Now().Before(until) {
		g.wait(cfg, until)
		return min(time.Until(until), gateResync)
	}
	fault, err := g.occupied(ctx, cfg)
	switch {
	case ctx.Err() != nil:
		return gateResync // the router is being shut down, nothing may start it
	case fault != "":
		g.taken = fault
		g.groups.Found(idOf(cfg), finding{fault, tracked.Weight})
		g.shut(cfg, fault, false)
		return gateResync
	case err != nil && g.unprobed < probeTries:
		g.unprobed++
		return probeRetry
	case err != nil:
		g.log.Warn("joining the election without knowing whether another host uses an address", "router", cfg.Name, "err", oneLine(err))
	}
	g.taken = ""
	if others, _ := g.groups.Found(idOf(cfg), finding{"", tracked.Weight}); others != "" {
		g.shut(cfg, others, true)
		return gateResync
	}
	g.open(primary)
	return gateResync
}

// weigh looks at what is tracked and notes what it makes of the router.
func (g *gate) weigh(cfg configs.VirtualRouter, services []configs.Service, links map[string]Link) Standing {
	s := g.standing(cfg, services, links)
	g.mu.Lock()
	defer g.mu.Unlock()
	tellTracked(g.events, cfg, g.tracked, s)
	g.tracked = s.since(g.tracked, time.Now())
	return g.tracked
}

// reconfigure tells the election its new configuration or priority, if there is
// one.
func (g *gate) reconfigure(cfg configs.VirtualRouter, changed bool, weight int) {
	c := electionConfig(cfg, g.node)
	base := c.Priority
	c.Priority = weighed(base, weight)
	before := weighed(base, g.weight)
	g.weight = weight
	if c.Priority != before {
		g.log.Warn("priority weighed", "router", cfg.Name, "priority", c.Priority, "configured", base)
	}
	g.mu.Lock()
	told := g.priority
	g.priority = c.Priority
	g.mu.Unlock()
	if told != c.Priority {
		tellPriority(g.events, cfg, told, c.Priority, base)
	}
	if changed || c.Priority != before {
		g.election.Reconfigure(cfg, c)
	}
}

// shut keeps the router out of its election, or takes it out, holding its
// addresses until its successor is there if handOver.
func (g *gate) shut(cfg configs.VirtualRouter, fault string, handOver bool) {
	joined := g.primary.IsValid()
	g.primary, g.unprobed = netip.Addr{}, 0
	news := g.setFault(cfg, fault, time.Time{})
	if joined {
		g.heard.Store(false)
		g.election.Shutdown(fault, handOver)
	}
	if news {
		g.log.Error("the virtual router stays out of its election", "router", cfg.Name, "fault", fault)
	}
}

// wait leaves a router out that has not joined yet, without a fault: a machine
// that has just started listens until it has settled.
func (g *gate) wait(cfg configs.VirtualRouter, until time.Time) {
	if g.Waits().IsZero() {
		g.log.Info("waiting before it joins the election", "router", cfg.Name, "startup_delay", cfg.StartupDelay)
	}
	g.setFault(cfg, "", until)
}

// open lets the router take part, or tells it its new primary address.
func (g *gate) open(primary netip.Addr) {
	g.primary, g.unprobed = primary, 0
	g.setFault(g.config(), "", time.Time{})
	g.election.Startup(primary)
}

// setFault takes down why the router stays out, and says whether the fault is
// another one than before.
func (g *gate) setFault(cfg configs.VirtualRouter, fault string, waits time.Time) (news bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	old := g.fault
	g.fault, g.waits = fault, waits
	tellFault(g.events, cfg, g.priority, old, fault)
	return old != fault
}

// linkFault is why a router's interfaces do not allow it to run, in words. own is
// this director's address in the configuration: by unicast, the peers accept no
// other.
func linkFault(cfg configs.VirtualRouter, own netip.Addr, links map[string]Link) string {
	names := []string{cfg.Interface}
	for _, a := range cfg.Addresses {
		if !slices.Contains(names, a.Interface) {
			names = append(names, a.Interface)
		}
	}
	var faults []string
	for _, n := range names {
		switch l, ok := links[n]; {
		case !ok:
			faults = append(faults, fmt.Sprintf("interface %s does not exist", n))
		case !l.Up:
			faults = append(faults, fmt.Sprintf("interface %s is down or has no carrier", n))
		case n == cfg.Interface && !l.source(cfg).IsValid():
			kind := "IPv4"
			if cfg.IPv6() {
				kind = "IPv6 link-local"
			}
			faults = append(faults, fmt.Sprintf("interface %s has no %s address of its own to send advertisements from", n, kind))
		case n == cfg.Interface && cfg.Transport == "unicast" && l.source(cfg) != own:
			faults = append(faults, fmt.Sprintf("interface %s sends advertisements from its address %s, and by unicast the peers accept them only from %s, the address of this director in the configuration",
				n, l.source(cfg), own))
		}
	}
	return joinFaults(faults...)
}

// joinFaults is those faults that there are.
func joinFaults(faults ...string) string {
	return strings.Join(slices.DeleteFunc(faults, func(s string) bool { return s == "" }), "; ")
}

// occupied asks the segments whether another host uses one of the addresses. It
// is no fault once the router's active has been heard.
func (g *gate) occupied(ctx context.Context, cfg configs.VirtualRouter) (fault string, err error) {
	faults := make([]string, len(cfg.Addresses))
	errs := make([]error, len(cfg.Addresses))
	var wg sync.WaitGroup
	for i, a := range cfg.Addresses {
		wg.Go(func() {
			mac, err := g.probe(ctx, a.Interface, a.Prefix.Addr())
			if mac != nil {
				faults[i] = fmt.Sprintf("address %s is used by another host, %s on %s, that sends no advertisements of virtual router %d: free it there or take it out of the configuration",
					a.Prefix.Addr(), mac, a.Interface, cfg.VRID)
			}
			errs[i] = err
		})
	}
	wg.Wait()
	if g.heard.Load() {
		return "", nil
	}
	return joinFaults(faults...), cmp.Or(errs...)
}
