package director

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/configs"
	"tandem/internal/events"
	"tandem/vrrp"
)

// gating is a gate that runs against a world.
type gating struct {
	*gate
	w *world
	e *fakeElection
}

func gateOf(t *testing.T, w *world, cfg configs.VirtualRouter) *gating {
	t.Helper()
	o := w.options(config(t, routerWeb))
	g := newGate(cfg, ip("10.0.0.1"), noGroups(), o)
	e, err := w.newElection(cfg, electionConfig(cfg, "lb1"), ElectionEvents{Role: func(vrrp.Role) {}})
	if err != nil {
		t.Fatal(err)
	}
	g.election = e
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); g.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	synctest.Wait()
	return &gating{g, w, e.(*fakeElection)}
}

// noGroups has no group: every router is alone.
func noGroups() *groups {
	return newGroups("lb1", func(RouterID) Election { return nil }, func(RouterID) {}, events.New("lb1", nil), quietLog())
}

func (g *gating) state() string { return g.e.Status().Role.State.String() }

// setLink changes a link and tells the gate, as the kernel's events do.
func (g *gating) setLink(name string, l Link) {
	g.w.edit(func() { g.w.links[name] = l })
	g.Kick()
	synctest.Wait()
}

func TestGateProbes(t *testing.T) {
	router := func(t *testing.T) configs.VirtualRouter { return config(t, routerTwo).Routers[0] }
	const mac = "02:00:00:00:00:66"
	bubble(t, "joins when every address is free", func(t *testing.T, w *world) {
		g := gateOf(t, w, router(t))
		wantText(t, "while probing", g.state(), "init")
		after(sec(0.2))
		wantText(t, "after", g.state(), "backup")
		steps := w.steps()
		for _, want := range []string{"probe 10.0.0.102", "probe 10.1.0.254"} {
			if !slices.Contains(steps, want) {
				t.Errorf("no %s in %v", want, steps)
			}
		}
	})
	bubble(t, "an occupied address keeps it out until it is free", func(t *testing.T, w *world) {
		w.occupied[ip("10.1.0.254")] = mac
		g := gateOf(t, w, router(t))
		after(sec(0.2))
		wantText(t, "occupied", g.state(), "init")
		wantText(t, "fault", g.Fault(), "address 10.1.0.254 is used by another host, "+mac+
			" on eth1, that sends no advertisements of virtual router 52: free it there or take it out of the configuration")
		w.edit(func() { clear(w.occupied) })
		after(gateResync + sec(0.2))
		wantText(t, "free", g.state(), "backup")
		wantText(t, "fault", g.Fault(), "")
	})
	bubble(t, "an advertisement explains the holder", func(t *testing.T, w *world) {
		w.occupied[ip("10.0.0.102")] = mac
		g := gateOf(t, w, router(t))
		after(sec(1))
		wantText(t, "before", g.state(), "init")
		g.Heard()
		after(sec(0.2))
		wantText(t, "after", g.state(), "backup")
	})
	bubble(t, "an advertisement during the probes", func(t *testing.T, w *world) {
		w.occupied[ip("10.0.0.102")] = mac
		g := gateOf(t, w, router(t))
		after(sec(0.1))
		g.Heard()
		after(sec(0.1))
		wantText(t, "after", g.state(), "backup")
	})
	bubble(t, "a probe that cannot be made is tried again", func(t *testing.T, w *world) {
		w.fails["probe"] = true
		w.occupied[ip("10.0.0.102")] = mac
		g := gateOf(t, w, router(t))
		after(sec(0.1))
		wantText(t, "after one failure", g.state(), "init")
		w.fail("probe", false)
		after(sec(1))
		wantText(t, "occupied after all", g.state(), "init")
	})
	bubble(t, "a segment that cannot be probed does not keep it out", func(t *testing.T, w *world) {
		w.fails["probe"] = true
		g := gateOf(t, w, router(t))
		after(probeTries*probeRetry - sec(0.01))
		wantText(t, "trying", g.state(), "init")
		after(sec(0.02))
		wantText(t, "joined", g.state(), "backup")
	})
	bubble(t, "never probes once it has joined", func(t *testing.T, w *world) {
		g := gateOf(t, w, router(t))
		after(sec(1))
		w.steps()
		g.SetConfig(router(t), ip("10.0.0.1"), nil)
		after(sec(60))
		wantList(t, "steps", w.steps(), "reconfigure two")
	})
}

