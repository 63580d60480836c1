//go:build lab

package netif

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"tandem/internal/sysctl"
)

// inNamespace moves the test to a network namespace of its own, with an
// interface eth0 that is up. The thread stays locked and ends with the test.
func inNamespace(t *testing.T) *Handle {
	t.Helper()
	runtime.LockOSThread()
	ns, err := netns.New()
	if err != nil {
		t.Fatalf("new network namespace (needs root): %v", err)
	}
	t.Cleanup(func() { ns.Close() })
	h, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	addLink(t, h)
	return h
}

// addLink makes a veth pair: eth0, and far as its other end.
func addLink(t *testing.T, h *Handle) {
	t.Helper()
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "far"}
	if err := h.nl.LinkAdd(pair); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"eth0", "far"} {
		link, err := h.nl.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.nl.LinkSetUp(link); err != nil {
			t.Fatal(err)
		}
	}
}

// held is what the kernel holds on eth0, without the link-local addresses.
func held(t *testing.T, h *Handle) map[string]Held {
	t.Helper()
	list, err := h.Addresses()
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]Held{}
	for _, a := range list {
		if a.Interface == "eth0" && !a.Prefix.Addr().IsLinkLocalUnicast() {
			m[a.Prefix.String()] = a
		}
	}
	return m
}

func ensure(t *testing.T, h *Handle, prefix string, lease time.Duration) {
	t.Helper()
	if err := h.Ensure(address(prefix), lease); err != nil {
		t.Fatal(err)
	}
}

func TestEnsureAndRemove(t *testing.T) {
	h := inNamespace(t)
	for _, prefix := range []string{"192.0.2.9/32", "2001:db8::9/128"} {
		for range 2 { // the second time is the renewal
			ensure(t, h, prefix, 20*time.Second)
			got, ok := held(t, h)[prefix]
			if !ok || got.Permanent || got.Remaining < 18*time.Second || got.Remaining > 20*time.Second {
				t.Errorf("%s under a lease of 20s: %+v, held %t", prefix, got, ok)
			}
		}
		ensure(t, h, prefix, 0)
		if got := held(t, h)[prefix]; !got.Permanent {
			t.Errorf("%s for ever: %+v", prefix, got)
		}
		ensure(t, h, prefix, 20*time.Second)
		if got := held(t, h)[prefix]; got.Permanent {
			t.Errorf("a permanent %s did not take the lease", prefix)
		}
		for range 2 { // the second time it is not there
			if err := h.Remove(address(prefix)); err != nil {
				t.Errorf("remove %s: %v", prefix, err)
			}
		}
	}
	if got := held(t, h); len(got) != 0 {
		t.Errorf("left over: %v", got)
	}
}

func TestIPv6UsableAtOnceAndNoSource(t *testing.T) {
	h := inNamespace(t)
	ensure(t, h, "2001:db8::9/128", 0)
	list, err := h.addresses(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		if a.IP.String() == "2001:db8::9" {
			if a.Flags&unix.IFA_F_TENTATIVE != 0 || a.Flags&unix.IFA_F_DEPRECATED == 0 {
				t.Errorf("flags %#x: want deprecated and not tentative", a.Flags)
			}
			return
		}
	}
	t.Error("address not there")
}

func TestLeaseExpires(t *testing.T) {
	h := inNamespace(t)
	events := watch(t, h)
	ensure(t, h, "192.0.2.9/32", time.Second)
	start := time.Now()
	await(t, events, AddressAdded{Address: address("192.0.2.9/32")})
	await(t, events, AddressRemoved{Address: address("192.0.2.9/32")})
	if d := time.Since(start); d < 900*time.Millisecond || d > 3*time.Second {
		t.Errorf("expired after %v", d)
	}
	if got := held(t, h); len(got) != 0 {
		t.Errorf("left over: %v", got)
	}
}

