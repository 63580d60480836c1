package configs

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFollowString(t *testing.T) {
	prefix, addr := netip.MustParsePrefix, netip.MustParseAddr
	for want, r := range map[string]Route{
		"0.0.0.0/0 via 10.77.0.254": {Destination: prefix("0.0.0.0/0"), Via: addr("10.77.0.254"), Table: 254, Type: "unicast"},
		"10.9.0.0/16 via 192.0.2.1 dev eth1 src 10.77.0.102 metric 5 table 7 onlink": {Destination: prefix("10.9.0.0/16"), Via: addr("192.0.2.1"),
			Interface: "eth1", Source: addr("10.77.0.102"), Metric: 5, Table: 7, OnLink: true, Type: "unicast"},
		"blackhole ::/0":         {Destination: prefix("::/0"), Metric: 1024, Table: 254, Type: "blackhole"},
		"::/0 dev eth0 metric 1": {Destination: prefix("::/0"), Interface: "eth0", Metric: 1, Table: 254, Type: "unicast"},
	} {
		if got := r.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for want, r := range map[string]Rule{
		"1: from all lookup 100": {Priority: 1, Table: 100, Type: "lookup"},
		"7: from 10.0.0.0/8 to 10.1.0.0/16 fwmark 0x10/0xf0 iif eth0 oif eth1 lookup 9": {Priority: 7, From: prefix("10.0.0.0/8"), To: prefix("10.1.0.0/16"),
			Mark: 0x10, Mask: 0xf0, Incoming: "eth0", Outgoing: "eth1", Table: 9, Type: "lookup"},
		"IPv6 7: from all fwmark 0x1 prohibit": {Priority: 7, IPv6: true, Mark: 1, Mask: 1<<32 - 1, Type: "prohibit"},
	} {
		if got := r.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// A followed thing that is legal and most likely a mistake.
func TestFollowWarnings(t *testing.T) {
	const here = "virtual_router gate: "
	for _, tt := range []struct{ keys, want string }{
		{`accept = false`, ""},
		{`route = [{ destination = "default", via = "10.77.0.254", source = "10.77.0.200" }]`, ""},
		{`route = [{ destination = "10.9.0.0/16", via = "10.77.0.254", source = "10.77.0.100" }]`,
			"the source 10.77.0.100 of the route to 10.9.0.0/16 is no address of the router: the kernel takes the route only where the host has that address; write one of the router's addresses, or leave source out"},
		{"accept = false\n" + `route = [{ destination = "10.9.0.0/16", via = "10.77.0.254", source = "10.77.0.200" }]`,
			"what is sent from 10.77.0.200 by the route to 10.9.0.0/16 is not answered: accept = false drops the answers; leave source out, or write accept = true"},
		{`rule = [{ priority = 5, table = 7, from = "0.0.0.0/0" }]`, "the rule of priority 5 is for every packet; write from, to, fwmark, incoming or outgoing"},
		{`rule = [{ priority = 5, table = 7, outgoing = "eth1" }]`, ""},
		{`route = [{ destination = "default", via = "10.77.0.254" }]` + "\n" + `track = [{ route = "0.0.0.0/0" }]`,
			"the route to 0.0.0.0/0 follows the role, and router gate tracks one: without another to the same destination it comes and goes with the role that it would decide; track a route that does not move"},
		{`route = [{ destination = "default", via = "10.77.0.254", table = 7 }]` + "\n" + `track = [{ route = "0.0.0.0/0" }]`, ""},
	} {
		file := string(readFile(t, "minimal.toml")) + "\n[[virtual_router]]\nname = \"gate\"\nvrid = 60\naddresses = [\"10.77.0.200\"]\n" + tt.keys + "\n"
		var got, want []string
		for _, w := range mustParse(t, "t.toml", []byte(file)).Warnings() {
			got = append(got, w.String())
		}
		if tt.want != "" {
			want = []string{here + tt.want}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: warnings (-want +got):\n%s", tt.keys, diff)
		}
	}
	owner := string(readFile(t, "minimal.toml")) + "\n[[virtual_router]]\nname = \"gate\"\nvrid = 60\naddresses = [\"10.77.0.200\"]\naccept = false\nfailback = \"immediate\"\npriority = { lb1 = 255 }\n"
	list := mustParse(t, "t.toml", []byte(owner)).Warnings()
	const want = here + "lb1 has priority 255 and so owns the addresses: there accept = false does not hold (RFC 9568, section 6.1); write a priority of 254 at most, or remove accept"
	if len(list) == 0 || list[0].String() != want && list[len(list)-1].String() != want {
		t.Errorf("warnings %v", list)
	}
}

// The family of a route or rule that does not say it is the router's.
func TestFollowFamily(t *testing.T) {
	d := &decoder{vocabulary: map[string][]string{}}
	table := func(values map[string]any) *table {
		return &table{place: place{d: d, path: "virtual_router[0].route[0]"}, values: values}
	}
	for _, ipv6 := range []bool{false, true} {
		route := readRoute(table(map[string]any{"destination": "default", "interface": "eth0"}), ipv6)
		rule := readRule(table(map[string]any{"priority": int64(5), "table": int64(7), "incoming": "eth0"}), ipv6)
		if route.Destination != everywhere(ipv6) || rule.IPv6 != ipv6 {
			t.Errorf("IPv6 %t: %v, %v", ipv6, route, rule)
		}
	}
	if len(d.errs) > 0 {
		t.Error(d.errs)
	}
}

// Addresses of IPv6 have no options.
func TestOptionsOfIPv6(t *testing.T) {
	d := &decoder{vocabulary: map[string][]string{}}
	tab := &table{place: place{d: d, path: "a"}, values: map[string]any{"label": "eth0:x", "scope": "link"}}
	o := readOptions(tab, VirtualAddress{netip.MustParsePrefix("2001:db8::1/64"), "eth0"})
	want := "a.label: is not possible: only IPv4 addresses have labels; remove it\n" +
		"a.scope: has no effect: the kernel derives the scope of an IPv6 address from the address; remove it"
	if got := strings.ReplaceAll(d.errs.Error(), ":0: ", ""); o != (AddressOptions{}) || got != want {
		t.Errorf("%+v, %s", o, got)
	}
}
