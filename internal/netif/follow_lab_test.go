//go:build lab

package netif

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func adr(s string) netip.Addr   { return netip.MustParseAddr(s) }

// unicast4 and unicast6 are routes that eth0's addresses below allow.
var (
	unicast4 = Route{Destination: pfx("198.51.100.0/24"), Via: adr("192.0.2.254"), Interface: "eth0", Source: adr("192.0.2.9"), Metric: 7, Table: 254, Type: unix.RTN_UNICAST}
	unicast6 = Route{Destination: pfx("2001:db8:1::/48"), Via: adr("2001:db8::ff"), Interface: "eth0", Source: adr("2001:db8::9"), Metric: 1024, Table: 254, Type: unix.RTN_UNICAST}
)

func withAddresses(t *testing.T) *Handle {
	t.Helper()
	h := inNamespace(t)
	for _, p := range []string{"192.0.2.9/24", "2001:db8::9/64"} {
		ensure(t, h, p, 0)
	}
	return h
}

func wantRoutes(t *testing.T, h *Handle, want ...Route) {
	t.Helper()
	got, err := h.Routes()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("routes\n%+v, want\n%+v", got, want)
	}
}

// Every kind of route comes back as it was put in, and goes.
func TestRoutes(t *testing.T) {
	h := withAddresses(t)
	change := func(r Route, f func(*Route)) Route { f(&r); return r }
	for name, r := range map[string]Route{
		"unicast":          unicast4,
		"IPv6":             unicast6,
		"default":          change(unicast4, func(r *Route) { r.Destination = pfx("0.0.0.0/0") }),
		"IPv6 default":     change(unicast6, func(r *Route) { r.Destination = pfx("::/0") }),
		"table":            change(unicast4, func(r *Route) { r.Table = 100 }),
		"IPv6 table":       change(unicast6, func(r *Route) { r.Table, r.Metric = 1<<31+5, 20 }),
		"device":           {Destination: pfx("198.51.100.7/32"), Interface: "eth0", Table: 254, Scope: unix.RT_SCOPE_LINK, Type: unix.RTN_UNICAST},
		"device, global":   {Destination: pfx("198.51.100.0/24"), Interface: "eth0", Table: 254, Type: unix.RTN_UNICAST},
		"IPv6 device":      {Destination: pfx("2001:db8:1::/48"), Interface: "eth0", Metric: 1024, Table: 254, Type: unix.RTN_UNICAST},
		"onlink":           change(unicast4, func(r *Route) { r.Via, r.OnLink = adr("203.0.113.1"), true }),
		"IPv6 onlink":      change(unicast6, func(r *Route) { r.Via, r.OnLink = adr("2001:db8:ffff::1"), true }),
		"link-local":       change(unicast6, func(r *Route) { r.Via = adr("fe80::1") }),
		"blackhole":        {Destination: pfx("198.51.100.0/24"), Table: 254, Type: unix.RTN_BLACKHOLE},
		"prohibit":         {Destination: pfx("198.51.100.0/24"), Table: 9, Metric: 3, Type: unix.RTN_PROHIBIT},
		"IPv6 unreachable": {Destination: pfx("2001:db8:1::/48"), Table: 254, Metric: 1024, Type: unix.RTN_UNREACHABLE},
		"IPv6 blackhole":   {Destination: pfx("::/0"), Table: 300, Metric: 1024, Type: unix.RTN_BLACKHOLE},
	} {
		if err := h.PutRoute(r, false); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		wantRoutes(t, h, r)
		if err := h.PutRoute(r, false); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s, a second time: %v", name, err)
		}
		for range 2 { // the second time it is not there
			if err := h.RemoveRoute(r); err != nil {
				t.Errorf("remove %s: %v", name, err)
			}
		}
		wantRoutes(t, h)
	}
}