// Linux removes the secondary addresses of a subnet with its primary one. A
// virtual address that came first must not take the others along.
func TestRemoveKeepsOthersOfTheSubnet(t *testing.T) {
	h := inNamespace(t)
	if err := sysctl.Set("net/ipv4/conf/all/promote_secondaries", "0"); err != nil {
		t.Fatal(err)
	}
	if err := sysctl.Set("net/ipv4/conf/eth0/promote_secondaries", "0"); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"192.0.2.9/24", "192.0.2.1/24", "192.0.2.2/24", "198.51.100.1/24"} {
		ensure(t, h, p, 0)
	}
	if got := held(t, h); got["192.0.2.9/24"].Secondary || !got["192.0.2.1/24"].Secondary {
		t.Fatalf("not the situation to be tested: %v", got)
	}
	if err := h.Remove(address("192.0.2.9/24")); err != nil {
		t.Fatal(err)
	}
	got := held(t, h)
	for _, p := range []string{"192.0.2.1/24", "192.0.2.2/24", "198.51.100.1/24"} {
		if _, ok := got[p]; !ok {
			t.Errorf("%s went too: %v", p, got)
		}
	}
	if len(got) != 3 {
		t.Errorf("held %v", got)
	}
}

func TestLoopback(t *testing.T) {
	h := inNamespace(t)
	lo, err := h.Link("lo")
	if err != nil || lo.ARP {
		t.Fatalf("Link = %+v, %v", lo, err)
	}
	if err := h.Ensure(Address{Prefix: netip.MustParsePrefix("192.0.2.9/32"), Interface: "lo"}, 0); err != nil {
		t.Fatal(err)
	}
	list, err := h.addresses(nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 || list[0].IP.String() != "192.0.2.9" || list[0].Scope != unix.RT_SCOPE_HOST {
		t.Errorf("on lo: %v", list)
	}
}

func TestMissingInterface(t *testing.T) {
	h := inNamespace(t)
	missing := Address{Prefix: netip.MustParsePrefix("192.0.2.9/32"), Interface: "eth7"}
	err := h.Ensure(missing, 0)
	if !errors.Is(err, ErrNoInterface) || !strings.Contains(err.Error(), `"eth7"`) || !strings.Contains(err.Error(), "eth0, far, lo") {
		t.Errorf("Ensure: %v", err)
	}
	if err := h.Remove(missing); err != nil {
		t.Errorf("Remove: %v", err)
	}
	if _, err := h.PrimaryIPv4("eth7", nil); !errors.Is(err, ErrNoInterface) {
		t.Errorf("PrimaryIPv4: %v", err)
	}
}

func TestPrimaryIPv4(t *testing.T) {
	h := inNamespace(t)
	if _, err := h.PrimaryIPv4("eth0", nil); !errors.Is(err, ErrNoAddress) {
		t.Errorf("without an address: %v", err)
	}
	ensure(t, h, "2001:db8::1/64", 0)
	ensure(t, h, "192.0.2.9/32", 0)
	ensure(t, h, "192.0.2.1/24", 0)
	virtual := func(ip netip.Addr) bool { return ip == netip.MustParseAddr("192.0.2.9") }
	got, err := h.PrimaryIPv4("eth0", virtual)
	if err != nil || got != netip.MustParseAddr("192.0.2.1") {
		t.Errorf("PrimaryIPv4 = %v, %v", got, err)
	}
}

func TestPrimaryIPv6(t *testing.T) {
	h := inNamespace(t)
	virtual := func(ip netip.Addr) bool { return ip == netip.MustParseAddr("fe80::9") }
	dad := func(prefix string) { // an address that has to be proved unique, as Ensure's have not
		t.Helper()
		p := netip.MustParsePrefix(prefix)
		req := request(p, index(t, h, "eth0"), 0)
		req.Flags = 0
		if err := h.nl.AddrReplace(nil, req); err != nil {
			t.Fatal(err)
		}
	}
	want := func(when, want string) {
		t.Helper()
		got, err := h.PrimaryIPv6("eth0", virtual)
		if want == "" && !errors.Is(err, ErrNoAddress) || want != "" && (err != nil || got != netip.MustParseAddr(want)) {
			t.Errorf("%s: %v, %v, want %s", when, got, err, want)
		}
	}
	removeLinkLocal(t, h)
	want("without an address", "")
	for _, p := range []string{"192.0.2.1/24", "2001:db8::1/64", "fe80::9/64", "fe80::200:5eff:fe00:233/64"} {
		ensure(t, h, p, 0)
	}
	want("a global address, a virtual one, one of a virtual MAC", "")
	events := watch(t, h)
	dad("fe80::2/64")
	want("not known to be unique", "")
	await(t, events, AddressAdded{Address: address("fe80::2/64")})
	want("the event says that it is", "fe80::2")
	ensure(t, h, "fe80::1/64", 0)
	ensure(t, h, "fe80::3/64", 0)
	want("others are added", "fe80::2")

	// The other end of the cable has the address already.
	far := Address{Prefix: netip.MustParsePrefix("fe80::4/64"), Interface: "far"}
	if err := h.Ensure(far, 0); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"fe80::1/64", "fe80::2/64", "fe80::3/64"} {
		if err := h.Remove(address(p)); err != nil {
			t.Fatal(err)
		}
	}
	dad("fe80::4/64")
	deadline := time.Now().Add(5 * time.Second)
	for !failed(t, h, "fe80::4") {
		if time.Now().After(deadline) {
			t.Fatal("the kernel did not find the duplicate")
		}
		time.Sleep(10 * time.Millisecond)
	}
	want("known not to be unique", "")
}

