package configs

import (
	"fmt"
	"net/netip"
	"strings"
)

// Route is one [[virtual_router.route]]: it is in the kernel while its router is
// active. It is comparable.
type Route struct {
	Destination netip.Prefix // masked; IPv4 or IPv6
	Via         netip.Addr   // the gateway, of the destination's family; invalid: none
	Interface   string       // empty: the kernel finds it by Via
	Source      netip.Addr   // of what this host sends there by itself; invalid: the kernel chooses
	Metric      uint32       // IPv6: not 0, which the kernel takes for 1024
	Table       uint32       // not 0 and not 255, the kernel's own
	Scope       uint8        // of rtnetlink: 0 (global) to 254 (host); 0 with IPv6, which has none
	OnLink      bool         // Via is a neighbour on Interface, whatever the addresses there say
	Type        string       // unicast; or blackhole, unreachable, prohibit: only Destination, Metric and Table
}

// RouteKey is what the kernel has one route of at most.
type RouteKey struct {
	Destination netip.Prefix
	Metric      uint32
	Table       uint32
}

// Key identifies the route.
func (r Route) Key() RouteKey { return RouteKey{r.Destination, r.Metric, r.Table} }

// String is like ip-route(8), in one line.
func (r Route) String() string {
	var b strings.Builder
	if r.Type != routeUnicast {
		b.WriteString(r.Type + " ")
	}
	b.WriteString(r.Destination.String())
	if r.Via.IsValid() {
		fmt.Fprintf(&b, " via %s", r.Via)
	}
	if r.Interface != "" {
		b.WriteString(" dev " + r.Interface)
	}
	if r.Source.IsValid() {
		fmt.Fprintf(&b, " src %s", r.Source)
	}
	if r.Metric != 0 && (r.Metric != defaultMetric6 || r.Destination.Addr().Is4()) {
		fmt.Fprintf(&b, " metric %d", r.Metric)
	}
	if r.Table != mainTable {
		fmt.Fprintf(&b, " table %d", r.Table)
	}
	if r.OnLink {
		b.WriteString(" onlink")
	}
	return b.String()
}

// Rule is one [[virtual_router.rule]]: a policy routing rule that is in the
// kernel while its router is active. It is comparable.
type Rule struct {
	Priority uint32       // 1 to 32765; the file has one of each family
	IPv6     bool         // its family, and that of From and To; else IPv4
	From     netip.Prefix // source of the packet, masked; invalid: any
	To       netip.Prefix // destination of the packet, masked; invalid: any
	Mark     uint32       // of the packet, in the bits of Mask
	Mask     uint32       // 0: any mark
	Incoming string       // the interface that the packet came by; empty: any
	Outgoing string       // the interface that a local socket is bound to; empty: any
	Table    uint32       // to look the route up in; only with Type lookup, else 0
	Type     string       // lookup; or blackhole, unreachable, prohibit
}

// RuleKey identifies a rule among those of one file.
type RuleKey struct {
	IPv6     bool
	Priority uint32
}

// Key identifies the rule.
func (r Rule) Key() RuleKey { return RuleKey{r.IPv6, r.Priority} }

// String is like ip-rule(8), in one line.
func (r Rule) String() string {
	var b strings.Builder
	if r.IPv6 {
		b.WriteString("IPv6 ")
	}
	fmt.Fprintf(&b, "%d:", r.Priority)
	if r.From.IsValid() {
		fmt.Fprintf(&b, " from %s", r.From)
	} else {
		b.WriteString(" from all")
	}
	if r.To.IsValid() {
		fmt.Fprintf(&b, " to %s", r.To)
	}
	if r.Mask != 0 {
		fmt.Fprintf(&b, " fwmark %#x", r.Mark)
		if r.Mask != allBits {
			fmt.Fprintf(&b, "/%#x", r.Mask)
		}
	}
	if r.Incoming != "" {
		b.WriteString(" iif " + r.Incoming)
	}
	if r.Outgoing != "" {
		b.WriteString(" oif " + r.Outgoing)
	}
	b.WriteString(" " + r.Type)
	if r.Type == ruleLookup {
		fmt.Fprintf(&b, " %d", r.Table)
	}
	return b.String()
}

// selective says whether there are packets that the rule is not for.
func (r Rule) selective() bool {
	return r.From.IsValid() || r.To.IsValid() || r.Mask != 0 || r.Incoming != "" || r.Outgoing != ""
}

const (
	routeUnicast = "unicast"
	ruleLookup   = "lookup"

	mainTable      = 254       // RT_TABLE_MAIN
	localTable     = 255       // RT_TABLE_LOCAL
	defaultMetric6 = 1024      // IP6_RT_PRIO_USER of the kernel
	allBits        = 1<<32 - 1 // a mask
	maxTable       = 1<<32 - 1 // RTA_TABLE has 32 bits
	maxMetric      = 1<<32 - 1 // so has RTA_PRIORITY
	maxRule        = 32765     // 32766 and 32767 look up the main and the default table
)

