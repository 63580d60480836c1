//go:build lab

package main

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"tandem/configs"
	"tandem/director"
	"tandem/internal/netif"
	"tandem/vrrp"
)

const virtualMACConfig = `
[[pair.director]]
name = "lb1"
address = "10.0.0.1"
priority = 200
[[pair.director]]
name = "lb2"
address = "10.0.0.2"
[vrrp]
interface = "eth0"
advert_interval = "10ms"
virtual_mac = true
[[virtual_router]]
name = "web"
vrid = 51
addresses = ["10.0.0.100"]
`

// sources captures adverts that arrive at eth0, by their source MAC.
func sources(t *testing.T, ns netns.NsHandle) func() string {
	t.Helper()
	var pc *packet.Conn
	inNamespace(t, ns, func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		pc, err = packet.Listen(ifi, packet.Raw, unix.ETH_P_IP, nil)
		return err
	})
	t.Cleanup(func() { pc.Close() })
	return func() string {
		t.Helper()
		b := make([]byte, 2000)
		if err := pc.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		for {
			n, _, err := pc.ReadFrom(b)
			if err != nil {
				t.Fatal(err)
			}
			if n > 34 && b[23] == vrrp.Protocol {
				return net.HardwareAddr(b[6:12]).String()
			}
		}
	}
}

// TestDevices: adverts leave with the virtual MAC from the moment that the addresses
// are announced until the interface is shut; it is closed without a trace, and the
// election goes on without it.
func TestDevices(t *testing.T) {
	ns := newNamespaces(t)
	cfg := parseConfig(t, virtualMACConfig)
	d := director.DevicesOf(cfg)[0]
	var a *side
	within := func(f func() error) { t.Helper(); inNamespace(t, ns[0], f) }
	a = join(t, ns[0], "lb1", 200, cfg)
	a.waitFor(t, "active", func() bool { return a.election.Status().Role.State == vrrp.Active })
	source := sources(t, ns[1])
	becomes := func(what, want string) {
		t.Helper()
		for deadline := time.Now().Add(5 * time.Second); ; {
			got := source()
			if got == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: adverts come from %s, want %s", what, got, want)
			}
		}
	}
	own := source() // there is no device yet
	if own == d.MAC {
		t.Fatalf("adverts come from %s", own)
	}
	placed := configs.VirtualAddress{Prefix: cfg.Routers[0].Addresses[0].Prefix, Interface: d.Name}
	for range 2 { // again after a removal
		within(func() error {
			for _, want := range []bool{true, false} {
				if made, err := (devices{a.network}).Ensure(d); err != nil || made != want {
					return fmt.Errorf("made %t, %w", made, err)
				}
			}
			return nil
		})
		within(func() error { return a.reload(cfg) })
		becomes("shut", own)
		within(func() error { return devices{a.network}.Open(d, true) })
		a.Announce([]configs.VirtualAddress{placed})
		becomes("announced", d.MAC)
		within(func() error { return devices{a.network}.Open(d, false) })
		becomes("shut again", own)
		a.Announce([]configs.VirtualAddress{placed})
		becomes("announced again", d.MAC)
		within(func() error { return devices{a.network}.Remove(d) })
		becomes("removed", own)
		if len(a.devices) != 0 || a.segments[d.Name] != nil {
			t.Error("something of it is left")
		}
	}
	if s := a.election.Status(); s.SendErrors != 0 || s.Counters.BecameActive != 1 {
		t.Errorf("election %+v", s)
	}
}

// plan says what is to be made and removed; release removes what is on the ledger.
func TestPlanAndReleaseDevices(t *testing.T) {
	ns := newNamespaces(t)
	cfg := parseConfig(t, virtualMACConfig)
	d := director.DevicesOf(cfg)[0]
	old := director.Device{Name: "vr4-9-eth0", Parent: "eth0", MAC: "00:00:5e:00:01:09"}
	inNamespace(t, ns[0], func() error {
		h, err := netif.Open()
		if err != nil {
			return err
		}
		defer h.Close()
		m, err := macvlanOf(old)
		if err != nil {
			return err
		}
		if _, err := h.EnsureMacvlan(m); err != nil {
			return err
		}
		plan := func(want ...string) error {
			var out bytes.Buffer
			n, err := planDevices(&out, cfg, []director.Device{old, d})
			lines := strings.FieldsFunc(out.String(), func(r rune) bool { return r == '\n' })
			if err != nil || n != len(want) || !slices.Equal(lines, want) {
				return fmt.Errorf("%d, %w: %q", n, err, lines)
			}
			return nil
		}
		if err := plan("make interface vr4-51-eth0 on eth0 with MAC 00:00:5e:00:01:33", "remove interface vr4-9-eth0 on eth0 with MAC 00:00:5e:00:01:09"); err != nil {
			return err
		}
		if m, err = macvlanOf(d); err != nil {
			return err
		}
		if _, err := h.EnsureMacvlan(m); err != nil {
			return err
		}
		if err := plan("remove interface vr4-9-eth0 on eth0 with MAC 00:00:5e:00:01:09"); err != nil {
			return err
		}
		var out bytes.Buffer
		if err := releaseDevices(&out, []director.Device{d, old, {Name: "vr4-7-eth0", Parent: "eth0", MAC: "00:00:5e:00:01:07"}}); err != nil {
			return err
		}
		want := "removed interface vr4-51-eth0 on eth0 with MAC 00:00:5e:00:01:33\nremoved interface vr4-9-eth0 on eth0 with MAC 00:00:5e:00:01:09\n"
		if out.String() != want {
			return fmt.Errorf("release: %q", out.String())
		}
		return nil
	})
	if err := releaseDevices(&bytes.Buffer{}, []director.Device{{Name: "eth0", Parent: "eth1", MAC: "?"}}); err == nil || !strings.Contains(err.Error(), `interface eth0: "?" is no MAC`) {
		t.Errorf("a damaged ledger: %v", err)
	}
}
