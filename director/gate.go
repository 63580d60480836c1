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
	"time"

	"tandem/configs"
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
	// holdCheck is how often an active router is asked whether it has its addresses.
	holdCheck = 250 * time.Millisecond
)

// gate decides when a virtual router takes part in its election: its
// interfaces are up, and nobody outside the election uses its addresses.
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
	log      *slog.Logger
	kick     chan struct{}

	// Only Run's goroutine uses these.
	primary  netip.Addr // that the election was started with; invalid: it was not
	unprobed int        // failed attempts to probe in a row

	mu    sync.Mutex
	cfg   configs.VirtualRouter
	own   netip.Addr // this director's address in the configuration
	heard bool       // an advertisement since the gate was last shut
	fault string     // why the router stays out; empty: it does not
}

func newGate(cfg configs.VirtualRouter, own netip.Addr, o Options) *gate {
	return &gate{
		failing: func(time.Time) string { return "" },
		links:   o.Links,
		probe:   o.Probe,
		log:     o.Log.With("part", "gate"),
		kick:    make(chan struct{}, 1),
		cfg:     cfg,
		own:     own,
	}
}

// Heard notes an advertisement of this virtual router.
func (g *gate) Heard() {
	g.mu.Lock()
	first := !g.heard
	g.heard = true
	g.mu.Unlock()
	if first {
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

// Fault is why the router stays out of its election, in words.
func (g *gate) Fault() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fault
}

// SetConfig replaces the configuration of the router, and this director's
// address in it.
func (g *gate) SetConfig(cfg configs.VirtualRouter, own netip.Addr) {
	g.mu.Lock()
	g.cfg, g.own = cfg, own
	g.mu.Unlock()
	g.Kick()
}

// Run opens and shuts the gate until ctx is done. It leaves the election as it
// is then.
func (g *gate) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	held := time.NewTicker(holdCheck)
	defer held.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case at := <-held.C:
			if fault := g.failing(at); fault != "" && g.primary.IsValid() {
				cfg, _ := g.config()
				g.shut(cfg, fault)
				timer.Reset(gateResync)
			}
			continue
		case <-g.kick:
		case <-timer.C:
		}
		timer.Reset(g.look(ctx))
	}
}

// config is the router's configuration, and this director's address in it.
func (g *gate) config() (configs.VirtualRouter, netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cfg, g.own
}

// look checks once and returns when to check again without being asked.
func (g *gate) look(ctx context.Context) time.Duration {
	cfg, own := g.config()
	links, err := g.links()
	if err != nil {
		g.log.Error("links could not be read; trying again", "router", cfg.Name, "err", err)
		return time.Second
	}
	if fault := linkFault(cfg, own, links); fault != "" {
		g.shut(cfg, fault)
		return gateResync
	}
	primary := links[cfg.Interface].Primary
	if g.primary.IsValid() {
		if g.primary != primary {
			g.open(primary)
		}
		return gateResync
	}
	fault, err := g.occupied(ctx, cfg)
	switch {
	case ctx.Err() != nil:
		return gateResync // the router is being shut down, nothing may start it
	case fault != "":
		g.shut(cfg, fault)
		return gateResync
	case err != nil && g.unprobed < probeTries:
		g.unprobed++
		return probeRetry
	case err != nil:
		g.log.Warn("joining the election without knowing whether another host uses an address", "router", cfg.Name, "err", oneLine(err))
	}
	g.open(primary)
	return gateResync
}

// shut keeps the router out of its election, or takes it out.
func (g *gate) shut(cfg configs.VirtualRouter, fault string) {
	joined := g.primary.IsValid()
	g.primary, g.unprobed = netip.Addr{}, 0
	g.mu.Lock()
	news := g.fault != fault
	g.fault = fault
	if joined {
		g.heard = false
	}
	g.mu.Unlock()
	if joined {
		g.election.Shutdown(fault, false)
	}
	if news {
		g.log.Error("the virtual router stays out of its election", "router", cfg.Name, "fault", fault)
	}
}

// open lets the router take part, or tells it its new primary address.
func (g *gate) open(primary netip.Addr) {
	g.primary, g.unprobed = primary, 0
	g.mu.Lock()
	g.fault = ""
	g.mu.Unlock()
	g.election.Startup(primary)
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
		case n == cfg.Interface && !l.Primary.IsValid():
			faults = append(faults, fmt.Sprintf("interface %s has no IPv4 address of its own to send advertisements from", n))
		case n == cfg.Interface && cfg.Transport == "unicast" && l.Primary != own:
			faults = append(faults, fmt.Sprintf("interface %s sends advertisements from its first address %s, and by unicast the peers accept them only from %s, the address of this director in the configuration",
				n, l.Primary, own))
		}
	}
	return strings.Join(faults, "; ")
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
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.heard {
		return "", nil
	}
	faults = slices.DeleteFunc(faults, func(s string) bool { return s == "" })
	return strings.Join(faults, "; "), cmp.Or(errs...)
}
