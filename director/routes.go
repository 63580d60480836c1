package director

import (
	"log/slog"

	"tandem/configs"
	"tandem/vrrp"
)

func routesOf(r configs.VirtualRouter) []configs.Route { return r.Routes }

func rulesOf(r configs.VirtualRouter) []configs.Rule { return r.Rules }

func newRoutes(o Options, books *books, fresh func(RouterID, vrrp.Role) bool) *following[configs.Route, configs.RouteKey] {
	return &following[configs.Route, configs.RouteKey]{
		kind: "route", entries: o.Routes, of: routesOf, key: configs.Route.Key, same: sameRoute,
		hint:  "remove it, or give this one another metric or table",
		fresh: fresh, log: partLog(o, "routes"), put: make(map[configs.RouteKey]configs.Route), ours: books.owned.Routes,
	}
}

// sameRoute compares a route of the kernel with one of the configuration, which
// may leave it to the kernel to find the interface.
func sameRoute(have, want configs.Route) bool {
	if want.Interface == "" {
		have.Interface = ""
	}
	return have == want
}

func newRules(o Options, books *books, fresh func(RouterID, vrrp.Role) bool) *following[configs.Rule, configs.RuleKey] {
	return &following[configs.Rule, configs.RuleKey]{
		kind: "rule", entries: o.Rules, of: rulesOf, key: configs.Rule.Key,
		same:  func(have, want configs.Rule) bool { return have == want },
		hint:  "remove it, or give this one another priority",
		fresh: fresh, log: partLog(o, "rules"), put: make(map[configs.RuleKey]configs.Rule), ours: books.owned.Rules,
	}
}

func partLog(o Options, part string) *slog.Logger { return o.Log.With("part", part) }
