//go:build lab

package main

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"tandem/director"
	"tandem/internal/netif"
)

// TestStateOfFamilies: adverts of each family have a source of their own, and no
// virtual IP is one.
func TestStateOfFamilies(t *testing.T) {
	ns := newNamespaces(t)
	inNamespace(t, ns[0], func() error {
		links, err := netif.Open()
		if err != nil {
			return err
		}
		t.Cleanup(links.Close)
		n, err := newNetwork("lb1", links, func() {}, anyThread, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		t.Cleanup(n.close)
		virtual := netip.MustParsePrefix("fe80::200:5eff:fe00:133/64")
		n.virtual.Store(&map[netip.Addr]bool{virtual.Addr(): true, netip.MustParseAddr("10.0.0.100"): true})
		for _, p := range []netip.Prefix{virtual, netip.MustParsePrefix("10.0.0.100/32"), netip.MustParsePrefix("2001:db8::1/64")} {
			if err := links.Ensure(netif.Address{Prefix: p, Interface: "eth0"}, 0); err != nil {
				return err
			}
		}
		// The kernel gives the interface a link-local address, and sees first whether
		// it is unique.
		var got director.Link
		for deadline := time.Now().Add(10 * time.Second); !got.Primary6.IsValid(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("no link-local address: %+v", got)
			}
			state, err := n.state()
			if err != nil {
				return err
			}
			got = state["eth0"]
		}
		want, err := links.PrimaryIPv6("eth0", n.isVirtual)
		if err != nil || got.Primary6 != want || want == virtual.Addr() {
			t.Errorf("source of IPv6 %v, the link has %v, %v", got.Primary6, want, err)
		}
		if !got.Up || got.Primary != netip.MustParseAddr("10.0.0.1") {
			t.Errorf("link %+v", got)
		}
		return nil
	})
}
