//go:build lab

package netif

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// route adds or, with del, removes a route by its destination.
func route(t *testing.T, h *Handle, del bool, dst string, change func(*netlink.Route)) {
	t.Helper()
	link, err := h.nl.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	_, n, err := net.ParseCIDR(dst)
	if err != nil {
		t.Fatal(err)
	}
	r := &netlink.Route{Dst: n, LinkIndex: link.Attrs().Index}
	if change != nil {
		change(r)
	}
	if del {
		err = h.nl.RouteDel(r)
	} else {
		err = h.nl.RouteAdd(r)
	}
	if err != nil {
		t.Fatalf("route %s: %v", dst, err)
	}
}

func wantRoute(t *testing.T, h *Handle, dst, interfaceName string, want bool) {
	t.Helper()
	if got, err := h.HasRoute(netip.MustParsePrefix(dst), interfaceName); err != nil || got != want {
		t.Errorf("route %s on %q: got %t, %v, want %t", dst, interfaceName, got, err, want)
	}
}

func TestHasRoute(t *testing.T) {
	h := inNamespace(t)
	ensure(t, h, "192.0.2.1/24", 0)
	for _, dst := range []string{"0.0.0.0/0", "10.0.0.0/8", "::/0", "2001:db8:1::/48"} {
		wantRoute(t, h, dst, "", false)
		route(t, h, false, dst, nil)
		wantRoute(t, h, dst, "", true)
		wantRoute(t, h, dst, "eth0", true)
		wantRoute(t, h, dst, "far", false)
		wantRoute(t, h, dst, "eth7", false)
	}
	wantRoute(t, h, "10.0.0.0/9", "", false)
	wantRoute(t, h, "10.0.0.0/7", "", false)
	route(t, h, true, "0.0.0.0/0", nil)
	wantRoute(t, h, "0.0.0.0/0", "", false)

	prohibit := func(r *netlink.Route) { r.Type, r.LinkIndex = unix.RTN_UNREACHABLE, 0 }
	route(t, h, false, "10.1.0.0/16", prohibit)
	wantRoute(t, h, "10.1.0.0/16", "", false)
	other := func(r *netlink.Route) { r.Table = 100 }
	route(t, h, false, "10.2.0.0/16", other)
	wantRoute(t, h, "10.2.0.0/16", "", false)
	far, err := h.nl.LinkByName("far")
	if err != nil {
		t.Fatal(err)
	}
	route(t, h, false, "10.3.0.0/16", func(r *netlink.Route) {
		r.MultiPath = []*netlink.NexthopInfo{{LinkIndex: r.LinkIndex}, {LinkIndex: far.Attrs().Index}}
		r.LinkIndex = 0
	})
	wantRoute(t, h, "10.3.0.0/16", "eth0", true)
	wantRoute(t, h, "10.3.0.0/16", "far", true)

	// eth0 loses its carrier: its routes stay and lead nowhere.
	if err := h.nl.LinkSetDown(far); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); ; {
		if l, err := h.Link("eth0"); err != nil || !l.Up {
			break
		}
		if time.Now().After(end) {
			t.Fatal("eth0 keeps its carrier")
		}
	}
	wantRoute(t, h, "10.0.0.0/8", "", false)
}

func TestHasAddress(t *testing.T) {
	h := inNamespace(t)
	ensure(t, h, "192.0.2.1/24", 0)
	ensure(t, h, "2001:db8::9/128", 0)
	for _, tt := range []struct {
		address, on string
		want        bool
	}{
		{"192.0.2.1", "", true}, {"192.0.2.1", "eth0", true}, {"192.0.2.1", "far", false}, {"192.0.2.1", "eth7", false},
		{"192.0.2.2", "", false}, {"2001:db8::9", "eth0", true},
	} {
		if got, err := h.HasAddress(netip.MustParseAddr(tt.address), tt.on); err != nil || got != tt.want {
			t.Errorf("%s on %q: got %t, %v", tt.address, tt.on, got, err)
		}
	}
}

func TestWatchRoute(t *testing.T) {
	h := inNamespace(t)
	ensure(t, h, "192.0.2.1/24", 0)
	for _, dst := range []string{"0.0.0.0/0", "10.0.0.0/8", "::/0"} {
		ctx, cancel := context.WithCancel(t.Context())
		told, done := make(chan struct{}, 100), make(chan error, 1)
		sock, err := subscribeRoutes(netip.MustParsePrefix(dst)) // in the thread's namespace
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			done <- watchRoute(ctx, sock, netip.MustParsePrefix(dst), func() { told <- struct{}{} })
		}()
		<-told // the first
		for _, del := range []bool{false, true} {
			route(t, h, del, "10.9.0.0/16", nil) // another
			route(t, h, del, dst, nil)
			select {
			case <-told:
			case <-time.After(5 * time.Second):
				t.Errorf("%s, removed %t: not told", dst, del)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if len(told) > 0 {
			t.Errorf("%s: told %d times too often", dst, len(told))
		}
	}
}
