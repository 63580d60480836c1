//go:build lab

package wire

import (
	"bytes"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"tandem/internal/netif"
)

var vip6 = netip.MustParseAddr("2001:db8::100")

// newHosts6 is newHosts whose link-local addresses can be used: the kernel sends
// nothing, not even without a source, from an interface that has none.
func newHosts6(t *testing.T) (left, right *host) {
	t.Helper()
	left, right = newHosts(t)
	for _, h := range []*host{left, right} {
		nl := h.netif(t)
		eventually(t, "a link-local address", func() bool {
			_, err := nl.PrimaryIPv6("eth0", nil)
			return err == nil
		})
	}
	return left, right
}

// hold adds an IPv6 address as the director does.
func (h *host) hold(t *testing.T, ip netip.Addr) {
	t.Helper()
	if err := h.netif(t).Ensure(netif.Address{Prefix: netip.PrefixFrom(ip, 128), Interface: "eth0"}, 0); err != nil {
		t.Fatal(err)
	}
}

func TestAnnounceMovesNeighbour6(t *testing.T) {
	left, right := newHosts6(t)
	for _, router := range []bool{true, false} {
		a := left.announcerOf(t, AnnouncerOptions{Router: func() bool { return router }})
		right.learn(t, vip6)
		if err := a.Announce(vip6); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the neighbour has moved", func() bool {
			return bytes.Equal(right.neighbour(t, vip6).HardwareAddr, left.mac(t))
		})
		if n := right.neighbour(t, vip6); n.Flags&unix.NTF_ROUTER != 0 != router {
			t.Errorf("announced as a router %t, learnt with flags %#x", router, n.Flags)
		}
	}
}

func TestAnnounceFrames6(t *testing.T) {
	left, right := newHosts6(t)
	a := left.announcer(t, nil)
	frames := right.capture(t, unix.ETH_P_IPV6)
	if err := a.Announce(vip6); err != nil {
		t.Fatal(err)
	}
	want, err := advertisement(vip6, left.mac(t), false)
	if err != nil {
		t.Fatal(err)
	}
	for {
		f := receive(t, frames)
		if !bytes.Equal(f[14:], want) {
			continue // the kernels talk, too
		}
		if dst := net.HardwareAddr(f[:6]); dst.String() != "33:33:00:00:00:01" {
			t.Errorf("destination MAC %v", dst)
		}
		if src := net.HardwareAddr(f[6:12]); !bytes.Equal(src, left.mac(t)) {
			t.Errorf("source MAC %v", src)
		}
		return
	}
}

// TestProbe6 asks real kernels, which answer as to a machine that checks whether an
// address is free.
func TestProbe6(t *testing.T) {
	left, right := newHosts6(t)
	a := left.announcer(t, nil)
	left.watch(t, a)
	for _, ip := range []netip.Addr{vip6, netip.MustParseAddr("fe80::200:5eff:fe00:233")} {
		if mac, err := a.Probe(t.Context(), ip); err != nil || mac != nil {
			t.Errorf("nobody has %v, got %v, %v", ip, mac, err)
		}
		left.hold(t, ip)
		if mac, err := a.Probe(t.Context(), ip); err != nil || mac != nil {
			t.Errorf("only we have %v, got %v, %v", ip, mac, err)
		}
		right.hold(t, ip)
		if mac, err := a.Probe(t.Context(), ip); err != nil || !bytes.Equal(mac, right.mac(t)) {
			t.Errorf("right has %v, got %v, %v", ip, mac, err)
		}
	}
}

func TestConflict6(t *testing.T) {
	left, right := newHosts6(t)
	la, ra := left.announcer(t, nil), right.announcer(t, nil)
	conflicts := left.watch(t, la)
	la.SetWatched(vip, vip6)
	other := netip.MustParseAddr("2001:db8::101")
	for _, ip := range []netip.Addr{other, vip6} {
		if err := ra.Announce(ip); err != nil {
			t.Fatal(err)
		}
	}
	if c := receive(t, conflicts); c.IP != vip6 || !bytes.Equal(c.MAC, right.mac(t)) || c.At.IsZero() {
		t.Errorf("conflict %+v", c)
	}
	la.SetWatched(vip, vip6, other)
	if err := la.Announce(vip6); err != nil { // our own is no conflict
		t.Fatal(err)
	}
	if err := ra.Announce(other); err != nil {
		t.Fatal(err)
	}
	if c := receive(t, conflicts); c.IP != other {
		t.Errorf("conflict %+v", c)
	}
	if len(conflicts) != 0 {
		t.Errorf("further conflict %+v", <-conflicts)
	}
}

func TestNDPAfterInterfaceReturns(t *testing.T) {
	left, right := newHosts(t)
	changes := make(chan error, 100)
	la, ra := left.announcer(t, nil), right.announcer(t, func(err error) { changes <- err })
	left.watch(t, la)
	conflicts := right.watch(t, ra)
	ra.SetWatched(vip6)

	if err := left.nl.LinkDel(left.link(t)); err != nil { // takes the other end along
		t.Fatal(err)
	}
	if err := receive(t, changes); err == nil {
		t.Error("reported nil, want what is wrong")
	}
	connect(t, left, right)
	if err := receive(t, changes); err != nil {
		t.Errorf("reported %v, want nil", err)
	}
	eventually(t, "a conflict is heard again", func() bool {
		return la.Announce(vip6) == nil && len(conflicts) > 0
	})
	if c := <-conflicts; !bytes.Equal(c.MAC, left.mac(t)) {
		t.Errorf("conflict %+v", c)
	}
	if len(changes) != 0 {
		t.Errorf("further report: %v", <-changes)
	}
}
