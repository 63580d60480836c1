package director

import (
	"slices"
	"testing"

	"tandem/vrrp"
)

// routerSix is the IPv6 router beside routerWeb, with an IPv4 address inside.
const routerSix = `
[[virtual_router]]
name = "six"
vrid = 51
addresses = [{ address = "10.1.0.254/24", interface = "eth1" }, "fe80::200:5eff:fe00:233/64", "2001:db8::100"]
`

var (
	vipLocal = vip("fe80::200:5eff:fe00:233/64", "eth0")
	vipSix   = vip("2001:db8::100/128", "eth0")
	idSix    = RouterID{Interface: "eth0", VRID: 51, IPv6: true}
)

// TestTwoFamilies: routers of the same VRID and interface, one of each family, are
// two, each with its own source.
func TestTwoFamilies(t *testing.T) {
	bubble(t, "each for itself", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb+routerSix)))
		wantText(t, "IPv4", d.election(t, idWeb).Status().Role.State.String(), "backup")
		wantText(t, "IPv6, without a link-local address", d.election(t, idSix).Status().Role.State.String(), "init")
		wantText(t, "fault", d.Snapshot(d.started).Routers[1].Fault,
			"interface eth0 has no IPv6 link-local address of its own to send advertisements from")

		w.edit(func() { w.links["eth0"] = Link{Up: true, Primary: ip("10.0.0.1"), Primary6: ip("fe80::1")} })
		d.LinksChanged()
		after(sec(0.3))
		six := d.election(t, idSix)
		wantText(t, "IPv6", six.Status().Role.State.String(), "backup")
		wantText(t, "source", six.Status().PrimaryAddr.String(), "fe80::1")
		wantText(t, "source of IPv4", d.election(t, idWeb).Status().PrimaryAddr.String(), "10.0.0.1")
		steps := w.steps()
		for _, want := range []string{"probe fe80::200:5eff:fe00:233", "probe 2001:db8::100", "probe 10.1.0.254"} {
			if !slices.Contains(steps, want) {
				t.Errorf("no %s in %v", want, steps)
			}
		}

		d.active(t, idSix)
		after(sec(0.1))
		wantList(t, "held", w.held(), vipInside, vipSix, vipLocal)
		if s := d.Snapshot(d.started).Routers; s[0].IPv6 || !s[1].IPv6 || s[0].State != "backup" || s[1].State != "active" {
			t.Errorf("status %+v", s)
		}
		w.edit(func() { w.links["eth0"] = Link{Up: true, Primary: ip("10.0.0.1")} })
		d.LinksChanged()
		after(sec(0.1))
		wantText(t, "IPv6, the address is lost", six.Status().Role.State.String(), "init")
		wantText(t, "IPv4 goes on", d.election(t, idWeb).Status().Role.State.String(), "backup")
		wantList(t, "held", w.held())
	})
	bubble(t, "a reload to the other family is another router", func(t *testing.T, w *world) {
		w.links["eth0"] = Link{Up: true, Primary: ip("10.0.0.1"), Primary6: ip("fe80::1")}
		d := direct(t, w, w.options(config(t, routerWeb)))
		web := d.election(t, idWeb)
		if err := d.Reload(config(t, routerSix)); err != nil {
			t.Fatal(err)
		}
		after(sec(0.5))
		if !web.isClosed() {
			t.Error("the IPv4 router is still there")
		}
		wantText(t, "IPv6", d.election(t, idSix).Status().Role.State.String(), "backup")
	})
}

func TestElectionConfigOfIPv6(t *testing.T) {
	r := config(t, routerSix).Routers[0]
	c := electionConfig(r, "lb1")
	wantList(t, "advertised, link-local first", c.Addresses, ip("fe80::200:5eff:fe00:233"), ip("2001:db8::100"))
	if err := c.Validate(); err != nil || c.Version != vrrp.V3 {
		t.Errorf("%+v: %v", c, err)
	}
}

func TestLinkFaultOfIPv6(t *testing.T) {
	r := config(t, routerSix).Routers[0]
	links := map[string]Link{"eth0": {Up: true, Primary: ip("10.0.0.1"), Primary6: ip("fe80::1")}, "eth1": {Up: true}}
	wantText(t, "by multicast", linkFault(r, ip("fe80::9"), links), "")
	r.Transport = "unicast"
	wantText(t, "the own address by unicast", linkFault(r, ip("fe80::1"), links), "")
	wantText(t, "another address by unicast", linkFault(r, ip("fe80::9"), links),
		"interface eth0 sends advertisements from its address fe80::1, and by unicast the peers accept them only from fe80::9, the address of this director in the configuration")
	links["eth0"] = Link{Up: true, Primary: ip("10.0.0.1")}
	wantText(t, "IPv4 only", linkFault(r, ip("fe80::1"), links), "interface eth0 has no IPv6 link-local address of its own to send advertisements from")
}

func TestProfileInputOfIPv6(t *testing.T) {
	const six = `
[[service]]
name = "six"
virtual = ["[2001:db8::100]:80"]
forwarding = "masquerade"
[[service.server]]
address = "[2001:db8:1::11]:80"
`
	got := ProfileInput(config(t, routerWeb+routerSix+serviceWeb+six))
	if got.Masquerade || !got.MasqueradeIPv6 {
		t.Errorf("%+v, want masquerade for IPv6 only", got)
	}
}
