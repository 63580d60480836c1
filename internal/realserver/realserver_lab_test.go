//go:build lab

package realserver

import (
	"context"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"tandem/internal/netif"
	"tandem/vrrp/wire"
)

// A neighbour asks for the virtual address over a real cable: a machine that
// only holds the address answers, a real server does not.
func TestSilence(t *testing.T) {
	// The thread ends in the namespace of the real server, and with the test.
	runtime.LockOSThread()
	path := statePath(t)
	neighbour := newNamespace(t)
	ask := askFrom(t, neighbour)
	newNamespace(t)
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(neighbour)}
	if err := netlink.LinkAdd(pair); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lo", "eth0"} {
		setUp(t, name)
	}
	h, err := netif.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := h.Ensure(netif.Address{Prefix: netip.MustParsePrefix("192.0.2.10/24"), Interface: "eth0"}, 0); err != nil {
		t.Fatal(err)
	}

	probe := ask()
	if !probe(netip.MustParseAddr("192.0.2.10")) {
		t.Fatal("the machine does not answer for its own address")
	}
	if probe(vip1) {
		t.Fatal("somebody answers for the virtual address already")
	}
	onLo := netif.Address{Prefix: netip.PrefixFrom(vip1, 32), Interface: "lo"}
	if err := h.Ensure(onLo, 0); err != nil {
		t.Fatal(err)
	}
	if !probe(vip1) {
		t.Fatal("not the situation to be tested: a silent machine by default")
	}
	if f := findings(t); !fatal(f) {
		t.Errorf("Check finds nothing wrong: %+v", f)
	}
	if err := h.Remove(onLo); err != nil {
		t.Fatal(err)
	}

	for range 2 {
		if err := Apply([]netip.Addr{vip1}, path); err != nil {
			t.Fatal(err)
		}
		if probe(vip1) {
			t.Error("a real server answers for the virtual address")
		}
		if !probe(netip.MustParseAddr("192.0.2.10")) {
			t.Error("a real server does not answer for its own address")
		}
		if f := findings(t); fatal(f) {
			t.Errorf("after Apply: %+v", f)
		}
	}
	if err := Clear(path); err != nil {
		t.Fatal(err)
	}
	if f := findings(t); !fatal(f) {
		t.Errorf("after Clear: %+v", f)
	}
	list, err := h.Addresses()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		if a.Prefix.Addr() == vip1 {
			t.Errorf("after Clear: %v", a)
		}
	}
}

// TestSilenceIPv6: an IPv6 address on lo is no other interface's business, with the
// kernel's settings as they are.
func TestSilenceIPv6(t *testing.T) {
	runtime.LockOSThread()
	neighbour := newNamespace(t)
	ask := askFrom(t, neighbour)
	newNamespace(t)
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(neighbour)}
	if err := netlink.LinkAdd(pair); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lo", "eth0"} {
		setUp(t, name)
	}
	h, err := netif.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	own := netip.MustParseAddr("2001:db8::10")
	if err := h.Ensure(netif.Address{Prefix: netip.PrefixFrom(own, 64), Interface: "eth0"}, 0); err != nil {
		t.Fatal(err)
	}
	if err := Apply([]netip.Addr{vip6}, statePath(t)); err != nil {
		t.Fatal(err)
	}
	probe := ask()
	if !probe(own) {
		t.Error("a real server does not answer for its own address")
	}
	if probe(vip6) {
		t.Error("a real server answers for the virtual address")
	}
	if f, err := Check([]netip.Addr{vip6}); err != nil || fatal(f) {
		t.Errorf("Check: %+v, %v", f, err)
	}
	// On another interface it would answer.
	onEth0 := netif.Address{Prefix: netip.PrefixFrom(vip6, 128), Interface: "eth0"}
	if err := h.Ensure(onEth0, 0); err != nil {
		t.Fatal(err)
	}
	if !probe(vip6) {
		t.Error("not asked at all: an address of the interface is not answered for either")
	}
	if f, err := Check([]netip.Addr{vip6}); err != nil || !fatal(f) {
		t.Errorf("Check finds nothing wrong: %+v, %v", f, err)
	}
}

func findings(t *testing.T) []Finding {
	t.Helper()
	f, err := Check([]netip.Addr{vip1})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func fatal(list []Finding) bool {
	for _, f := range list {
		if f.Fatal {
			return true
		}
	}
	return false
}

// newNamespace moves the thread to a namespace of its own.
func newNamespace(t *testing.T) netns.NsHandle {
	t.Helper()
	ns, err := netns.New()
	if err != nil {
		t.Fatalf("new network namespace (needs root): %v", err)
	}
	t.Cleanup(func() { ns.Close() })
	return ns
}

func setUp(t *testing.T, name string) {
	t.Helper()
	link, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		t.Fatal(err)
	}
}

// askFrom returns a function to be called when the neighbour has its end of the
// cable. That one returns a function that asks from there who has an address.
func askFrom(t *testing.T, ns netns.NsHandle) func() func(netip.Addr) bool {
	return func() func(netip.Addr) bool {
		ctx, cancel := context.WithCancel(context.Background())
		ready := make(chan *wire.Announcer)
		done := make(chan error, 1)
		go func() {
			runtime.LockOSThread()
			defer close(ready)
			if err := netns.Set(ns); err != nil {
				t.Error(err)
				return
			}
			setUp(t, "eth0")
			if err := waitForLinkLocal(); err != nil {
				t.Error(err)
				return
			}
			a, err := wire.NewAnnouncer("eth0", wire.AnnouncerOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			ready <- a
			done <- a.Watch(ctx, func(wire.Conflict) {})
		}()
		a, ok := <-ready
		if !ok {
			t.FailNow()
		}
		<-a.Ready()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Watch: %v", err)
			}
			a.Close()
		})
		return func(ip netip.Addr) bool {
			mac, err := a.Probe(ctx, ip)
			if err != nil {
				t.Fatal(err)
			}
			return mac != nil
		}
	}
}

// waitForLinkLocal ends when eth0 can send packets of IPv6: the kernel sees first
// whether its address is unique.
func waitForLinkLocal() error {
	h, err := netif.Open()
	if err != nil {
		return err
	}
	defer h.Close()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		_, err := h.PrimaryIPv6("eth0", nil)
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}
