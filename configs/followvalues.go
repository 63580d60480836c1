package configs

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// The scopes of rtnetlink that have a name (rt_scope_t of rtnetlink.h).
const (
	scopeGlobal  = 0
	scopeLink    = 253
	scopeHost    = 254
	scopeNowhere = 255
)

var scopes = map[string]uint8{"global": scopeGlobal, "site": 200, "link": scopeLink, "host": scopeHost, "nowhere": scopeNowhere}

// scope accepts the scope of an address or a route by name or number.
func scope(e element) (uint8, bool) {
	if s, ok := e.value.(string); ok {
		n, known := scopes[s]
		if !known {
			e.fail(describe(s)+" is no scope", meant(s, slices.Sorted(maps.Keys(scopes)), "write a number from 0 to 255 or one of"))
		}
		return n, known
	}
	return whole[uint8](0, 255)(e)
}

func boolean(e element) (bool, bool) {
	b, ok := e.value.(bool)
	if !ok {
		e.refuse("true or false", "write one of them, without quotes")
	}
	return b, ok
}

// routeTable accepts a table that routes may be put into.
func routeTable(e element) (uint32, bool) {
	n, ok := whole[uint32](1, maxTable)(e)
	if ok && n == localTable {
		e.fail("255 is the kernel's own table of local addresses", fmt.Sprintf("write another, for example %d, the main table", mainTable))
		return 0, false
	}
	return n, ok
}

// networkOrDefault is network, and accepts "default", which comes back invalid:
// its family depends on the rest of the route.
func networkOrDefault(e element) (netip.Prefix, bool) {
	if e.value == "default" {
		return netip.Prefix{}, true
	}
	return network(e)
}

// network accepts a network or a single address of either family.
func network(e element) (netip.Prefix, bool) {
	s, ok := text(e)
	if !ok {
		return netip.Prefix{}, false
	}
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err == nil && a.Zone() == "" && !a.Is4In6() {
			return netip.PrefixFrom(a, a.BitLen()), true
		}
	}
	return destination(e)
}

// label accepts a label for an IPv4 address of an interface: what ip-address(8)
// demands, so that older programs take it for an alias of that interface. The
// interface's own name is the kernel's default and comes back empty.
func label(interfaceName string) func(element) (string, bool) {
	return func(e element) (string, bool) {
		s, ok := text(e)
		switch {
		case !ok:
			return "", false
		case s == interfaceName:
			return "", true
		case len(s) > 15 || !visible(s) || !strings.HasPrefix(s, interfaceName+":"):
			e.refuse("a label on "+interfaceName, fmt.Sprintf("write the interface's name, a colon and a word, for example %q, 15 characters at most", example(interfaceName)))
			return "", false
		}
		return s, true
	}
}

// example is a label of an interface; longer names leave no room for one.
func example(interfaceName string) string {
	s := interfaceName + ":web"
	return s[:min(len(s), 15)]
}
