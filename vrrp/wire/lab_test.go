//go:build lab

package wire

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"tandem/internal/netif"
)

// patience bounds every wait for something that must happen.
const patience = 5 * time.Second

var (
	leftAddr  = netip.MustParsePrefix("192.0.2.1/24")
	rightAddr = netip.MustParsePrefix("192.0.2.2/24")
	vip       = netip.MustParseAddr("192.0.2.100")
)

// host is a network namespace with an interface eth0.
type host struct {
	ns netns.NsHandle
	nl *netlink.Handle
}

// newHosts makes two namespaces whose eth0 are the ends of one cable.
func newHosts(t *testing.T) (left, right *host) {
	t.Helper()
	left, right = newHost(t), newHost(t)
	connect(t, left, right)
	left.addAddress(t, leftAddr)
	right.addAddress(t, rightAddr)
	return left, right
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{}
	onThread(t, func() {
		var err error
		if h.ns, err = netns.New(); err != nil {
			t.Fatalf("new network namespace (needs root): %v", err)
		}
		if h.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() {
		h.nl.Close()
		h.ns.Close()
	})
	return h
}

// connect lays the cable, and sets both ends up.
func connect(t *testing.T, left, right *host) {
	t.Helper()
	pair := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: "eth0"},
		PeerName:      "eth0",
		PeerNamespace: netlink.NsFd(right.ns),
	}
	if err := left.nl.LinkAdd(pair); err != nil {
		t.Fatalf("add veth: %v", err)
	}
	for _, h := range []*host{left, right} {
		if err := h.nl.LinkSetUp(h.link(t)); err != nil {
			t.Fatalf("set up: %v", err)
		}
	}
}

func (h *host) link(t *testing.T) netlink.Link {
	t.Helper()
	l, err := h.nl.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (h *host) mac(t *testing.T) net.HardwareAddr {
	t.Helper()
	return h.link(t).Attrs().HardwareAddr
}

func (h *host) addAddress(t *testing.T, p netip.Prefix) {
	t.Helper()
	err := h.nl.AddrAdd(h.link(t), &netlink.Addr{IPNet: &net.IPNet{
		IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32),
	}})
	if err != nil {
		t.Fatalf("add %v: %v", p, err)
	}
}

// do runs f in the namespace, to open sockets there.
func (h *host) do(t *testing.T, f func()) {
	t.Helper()
	onThread(t, func() {
		if err := netns.Set(h.ns); err != nil {
			t.Fatal(err)
		}
		f()
	})
}

// onThread runs f on a thread of its own, which ends with it, so that no other
// goroutine inherits its namespace.
func onThread(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		f()
	}()
	<-done
	if t.Failed() {
		t.FailNow()
	}
}

// background runs f in the namespace until the test ends, and checks that it
// then returns nil.
func (h *host) background(t *testing.T, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := netns.Set(h.ns); err != nil {
			done <- err
			return
		}
		done <- f(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		if err := receive(t, done); err != nil {
			t.Errorf("ended with %v", err)
		}
	})
}

// receive waits for a value.
func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("no %T within %v", *new(T), patience)
		panic("unreachable")
	}
}

// eventually waits for a condition that nothing announces.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// netifHandle is a netif.Handle in the namespace.
func (h *host) netif(t *testing.T) *netif.Handle {
	t.Helper()
	var n *netif.Handle
	h.do(t, func() {
		var err error
		if n, err = netif.Open(); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(n.Close)
	return n
}
