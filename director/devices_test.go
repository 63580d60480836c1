package director

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/configs"
	"tandem/vrrp"
)

// fakeDevices are the interfaces that are made. It insists on the ledger.
type fakeDevices struct{ *world }

func (w fakeDevices) Ensure(d Device) (made bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, there := w.devices[d]; there {
		return false, nil
	}
	if _, ok := w.links[d.Parent]; !ok {
		return false, errNoDevice
	}
	if !slices.Contains(w.ledger.Devices, d) {
		w.t.Errorf("%v is made and not on the ledger", d)
	}
	if err := w.do("make ", d.Name); err != nil {
		return false, err
	}
	w.devices[d], w.links[d.Name] = false, Link{Up: true}
	return true, nil
}

func (w fakeDevices) Open(d Device, open bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if was, there := w.devices[d]; !there || was == open {
		return nil
	}
	what := map[bool]string{true: "open ", false: "shut "}[open]
	if err := w.do(what, d.Name); err != nil {
		return err
	}
	w.devices[d] = open
	return nil
}

func (w fakeDevices) Remove(d Device) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, there := w.devices[d]; !there {
		return nil
	}
	if err := w.do("unmake ", d.Name); err != nil {
		return err
	}
	w.lose(d)
	return nil
}

// lose takes a device out of the kernel. The caller holds w.mu.
func (w *world) lose(d Device) {
	delete(w.devices, d)
	delete(w.links, d.Name)
	maps.DeleteFunc(w.addresses, func(a configs.VirtualAddress, _ time.Time) bool { return a.Interface == d.Name })
}

// hasDevices is which devices there are, and whether they are open, as text.
func (w *world) hasDevices() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make(map[string]bool)
	for d, open := range w.devices {
		out[d.Name] = open
	}
	return fmt.Sprint(out)
}

// errNoDevice is what the kernel says of a device that is not there.
var errNoDevice = errors.New("no such interface")

const routerMAC = routerWeb + "virtual_mac = true\n"

var (
	vipDevice = vip("10.0.0.100/32", "vr4-51-eth0")
	device    = Device{Name: "vr4-51-eth0", Parent: "eth0", MAC: "00:00:5e:00:01:33"}
)

// routed is addresses without options.
func routed(list ...configs.VirtualAddress) []configs.RouterAddress {
	var out []configs.RouterAddress
	for _, a := range list {
		out = append(out, configs.RouterAddress{VirtualAddress: a})
	}
	return out
}

func TestDeviceOf(t *testing.T) {
	for _, tt := range []struct {
		name string
		r    configs.VirtualRouter
		want Device
	}{
		{"none", configs.VirtualRouter{VRID: 51, Interface: "eth0"}, Device{}},
		{"short", configs.VirtualRouter{VRID: 51, Interface: "eth0", VirtualMAC: true}, device},
		{"just fits", configs.VirtualRouter{VRID: 255, Interface: "enp3s0f", VirtualMAC: true}, Device{"vr4-255-enp3s0f", "enp3s0f", "00:00:5e:00:01:ff", false}},
		{"long", configs.VirtualRouter{VRID: 255, Interface: "enp3s0f0", VirtualMAC: true}, Device{"vr4-255-ef8f22c", "enp3s0f0", "00:00:5e:00:01:ff", false}},
		{"VLAN", configs.VirtualRouter{VRID: 1, Interface: "bond0.4094", VirtualMAC: true}, Device{"vr4-1-659f98691", "bond0.4094", "00:00:5e:00:01:01", false}},
	} {
		tt.r.Addresses = routed(vip("10.0.0.100/32", tt.r.Interface))
		d, ok := DeviceOf(tt.r)
		if d != tt.want || ok != tt.r.VirtualMAC {
			t.Errorf("%s: %+v, %t, want %+v", tt.name, d, ok, tt.want)
		}
		if len(d.Name) > maxInterfaceName {
			t.Errorf("%s: %q is too long", tt.name, d.Name)
		}
	}
	six := configs.VirtualRouter{VRID: 51, Interface: "eth0", VirtualMAC: true, Addresses: routed(vip("fe80::1/64", "eth0"))}
	if d, _ := DeviceOf(six); d != (Device{"vr6-51-eth0", "eth0", "00:00:5e:00:02:33", true}) {
		t.Errorf("IPv6: %+v", d)
	}
}

func TestPlaced(t *testing.T) {
	r := config(t, routerTwo+"virtual_mac = true\n").Routers[0]
	wantList(t, "placed", placed(r), routed(vip("10.0.0.102/32", "vr4-52-eth0"), vipInside)...)
	wantList(t, "places", places(r), routed(vip("10.0.0.102/32", "vr4-52-eth0"), vipInside, vipTwo)...)
	wantList(t, "configured", r.Addresses, routed(vipTwo, vipInside)...)
	r.VirtualMAC = false
	wantList(t, "without", placed(r), r.Addresses...)
}

