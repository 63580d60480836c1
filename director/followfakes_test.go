package director

import (
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"tandem/configs"
)

// fakeRoute is a route of the kernel, which may be another program's.
type fakeRoute struct {
	configs.Route
	foreign bool
}

// fakeRoutes are the kernel's routes.
type fakeRoutes struct{ *world }

func (w fakeRoutes) List() ([]configs.Route, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fails["routes"] {
		return nil, errInjected
	}
	w.expire()
	var list []configs.Route
	for _, r := range w.routes {
		if !r.foreign {
			if r.Interface == "" && r.Type == "unicast" { // the kernel finds it
				r.Interface = "eth0"
			}
			list = append(list, r.Route)
		}
	}
	return list, nil
}

func (w fakeRoutes) Put(r configs.Route, replace bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expire()
	have, ok := w.routes[r.Key()]
	switch {
	case ok && !have.foreign && !replace:
		w.t.Errorf("route %v is added, and there is %v", r, have)
	case replace && (!ok || have.foreign):
		w.t.Errorf("route %v is to replace one that is not there, or not ours", r)
	case ok && have.foreign:
		return fmt.Errorf("add: %w", fs.ErrExist)
	}
	if r.Source.IsValid() && !w.hasIP(r.Source) {
		return fmt.Errorf("route %v: the source is no address of the host", r)
	}
	if err := w.do("add route ", r); err != nil {
		return err
	}
	w.routes[r.Key()] = fakeRoute{Route: r}
	return nil
}

func (w fakeRoutes) Remove(r configs.Route) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if have, ok := w.routes[r.Key()]; !ok || have.foreign {
		w.t.Errorf("removal of route %v, which the kernel does not have from us", r)
	}
	if err := w.do("remove route ", r); err != nil {
		return err
	}
	delete(w.routes, r.Key())
	return nil
}

// hasIP says whether the host has an address. The caller holds w.mu.
func (w *world) hasIP(a netip.Addr) bool {
	for va := range w.addresses {
		if va.Prefix.Addr() == a {
			return true
		}
	}
	return false
}

// dropSources removes, as the kernel does, the routes of the main table whose
// source is gone. The caller holds w.mu.
func (w *world) dropSources() {
	maps.DeleteFunc(w.routes, func(_ configs.RouteKey, r fakeRoute) bool {
		return r.Source.IsValid() && r.Table == 254 && !w.hasIP(r.Source)
	})
}

// fakeRules are the kernel's policy rules, without those of others: they are in
// nobody's way.
type fakeRules struct{ *world }

func (w fakeRules) List() ([]configs.Rule, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fails["rules"] {
		return nil, errInjected
	}
	return slices.Collect(maps.Values(w.rules)), nil
}

func (w fakeRules) Put(r configs.Rule, replace bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.rules[r.Key()]; ok != replace {
		w.t.Errorf("rule %v: to be replaced is %v, is there is %v", r, replace, ok)
	}
	if err := w.do("add rule ", r); err != nil {
		return err
	}
	w.rules[r.Key()] = r
	return nil
}

func (w fakeRules) Remove(r configs.Rule) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.rules[r.Key()]; !ok {
		w.t.Errorf("removal of rule %v, which the kernel does not have", r)
	}
	if err := w.do("remove rule ", r); err != nil {
		return err
	}
	delete(w.rules, r.Key())
	return nil
}

// fakeFirewall is the table that drops packets to addresses.
type fakeFirewall struct{ *world }

func (w fakeFirewall) Available() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.do("available")
}

func (w fakeFirewall) Deny(list []netip.Addr) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if slices.Equal(w.denied, list) {
		return false, nil
	}
	if err := w.do("deny ", list); err != nil {
		return false, err
	}
	w.denied = slices.Clone(list)
	return true, nil
}

// following is what of ours the kernel has beside addresses, as text.
func (w *world) following() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expire()
	var out []string
	for _, r := range w.routes {
		if !r.foreign {
			out = append(out, r.String())
		}
	}
	for _, r := range w.rules {
		out = append(out, r.String())
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}
