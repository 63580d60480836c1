//go:build lab

package wire

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"tandem/internal/netif"
	"tandem/internal/sysctl"
	"tandem/vrrp"
)

// macvlan makes the device of VRID 51 on eth0.
func (h *host) macvlan(t *testing.T, ipv6 bool) netif.Macvlan {
	t.Helper()
	m := netif.Macvlan{Name: "vr4-51-eth0", Parent: "eth0", MAC: vrrp.VirtualMAC(51, ipv6), IPv6: ipv6}
	if ipv6 {
		m.Name = "vr6-51-eth0"
	}
	n := h.netif(t)
	h.do(t, func() {
		if _, err := n.EnsureMacvlan(m); err != nil {
			t.Fatal(err)
		}
		if err := n.OpenMacvlan(m, true); err != nil {
			t.Fatal(err)
		}
	})
	return m
}

func (h *host) outlet(t *testing.T, m netif.Macvlan) *Outlet {
	t.Helper()
	var o *Outlet
	h.do(t, func() {
		var err error
		if o, err = NewOutlet(m.Name, m.IPv6, nil); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() {
		if err := o.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	h.background(t, o.Run)
	return o
}

func (h *host) set(t *testing.T, settings ...string) {
	t.Helper()
	h.do(t, func() {
		for i := 0; i < len(settings); i += 2 {
			if err := sysctl.Set(settings[i], settings[i+1]); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// sourceOf waits for an advertisement among frames, and returns its source MAC and
// the rest of the frame.
func sourceOf(t *testing.T, frames <-chan []byte) (net.HardwareAddr, []byte) {
	t.Helper()
	for {
		f := receive(t, frames)
		if len(f) > 14+ipv4HeaderLen && (f[14]>>4 == 4 && f[14+9] == vrrp.Protocol || f[14]>>4 == 6 && f[14+6] == vrrp.Protocol) {
			return f[6:12], f[14:]
		}
	}
}

// TestOutlet: advertisements leave from the outlet while it is in use, with the
// interface's address and the virtual MAC, and are heard by a director that has the
// same MAC. They leave from the interface without it, and when it is gone.
func TestOutlet(t *testing.T) {
	for _, ipv6 := range []bool{false, true} {
		t.Run(fmt.Sprintf("IPv6 %t", ipv6), func(t *testing.T) {
			left, right := newHosts(t)
			m := left.macvlan(t, ipv6)
			right.macvlan(t, ipv6)
			outlet := left.outlet(t, m)
			a, protocol := advert, unix.ETH_P_IP
			if ipv6 {
				a, protocol = advert6, unix.ETH_P_IPV6
			}
			lc := left.listen(t, Options{IPv6: ipv6, Router: every(NewRouter(RouterConfig{Outlet: outlet}))})
			rc := right.listen(t, Options{IPv6: ipv6})
			left.receiver(t, lc)
			packets := right.receiver(t, rc)
			src := lc.linkLocal(t)
			rc.linkLocal(t)
			frames := right.capture(t, protocol)
			leaves := func(what string, mac net.HardwareAddr) {
				t.Helper()
				send(t, lc, a)
				got, ip := sourceOf(t, frames)
				if !bytes.Equal(got, mac) {
					t.Errorf("%s: from MAC %v, want %v", what, got, mac)
				}
				if ttl := ip[8]; !ipv6 && (ttl != vrrp.TTL || ip[1] != tos) || ipv6 && ip[7] != vrrp.TTL {
					t.Errorf("%s: % x", what, ip)
				}
				want := Packet{Advert: a, Src: src, Form: vrrp.ChecksumPseudoHeader}
				if p := receive(t, packets); p.Src != want.Src || !cmp.Equal(p.Advert, want.Advert, cmp.Comparer(func(x, y netip.Addr) bool { return x == y })) {
					t.Errorf("%s: received %+v", what, p)
				}
			}
			leaves("not in use", left.mac(t))
			outlet.Use(true)
			leaves("in use", m.MAC[:])
			dev, err := left.nl.LinkByName(m.Name)
			if err != nil {
				t.Fatal(err)
			}
			if err := left.nl.LinkSetDown(dev); err != nil {
				t.Fatal(err)
			}
			leaves("down", left.mac(t))
			if err := left.nl.LinkDel(dev); err != nil {
				t.Fatal(err)
			}
			leaves("gone", left.mac(t))
			left.macvlan(t, ipv6)
			eventually(t, "the outlet is back", func() bool {
				send(t, lc, a)
				receive(t, packets)
				mac, _ := sourceOf(t, frames)
				return bytes.Equal(mac, m.MAC[:])
			})
			outlet.Use(false)
			leaves("no more in use", left.mac(t))
			if d := rc.Drops(); len(d) != 0 {
				t.Errorf("dropped %v", d)
			}
		})
	}
}

// By unicast, advertisements leave from the interface.
func TestOutletUnicast(t *testing.T) {
	left, right := newHosts(t)
	outlet := left.outlet(t, left.macvlan(t, false))
	outlet.Use(true)
	config := peers(rightAddr.Addr())
	config.Outlet = outlet
	lc := left.listen(t, Options{Router: every(NewRouter(config))})
	frames := right.capture(t, unix.ETH_P_IP)
	send(t, lc, advert)
	if mac, _ := sourceOf(t, frames); !bytes.Equal(mac, left.mac(t)) {
		t.Errorf("from MAC %v", mac)
	}
}

// An advertisement costs no memory, whichever way it leaves.
func TestOutletAllocations(t *testing.T) {
	left, right := newHosts(t)
	right.macvlan(t, false)
	outlet := left.outlet(t, left.macvlan(t, false))
	lc := left.listen(t, Options{Router: every(NewRouter(RouterConfig{Outlet: outlet}))})
	lc.linkLocal(t)
	failed := func(err error) { t.Error(err) }
	for _, use := range []bool{false, true} {
		outlet.Use(use)
		n := testing.AllocsPerRun(100, func() {
			if err := lc.Queue(advert, failed); err != nil {
				t.Fatal(err)
			}
			lc.poller.Flush()
		})
		if n != 0 {
			t.Errorf("in use %t: %v allocations", use, n)
		}
	}
}
