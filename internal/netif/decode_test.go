package netif

import (
	"encoding/binary"
	"errors"
	"math"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const upFlags = unix.IFF_UP | unix.IFF_LOWER_UP | unix.IFF_RUNNING

var (
	mac  = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	eth0 = Link{Name: "eth0", Index: 7, MAC: mac, MTU: 1500, Up: true, ARP: true}
)

func message(typ uint16, parts ...nl.NetlinkRequestData) syscall.NetlinkMessage {
	var data []byte
	for _, p := range parts {
		data = append(data, p.Serialize()...)
	}
	return syscall.NetlinkMessage{
		Header: syscall.NlMsghdr{Type: typ, Len: uint32(unix.NLMSG_HDRLEN + len(data))},
		Data:   data,
	}
}

func linkMessage(typ uint16, family uint8, l Link, flags uint32) syscall.NetlinkMessage {
	info := nl.NewIfInfomsg(int(family))
	info.Index, info.Flags = int32(l.Index), flags
	return message(typ, info,
		nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(l.Name)),
		nl.NewRtAttr(unix.IFLA_ADDRESS, l.MAC),
		nl.NewRtAttr(unix.IFLA_MTU, binary.NativeEndian.AppendUint32(nil, uint32(l.MTU))))
}

func addressMessage(typ uint16, index uint32, bits uint8, local, address string) syscall.NetlinkMessage {
	a := netip.MustParseAddr(address)
	info := nl.NewIfAddrmsg(unix.AF_INET)
	if a.Is6() {
		info.Family = unix.AF_INET6
	}
	info.Index, info.Prefixlen = index, bits
	parts := []nl.NetlinkRequestData{info, nl.NewRtAttr(unix.IFA_ADDRESS, a.AsSlice())}
	if local != "" {
		parts = append(parts, nl.NewRtAttr(unix.IFA_LOCAL, netip.MustParseAddr(local).AsSlice()))
	}
	return message(typ, parts...)
}

func flagged(flags uint8, m syscall.NetlinkMessage) syscall.NetlinkMessage {
	m.Data[2] = flags
	return m
}

func address(prefix string) Address {
	return Address{Prefix: netip.MustParsePrefix(prefix), Interface: "eth0"}
}

// Each step is one message and the event that it must give, in order.
func TestDecode(t *testing.T) {
	down, renamed := eth0, eth0
	down.Up = false
	renamed.Name = "wan"
	d := newDecoder()
	for i, step := range []struct {
		what string
		msg  syscall.NetlinkMessage
		want Event
	}{
		{"address of an interface never heard of", addressMessage(unix.RTM_NEWADDR, 7, 24, "192.0.2.1", "192.0.2.1"), nil},
		{"new link", linkMessage(unix.RTM_NEWLINK, unix.AF_UNSPEC, eth0, upFlags), LinkChanged{Link: eth0}},
		{"only statistics changed", linkMessage(unix.RTM_NEWLINK, unix.AF_UNSPEC, eth0, upFlags|unix.IFF_MULTICAST), nil},
		{"carrier lost", linkMessage(unix.RTM_NEWLINK, unix.AF_UNSPEC, eth0, unix.IFF_UP), LinkChanged{Link: down}},
		{"dormant", linkMessage(unix.RTM_NEWLINK, unix.AF_UNSPEC, eth0, unix.IFF_UP|unix.IFF_LOWER_UP), nil},
		{"up again", linkMessage(unix.RTM_NEWLINK, unix.AF_UNSPEC, eth0, upFlags), LinkChanged{Link: eth0}},
		{"left a bridge", linkMessage(unix.RTM_DELLINK, unix.AF_BRIDGE, eth0, upFlags), nil},
		{"new address", addressMessage(unix.RTM_NEWADDR, 7, 24, "192.0.2.1", "192.0.2.1"), AddressAdded{Address: address("192.0.2.1/24")}},
		{"renewed", addressMessage(unix.RTM_NEWADDR, 7, 24, "192.0.2.1", "192.0.2.1"), nil},
		{"same address, other length", addressMessage(unix.RTM_NEWADDR, 7, 32, "192.0.2.1", "192.0.2.1"), AddressAdded{Address: address("192.0.2.1/32")}},
		{"point to point", addressMessage(unix.RTM_NEWADDR, 7, 24, "198.51.100.1", "198.51.100.2"), AddressAdded{Address: address("198.51.100.1/32")}},
		{"IPv6, not known to be unique", flagged(unix.IFA_F_TENTATIVE, addressMessage(unix.RTM_NEWADDR, 7, 64, "", "2001:db8::1")), nil},
		{"IPv6, known not to be", flagged(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED, addressMessage(unix.RTM_NEWADDR, 7, 64, "", "2001:db8::1")), nil},
		{"IPv6", addressMessage(unix.RTM_NEWADDR, 7, 64, "", "2001:db8::1"), AddressAdded{Address: address("2001:db8::1/64")}},
		{"expired", addressMessage(unix.RTM_DELADDR, 7, 24, "192.0.2.1", "192.0.2.1"), AddressRemoved{Address: address("192.0.2.1/24")}},
		{"back", addressMessage(unix.RTM_NEWADDR, 7, 24, "192.0.2.1", "192.0.2.1"), AddressAdded{Address: address("192.0.2.1/24")}},
		{"a route", message(unix.RTM_NEWROUTE), nil},
		{"renamed", linkMessage(unix.RTM_NEWLINK, unix.AF_UNSPEC, renamed, upFlags), LinkChanged{Link: renamed}},
		{"gone", linkMessage(unix.RTM_DELLINK, unix.AF_UNSPEC, renamed, 0), LinkRemoved{Name: "wan", Index: 7}},
		{"address after that", addressMessage(unix.RTM_DELADDR, 7, 24, "192.0.2.1", "192.0.2.1"), nil},
	} {
		if got := d.decode(step.msg); !equal(got, step.want) {
			t.Errorf("step %d, %s: got %#v, want %#v", i, step.what, got, step.want)
		}
	}
}

