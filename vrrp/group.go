package vrrp

import (
	"fmt"
	"maps"
	"time"
)

// Group makes the virtual routers of one director that belong together active
// together or not at all. It has no clock and talks to no Machine: Step is told
// the roles and says what the Machines are to be told. Between the two may lie
// any time: an order is for the role it answers, and is given once.
//
// The elections stay those of RFC 9568, one for each member, with Config.Grouped:
// a member whose time to take over has come waits until that of all has come.
// Whatever pushes one active member aside takes all of them. So a director is
// active in all members or in none, but for the time that orders take, and while
// a new member joins or what is left of an older configuration settles.
type Group struct {
	settle  time.Duration
	backoff time.Duration

	roles   map[string]Role   // at the last Step
	ordered map[string]uint64 // the number of the role that was answered last
	taking  map[string]bool   // was told to take over, and is ready still

	partSince  time.Time // when only a part of the members was active; zero: it is not so
	readySince time.Time // when all were ready, and none active; zero: it is not so
	giveUp     string    // why active members are to resign; empty: they are not
	gaveUp     time.Time // when that began last
}

// Member is a virtual router of the group, and its role.
type Member struct {
	Name string
	Role Role
}

// Order is what a Machine is to be told: TakeOver or Resign.
type Order struct {
	Name  string
	Event Event
}

// NewGroup returns the group of a director whose members all advertise every
// interval. rank tells the directors of the network apart, from 0. Two may give
// up because each lost to the other on one segment: their adverts crossed, or
// their priorities are equal and the addresses decide otherwise on each. Then the
// lower rank is the first to try again.
func NewGroup(interval time.Duration, rank int) *Group {
	return &Group{
		// A backup is ready after four intervals at most, once nobody is active.
		settle: 8 * interval,
		// Long enough for the first advertisement of the other to arrive.
		backoff: time.Duration(rank) * 2 * interval,
		roles:   make(map[string]Role),
		ordered: make(map[string]uint64),
		taking:  make(map[string]bool),
	}
}

// Step looks at the members at a time and returns what to tell them, and when to
// look again without a new role (zero: not before). A member that was not named
// before is new, one that is not named any more has left the group.
func (g *Group) Step(at time.Time, members []Member) (orders []Order, again time.Time) {
	g.notice(at, members)
	var active, ready, backup int
	for _, m := range members {
		switch {
		case m.Role.State == Active:
			active++
		case m.Role.Ready:
			ready++
		case m.Role.State == Backup:
			backup++
		}
	}
	// A member in Init is about to join: it keeps nobody from going on, but nobody
	// begins without it.
	g.partSince = since(g.partSince, at, active > 0 && backup > 0)
	g.readySince = since(g.readySince, at, ready > 0 && ready == len(members))
	switch {
	case g.giveUp != "":
		return g.resign(members), g.gaveUp.Add(g.settle)
	case !g.readySince.IsZero() && at.Before(g.mayTake()):
		return nil, g.mayTake()
	case !g.readySince.IsZero() || active > 0 && ready > 0 && backup == 0:
		return g.takeOver(members), time.Time{}
	case g.partSince.IsZero():
		return nil, time.Time{}
	case at.Before(g.partSince.Add(g.settle)):
		return nil, g.partSince.Add(g.settle)
	}
	g.yield(at, "only a part of the group is active")
	return g.resign(members), g.gaveUp.Add(g.settle)
}

// since is when something began to be so.
func since(before, at time.Time, so bool) time.Time {
	switch {
	case !so:
		return time.Time{}
	case before.IsZero():
		return at
	}
	return before
}

// mayTake is when a group whose members are all ready takes over: at once, unless
// it gave up lately. Only while readySince is set.
func (g *Group) mayTake() time.Time {
	if !g.gaveUp.IsZero() && g.readySince.Before(g.gaveUp.Add(2*g.settle)) {
		return g.readySince.Add(g.backoff)
	}
	return g.readySince
}

// notice compares the roles with those of the last Step.
func (g *Group) notice(at time.Time, members []Member) {
	roles, taking := make(map[string]Role, len(members)), make(map[string]bool)
	settled := true // nobody is active or about to be
	for _, m := range members {
		roles[m.Name] = m.Role
		if m.Role.Number < g.roles[m.Name].Number { // of a new Machine
			delete(g.roles, m.Name)
			delete(g.taking, m.Name)
			delete(g.ordered, m.Name)
		}
		switch {
		case m.Role.State == Active:
			settled = false
		case g.roles[m.Name].State == Active:
			g.yield(at, fmt.Sprintf("%s of the group gave its role up: %s", m.Name, m.Role.Cause))
		case g.taking[m.Name] && m.Role.Ready:
			settled, taking[m.Name] = false, true
		case g.taking[m.Name]:
			g.yield(at, fmt.Sprintf("another router was faster than %s of the group", m.Name))
		}
	}
	g.roles, g.taking = roles, taking
	maps.DeleteFunc(g.ordered, func(name string, _ uint64) bool { _, named := roles[name]; return !named })
	// The time bounds the wait for a takeover that the Machine has ignored.
	if settled || g.giveUp != "" && !at.Before(g.gaveUp.Add(g.settle)) {
		g.giveUp = ""
	}
}

// yield begins to give all members up.
func (g *Group) yield(at time.Time, cause string) {
	if g.giveUp == "" {
		g.giveUp, g.gaveUp = cause, at
	}
}

// resign tells it to the active members, once to each role.
func (g *Group) resign(members []Member) []Order {
	var out []Order
	for _, m := range members {
		if m.Role.State == Active && g.ordered[m.Name] != m.Role.Number {
			g.ordered[m.Name] = m.Role.Number
			out = append(out, Order{m.Name, Resign{g.giveUp}})
		}
	}
	return out
}

// takeOver tells it to the members that are ready, once to each role.
func (g *Group) takeOver(members []Member) []Order {
	var out []Order
	for _, m := range members {
		if m.Role.Ready && g.ordered[m.Name] != m.Role.Number {
			g.ordered[m.Name], g.taking[m.Name] = m.Role.Number, true
			out = append(out, Order{m.Name, TakeOver{}})
		}
	}
	return out
}
