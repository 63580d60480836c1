package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"tandem/configs"
	"tandem/director"
	"tandem/internal/firewall"
	"tandem/internal/netif"
)

// routes are the kernel's routes as the director wants them.
type routes struct{ h *netif.Handle }

func (r routes) List() ([]configs.Route, error) {
	list, err := r.h.Routes()
	if err != nil {
		return nil, err
	}
	out := make([]configs.Route, len(list))
	for i, k := range list {
		out[i] = configs.Route{
			Destination: k.Destination, Via: k.Via, Interface: k.Interface, Source: k.Source, Metric: k.Metric,
			Table: k.Table, Scope: k.Scope, OnLink: k.OnLink, Type: nameOf(routeTypes, k.Type),
		}
	}
	return out, nil
}

func (r routes) Put(e configs.Route, replace bool) error {
	return r.h.PutRoute(kernelRoute(e), replace)
}
func (r routes) Remove(e configs.Route) error { return r.h.RemoveRoute(kernelRoute(e)) }

func kernelRoute(e configs.Route) netif.Route {
	return netif.Route{
		Destination: e.Destination, Via: e.Via, Interface: e.Interface, Source: e.Source, Metric: e.Metric,
		Table: e.Table, Scope: e.Scope, OnLink: e.OnLink, Type: routeTypes[e.Type],
	}
}

var routeTypes = map[string]uint8{
	"unicast": unix.RTN_UNICAST, "blackhole": unix.RTN_BLACKHOLE, "unreachable": unix.RTN_UNREACHABLE, "prohibit": unix.RTN_PROHIBIT,
}

// rules are the kernel's policy rules as the director wants them.
type rules struct{ h *netif.Handle }

func (r rules) List() ([]configs.Rule, error) {
	list, err := r.h.Rules()
	if err != nil {
		return nil, err
	}
	out := make([]configs.Rule, len(list))
	for i, k := range list {
		out[i] = configs.Rule{
			Priority: k.Priority, IPv6: k.Family == unix.AF_INET6, From: k.From, To: k.To, Mark: k.Mark, Mask: k.Mask,
			Incoming: k.Incoming, Outgoing: k.Outgoing, Table: k.Table, Type: nameOf(ruleActions, k.Action),
		}
	}
	return out, nil
}

// Put replaces a rule by taking the old one out first: the kernel identifies
// rules by what they say, and would hold both.
func (r rules) Put(e configs.Rule, replace bool) error {
	if replace {
		list, err := r.List()
		if err != nil {
			return err
		}
		for _, old := range list {
			if old.Key() != e.Key() {
				continue
			}
			if err := r.Remove(old); err != nil {
				return err
			}
		}
	}
	return r.h.AddRule(kernelRule(e))
}

func (r rules) Remove(e configs.Rule) error { return r.h.RemoveRule(kernelRule(e)) }

func kernelRule(e configs.Rule) netif.Rule {
	out := netif.Rule{
		Priority: e.Priority, Family: unix.AF_INET, From: e.From, To: e.To, Mark: e.Mark, Mask: e.Mask,
		Incoming: e.Incoming, Outgoing: e.Outgoing, Table: e.Table, Action: ruleActions[e.Type],
	}
	if e.IPv6 {
		out.Family = unix.AF_INET6
	}
	return out
}

var ruleActions = map[string]uint8{
	"lookup": nl.FR_ACT_TO_TBL, "blackhole": nl.FR_ACT_BLACKHOLE, "unreachable": nl.FR_ACT_UNREACHABLE, "prohibit": nl.FR_ACT_PROHIBIT,
}

// nameOf is the word for a number; the number itself for one that tandem never
// uses, so that it is no word of a configuration.
func nameOf(words map[string]uint8, n uint8) string {
	for word, m := range words {
		if m == n {
			return word
		}
	}
	return fmt.Sprintf("type %d", n)
}

// releaseRoutes takes away the routes and the policy rules of a dead tandem.
func releaseRoutes(out io.Writer, owned director.Owned) error {
	if !owned.Routes && !owned.Rules {
		return nil
	}
	h, err := netif.Open()
	if err != nil {
		return err
	}
	defer h.Close()
	return errors.Join(
		removeAll(out, "rule", owned.Rules, rules{h}),
		removeAll(out, "route", owned.Routes, routes{h}))
}

func removeAll[T any](out io.Writer, kind string, ours bool, entries director.Entries[T]) error {
	if !ours {
		return nil
	}
	list, err := entries.List()
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range list {
		if err := entries.Remove(e); err != nil {
			errs = append(errs, fmt.Errorf("remove %s %v: %w", kind, e, err))
			continue
		}
		fmt.Fprintf(out, "removed %s %v\n", kind, e)
	}
	return errors.Join(errs...)
}

// releaseFirewall takes away the table that drops packets to virtual addresses.
func releaseFirewall(out io.Writer, owned director.Owned) error {
	if !owned.Firewall {
		return nil
	}
	changed, err := firewall.Table{}.Deny(nil)
	if err == nil && changed {
		fmt.Fprintf(out, "removed nftables table inet %s\n", firewall.Name)
	}
	return err
}

// planFirewall shows how the table that drops packets would change, and counts
// that.
func (s *settings) planFirewall(out io.Writer, cfg *configs.Config, owned director.Owned) (int, error) {
	if !owned.Firewall && !slices.ContainsFunc(cfg.Routers, func(r configs.VirtualRouter) bool { return !r.Accept }) {
		return 0, nil
	}
	self, err := s.self(cfg)
	if err != nil {
		return 0, err
	}
	want := director.Denied(cfg, self.Name)
	have, whole, err := firewall.Table{}.Denied()
	if err != nil {
		return 0, err
	}
	switch {
	case slices.Equal(have, want) && (whole || len(want) == 0):
		return 0, nil
	case len(want) == 0:
		fmt.Fprintf(out, "nftables table inet %s: goes; no address has accept = false\n", firewall.Name)
	default:
		fmt.Fprintf(out, "nftables table inet %s: drops packets to %s (accept = false)\n", firewall.Name, joined(want))
	}
	return 1, nil
}

func joined(list []netip.Addr) string {
	words := make([]string, len(list))
	for i, a := range list {
		words[i] = a.String()
	}
	return strings.Join(words, ", ")
}
