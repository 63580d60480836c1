package director

import (
	"strings"
	"testing"
	"time"

	"tandem/configs"
	"tandem/vrrp"
)

func TestStrangers(t *testing.T) {
	cfg := config(t, routerWeb+routerTwo)
	host := vip("10.0.0.1/24", "eth0")
	for name, tt := range map[string]struct {
		have []configs.VirtualAddress
		ours map[configs.VirtualAddress]bool
		want []string // in the error; none: no error
	}{
		"nothing there":              {have: []configs.VirtualAddress{host}},
		"left by an earlier run":     {have: []configs.VirtualAddress{host, vipWeb}, ours: map[configs.VirtualAddress]bool{vipWeb: true}},
		"with another prefix length": {have: []configs.VirtualAddress{vip("10.0.0.100/24", "eth0")}, ours: map[configs.VirtualAddress]bool{vipWeb: true}},
		"on another interface":       {have: []configs.VirtualAddress{vip("10.0.0.100/32", "lo")}},
		"somebody else's": {
			have: []configs.VirtualAddress{vip("10.0.0.100/24", "eth0"), vipInside},
			ours: map[configs.VirtualAddress]bool{vipTwo: true},
			want: []string{"virtual router web: 10.0.0.100/24 is on eth0 already", "ip address del 10.0.0.100/24 dev eth0", "virtual router two: 10.1.0.254/24 is on eth1"},
		},
	} {
		err := strangers(cfg, tt.have, tt.ours)
		if err == nil != (tt.want == nil) {
			t.Errorf("%s: got %v", name, err)
			continue
		}
		for _, s := range tt.want {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %q is not in %v", name, s, err)
			}
		}
	}
}

func TestVacant(t *testing.T) {
	const mac = "02:00:00:00:00:66"
	more := strings.Replace(routerWeb, `"10.0.0.100"`, `"10.0.0.100", "10.0.0.101"`, 1)
	bubble(t, "a start does not take what another program holds", func(t *testing.T, w *world) {
		w.addresses[vipWeb] = time.Time{}
		if _, err := New(w.options(config(t, routerWeb))); err == nil || !strings.Contains(err.Error(), "not by tandem") {
			t.Errorf("got %v", err)
		}
		w.wantHeld(vipWeb)
	})
	bubble(t, "a reload of the active does not take what another host has", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb)))
		d.active(t, idWeb)
		w.edit(func() { w.occupied[ip("10.0.0.101")] = mac })
		if err := d.Reload(config(t, more)); err == nil || !strings.Contains(err.Error(), mac) {
			t.Errorf("got %v", err)
		}
		after(sec(1))
		w.wantHeld(vipWeb)
		w.edit(func() { clear(w.occupied) })
		if err := d.Reload(config(t, more)); err != nil {
			t.Errorf("free again: %v", err)
		}
		after(sec(1))
		w.wantHeld(vipWeb, vip("10.0.0.101/32", "eth0"))
	})
	bubble(t, "to a backup the active's new address is no conflict", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb)))
		d.election(t, idWeb).become(vrrp.Backup, false)
		w.edit(func() { w.occupied[ip("10.0.0.101")] = mac })
		if err := d.Reload(config(t, more)); err != nil {
			t.Error(err)
		}
	})
	bubble(t, "the host's own address is not taken by a reload", func(t *testing.T, w *world) {
		own := vip("10.0.0.101/24", "eth0")
		w.addresses[own] = time.Time{}
		d := direct(t, w, w.options(config(t, routerWeb)))
		if err := d.Reload(config(t, more)); err == nil || !strings.Contains(err.Error(), "10.0.0.101/24 is on eth0 already") {
			t.Errorf("got %v", err)
		}
		after(sec(1))
		w.wantHeld(own)
	})
	bubble(t, "a segment that cannot be asked does not refuse a reload", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb)))
		d.active(t, idWeb)
		w.fail("probe", true)
		if err := d.Reload(config(t, more)); err != nil {
			t.Error(err)
		}
	})
}
