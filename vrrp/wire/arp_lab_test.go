//go:build lab

package wire

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tandem/internal/netif"
)

// announcer opens eth0 with the options that most tests do without.
func (h *host) announcer(t *testing.T, report func(error)) *Announcer {
	return h.announcerOf(t, AnnouncerOptions{Report: report})
}

func (h *host) announcerOf(t *testing.T, o AnnouncerOptions) *Announcer {
	t.Helper()
	var a *Announcer
	h.do(t, func() {
		var err error
		if a, err = NewAnnouncer("eth0", o); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return a
}

// watch runs a and returns the conflicts.
func (h *host) watch(t *testing.T, a *Announcer) <-chan Conflict {
	t.Helper()
	conflicts := make(chan Conflict, 100)
	h.background(t, func(ctx context.Context) error {
		return a.Watch(ctx, func(c Conflict) { conflicts <- c })
	})
	receive(t, a.Ready())
	return conflicts
}

// neighbour is what h's neighbour cache has for an address.
func (h *host) neighbour(t *testing.T, ip netip.Addr) netlink.Neigh {
	t.Helper()
	list, err := h.nl.NeighList(h.link(t).Attrs().Index, netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range list {
		if n.IP.Equal(ip.AsSlice()) {
			return n
		}
	}
	return netlink.Neigh{}
}

// learn puts an address into h's neighbour cache, as that of another machine.
func (h *host) learn(t *testing.T, ip netip.Addr) {
	t.Helper()
	err := h.nl.NeighSet(&netlink.Neigh{
		LinkIndex: h.link(t).Attrs().Index, IP: ip.AsSlice(), HardwareAddr: theirMAC, State: unix.NUD_REACHABLE,
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAnnounceMovesNeighbour(t *testing.T) {
	left, right := newHosts(t)
	a := left.announcer(t, nil)
	right.learn(t, vip)
	if err := a.Announce(vip); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the neighbour has moved", func() bool {
		return bytes.Equal(right.neighbour(t, vip).HardwareAddr, left.mac(t))
	})
}

func TestAnnounceFrames(t *testing.T) {
	left, right := newHosts(t)
	a := left.announcer(t, nil)
	frames := right.capture(t, unix.ETH_P_ARP)
	if err := a.Announce(vip); err != nil {
		t.Fatal(err)
	}
	want, err := gratuitous(vip, left.mac(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range want {
		f := receive(t, frames)
		if dst := net.HardwareAddr(f[:6]); dst.String() != "ff:ff:ff:ff:ff:ff" {
			t.Errorf("destination MAC %v", dst)
		}
		if src := net.HardwareAddr(f[6:12]); !bytes.Equal(src, left.mac(t)) {
			t.Errorf("source MAC %v", src)
		}
		if !bytes.Equal(f[14:], w) {
			t.Errorf("packet % x, want % x", f[14:], w)
		}
	}
}

func TestProbe(t *testing.T) {
	left, right := newHosts(t)
	a := left.announcer(t, nil)
	left.watch(t, a)
	start := time.Now()
	mac, err := a.Probe(t.Context(), vip)
	if err != nil || mac != nil {
		t.Errorf("nobody has it, got %v, %v", mac, err)
	}
	if d := time.Since(start); d < probeCount*probeInterval || d > time.Second {
		t.Errorf("asked for %v", d)
	}
	left.addAddress(t, netip.PrefixFrom(vip, 32))
	if mac, err := a.Probe(t.Context(), vip); err != nil || mac != nil {
		t.Errorf("only we have it, got %v, %v", mac, err)
	}
	right.addAddress(t, netip.PrefixFrom(vip, 32))
	mac, err = a.Probe(t.Context(), vip)
	if err != nil || !bytes.Equal(mac, right.mac(t)) {
		t.Errorf("right has it, got %v, %v", mac, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Probe(ctx, netip.MustParseAddr("192.0.2.200")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestConflict(t *testing.T) {
	left, right := newHosts(t)
	la, ra := left.announcer(t, nil), right.announcer(t, nil)
	conflicts := left.watch(t, la)
	la.SetWatched(vip)
	other := netip.MustParseAddr("192.0.2.101")
	for _, ip := range []netip.Addr{other, vip} {
		if err := ra.Announce(ip); err != nil {
			t.Fatal(err)
		}
	}
	c := receive(t, conflicts)
	if c.IP != vip || !bytes.Equal(c.MAC, right.mac(t)) || c.At.IsZero() {
		t.Errorf("conflict %+v", c)
	}
	la.SetWatched(vip, other)
	if err := la.Announce(vip); err != nil { // our own is no conflict
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

func TestARPAfterInterfaceReturns(t *testing.T) {
	left, right := newHosts(t)
	changes := make(chan error, 100)
	la, ra := left.announcer(t, nil), right.announcer(t, func(err error) { changes <- err })
	left.watch(t, la)
	conflicts := right.watch(t, ra)
	ra.SetWatched(vip)

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
		return la.Announce(vip) == nil && len(conflicts) > 0
	})
	if c := <-conflicts; !bytes.Equal(c.MAC, left.mac(t)) {
		t.Errorf("conflict %+v", c)
	}
}

func TestARPAfterInterfaceDown(t *testing.T) {
	left, right := newHosts(t)
	la, ra := left.announcer(t, nil), right.announcer(t, nil)
	conflicts := left.watch(t, la)
	la.SetWatched(vip)
	if err := left.nl.LinkSetDown(left.link(t)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "announcing fails", func() bool { return la.Announce(vip) != nil })
	if err := left.nl.LinkSetUp(left.link(t)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a conflict is heard again", func() bool {
		return ra.Announce(vip) == nil && len(conflicts) > 0
	})
	eventually(t, "announcing works again", func() bool { return la.Announce(vip) == nil })
}

func TestNewAnnouncerErrors(t *testing.T) {
	h := newHost(t)
	h.do(t, func() {
		if _, err := NewAnnouncer("eth9", AnnouncerOptions{}); !errors.Is(err, netif.ErrNoInterface) {
			t.Errorf("missing interface: %v", err)
		}
	})
	left, _ := newHosts(t)
	left.do(t, func() {
		dropCapabilities(t)
		if _, err := NewAnnouncer("eth0", AnnouncerOptions{}); err == nil || !strings.Contains(err.Error(), "needs CAP_NET_RAW") {
			t.Errorf("without CAP_NET_RAW: %v", err)
		}
	})
}
