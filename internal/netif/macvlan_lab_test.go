//go:build lab

package netif

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tandem/internal/sysctl"
)

var (
	macvlan4 = Macvlan{Name: "vr4-51-eth0", Parent: "eth0", MAC: [6]byte{0, 0, 0x5e, 0, 1, 51}}
	macvlan6 = Macvlan{Name: "vr6-51-eth0", Parent: "eth0", MAC: [6]byte{0, 0, 0x5e, 0, 2, 51}, IPv6: true}
)

func ensureMacvlan(t *testing.T, h *Handle, m Macvlan, wantMade bool) Link {
	t.Helper()
	made, err := h.EnsureMacvlan(m)
	if err != nil {
		t.Fatal(err)
	}
	if made != wantMade {
		t.Errorf("%v: made %t, want %t", m, made, wantMade)
	}
	if has, err := h.HasMacvlan(m); err != nil || !has {
		t.Errorf("%v: there %t, %v", m, has, err)
	}
	l, err := h.Link(m.Name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// addressesOf is all that an interface has, whoever put it there.
func addressesOf(t *testing.T, h *Handle, name string) (list []string) {
	t.Helper()
	all, err := h.Addresses()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if a.Interface == name {
			list = append(list, a.Prefix.String())
		}
	}
	return list
}

func wantSysctl(t *testing.T, key, want string) {
	t.Helper()
	if got, err := sysctl.Get(key); err != nil || got != want {
		t.Errorf("%s: %q, %v, want %q", key, got, err, want)
	}
}

func TestMacvlan(t *testing.T) {
	h := inNamespace(t)
	for _, m := range []Macvlan{macvlan4, macvlan6} {
		if has, err := h.HasMacvlan(m); err != nil || has {
			t.Errorf("%v before it is made: %t, %v", m, has, err)
		}
		l := ensureMacvlan(t, h, m, true)
		if l.MAC.String() != net.HardwareAddr(m.MAC[:]).String() || !l.Up {
			t.Errorf("made %+v", l)
		}
		if again := ensureMacvlan(t, h, m, false); again.Index != l.Index {
			t.Errorf("made anew: index %d, was %d", again.Index, l.Index)
		}
		if list := addressesOf(t, h, m.Name); len(list) != 0 {
			t.Errorf("%v has addresses: %v", m, list)
		}
		if removed, err := h.RemoveMacvlan(m); err != nil || !removed {
			t.Errorf("removal: %t, %v", removed, err)
		}
		if removed, err := h.RemoveMacvlan(m); err != nil || removed {
			t.Errorf("second removal: %t, %v", removed, err)
		}
		if _, err := h.Link(m.Name); !errors.Is(err, ErrNoInterface) {
			t.Errorf("after the removal: %v", err)
		}
	}
}

// What is wrong is made anew; what is right keeps its addresses.
func TestMacvlanAdopted(t *testing.T) {
	h := inNamespace(t)
	add := func(name string, l netlink.Link) {
		t.Helper()
		if err := h.nl.LinkAdd(l); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	far, err := h.Link("far")
	if err != nil {
		t.Fatal(err)
	}
	eth0, err := h.Link("eth0")
	if err != nil {
		t.Fatal(err)
	}
	right := netlink.LinkAttrs{Name: macvlan4.Name, ParentIndex: eth0.Index, HardwareAddr: macvlan4.MAC[:]}
	otherMAC, otherParent := right, right
	otherMAC.HardwareAddr = macvlan6.MAC[:]
	otherParent.ParentIndex = far.Index
	for name, wrong := range map[string]netlink.Link{
		"mode":   &netlink.Macvlan{LinkAttrs: right, Mode: netlink.MACVLAN_MODE_PRIVATE},
		"MAC":    &netlink.Macvlan{LinkAttrs: otherMAC, Mode: netlink.MACVLAN_MODE_BRIDGE},
		"parent": &netlink.Macvlan{LinkAttrs: otherParent, Mode: netlink.MACVLAN_MODE_BRIDGE},
	} {
		add(name, wrong)
		if has, err := h.HasMacvlan(macvlan4); err != nil || has {
			t.Errorf("another %s is taken for the right one: %v", name, err)
		}
		ensureMacvlan(t, h, macvlan4, true)
		if _, err := h.RemoveMacvlan(macvlan4); err != nil {
			t.Error(err)
		}
	}

	add("right", &netlink.Macvlan{LinkAttrs: right, Mode: netlink.MACVLAN_MODE_BRIDGE})
	vip := address("192.0.2.9/32")
	vip.Interface = macvlan4.Name
	if err := h.Ensure(vip, 0); err != nil {
		t.Fatal(err)
	}
	if l := ensureMacvlan(t, h, macvlan4, false); !l.Up {
		t.Error("it is down")
	}
	wantSysctl(t, "net/ipv4/conf/vr4-51-eth0/arp_ignore", "1")
	wantSysctl(t, "net/ipv6/conf/vr4-51-eth0/disable_ipv6", "1")
	if list := addressesOf(t, h, macvlan4.Name); len(list) != 1 || list[0] != "192.0.2.9/32" {
		t.Errorf("addresses %v", list)
	}
	l, err := h.nl.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	for _, mtu := range []int{1400, 1500} {
		if err := h.nl.LinkSetMTU(l, mtu); err != nil {
			t.Fatal(err)
		}
		if got := ensureMacvlan(t, h, macvlan4, false); got.MTU != mtu {
			t.Errorf("MTU %d, want %d", got.MTU, mtu)
		}
	}
}

func TestMacvlanForeign(t *testing.T) {
	h := inNamespace(t)
	if err := h.nl.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: macvlan4.Name}, PeerName: "other"}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.EnsureMacvlan(macvlan4); !errors.Is(err, errForeign) || !strings.Contains(err.Error(), "of type veth: rename or remove it") {
		t.Errorf("made over another's: %v", err)
	}
	if removed, err := h.RemoveMacvlan(macvlan4); err != nil || removed {
		t.Errorf("another's removed: %t, %v", removed, err)
	}
	other := macvlan4
	other.Parent = "eth9"
	if _, err := h.EnsureMacvlan(other); !errors.Is(err, ErrNoInterface) {
		t.Errorf("without a parent: %v", err)
	}
	// A macvlan with another MAC than was made is another's by now.
	m := macvlan6
	ensureMacvlan(t, h, m, true)
	m.MAC[5]++
	if removed, err := h.RemoveMacvlan(m); err != nil || removed {
		t.Errorf("one with another MAC removed: %t, %v", removed, err)
	}
}

