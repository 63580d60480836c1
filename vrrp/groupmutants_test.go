package vrrp

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// mutantGroup is a Group that was broken from outside.
type mutantGroup struct {
	*Group
	in  func(g *Group, members []Member)
	out func(members []Member, orders []Order) []Order
}

func (g *mutantGroup) Step(at time.Time, members []Member) ([]Order, time.Time) {
	if g.in != nil {
		g.in(g.Group, members)
	}
	orders, again := g.Group.Step(at, members)
	if g.out != nil {
		orders = g.out(members, orders)
	}
	return orders, again
}

// groupMutants are groups with one mistake each.
var groupMutants = []struct {
	name   string
	change mutantGroup
}{
	{"never resigns", mutantGroup{out: func(_ []Member, orders []Order) []Order {
		return slices.DeleteFunc(orders, func(o Order) bool { _, resign := o.Event.(Resign); return resign })
	}}},
	{"never takes over", mutantGroup{out: func(_ []Member, orders []Order) []Order {
		return slices.DeleteFunc(orders, func(o Order) bool { _, take := o.Event.(TakeOver); return take })
	}}},
	{"takes over with what is ready", mutantGroup{out: func(members []Member, orders []Order) []Order {
		for _, m := range members {
			if m.Role.Ready {
				orders = append(orders, Order{m.Name, TakeOver{}})
			}
		}
		return orders
	}}},
	{"lets the others be when a member is shut", mutantGroup{in: func(g *Group, members []Member) {
		for _, m := range members {
			if m.Role.State == Init {
				g.roles[m.Name] = m.Role
				delete(g.taking, m.Name)
			}
		}
	}}},
	{"lets the others be when a member has lost", mutantGroup{in: func(g *Group, members []Member) {
		for _, m := range members {
			if m.Role.State == Backup && g.roles[m.Name].State == Active {
				g.roles[m.Name] = m.Role
			}
		}
	}}},
}

// TestGroupMutants: the walk is worth something only if it finds mistakes.
func TestGroupMutants(t *testing.T) {
	for _, m := range groupMutants {
		t.Run(m.name, func(t *testing.T) {
			for seed := range *simRuns {
				if text := walkOf(t, seed, m.change).broken(); text != "" {
					what, _, _ := strings.Cut(text, "\n")
					t.Logf("seed %d: %s", seed, what)
					return
				}
			}
			t.Errorf("not found in %d walks", *simRuns)
		})
	}
}

// TestUnchangedGroup: the wrapping itself breaks nothing.
func TestUnchangedGroup(t *testing.T) {
	for seed := range *simRuns / 10 {
		if text := walkOf(t, seed, mutantGroup{}).broken(); text != "" {
			t.Errorf("seed %d: %s", seed, text)
		}
	}
}

// walkOf is a walk of TestGroupWalk in which the groups of all directors have the same
// mistake.
func walkOf(t *testing.T, seed uint64, change mutantGroup) groupWalk {
	w := newGroupWalk(t, seed)
	for _, d := range w.directors {
		d.group = &mutantGroup{Group: d.group.(*Group), in: change.in, out: change.out}
	}
	return w
}
