//go:build lab

package probe_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"tandem/healthcheck"
	"tandem/healthcheck/probe"
)

// TestUnreachable tells apart who found a server unreachable: this machine,
// which says nothing of the server, or the network.
//
//	director 10.99.0.1/24 ── veth ── 10.99.0.2/24 router, forwards, knows no other network
func TestUnreachable(t *testing.T) {
	enterLab(t)
	tests := []struct {
		name    string
		address string
		timeout time.Duration
		reason  healthcheck.Reason
		detail  string
	}{
		{"nobody listens", "10.99.0.2:80", 5 * time.Second,
			healthcheck.ReasonRefused, "connecting: connection refused"},
		{"nobody listens, on a link-local address", "[fe80::2%wire]:80", 5 * time.Second,
			healthcheck.ReasonRefused, "connecting: connection refused"},
		{"a link-local address without its link", "[fe80::2]:80", 5 * time.Second,
			healthcheck.ReasonLocal, "connecting: connect: invalid argument"},
		{"no neighbour", "10.99.0.3:80", 5 * time.Second,
			healthcheck.ReasonUnreachable, "connecting: no route to host"},
		{"no neighbour, and no time to find out", "10.99.0.4:80", 50 * time.Millisecond,
			healthcheck.ReasonTimeout, "connecting: no answer in time"},
		{"the router has no route", "203.0.113.1:80", 5 * time.Second,
			healthcheck.ReasonUnreachable, "connecting: network is unreachable"},
		{"no route", "192.0.2.1:80", 5 * time.Second,
			healthcheck.ReasonLocal, "connecting: connect: network is unreachable"},
		{"route says unreachable", "198.51.100.1:80", 5 * time.Second,
			healthcheck.ReasonLocal, "connecting: connect: no route to host"},
		{"route says prohibited", "198.51.100.129:80", 5 * time.Second,
			healthcheck.ReasonLocal, "connecting: connect: permission denied"},
		{"no IPv6 route", "[2001:db8::1]:80", 5 * time.Second,
			healthcheck.ReasonLocal, "connecting: connect: network is unreachable"},
	}
	// Not t.Run: a subtest has a goroutine of its own, on another thread and so
	// in another namespace.
	for _, tt := range tests {
		ctx, cancel := context.WithTimeout(t.Context(), tt.timeout)
		r := probe.Probe(ctx, tcpTarget(netip.MustParseAddrPort(tt.address)))
		cancel()
		if r.Reason != tt.reason || r.Detail != tt.detail {
			t.Errorf("%s: %s: %q after %v, want %s: %q", tt.name, r.Reason, r.Detail, r.Latency, tt.reason, tt.detail)
		}
	}
}

// TestLinkDown: a director whose own link is down does not take its servers
// down.
func TestLinkDown(t *testing.T) {
	director := enterLab(t)
	link, err := director.LinkByName(wire)
	must(t, err)
	must(t, director.LinkSetDown(link))
	r := probe.Probe(t.Context(), tcpTarget(netip.MustParseAddrPort("10.99.0.2:80")))
	if r.Reason != healthcheck.ReasonLocal {
		t.Errorf("%+v, want a local one", r)
	}
}

// enterLab moves the test into the director's namespace of a new lab.
func enterLab(t *testing.T) *netlink.Handle {
	t.Helper()
	runtime.LockOSThread() // for good: the thread, and its namespace, end with the test
	router := newNamespace(t)
	sysctl(t, "ipv4/ip_forward", "1")
	director := newNamespace(t)
	d, r := handle(t, director), handle(t, router)

	// A neighbour's silence reaches a socket as an ICMP message to ourselves.
	lo, err := d.LinkByName("lo")
	must(t, err)
	must(t, d.LinkSetUp(lo))

	attrs := netlink.NewLinkAttrs()
	attrs.Name = wire
	must(t, d.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: wire, PeerNamespace: netlink.NsFd(router)}))
	address(t, d, "10.99.0.1/24")
	address(t, r, "10.99.0.2/24")
	address(t, d, "fe80::1/64")
	address(t, r, "fe80::2/64")
	must(t, d.RouteAdd(&netlink.Route{Dst: prefix(t, "203.0.113.0/24"), Gw: net.IPv4(10, 99, 0, 2)}))
	must(t, d.RouteAdd(&netlink.Route{Dst: prefix(t, "198.51.100.0/25"), Type: unix.RTN_UNREACHABLE}))
	must(t, d.RouteAdd(&netlink.Route{Dst: prefix(t, "198.51.100.128/25"), Type: unix.RTN_PROHIBIT}))
	// Three questions a second apart are the kernel's patience with a neighbour.
	sysctl(t, "ipv4/neigh/"+wire+"/retrans_time_ms", "200")
	return d
}

// wire is the name of both ends of the veth pair.
const wire = "wire"

// newNamespace makes a network namespace and enters it.
func newNamespace(t *testing.T) netns.NsHandle {
	t.Helper()
	ns, err := netns.New()
	must(t, err)
	t.Cleanup(func() { ns.Close() })
	return ns
}

// handle speaks to the kernel in a namespace.
func handle(t *testing.T, ns netns.NsHandle) *netlink.Handle {
	t.Helper()
	h, err := netlink.NewHandleAt(ns)
	must(t, err)
	t.Cleanup(h.Close)
	return h
}

// address gives the wire's end an address and takes it up.
func address(t *testing.T, h *netlink.Handle, cidr string) {
	t.Helper()
	link, err := h.LinkByName(wire)
	must(t, err)
	must(t, h.AddrAdd(link, &netlink.Addr{IPNet: prefix(t, cidr), Flags: unix.IFA_F_NODAD}))
	must(t, h.LinkSetUp(link))
}

func prefix(t *testing.T, cidr string) *net.IPNet {
	t.Helper()
	n, err := netlink.ParseIPNet(cidr)
	must(t, err)
	return n
}

// sysctl sets a value below net in the namespace of this thread.
func sysctl(t *testing.T, name, value string) {
	t.Helper()
	must(t, os.WriteFile("/proc/sys/net/"+name, []byte(value), 0))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