// It goes with its parent, and follows its parent's carrier.
func TestMacvlanParent(t *testing.T) {
	h := inNamespace(t)
	far, err := h.nl.LinkByName("far")
	if err != nil {
		t.Fatal(err)
	}
	eth0, err := h.nl.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.nl.LinkSetDown(eth0); err != nil {
		t.Fatal(err)
	}
	if l := ensureMacvlan(t, h, macvlan4, true); l.Up {
		t.Error("usable on a parent that is down")
	}
	if err := h.nl.LinkSetUp(eth0); err != nil {
		t.Fatal(err)
	}
	if l := ensureMacvlan(t, h, macvlan4, false); !l.Up {
		t.Error("not usable when its parent is")
	}
	if err := h.nl.LinkDel(far); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Link(macvlan4.Name); !errors.Is(err, ErrNoInterface) {
		t.Errorf("without its parent: %v", err)
	}
	if err := h.OpenMacvlan(macvlan4, true); err != nil {
		t.Errorf("opened while it is not there: %v", err)
	}
	addLink(t, h)
	ensureMacvlan(t, h, macvlan4, true)
}

// One that is open forwards if its parent does; one that is shut never does, and has
// no IPv6.
func TestOpenMacvlan(t *testing.T) {
	h := inNamespace(t)
	if err := sysctl.Set("net/ipv4/ip_forward", "1"); err != nil {
		t.Fatal(err)
	}
	ensureMacvlan(t, h, macvlan4, true)
	const forwarding = "net/ipv4/conf/vr4-51-eth0/forwarding"
	wantSysctl(t, forwarding, "0")
	open := func(m Macvlan, open bool) {
		t.Helper()
		if err := h.OpenMacvlan(m, open); err != nil {
			t.Fatal(err)
		}
	}
	open(macvlan4, true)
	wantSysctl(t, forwarding, "1")
	if err := sysctl.Set("net/ipv4/conf/eth0/forwarding", "0"); err != nil {
		t.Fatal(err)
	}
	open(macvlan4, true)
	wantSysctl(t, forwarding, "0")

	ensureMacvlan(t, h, macvlan6, true)
	const disabled = "net/ipv6/conf/vr6-51-eth0/disable_ipv6"
	wantSysctl(t, disabled, "1")
	open(macvlan6, true)
	wantSysctl(t, disabled, "0")
	if list := addressesOf(t, h, macvlan6.Name); len(list) != 0 {
		t.Errorf("the kernel made %v", list)
	}
	vip := address("2001:db8::9/128")
	vip.Interface = macvlan6.Name
	if err := h.Ensure(vip, 0); err != nil {
		t.Fatal(err)
	}
	if l := ensureMacvlan(t, h, macvlan6, false); !l.Up {
		t.Error("it is down")
	}
	wantSysctl(t, disabled, "0") // as it was
	open(macvlan6, false)
	if list := addressesOf(t, h, macvlan6.Name); len(list) != 0 {
		t.Errorf("shut, and still there: %v", list)
	}
}

