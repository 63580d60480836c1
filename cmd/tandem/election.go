package main

import (
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"runtime"
	"slices"
	"sync"

	"tandem/configs"
	"tandem/director"
	"tandem/internal/realtime"
	"tandem/vrrp"
	vrrprunner "tandem/vrrp/runner"
	"tandem/vrrp/wire"
)

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
