//go:build lab

package lab

import (
	"testing"

	"github.com/vishvananda/netlink"
)

func TestRemoveDevice(t *testing.T) {
	l := Start(t, Options{})
	lb1 := l.Directors[0]
	index := func() (i int) {
		if err := lb1.Netlink(func(h *netlink.Handle) error {
			link, err := h.LinkByName(LAN)
			if err == nil {
				i = link.Attrs().Index
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return i
	}
	before := index()
	if err := lb1.RemoveDevice(LAN); err != nil {
		t.Fatal(err)
	}
	if ok, err := lb1.Holds(lb1.Addr(LAN)); ok || err != nil {
		t.Errorf("the address is still there (%v)", err)
	}
	wantReach(t, l.Client, lb1.Addr(LAN), false)
	if err := lb1.RestoreDevice(LAN); err != nil {
		t.Fatal(err)
	}
	if after := index(); after == before {
		t.Errorf("the device has the same index %d: it is the old one", after)
	}
	wantReach(t, l.Client, lb1.Addr(LAN), true)
	for _, err := range []error{lb1.RemoveDevice(Inside), lb1.RestoreDevice(Inside), lb1.RestoreDevice(LAN)} {
		if err == nil {
			t.Error("a device that is not there was removed, or one that is there was restored")
		}
	}
}