func TestGateLinks(t *testing.T) {
	bubble(t, "down and up", func(t *testing.T, w *world) {
		g := gateOf(t, w, config(t, routerTwo).Routers[0])
		after(sec(1))
		g.e.active()
		w.steps()
		g.setLink("eth1", Link{})
		wantText(t, "down", g.state(), "init")
		if g.e.Status().Role.Hold {
			t.Error("addresses are held on a link that is lost")
		}
		wantText(t, "fault", g.Fault(), "interface eth1 is down or has no carrier")
		wantList(t, "steps", w.steps(), "shutdown two")
		g.setLink("eth1", Link{Up: true})
		after(sec(0.2))
		wantText(t, "up", g.state(), "backup")
	})
	bubble(t, "what was heard before a fault is forgotten", func(t *testing.T, w *world) {
		g := gateOf(t, w, config(t, routerWeb).Routers[0])
		after(sec(1))
		g.Heard()
		g.setLink("eth0", Link{})
		w.edit(func() { w.occupied[vipWeb.Prefix.Addr()] = "02:00:00:00:00:66" })
		g.setLink("eth0", Link{Up: true, Primary: ip("10.0.0.1")})
		after(sec(1))
		wantText(t, "occupied", g.state(), "init")
	})
	bubble(t, "an event that was lost", func(t *testing.T, w *world) {
		w.links["eth0"] = Link{}
		g := gateOf(t, w, config(t, routerWeb).Routers[0])
		w.edit(func() { w.links["eth0"] = Link{Up: true, Primary: ip("10.0.0.1")} })
		after(gateResync + sec(0.2))
		wantText(t, "state", g.state(), "backup")
	})
	bubble(t, "a new primary address", func(t *testing.T, w *world) {
		g := gateOf(t, w, config(t, routerWeb).Routers[0])
		after(sec(1))
		g.e.active()
		g.setLink("eth0", Link{Up: true, Primary: ip("10.0.0.9")})
		if got := g.e.Status(); got.PrimaryAddr != ip("10.0.0.9") || got.Role.State != vrrp.Active {
			t.Errorf("primary %v, %v", got.PrimaryAddr, got.Role.State)
		}
	})
	bubble(t, "links that cannot be read", func(t *testing.T, w *world) {
		g := gateOf(t, w, config(t, routerWeb).Routers[0])
		after(sec(1))
		w.fail("links", true)
		g.Kick()
		after(sec(10))
		wantText(t, "an unreadable link is no lost link", g.state(), "backup")
	})
	bubble(t, "a fault that stays is logged once", func(t *testing.T, w *world) {
		w.links["eth0"] = Link{}
		g := gateOf(t, w, config(t, routerWeb).Routers[0])
		var lines strings.Builder
		g.log = textLog(&lines)
		g.shut(g.cfg, "one", false)
		g.shut(g.cfg, "one", false)
		g.shut(g.cfg, "two", false)
		if n := strings.Count(lines.String(), "\n"); n != 2 {
			t.Errorf("%d lines:\n%s", n, lines.String())
		}
	})
}

// A router that is shut down while its gate probes must stay shut.
func TestGateStops(t *testing.T) {
	bubble(t, "in the middle of the last probe", func(t *testing.T, w *world) {
		w.slowProbe = time.Hour
		cfg := config(t, routerWeb).Routers[0]
		g := newGate(cfg, ip("10.0.0.1"), noGroups(), w.options(config(t, routerWeb)))
		e, err := w.newElection(cfg, electionConfig(cfg, "lb1"), ElectionEvents{Role: func(vrrp.Role) {}})
		if err != nil {
			t.Fatal(err)
		}
		g.election = e
		g.unprobed = probeTries
		r := &router{cfg: cfg, election: e, gate: g}
		r.startGate(t.Context())
		after(sec(1))
		r.stopGate()
		wantText(t, "state", e.Status().Role.State.String(), "init")
		if slices.Contains(w.steps(), "startup web") {
			t.Error("started after the gate was stopped")
		}
	})
}
