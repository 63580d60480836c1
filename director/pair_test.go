package director

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"tandem/configs"
	"tandem/vrrp"
	vrrprunner "tandem/vrrp/runner"
	"tandem/vrrp/runner/runnertest"
)

// pair is two directors with real elections, on two segments that carry their
// adverts in no time.
type pair struct {
	t       *testing.T
	worlds  [2]*world
	d       [2]*directing
	mu      sync.Mutex
	drop    func() bool // an advert is lost
	members map[RouterID][2]*pairElection
}

// pairElection is a real election.
type pairElection struct {
	*vrrprunner.Runner
	src    netip.Addr
	side   int
	net    *runnertest.Network
	events ElectionEvents
	stop   func()
}

func (e *pairElection) Close() { e.stop() }

func newPair(t *testing.T, text string) *pair {
	p := &pair{t: t, drop: func() bool { return false }, members: make(map[RouterID][2]*pairElection)}
	cfg := config(t, text)
	for side := range 2 {
		w := newWorld(t)
		w.links = map[string]Link{
			"eth0": {Up: true, Primary: netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + side)})},
			"eth1": {Up: true, Primary: netip.AddrFrom4([4]byte{10, 1, 0, byte(9 - side)})},
		}
		o := w.options(cfg)
		o.Node = fmt.Sprintf("lb%d", side+1)
		o.NewElection = func(r configs.VirtualRouter, c vrrp.Config, events ElectionEvents) (Election, error) {
			return p.elect(side, r, c, events), nil
		}
		p.worlds[side] = w
		p.d[side] = newDirecting(t, w, o)
	}
	for _, d := range p.d {
		d.run(t)
	}
	return p
}

func (p *pair) elect(side int, r configs.VirtualRouter, c vrrp.Config, events ElectionEvents) Election {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	e := &pairElection{src: p.worlds[side].links[r.Interface].Primary, side: side, net: runnertest.NewNetwork(), events: events}
	loop := vrrprunner.NewLoop(vrrprunner.LoopOptions{Network: e.net, Log: quietLog()})
	e.stop = sync.OnceFunc(func() { cancel(); <-done })
	e.Runner = loop.Add(r.Name, c, vrrprunner.Options{
		Queue:      e.net.Queue(func(a vrrp.Advert) error { p.send(side, idOf(r), a); return nil }),
		OnRole:     events.Role,
		OnAnnounce: events.Announce,
	})
	p.mu.Lock()
	both := p.members[idOf(r)]
	both[side] = e
	p.members[idOf(r)] = both
	p.mu.Unlock()
	go func() { defer close(done); loop.Run(ctx) }()
	return e
}

func (e *pairElection) Reconfigure(_ configs.VirtualRouter, c vrrp.Config) { e.Runner.Reconfigure(c) }

func (p *pair) send(from int, id RouterID, a vrrp.Advert) {
	p.mu.Lock()
	me, other, lost := p.members[id][from], p.members[id][1-from], p.drop()
	p.mu.Unlock()
	if other == nil || lost || !p.up(0, id.Interface) || !p.up(1, id.Interface) {
		return
	}
	other.net.Arrive(func(at time.Time) {
		other.events.Heard()
		other.Receive(at, vrrp.Received{Advert: a, Src: me.src})
	})
}

func (p *pair) up(side int, interfaceName string) bool {
	w := p.worlds[side]
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.links[interfaceName].Up
}

func (p *pair) setLink(side int, name string, up bool) {
	p.worlds[side].edit(func() {
		l := p.worlds[side].links[name]
		l.Up = up
		p.worlds[side].links[name] = l
	})
	p.d[side].LinksChanged()
}

// states is the state of each router, by director.
func (p *pair) states() string {
	var out []string
	for side := range 2 {
		for _, r := range p.d[side].Snapshot(time.Now()).Routers {
			out = append(out, r.State)
		}
	}
	return strings.Join(out, " ")
}

const groupPair = `
[[virtual_router]]
name = "out"
vrid = 51
addresses = ["10.0.0.100"]
group = "site"
failback = "immediate"
[[virtual_router.track]]
process = "nginx"
weight = -60
[[virtual_router]]
name = "in"
vrid = 52
interface = "eth1"
addresses = ["10.1.0.254/24"]
group = "site"
failback = "immediate"
`

const firstActive, secondActive = "active active backup backup", "backup backup active active"

func TestPairOfGroups(t *testing.T) {
	bubble(t, "fault, return, weight", func(t *testing.T, _ *world) {
		p := newPair(t, groupPair)
		after(sec(2))
		wantText(t, "start", p.states(), firstActive)
		p.setLink(0, "eth1", false)
		after(sec(0.5))
		wantText(t, "a link of one router is lost", p.states(), "init init active active")
		p.worlds[1].wantHeld(vip("10.0.0.100/32", "eth0"), vip("10.1.0.254/24", "eth1"))
		after(sec(1))
		p.worlds[0].wantHeld()
		p.setLink(0, "eth1", true)
		after(sec(2))
		wantText(t, "it is back", p.states(), firstActive)
		p.d[0].set(nginx, ThingState{Known: true})
		after(sec(1))
		wantText(t, "a weight", p.states(), secondActive)
		p.d[0].set(nginx, ThingState{Known: true, Well: true})
		after(sec(1))
		wantText(t, "no weight", p.states(), firstActive)
	})
	for seed := range uint64(8) {
		bubble(t, fmt.Sprint("random faults, seed ", seed), func(t *testing.T, _ *world) {
			rnd := rand.New(rand.NewPCG(seed, 52))
			p := newPair(t, groupPair)
			p.mu.Lock()
			p.drop = func() bool { return rnd.IntN(10) == 0 } // under p.mu
			p.mu.Unlock()
			walk := rand.New(rand.NewPCG(seed, 53))
			for range 40 {
				side := walk.IntN(2)
				switch walk.IntN(3) {
				case 0, 1:
					name := pick(walk, "eth0", "eth1")
					p.setLink(side, name, !p.up(side, name))
				case 2:
					p.d[side].set(nginx, ThingState{Known: true, Well: walk.IntN(2) == 0})
				}
				p.bounded(time.Duration(walk.IntN(1500)) * time.Millisecond)
			}
			p.mu.Lock()
			p.drop = func() bool { return false }
			p.mu.Unlock()
			for side := range 2 {
				for _, name := range []string{"eth0", "eth1"} {
					p.setLink(side, name, true)
				}
				p.d[side].set(nginx, ThingState{Known: true, Well: true})
			}
			after(sec(8))
			wantText(t, "at last", p.states(), firstActive)
		})
	}
}

// bounded lets time pass, and fails if a director is active in a part of its
// group for longer than the settling time.
func (p *pair) bounded(d time.Duration) {
	p.t.Helper()
	var part [2]time.Duration
	const look = 10 * time.Millisecond
	for ; d > 0; d -= look {
		after(look)
		for side := range 2 {
			active := 0
			for _, r := range p.d[side].Snapshot(time.Now()).Routers {
				if r.State == "active" {
					active++
				}
			}
			part[side] += look
			if active != 1 {
				part[side] = 0
			}
			if part[side] > sec(0.82) {
				p.t.Fatalf("director %d is active in a part of its group for %v: %s", side, part[side], p.states())
			}
		}
	}
}