// TestMacvlanSilence: neither being made, nor being shut with addresses on it, nor
// being removed sends a frame with the virtual MAC.
func TestMacvlanSilence(t *testing.T) {
	h := inNamespace(t)
	// What makes the kernel speak: it forwards IPv6, which joins groups, and tells of
	// new addresses.
	for _, key := range []string{
		"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv4/conf/default/arp_notify", "net/ipv6/conf/default/ndisc_notify",
	} {
		if err := sysctl.Set(key, "1"); err != nil {
			t.Fatal(err)
		}
	}
	frames := capture(t, "far")
	silent := func(what string) {
		t.Helper()
		for _, f := range frames(t) {
			t.Errorf("%s: % x", what, f)
		}
	}
	for _, m := range []Macvlan{macvlan4, macvlan6} {
		ensureMacvlan(t, h, m, true)
		silent("made")
		if err := sysctl.Set("net/ipv6/conf/all/forwarding", "0"); err != nil {
			t.Fatal(err)
		}
		if err := sysctl.Set("net/ipv6/conf/all/forwarding", "1"); err != nil {
			t.Fatal(err)
		}
		silent("forwarding switched")
		vip := address("192.0.2.9/24")
		if m.IPv6 {
			vip = address("2001:db8::9/64")
		}
		vip.Interface = m.Name
		if err := h.OpenMacvlan(m, true); err != nil {
			t.Fatal(err)
		}
		if err := h.Ensure(vip, 0); err != nil {
			t.Fatal(err)
		}
		// As the active it may speak, and of IPv6 it does.
		if n := len(frames(t)); m.IPv6 && n == 0 {
			t.Error("nothing was heard of the active, so nothing would be of a backup")
		}
		if err := h.OpenMacvlan(m, false); err != nil {
			t.Fatal(err)
		}
		if err := h.Remove(vip); err != nil {
			t.Fatal(err)
		}
		silent("an address removed")
		if _, err := h.RemoveMacvlan(m); err != nil {
			t.Fatal(err)
		}
		silent("removed")
	}
}

// capture returns a function that waits for a while and returns the frames since the
// last call that arrived at an interface with a virtual MAC as their source.
func capture(t *testing.T, name string) func(*testing.T) [][]byte {
	t.Helper()
	iface, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	const all = uint16(unix.ETH_P_ALL>>8 | unix.ETH_P_ALL&0xff<<8)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(all))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: iface.Index}); err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T) (list [][]byte) {
		t.Helper()
		// The kernel reports groups within a second (RFC 3810, section 9.11).
		end := time.Now().Add(1300 * time.Millisecond)
		b := make([]byte, 2048)
		for {
			left := unix.NsecToTimeval(max(int64(time.Until(end)), 1000))
			if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &left); err != nil {
				t.Fatal(err)
			}
			n, from, err := unix.Recvfrom(fd, b, 0)
			if errors.Is(err, unix.EAGAIN) {
				return list
			}
			if err != nil {
				t.Fatal(err)
			}
			if from.(*unix.SockaddrLinklayer).Pkttype != unix.PACKET_OUTGOING && n >= 14 && strings.HasPrefix(string(b[6:12]), "\x00\x00\x5e\x00") {
				list = append(list, append([]byte(nil), b[:n]...))
			}
		}
	}
}