// equal compares events; a Link is not comparable with ==.
func equal(a, b Event) bool {
	la, ok := a.(LinkChanged)
	lb, ok2 := b.(LinkChanged)
	if ok && ok2 {
		return la.Link.Equal(lb.Link)
	}
	return ok == ok2 && a == b
}

func FuzzDecode(f *testing.F) {
	for _, m := range []syscall.NetlinkMessage{
		linkMessage(unix.RTM_NEWLINK, unix.AF_UNSPEC, eth0, upFlags),
		addressMessage(unix.RTM_NEWADDR, 7, 24, "192.0.2.1", "192.0.2.1"),
		addressMessage(unix.RTM_DELADDR, 7, 200, "", "2001:db8::1"),
	} {
		f.Add(m.Header.Type, m.Data)
	}
	f.Fuzz(func(t *testing.T, typ uint16, data []byte) {
		d := newDecoder()
		d.names[7] = "eth0"
		ev := d.decode(syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: typ}, Data: data})
		if a, ok := ev.(AddressAdded); ok && !a.Address.Prefix.IsValid() {
			t.Errorf("invalid prefix in %v", ev)
		}
	})
}

func TestLifetime(t *testing.T) {
	for _, tt := range []struct {
		lease time.Duration
		want  uint32
	}{
		{0, math.MaxUint32},
		{time.Nanosecond, 1},
		{time.Second, 1},
		{time.Second + 1, 2},
		{2500 * time.Millisecond, 3},
		{200 * 365 * 24 * time.Hour, math.MaxUint32 - 1}, // never the kernel's "for ever"
	} {
		if got := lifetime(tt.lease); got != tt.want {
			t.Errorf("lifetime(%v) = %d, want %d", tt.lease, got, tt.want)
		}
	}
}

func TestRequest(t *testing.T) {
	v4 := request(netip.MustParsePrefix("192.0.2.9/24"), 3, 2*time.Second)
	if v4.IPNet.String() != "192.0.2.9/24" || v4.LinkIndex != 3 || v4.ValidLft != 2 || v4.PreferedLft != 2 || v4.Flags != 0 {
		t.Errorf("IPv4 request %+v", v4)
	}
	v6 := request(netip.MustParsePrefix("2001:db8::9/128"), 3, 0)
	if v6.IPNet.String() != "2001:db8::9/128" || uint32(v6.ValidLft) != math.MaxUint32 || v6.PreferedLft != 0 || v6.Flags != unix.IFA_F_NODAD {
		t.Errorf("IPv6 request %+v", v6)
	}
}

func TestExplain(t *testing.T) {
	for errno, want := range map[syscall.Errno]string{
		unix.EPERM:  "needs CAP_NET_ADMIN",
		unix.EACCES: "needs CAP_NET_ADMIN",
		unix.EAGAIN: "no answer",
		unix.EINVAL: "invalid argument",
	} {
		if err := explain(errno); !errors.Is(err, errno) || !strings.Contains(err.Error(), want) {
			t.Errorf("explain(%v) = %q, want the cause and %q", errno, err, want)
		}
	}
}

func TestRouteMessage(t *testing.T) {
	of := func(typ uint16, family, bits uint8, dst ...byte) syscall.NetlinkMessage {
		info := &nl.RtMsg{}
		info.Family, info.Dst_len = family, bits
		if dst == nil {
			return message(typ, info)
		}
		return message(typ, info, nl.NewRtAttr(unix.RTA_DST, dst))
	}
	v6 := netip.MustParseAddr("2001:db8::").AsSlice()
	for want, m := range map[string]syscall.NetlinkMessage{
		"0.0.0.0/0":     of(unix.RTM_NEWROUTE, unix.AF_INET, 0),
		"10.0.0.0/8":    of(unix.RTM_DELROUTE, unix.AF_INET, 8, 10, 0, 0, 0),
		"::/0":          of(unix.RTM_NEWROUTE, unix.AF_INET6, 0),
		"2001:db8::/32": of(unix.RTM_NEWROUTE, unix.AF_INET6, 32, v6...),
	} {
		if got := routeMessage(m).String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	for what, m := range map[string]syscall.NetlinkMessage{
		"another message": of(unix.RTM_NEWADDR, unix.AF_INET, 0),
		"cut short":       {Header: syscall.NlMsghdr{Type: unix.RTM_NEWROUTE}, Data: []byte{unix.AF_INET, 0, 0}},
		"a broken length": of(unix.RTM_NEWROUTE, unix.AF_INET, 8, 10, 0),
	} {
		if got := routeMessage(m); got.IsValid() {
			t.Errorf("%s: got %v", what, got)
		}
	}
}