func TestVirtualMAC(t *testing.T) {
	bubble(t, "a life", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerMAC)))
		wantText(t, "as a backup", w.hasDevices(), "map[vr4-51-eth0:false]")
		w.steps()
		d.active(t, idWeb)
		wantList(t, "steps", w.steps(), "open vr4-51-eth0", "add 10.0.0.100/32", "announce 10.0.0.100/32", "start master")
		w.wantHeld(vipDevice)
		for _, name := range []string{"eth0", "vr4-51-eth0"} {
			if held, fresh := d.HoldsIP(ip("10.0.0.100"), name); !held || !fresh {
				t.Errorf("on %s: held %t, fresh %t", name, held, fresh)
			}
		}
		s := d.Snapshot(time.Now()).Routers[0]
		if s.Device == nil || *s.Device != device {
			t.Errorf("device %+v", s.Device)
		}
		wantList(t, "addresses", s.Addresses, AddressStatus{Address: vipDevice.Prefix, Interface: vipDevice.Interface, Held: true})

		d.election(t, idWeb).become(vrrp.Backup, false)
		synctest.Wait()
		wantList(t, "steps", without(w.steps(), "start", "stop", "renew"), "shut vr4-51-eth0", "remove 10.0.0.100/32")
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
		wantText(t, "after the end", w.hasDevices(), "map[]")
		wantList(t, "ledger", w.ledger.Devices)
	})
	bubble(t, "somebody removes it", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerMAC)))
		d.active(t, idWeb)
		after(sec(1))
		w.edit(func() { w.lose(device) })
		w.wantHeld()
		d.LinksChanged()
		after(sec(0.1))
		w.wantHeld(vipDevice)
		wantText(t, "devices", w.hasDevices(), "map[vr4-51-eth0:true]")
	})
	bubble(t, "its parent goes and comes back", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerMAC)))
		d.active(t, idWeb)
		parent := w.links["eth0"]
		w.edit(func() { w.lose(device); delete(w.links, "eth0") })
		d.LinksChanged()
		after(sec(1))
		if p := d.Snapshot(time.Now()).Problems; len(p) == 0 || !strings.Contains(p[len(p)-1], "no such interface") {
			t.Errorf("problems %v", p)
		}
		w.edit(func() { w.links["eth0"] = parent })
		d.LinksChanged()
		after(sec(1))
		d.active(t, idWeb)
		w.wantHeld(vipDevice)
		if p := d.Snapshot(time.Now()).Problems; len(p) != 0 {
			t.Errorf("problems %v", p)
		}
	})
	bubble(t, "an earlier run left it", func(t *testing.T, w *world) {
		w.devices[device], w.links[device.Name] = true, Link{Up: true}
		w.addresses[vipDevice] = time.Time{}
		w.ledger = Owned{Addresses: []configs.VirtualAddress{vipDevice}, Devices: []Device{device}}
		d := direct(t, w, w.options(config(t, routerMAC)))
		wantList(t, "steps", slices.DeleteFunc(w.steps(), func(s string) bool { return !strings.Contains(s, device.Name) }), "shut vr4-51-eth0")
		w.wantHeld()
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
		wantText(t, "devices", w.hasDevices(), "map[]")
	})
	bubble(t, "an earlier run left another", func(t *testing.T, w *world) {
		old := Device{Name: "vr4-9-eth0", Parent: "eth0", MAC: "00:00:5e:00:01:09"}
		w.devices[old], w.links[old.Name] = true, Link{Up: true}
		w.ledger = Owned{Devices: []Device{old}}
		direct(t, w, w.options(config(t, routerMAC)))
		wantText(t, "devices", w.hasDevices(), "map[vr4-51-eth0:false]")
		wantList(t, "ledger", w.ledger.Devices, device)
	})
}

func TestVirtualMACRefusedStart(t *testing.T) {
	for op, want := range map[string]string{"prepare": "injected", "elect web": "virtual router web: injected", "make ": "make : injected", "save": "write the ledger: injected"} {
		bubble(t, op, func(t *testing.T, w *world) {
			w.fails[op] = true
			if _, err := New(w.options(config(t, routerMAC))); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v", err)
			}
			wantText(t, "devices", w.hasDevices(), "map[]")
			wantList(t, "ledger", w.ledger.Devices, map[bool][]Device{true: {device}}[op == "make "]...)
		})
	}
	bubble(t, "what an earlier run left stays", func(t *testing.T, w *world) {
		w.devices[device], w.links[device.Name] = true, Link{Up: true}
		w.ledger = Owned{Devices: []Device{device}}
		w.fails["prepare"] = true
		if _, err := New(w.options(config(t, routerMAC))); err == nil {
			t.Error("started")
		}
		wantText(t, "devices", w.hasDevices(), "map[vr4-51-eth0:true]")
		wantList(t, "ledger", w.ledger.Devices, device)
	})
}