// readRoute reads a route of a router whose addresses are of a family.
func readRoute(t *table, ipv6 bool) Route {
	r := Route{
		Destination: need(t, "destination", `"default"`, networkOrDefault),
		Via:         read(t, "via", netip.Addr{}, anyAddress),
		Interface:   read(t, "interface", "", interfaceName),
		Source:      read(t, "source", netip.Addr{}, anyAddress),
		Metric:      read(t, "metric", 0, whole[uint32](0, maxMetric)),
		Table:       read(t, "table", mainTable, routeTable),
		OnLink:      read(t, "onlink", false, boolean),
		Type:        read(t, "type", routeUnicast, oneOf(routeUnicast, "blackhole", "unreachable", "prohibit")),
	}
	switch {
	case r.Via.IsValid():
		ipv6 = r.Via.Is6()
	case r.Source.IsValid():
		ipv6 = r.Source.Is6()
	}
	if t.values["destination"] == "default" {
		r.Destination = everywhere(ipv6)
	}
	ipv6 = r.Destination.Addr().Is6()
	if ipv6 && r.Metric == 0 {
		r.Metric = defaultMetric6
	}
	readScope(t, &r, ipv6)
	if r.Destination.IsValid() {
		t.familyOf("via", r.Via, ipv6)
		t.familyOf("source", r.Source, ipv6)
	}
	t.checkRoute(r)
	t.done()
	return r
}

// readScope reads what only a way to an IPv4 destination has.
func readScope(t *table, r *Route, ipv6 bool) {
	var def uint8 = scopeGlobal
	if r.Type == routeUnicast && !t.has("via") && !ipv6 {
		def = scopeLink // what is reached without a gateway
	}
	r.Scope = read(t, "scope", def, scope)
	switch {
	case !t.has("scope"):
	case ipv6:
		t.key("scope").fail("has no effect: IPv6 routes have no scope", "remove it")
	case r.Scope > scopeHost:
		t.key("scope").fail("is not possible for a route: it would lead nowhere", `write type = "unreachable"`)
	case t.has("via") && r.Scope >= scopeLink:
		t.key("scope").fail(`of "link" and "host" is for what is reached without a gateway`, "remove it, or remove via")
	}
}

// familyOf refuses an address of another family than the destination's.
func (t *table) familyOf(key string, a netip.Addr, ipv6 bool) {
	if a.IsValid() && a.Is6() != ipv6 {
		t.key(key).fail(fmt.Sprintf("%s is of another family than the destination", a), "write one of the same family")
	}
}

// checkRoute refuses keys that do not go together.
func (t *table) checkRoute(r Route) {
	if t.values == nil {
		return // reported already
	}
	if r.Type != routeUnicast {
		for _, key := range []string{"via", "interface", "source", "onlink", "scope"} {
			if t.has(key) {
				t.key(key).fail(fmt.Sprintf("has no effect with type = %q", r.Type), "remove it, or remove type")
			}
		}
		return
	}
	switch {
	case !t.has("via") && !t.has("interface"):
		t.fail("leads nowhere: it has neither a gateway nor an interface", `write for example via = "10.77.0.254", or type = "blackhole"`)
	case r.OnLink && !(t.has("via") && t.has("interface")):
		t.key("onlink").fail("says that the gateway is on the network of the interface, and one of the two is missing", "write both via and interface")
	case r.Via.IsLinkLocalUnicast() && r.Via.Is6() && !t.has("interface"):
		t.key("via").fail(fmt.Sprintf("%s is on every network", r.Via), `say on which: write for example interface = "eth1"`)
	}
}