// The kernel fills in the interface that leads to the gateway.
func TestRouteWithoutInterface(t *testing.T) {
	h := withAddresses(t)
	for _, r := range []Route{unicast4, unicast6} {
		want := r
		r.Interface = ""
		if err := h.PutRoute(r, false); err != nil {
			t.Fatal(err)
		}
		wantRoutes(t, h, want)
		if err := h.RemoveRoute(r); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReplaceRoute(t *testing.T) {
	h := withAddresses(t)
	for _, r := range []Route{unicast4, unicast6} {
		if err := h.PutRoute(r, false); err != nil {
			t.Fatal(err)
		}
		r.Source = netip.Addr{}
		if err := h.PutRoute(r, true); err != nil {
			t.Fatal(err)
		}
		wantRoutes(t, h, r)
		r.Via, r.Interface, r.Type = netip.Addr{}, "", unix.RTN_PROHIBIT
		if err := h.PutRoute(r, true); err != nil {
			t.Fatal(err)
		}
		wantRoutes(t, h, r)
		if err := h.RemoveRoute(r); err != nil {
			t.Fatal(err)
		}
		wantRoutes(t, h)
	}
}

// What others put into the same place is neither listed, overwritten nor removed.
func TestRoutesOfOthers(t *testing.T) {
	h := withAddresses(t)
	for _, r := range []Route{unicast4, unicast6} {
		link, err := h.nl.LinkByName("eth0")
		if err != nil {
			t.Fatal(err)
		}
		other := &netlink.Route{Dst: netOf(r.Destination), LinkIndex: link.Attrs().Index, Priority: int(r.Metric), Protocol: unix.RTPROT_STATIC}
		if err := h.nl.RouteAdd(other); err != nil {
			t.Fatal(err)
		}
		if err := h.PutRoute(r, false); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%v: %v", r.Destination, err)
		}
		if err := h.RemoveRoute(r); err != nil {
			t.Error(err)
		}
		wantRoutes(t, h)
		if found, err := h.HasRoute(r.Destination, "eth0"); err != nil || !found {
			t.Errorf("%v is gone: %v", r.Destination, err)
		}
	}
}

func TestRouteErrors(t *testing.T) {
	h := withAddresses(t)
	for want, r := range map[string]Route{
		"no such interface":                 {Destination: pfx("198.51.100.0/24"), Interface: "eth7", Table: 254, Type: unix.RTN_UNICAST},
		"on the network of no address":      {Destination: pfx("198.51.100.0/24"), Via: adr("203.0.113.1"), Table: 254, Type: unix.RTN_UNICAST},
		"is 192.0.2.77 an address of this":  {Destination: pfx("198.51.100.0/24"), Via: adr("192.0.2.254"), Source: adr("192.0.2.77"), Table: 254, Type: unix.RTN_UNICAST},
		"is 2001:db8::7 an address of this": {Destination: pfx("2001:db8:1::/48"), Interface: "eth0", Source: adr("2001:db8::7"), Metric: 1024, Table: 254, Type: unix.RTN_UNICAST},
	} {
		if err := h.PutRoute(r, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", r.Destination, err, want)
		}
	}
}

// What becomes of a dead daemon's routes when the kernel drops the address that
// is their source, as docs/design.md says.
func TestRoutesAfterTheLease(t *testing.T) {
	h := inNamespace(t)
	ensure(t, h, "192.0.2.1/24", 0) // the host's own
	ensure(t, h, "2001:db8::1/64", 0)
	ensure(t, h, "192.0.2.9/32", time.Second)
	ensure(t, h, "2001:db8::9/128", time.Second)
	inTable := func(r Route, table uint32) Route { r.Table = table; return r }
	anonymous := unicast4
	anonymous.Source, anonymous.Metric = netip.Addr{}, 8
	for _, r := range []Route{unicast4, inTable(unicast4, 100), anonymous, unicast6} {
		if err := h.PutRoute(r, false); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(5 * time.Second); len(held(t, h)) > 2; {
		if time.Now().After(end) {
			t.Fatalf("held %v", held(t, h))
		}
		time.Sleep(10 * time.Millisecond)
	}
	noSource := unicast6
	noSource.Source = netip.Addr{}
	wantRoutes(t, h, inTable(unicast4, 100), anonymous, noSource)
}

// rules are of every kind; no two have the same family and priority.
var rules = []Rule{
	{Priority: 100, Family: unix.AF_INET, From: pfx("192.0.2.0/24"), Table: 100, Action: nl.FR_ACT_TO_TBL},
	{Priority: 101, Family: unix.AF_INET, To: pfx("192.0.2.7/32"), Incoming: "eth0", Table: 1000, Action: nl.FR_ACT_TO_TBL},
	{Priority: 102, Family: unix.AF_INET, Mark: 1, Mask: 0xff, Table: 254, Action: nl.FR_ACT_TO_TBL},
	{Priority: 103, Family: unix.AF_INET, Mark: 0, Mask: 0xff00, Action: nl.FR_ACT_BLACKHOLE},
	{Priority: 104, Family: unix.AF_INET, From: pfx("192.0.2.0/24"), Outgoing: "eth9", Action: nl.FR_ACT_UNREACHABLE},
	{Priority: 32765, Family: unix.AF_INET, Mark: 5, Mask: 0xffffffff, Action: nl.FR_ACT_PROHIBIT},
	{Priority: 100, Family: unix.AF_INET6, From: pfx("2001:db8::/32"), To: pfx("2001:db8:1::/48"), Table: 1 << 31, Action: nl.FR_ACT_TO_TBL},
	{Priority: 101, Family: unix.AF_INET6, Incoming: "eth0", Action: nl.FR_ACT_PROHIBIT},
}

func TestRules(t *testing.T) {
	h := inNamespace(t)
	for _, r := range rules {
		if err := h.AddRule(r); err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		if err := h.AddRule(r); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%+v, a second time: %v", r, err)
		}
	}
	got, err := h.Rules()
	if err != nil || !slices.Equal(got, rules) {
		t.Errorf("rules\n%+v, %v, want\n%+v", got, err, rules)
	}
	for i, r := range rules {
		for range 2 {
			if err := h.RemoveRule(r); err != nil {
				t.Errorf("%+v: %v", r, err)
			}
		}
		if got, err := h.Rules(); err != nil || !slices.Equal(got, rules[i+1:]) {
			t.Errorf("after %+v: %+v, %v", r, got, err)
		}
	}
}

// A rule of another program is no reason not to add a different one of the same
// priority, and is not removed with it, even if it is for some of its packets.
func TestRulesOfOthers(t *testing.T) {
	h := inNamespace(t)
	ours := Rule{Priority: 100, Family: unix.AF_INET, From: pfx("192.0.2.0/24"), Table: 100, Action: nl.FR_ACT_TO_TBL}
	other := ours
	other.Incoming = "eth0"
	foreign := other.request()
	foreign.Protocol = unix.RTPROT_STATIC
	if err := h.nl.RuleAdd(foreign); err != nil {
		t.Fatal(err)
	}
	if err := h.AddRule(other); err != nil { // the protocol makes a difference
		t.Error(err)
	}
	if err := h.RemoveRule(other); err != nil {
		t.Error(err)
	}
	if err := h.RemoveRule(ours); err != nil {
		t.Fatal(err)
	}
	if err := h.AddRule(ours); err != nil {
		t.Fatal(err)
	}
	if err := h.RemoveRule(ours); err != nil {
		t.Fatal(err)
	}
	list, err := h.nl.RuleList(unix.AF_INET)
	if err != nil {
		t.Fatal(err)
	}
	left := slices.DeleteFunc(list, func(r netlink.Rule) bool { return r.Priority != 100 })
	if len(left) != 1 || left[0].IifName != "eth0" || left[0].Protocol != unix.RTPROT_STATIC {
		t.Errorf("left: %v", left)
	}
}

func TestAddressOptions(t *testing.T) {
	h := inNamespace(t)
	a := address("192.0.2.9/24")
	for _, o := range []Options{{Label: "eth0:web"}, {Scope: unix.RT_SCOPE_LINK}, {Label: "eth0:a-long-one", Scope: unix.RT_SCOPE_NOWHERE}, {}} {
		for range 2 { // the second time is the renewal
			if err := h.EnsureWith(a, o, 20*time.Second); err != nil {
				t.Fatal(err)
			}
			if got := held(t, h)["192.0.2.9/24"]; got.Options != o || got.Permanent {
				t.Errorf("got %+v, want %+v", got, o)
			}
		}
		// The kernel does not change them, which is why the holder removes first.
		if err := h.EnsureWith(a, Options{Label: "eth0:other", Scope: unix.RT_SCOPE_SITE}, 0); err != nil {
			t.Fatal(err)
		}
		if got := held(t, h)["192.0.2.9/24"]; got.Options != o || !got.Permanent {
			t.Errorf("after other options: %+v, want %+v", got, o)
		}
		if err := h.Remove(a); err != nil {
			t.Fatal(err)
		}
	}
	ensure(t, h, "2001:db8::9/64", 0)
	if got := held(t, h)["2001:db8::9/64"]; got.Options != (Options{}) {
		t.Errorf("IPv6: %+v", got)
	}
}

// A table of others that is large costs the listing nothing to speak of.
func TestRoutesOfManyOthers(t *testing.T) {
	h := withAddresses(t)
	link, err := h.nl.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	const n = 20000
	for i := range n {
		r := &netlink.Route{Dst: &net.IPNet{IP: net.IPv4(100, 64+byte(i>>16), byte(i>>8), byte(i)), Mask: net.CIDRMask(32, 32)}, LinkIndex: link.Attrs().Index, Protocol: unix.RTPROT_BGP}
		if err := h.nl.RouteAdd(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.PutRoute(unicast4, false); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	wantRoutes(t, h, unicast4)
	took := time.Since(start)
	t.Logf("listed among %d routes of others in %v", n, took)
	if took > 100*time.Millisecond {
		t.Errorf("took %v: the kernel sent the others, too", took)
	}
}