func index(t *testing.T, h *Handle, name string) int {
	t.Helper()
	link, err := h.Link(name)
	if err != nil {
		t.Fatal(err)
	}
	return link.Index
}

// removeLinkLocal takes the addresses away that the kernel gives an interface.
func removeLinkLocal(t *testing.T, h *Handle) {
	t.Helper()
	list, err := h.Addresses()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		if a.Prefix.Addr().IsLinkLocalUnicast() {
			if err := h.Remove(a.Address); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// failed says that duplicate address detection has found another eth0's address.
func failed(t *testing.T, h *Handle, ip string) bool {
	t.Helper()
	list, err := h.addresses(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		if a.LinkIndex == index(t, h, "eth0") && a.IP.String() == ip {
			return a.Flags&unix.IFA_F_DADFAILED != 0
		}
	}
	return false
}

func TestWatchLinks(t *testing.T) {
	h := inNamespace(t)
	events := watch(t, h)
	link, err := h.Link("eth0")
	if err != nil || !link.Up || len(link.MAC) != 6 || link.MTU != 1500 {
		t.Fatalf("Link = %+v, %v", link, err)
	}
	if err := h.nl.LinkSetDown(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: link.Index}}); err != nil {
		t.Fatal(err)
	}
	down := link
	down.Up = false
	await(t, events, LinkChanged{Link: down})
	if err := h.nl.LinkDel(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: link.Index}}); err != nil {
		t.Fatal(err)
	}
	await(t, events, LinkRemoved{Name: "eth0", Index: link.Index})
}

// A watcher that is too slow loses messages, and must be told.
func TestWatchOverrun(t *testing.T) {
	h := inNamespace(t)
	sub, err := h.Subscribe()
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.sock.SetReceiveBufferSize(1, true); err != nil { // the kernel's minimum
		t.Fatal(err)
	}
	for i := range 200 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, 0, byte(i + 1)}), 32)
		ensure(t, h, p.String(), 0)
	}
	events := run(t, sub)
	await(t, events, Resync{}) // run has consumed the first one
	ensure(t, h, "192.0.2.1/24", 0)
	await(t, events, AddressAdded{Address: address("192.0.2.1/24")})
}

func watch(t *testing.T, h *Handle) <-chan Event {
	t.Helper()
	sub, err := h.Subscribe()
	if err != nil {
		t.Fatal(err)
	}
	return run(t, sub)
}

// run delivers the events of a subscription after the first Resync, and checks
// at the end of the test that Run returns nil.
func run(t *testing.T, sub *Subscription) <-chan Event {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	events := make(chan Event, 1000)
	done := make(chan error, 1)
	go func() { done <- sub.Run(ctx, func(ev Event) { events <- ev }) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(5 * time.Second):
			t.Error("Run did not return")
		}
	})
	if ev := <-events; ev != (Resync{}) {
		t.Fatalf("first event %#v, want Resync", ev)
	}
	return events
}

// await waits for an event, and lets others pass.
func await(t *testing.T, events <-chan Event, want Event) {
	t.Helper()
	timeout := time.After(5 * time.Second)
	for {
		select {
		case ev := <-events:
			if equal(ev, want) {
				return
			}
		case <-timeout:
			t.Fatalf("no %#v within 5 s", want)
		}
	}
}
