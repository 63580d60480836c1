package director

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"tandem/configs"
	"tandem/internal/events"
	"tandem/vrrp"
)

// groups keeps the virtual routers of each group together. Their gates tell it
// what they find and learn what the others found: a fault of one keeps all out,
// and the weights of all are added. Its loop tells the elections when to take
// over and when to resign, as vrrp.Group decides from their roles.
type groups struct {
	node     string
	election func(RouterID) Election // nil: it does not run
	kick     func(RouterID)          // has a router's gate look again; does not block
	events   *events.Log
	log      *slog.Logger
	wake     chan struct{}

	mu     sync.Mutex
	byName map[string]*group
	of     map[RouterID]*group
	roles  map[RouterID]vrrp.Role
	found  map[RouterID]finding
}

// group is one group of this director.
type group struct {
	name     string
	interval time.Duration
	rank     int
	core     *vrrp.Group
	members  []RouterID // in the order of the configuration
	names    map[RouterID]string
	told     string // the state that was told last
}

// finding is what the gate of a router found.
type finding struct {
	fault  string // its own
	weight int    // of what it tracks
}

func newGroups(node string, election func(RouterID) Election, kick func(RouterID), events *events.Log, log *slog.Logger) *groups {
	return &groups{
		node:     node,
		election: election,
		kick:     kick,
		events:   events,
		log:      log.With("part", "groups"),
		wake:     make(chan struct{}, 1),
		byName:   make(map[string]*group),
		of:       make(map[RouterID]*group),
		roles:    make(map[RouterID]vrrp.Role),
		found:    make(map[RouterID]finding),
	}
}

// SetConfig replaces the configuration. A group that stays goes on.
func (g *groups) SetConfig(cfg *configs.Config) {
	rank := slices.IndexFunc(cfg.Directors, func(d configs.Director) bool { return d.Name == g.node })
	g.mu.Lock()
	defer g.mu.Unlock()
	byName := make(map[string]*group)
	clear(g.of)
	for _, rc := range cfg.Routers {
		if rc.Group == "" {
			continue
		}
		gr := byName[rc.Group]
		if gr == nil {
			gr = &group{name: rc.Group, interval: rc.AdvertInterval, rank: rank, names: make(map[RouterID]string), told: vrrp.Init.String()}
			if old := g.byName[rc.Group]; old != nil && old.interval == gr.interval && old.rank == gr.rank {
				gr.core = old.core
			} else {
				gr.core = vrrp.NewGroup(gr.interval, gr.rank)
			}
			if old := g.byName[rc.Group]; old != nil {
				gr.told = old.told
			}
			byName[rc.Group] = gr
		}
		id := idOf(rc)
		gr.members, gr.names[id] = append(gr.members, id), rc.Name
		g.of[id] = gr
	}
	g.byName = byName
	g.poke()
}

// Forget takes routers out that are about to be closed: what becomes of them is
// no business of the rest of their groups.
func (g *groups) Forget(gone map[RouterID]*router) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id := range gone {
		if gr := g.of[id]; gr != nil {
			gr.members = slices.DeleteFunc(gr.members, func(m RouterID) bool { return m == id })
		}
		delete(g.of, id)
		delete(g.roles, id)
		delete(g.found, id)
	}
}

// SetRole stores a router's newest role. It does not block.
func (g *groups) SetRole(id RouterID, r vrrp.Role) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.roles[id] = r
	if gr := g.of[id]; gr != nil {
		g.tell(gr, r.Cause)
		g.poke()
	}
}

// poke wakes the loop.
func (g *groups) poke() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// Found takes down what a router's gate found, and returns the fault of the
// others of its group, empty if there is none, and the weight of all.
func (g *groups) Found(id RouterID, f finding) (others string, weight int) {
	g.mu.Lock()
	news := g.found[id] != f
	g.found[id] = f
	gr := g.of[id]
	if gr == nil {
		g.mu.Unlock()
		return "", f.weight
	}
	g.tell(gr, f.fault)
	members := slices.Clone(gr.members)
	var faults []string
	for _, m := range members {
		weight += g.found[m].weight
		if fault := g.found[m].fault; m != id && fault != "" {
			faults = append(faults, fmt.Sprintf("%s of the group %s: %s", gr.names[m], gr.name, fault))
		}
	}
	g.mu.Unlock()
	if news {
		for _, m := range members {
			if m != id {
				g.kick(m)
			}
		}
	}
	return joinFaults(faults...), weight
}

// Run decides until ctx is done.
func (g *groups) Run(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if again := g.pass(time.Now()); again.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(again))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-g.wake:
		case <-timer.C:
		}
	}
}

// pass asks each group once, and carries its orders out. They only go into the
// elections' inboxes.
func (g *groups) pass(at time.Time) (again time.Time) {
	type order struct {
		id    RouterID
		group string
		vrrp.Order
	}
	var orders []order
	g.mu.Lock()
	for _, gr := range g.byName {
		var members []vrrp.Member
		ids := make(map[string]RouterID)
		for _, id := range gr.members {
			name := gr.names[id] // for causes, and nobody else's
			ids[name] = id
			members = append(members, vrrp.Member{Name: name, Role: g.roles[id]})
		}
		list, next := gr.core.Step(at, members)
		again = earliest(again, next)
		for _, o := range list {
			orders = append(orders, order{ids[o.Name], gr.name, o})
		}
	}
	g.mu.Unlock()
	slices.SortFunc(orders, func(a, b order) int { return cmp.Compare(a.Name, b.Name) })
	for _, o := range orders {
		e := g.election(o.id)
		if e == nil {
			continue // closed meanwhile
		}
		tellDecision(g.events, o.group, o.Order)
		switch ev := o.Event.(type) {
		case vrrp.TakeOver:
			e.TakeOver()
		case vrrp.Resign:
			g.log.Warn("resigning with the group", "router", o.Name, "cause", ev.Cause)
			e.Resign(ev.Cause)
		}
	}
	return again
}

// tell tells the state of a group, if it is new. The caller holds g.mu.
func (g *groups) tell(gr *group, cause string) {
	state := g.state(gr)
	if state == gr.told {
		return
	}
	g.events.Publish(events.Event{Kind: events.Group, Group: gr.name, From: gr.told, To: state, Cause: cause})
	gr.told = state
}

// state is that of all routers of a group together: fault if one has a fault,
// active or backup if all are. The caller holds g.mu.
func (g *groups) state(gr *group) string {
	is := func(s vrrp.State) func(RouterID) bool {
		return func(m RouterID) bool { return g.roles[m].State == s }
	}
	switch {
	case slices.ContainsFunc(gr.members, func(m RouterID) bool { return g.found[m].fault != "" }):
		return "fault"
	case slices.ContainsFunc(gr.members, is(vrrp.Init)):
		return vrrp.Init.String()
	case slices.ContainsFunc(gr.members, is(vrrp.Backup)):
		return vrrp.Backup.String()
	}
	return vrrp.Active.String()
}

// Weight is what all tracked things of a router's group add to its priority.
func (g *groups) Weight(id RouterID) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	gr := g.of[id]
	if gr == nil {
		return g.found[id].weight
	}
	sum := 0
	for _, m := range gr.members {
		sum += g.found[m].weight
	}
	return sum
}
