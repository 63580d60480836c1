//go:build lab

package integration

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/vishvananda/netlink"

	"tandem/integration/drill"
	"tandem/integration/lab"
)

const (
	virtualMAC    = "00:00:5e:00:01:33" // of VRID 51
	virtualDevice = "vr4-51-eth0"
)

// With a virtual MAC the clients' ARP entry stays what it is, whoever is active, and
// they notice no more of a hand-over or a crash than without. A director that stopped
// leaves no interface behind, nor does one that died, after a release.
func TestVirtualMAC(t *testing.T) {
	each(t, drill.Options{}, func(t *testing.T, ctx context.Context, p *drill.Pair) {
		text := strings.Replace(p.TOML(), "[[virtual_router]]", "virtual_mac = true\n[[virtual_router]]", 1)
		p.Use(drill.Tandem{TOML: text}) // from the next start on
		reload(t, p, text)
		if err := p.Client.FlushNeighbours(); err != nil {
			t.Fatal(err)
		}
		within(t, p, 5*time.Second, "the VIP is on the virtual MAC's interface", func() (bool, error) {
			s, err := p.Status(0)
			return err == nil && s.Routers[0].Addresses[0].Interface == virtualDevice && s.Routers[0].Addresses[0].Held, err
		})
		adverts, err := p.Client.Capture(lab.LAN, isAdvert)
		if err != nil {
			t.Fatal(err)
		}
		defer adverts.Close()

		f := under(t, ctx, p, 5*time.Second, drill.Step{Name: "SIGTERM", Wait: 2 * time.Second, Do: func() error {
			pointsAtVirtual(t, p)
			return p.Daemon(0).Signal(syscall.SIGTERM)
		}})
		expect(t, f, time.Second, 5, 1)
		holder(t, ctx, p, 1)
		pointsAtVirtual(t, p)
		if err := p.Daemon(0).Wait(ctx); err != nil {
			t.Errorf("the stopped director ended with %v", err)
		}
		leftNothing(t, p, 0)
		noDevice(t, p, 0)

		if _, err := p.StartDirector(0); err != nil {
			t.Fatal(err)
		}
		if err := p.Settled(ctx); err != nil {
			t.Fatal(err)
		}
		f = under(t, ctx, p, 5*time.Second, drill.Step{Name: "kill -9", Wait: 2 * time.Second, Do: func() error {
			if err := p.Crash(1); err != nil {
				return err
			}
			return p.Release(1)
		}})
		expect(t, f, takeover, 100, quarter(f))
		holder(t, ctx, p, 0)
		pointsAtVirtual(t, p)
		noDevice(t, p, 1)

		var virtual int
		for _, packet := range adverts.Packets() {
			if packet.LinkLayer().(*layers.Ethernet).SrcMAC.String() == virtualMAC {
				virtual++
			}
		}
		if all := len(adverts.Packets()); virtual < all/2 {
			t.Errorf("%d of %d adverts have the virtual MAC", virtual, all)
		}
	})
}

// Somebody removes the interface of the active director: it is back at once, with the
// addresses.
func TestVirtualMACRemoved(t *testing.T) {
	ctx, p := prepare(t, drill.Options{})
	p.Use(drill.Tandem{TOML: strings.Replace(p.TOML(), "[[virtual_router]]", "virtual_mac = true\n[[virtual_router]]", 1)})
	if err := p.StartAll(ctx); err != nil {
		t.Fatal(err)
	}
	f := under(t, ctx, p, 3*time.Second, drill.Step{Name: "ip link del", Wait: 2 * time.Second, Do: func() error {
		return p.Directors[0].Do(func() error {
			l, err := netlink.LinkByName(virtualDevice)
			if err != nil {
				return err
			}
			return netlink.LinkDel(l)
		})
	}})
	expect(t, f, time.Second, 50, 1)
	holder(t, ctx, p, 0)
	s, err := p.Status(0)
	if err != nil || s.Routers[0].Transitions != 1 || s.Repairs.Addresses == 0 {
		t.Errorf("became active %d times, %d repairs, %v", s.Routers[0].Transitions, s.Repairs.Addresses, err)
	}
}

func isAdvert(p gopacket.Packet) bool {
	ip, ok := p.NetworkLayer().(*layers.IPv4)
	return ok && ip.Protocol == layers.IPProtocolVRRP
}

// pointsAtVirtual checks that the client has the VIP at the virtual MAC.
func pointsAtVirtual(t *testing.T, p *drill.Pair) {
	t.Helper()
	mac, err := p.Client.Neighbour(lab.VIP)
	if err != nil || mac.String() != virtualMAC {
		t.Errorf("the client has the VIP at %v (%v), want %s", mac, err, virtualMAC)
	}
}

// noDevice checks that director i has no interface of a virtual MAC.
func noDevice(t *testing.T, p *drill.Pair, i int) {
	t.Helper()
	err := p.Directors[i].Do(func() error {
		_, err := netlink.LinkByName(virtualDevice)
		return err
	})
	if _, gone := errors.AsType[netlink.LinkNotFoundError](err); !gone {
		t.Errorf("the interface of the virtual MAC is left (%v)", err)
	}
}
