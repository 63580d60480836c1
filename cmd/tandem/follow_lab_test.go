//go:build lab

package main

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"tandem/configs"
	"tandem/director"
	"tandem/internal/firewall"
	"tandem/internal/netif"
)

// followed has every kind of route and rule.
const followed = `
[[pair.director]]
name = "lb1"
address = "10.78.0.1"
[[pair.director]]
name = "lb2"
address = "10.78.0.2"
priority = 90
[vrrp]
interface = "sync0"
[[virtual_router]]
name = "web"
vrid = 51
addresses = ["10.78.0.3"]
route = [
  { destination = "default", via = "10.78.0.254" },
  { destination = "10.9.0.0/16", via = "192.0.2.1", interface = "sync0", source = "10.78.0.1", metric = 5, table = 100, onlink = true },
  { destination = "10.9.9.9", interface = "sync0" },
  { destination = "10.9.0.0/16", table = 100, type = "blackhole" },
  { destination = "2001:db8:1::/48", via = "fe80::7", interface = "sync0" },
  { destination = "::/0", table = 100, type = "unreachable" },
]
rule = [
  { priority = 100, from = "10.78.0.1", table = 100 },
  { priority = 101, to = "10.9.0.0/16", fwmark = 0x10, fwmask = 0xf0, incoming = "sync0", table = 100000 },
  { priority = 102, fwmark = 7, type = "prohibit" },
  { priority = 100, from = "2001:db8::/32", outgoing = "sync0", type = "blackhole" },
]
`

// What the configuration asks for is what the kernel says it has, in the same
// words, so that a pass finds nothing to repair; release takes it away.
func TestFollowersInTheKernel(t *testing.T) {
	runtime.LockOSThread() // for good: the namespace goes with the thread
	fresh, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	makeLink(t)
	links, err := netif.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer links.Close()
	cfg, err := configs.Parse("t.toml", []byte(followed))
	if err != nil {
		t.Fatal(err)
	}
	r := cfg.Routers[0]
	putAll(t, routes{links}, r.Routes, func(e configs.Route) configs.Route {
		if e.Type == "unicast" {
			e.Interface = "sync0" // the kernel finds it
		}
		return e
	})
	putAll(t, rules{links}, r.Rules, func(e configs.Rule) configs.Rule { return e })

	changed := r.Rules[1]
	changed.Table, changed.Incoming = 7, ""
	if err := (rules{links}).Put(changed, true); err != nil {
		t.Fatal(err)
	}
	if list, err := (rules{links}).List(); err != nil || len(list) != len(r.Rules) || !slices.Contains(list, changed) {
		t.Errorf("after a replacement: %v, %v", list, err)
	}

	other := &netlink.Route{Dst: &net.IPNet{IP: net.IPv4(10, 10, 0, 0), Mask: net.CIDRMask(16, 32)}, LinkIndex: link(t).Attrs().Index}
	if err := netlink.RouteAdd(other); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := releaseRoutes(&out, director.Owned{}); err != nil || out.Len() > 0 {
		t.Errorf("release of nothing: %v, %s", err, &out)
	}
	if err := releaseRoutes(&out, director.Owned{Routes: true, Rules: true}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "removed route ") + strings.Count(out.String(), "removed rule "); n != len(r.Routes)+len(r.Rules) {
		t.Errorf("released %d:\n%s", n, &out)
	}
	if a, err := (routes{links}).List(); err != nil || len(a) > 0 {
		t.Errorf("left %v, %v", a, err)
	}
	if b, err := (rules{links}).List(); err != nil || len(b) > 0 {
		t.Errorf("left %v, %v", b, err)
	}
	if found, err := links.HasRoute(netip.MustParsePrefix("10.10.0.0/16"), "sync0"); err != nil || !found {
		t.Errorf("the route of another program is gone, %v", err)
	}
}

// putAll puts entries in and compares what the kernel lists with what as makes of
// them.
func putAll[T interface {
	comparable
	String() string
}](t *testing.T, kernel director.Entries[T], entries []T, as func(T) T) {
	t.Helper()
	var want []T
	for _, e := range entries {
		if err := kernel.Put(e, false); err != nil {
			t.Fatalf("%v: %v", e, err)
		}
		want = append(want, as(e))
	}
	got, err := kernel.List()
	if err != nil {
		t.Fatal(err)
	}
	byText := func(a, b T) int { return strings.Compare(a.String(), b.String()) }
	slices.SortFunc(got, byText)
	slices.SortFunc(want, byText)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
	for _, e := range entries {
		if err := kernel.Put(e, false); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%v, a second time: %v", e, err)
		}
	}
}

// plan tells what a start would make of the firewall, until it is so; release
// takes the table away.
func TestFirewallPlanAndRelease(t *testing.T) {
	runtime.LockOSThread() // for good: the namespace goes with the thread
	fresh, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	text := strings.Replace(followed, "vrid = 51", "vrid = 51\naccept = false", 1)
	refusing, err := configs.Parse("t.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	accepting, err := configs.Parse("t.toml", []byte(strings.Replace(text, "accept = false", "", 1)))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	s := &settings{node: "lb1"}
	step := func(cfg *configs.Config, owned bool, want string) {
		t.Helper()
		out.Reset()
		n, err := s.planFirewall(&out, cfg, director.Owned{Firewall: owned})
		if err != nil || out.String() != want || n > 0 != (want != "") {
			t.Errorf("%d changes, %v: %q, want %q", n, err, &out, want)
		}
	}
	step(accepting, false, "")
	step(accepting, true, "")
	step(refusing, false, "nftables table inet tandem: drops packets to 10.78.0.3 (accept = false)\n")
	if _, err := (firewall.Table{}).Deny(director.Denied(refusing, "lb1")); err != nil {
		t.Fatal(err)
	}
	step(refusing, true, "")
	step(accepting, true, "nftables table inet tandem: goes; no address has accept = false\n")
	out.Reset()
	for range 2 { // the second time there is none
		if err := releaseFirewall(&out, director.Owned{Firewall: true}); err != nil {
			t.Fatal(err)
		}
	}
	if out.String() != "removed nftables table inet tandem\n" {
		t.Errorf("got %q", &out)
	}
}