// A router that gets a virtual MAC, or loses it, goes on; its addresses are on the new
// interface before they leave the old one.
func TestVirtualMACReload(t *testing.T) {
	bubble(t, "on and off", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb)))
		d.active(t, idWeb)
		w.steps()
		reload := func(text string) {
			t.Helper()
			if err := d.Reload(config(t, text)); err != nil {
				t.Fatal(err)
			}
			after(sec(1))
		}
		reload(routerMAC)
		wantList(t, "steps", without(w.steps(), "renew", "probe", "reconfigure"), "make vr4-51-eth0", "prepare", "open vr4-51-eth0", "add 10.0.0.100/32", "announce 10.0.0.100/32", "remove 10.0.0.100/32")
		w.wantHeld(vipDevice)
		reload(routerWeb)
		wantList(t, "steps", without(w.steps(), "renew", "probe", "reconfigure"), "prepare", "add 10.0.0.100/32", "announce 10.0.0.100/32", "remove 10.0.0.100/32", "unmake vr4-51-eth0")
		w.wantHeld(vipWeb)
		wantList(t, "ledger", w.ledger.Devices)
		wantText(t, "devices", w.hasDevices(), "map[]")
	})
	for _, op := range []string{"prepare", "make ", "elect two"} {
		bubble(t, "refused: "+op, func(t *testing.T, w *world) {
			d := direct(t, w, w.options(config(t, routerWeb)))
			d.active(t, idWeb)
			w.fail(op, true)
			if err := d.Reload(config(t, routerMAC+routerTwo)); !errors.Is(err, errInjected) {
				t.Errorf("got %v", err)
			}
			w.fail(op, false)
			after(sec(1))
			w.wantHeld(vipWeb)
			wantText(t, "devices", w.hasDevices(), "map[]")
			wantList(t, "ledger", w.ledger.Devices)
		})
	}
}

// A claim with the virtual MAC of the router is another director's.
func TestVirtualMACClaims(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerMAC)))
		d.active(t, idWeb)
		claim := func(mac string) int {
			d.AddressClaimed(time.Now(), ip("10.0.0.100"), "eth0", mac)
			return len(d.Snapshot(time.Now()).Conflicts)
		}
		if n := claim("00:00:5e:00:01:33"); n != 0 {
			t.Errorf("%d conflicts with the own virtual MAC", n)
		}
		if n := claim("00:00:5e:00:01:34"); n != 1 {
			t.Errorf("%d conflicts with that of another router", n)
		}
	})
}

func TestVirtualMACStrangers(t *testing.T) {
	cfg := config(t, routerMAC)
	for _, a := range []configs.VirtualAddress{vipWeb, vipDevice} {
		if err := strangers(cfg, []configs.VirtualAddress{a}, nil); err == nil || !strings.Contains(err.Error(), "ip address del 10.0.0.100/32 dev "+a.Interface) {
			t.Errorf("%v: %v", a, err)
		}
		if err := strangers(cfg, []configs.VirtualAddress{a}, map[configs.VirtualAddress]bool{a: true}); err != nil {
			t.Errorf("ours: %v", err)
		}
	}
}

func TestVirtualMACOf(t *testing.T) {
	mac := net.HardwareAddr{0, 0, 0x5e, 0, 1, 51}.String()
	if got := virtualMAC(config(t, routerWeb).Routers[0]); got != mac {
		t.Errorf("%s, want %s", got, mac)
	}
}

// An active router that is to have an address somewhere else is not at once taken for
// one that cannot hold it.
func TestNewAddressHasTime(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, routerWeb))
		h.active(idWeb)
		after(sec(10))
		w.fail("add ", true)
		w.edit(func() { w.links[device.Name] = Link{Up: true} })
		h.SetConfig(config(t, routerMAC))
		wantText(t, "at once", h.Failing(time.Now(), idWeb), "")
		after(sec(1))
		wantText(t, "after a second", h.Failing(time.Now(), idWeb), "")
		after(sec(1))
		wantText(t, "after two", h.Failing(time.Now(), idWeb), "the kernel has not taken 10.0.0.100/32 on vr4-51-eth0 for 2s")
	})
}