// everywhere is the destination of a default route.
func everywhere(ipv6 bool) netip.Prefix {
	if ipv6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

// readRule reads a rule of a router whose addresses are of a family.
func readRule(t *table, ipv6 bool) Rule {
	r := Rule{
		Priority: need(t, "priority", "1000", whole[uint32](1, maxRule)),
		IPv6:     ipv6,
		From:     read(t, "from", netip.Prefix{}, network),
		To:       read(t, "to", netip.Prefix{}, network),
		Mark:     read(t, "fwmark", 0, whole[uint32](0, allBits)),
		Mask:     read(t, "fwmask", allBits, whole[uint32](1, allBits)),
		Incoming: read(t, "incoming", "", interfaceName),
		Outgoing: read(t, "outgoing", "", interfaceName),
		Table:    read(t, "table", 0, whole[uint32](1, maxTable)),
		Type:     read(t, "type", ruleLookup, oneOf(ruleLookup, "blackhole", "unreachable", "prohibit")),
	}
	t.checkRule(r)
	if !t.has("fwmark") {
		r.Mask = 0
	}
	for _, p := range []*netip.Prefix{&r.From, &r.To} {
		if p.IsValid() {
			r.IPv6 = p.Addr().Is6()
		}
		if p.IsValid() && p.Bits() == 0 { // says the family, and selects nothing
			*p = netip.Prefix{}
		}
	}
	t.done()
	return r
}

// checkRule refuses keys that do not go together.
func (t *table) checkRule(r Rule) {
	switch {
	case t.values == nil: // reported already
	case r.Type != ruleLookup && t.has("table"):
		t.key("table").fail(fmt.Sprintf("has no effect with type = %q", r.Type), "remove it, or remove type")
	case r.Type == ruleLookup:
		t.require("table", "100")
	}
	if r.From.IsValid() && r.To.IsValid() && r.From.Addr().Is6() != r.To.Addr().Is6() {
		t.key("to").fail(fmt.Sprintf("%s is of another family than from, %s", r.To, r.From), "write both of the same family")
	}
	switch {
	case t.has("fwmask") && !t.has("fwmark"):
		t.key("fwmask").fail("has no effect without fwmark", "write fwmark, too, or remove it")
	case r.Mark&^r.Mask != 0:
		t.key("fwmark").fail(fmt.Sprintf("%#x has bits that fwmask, %#x, leaves out, so no packet would match", r.Mark, r.Mask), "write only bits of fwmask")
	}
}

// maxFollowing is more than anybody can reason about.
const maxFollowing = 256

// checkFollowing refuses routes and rules that would be in each other's way:
// routers of a file may be active on the same director.
func checkFollowing(c *Config, p place) {
	routes, rules := map[RouteKey]place{}, map[RuleKey]place{}
	for i, r := range c.Routers {
		at := p.index(i)
		for _, list := range []struct {
			key string
			n   int
		}{{"route", len(r.Routes)}, {"rule", len(r.Rules)}} {
			if list.n > maxFollowing {
				at.key(list.key).fail(fmt.Sprintf("holds %d", list.n), fmt.Sprintf("write %d at most", maxFollowing))
			}
		}
		for j, route := range r.Routes {
			here := at.key("route").index(j)
			if !route.Destination.IsValid() {
				continue
			}
			if other, ok := routes[route.Key()]; ok {
				here.key("destination").fail(fmt.Sprintf("%s with this metric in this table is also %s in line %d", route.Destination, other.path, other.line),
					"remove one of the two, or give it another metric or table")
				continue
			}
			routes[route.Key()] = here
		}
		for j, rule := range r.Rules {
			here := at.key("rule").index(j).key("priority")
			if other, ok := rules[rule.Key()]; ok && rule.Priority != 0 {
				here.fail(fmt.Sprintf("%d is also %s in line %d", rule.Priority, other.path, other.line),
					"give each rule of a family its own priority: the kernel looks at rules of the same one in any order")
				continue
			}
			rules[rule.Key()] = here
		}
	}
}

// followWarnings says what of a router's routes and rules is likely a mistake.
func (c *Config) followWarnings(r VirtualRouter, warn func(problem, remedy string)) {
	for _, route := range r.Routes {
		if name := c.trackerOf(route); name != "" {
			warn(fmt.Sprintf("the route to %s follows the role, and router %s tracks one: without another to the same destination it comes and goes with the role that it would decide", route.Destination, name),
				"track a route that does not move")
		}
		held := r.has(route.Source)
		switch {
		case !route.Source.IsValid():
		case !held:
			warn(fmt.Sprintf("the source %s of the route to %s is no address of the router: the kernel takes the route only where the host has that address", route.Source, route.Destination),
				"write one of the router's addresses, or leave source out")
		case !r.Accept:
			warn(fmt.Sprintf("what is sent from %s by the route to %s is not answered: accept = false drops the answers", route.Source, route.Destination),
				"leave source out, or write accept = true")
		}
	}
	for _, rule := range r.Rules {
		if !rule.selective() {
			warn(fmt.Sprintf("the rule of priority %d is for every packet", rule.Priority), "write from, to, fwmark, incoming or outgoing")
		}
	}
}

// trackerOf is the router that tracks whether there is such a route; empty: none.
func (c *Config) trackerOf(route Route) string {
	for _, r := range c.Routers {
		for _, t := range r.Track {
			if t.Kind == TrackRoute && t.Route == route.Destination && route.Table == mainTable && route.Type == routeUnicast {
				return r.Name
			}
		}
	}
	return ""
}

// has says whether an address is one of the router's.
func (r VirtualRouter) has(a netip.Addr) bool {
	for _, va := range r.Addresses {
		if va.Prefix.Addr() == a {
			return true
		}
	}
	return false
}

// ipv6 is the family of the router.
func (r VirtualRouter) ipv6() bool { return len(r.Addresses) > 0 && r.Addresses[0].Prefix.Addr().Is6() }
