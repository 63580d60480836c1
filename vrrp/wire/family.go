package wire

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"tandem/internal/netif"
	"tandem/vrrp"
)

// family is what differs between IPv4 and IPv6 for the sockets of advertisements.
type family struct {
	domain  int
	toGroup []netip.Addr              // the destinations of a router without peers
	send    func(netif.Link) []option // of a socket that sends
	receive func(netif.Link) []option // of one that receives, too
	// split finds the headers and the message in what a socket delivers; index is the
	// interface that it came by.
	split func(b, control []byte, from *unix.RawSockaddrInet6) (h vrrp.Header, payload []byte, index int, ok bool)
	// source is the control message that gives a packet its source. The checksum
	// covers the source, and the kernel might choose another one by now.
	source func(src netip.Addr, index int) []byte
	// name fills in the destination, and returns its length. The memory is enough for
	// either family.
	name func(to *unix.RawSockaddrInet6, dst netip.Addr, index int) uint32
}

// The groups of VRRP (RFC 9568, sections 5.1.1.2 and 5.1.2.2).
var (
	groupIPv4 = netip.MustParseAddr("224.0.0.18")
	groupIPv6 = netip.MustParseAddr("ff02::12")
)

var (
	ipv4 = &family{
		domain:  unix.AF_INET,
		toGroup: []netip.Addr{groupIPv4},
		send:    ipv4Sending,
		receive: ipv4Receiving,
		split:   splitIPv4,
		source:  sourceIPv4,
		name:    nameIPv4,
	}
	ipv6 = &family{
		domain:  unix.AF_INET6,
		toGroup: []netip.Addr{groupIPv6},
		send:    ipv6Sending,
		receive: ipv6Receiving,
		split:   splitIPv6,
		source:  sourceIPv6,
		name:    nameIPv6,
	}
)

func familyOf(isIPv6 bool) *family {
	if isIPv6 {
		return ipv6
	}
	return ipv4
}

func ipv4Sending(link netif.Link) []option {
	return []option{
		{"set interface", func(fd int) error {
			return unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(link.Index)})
		}},
		value("switch loopback off", unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0),
		value("set multicast TTL", unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, vrrp.TTL),
		value("set TTL", unix.IPPROTO_IP, unix.IP_TTL, vrrp.TTL),
		value("set TOS", unix.IPPROTO_IP, unix.IP_TOS, tos), // also sets the priority, so before it
		value("set priority", unix.SOL_SOCKET, unix.SO_PRIORITY, priority),
	}
}

func ipv4Receiving(link netif.Link) []option {
	return []option{
		{"join " + groupIPv4.String(), func(fd int) error {
			return unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP,
				&unix.IPMreqn{Multiaddr: groupIPv4.As4(), Ifindex: int32(link.Index)})
		}},
		value("ask for the interface of packets", unix.IPPROTO_IP, unix.IP_PKTINFO, 1),
	}
}

func ipv6Sending(link netif.Link) []option {
	return []option{
		value("set interface", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, link.Index),
		value("switch loopback off", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0),
		value("set multicast hop limit", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, vrrp.TTL),
		value("set hop limit", unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, vrrp.TTL),
		value("set traffic class", unix.IPPROTO_IPV6, unix.IPV6_TCLASS, tos),
		value("set priority", unix.SOL_SOCKET, unix.SO_PRIORITY, priority),
	}
}

func ipv6Receiving(link netif.Link) []option {
	return []option{
		{"join " + groupIPv6.String(), func(fd int) error {
			return unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP,
				&unix.IPv6Mreq{Multiaddr: groupIPv6.As16(), Interface: uint32(link.Index)})
		}},
		value("ask for the interface of packets", unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1),
		value("ask for the hop limit of packets", unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1),
	}
}

const ipv4HeaderLen = 20

// splitIPv4 separates the header (RFC 791, section 3.1) from what follows it.
func splitIPv4(b, control []byte, _ *unix.RawSockaddrInet6) (h vrrp.Header, payload []byte, index int, ok bool) {
	if len(b) < ipv4HeaderLen || b[0]>>4 != 4 {
		return h, nil, 0, false
	}
	headerLen := int(b[0]&0x0f) * 4
	if headerLen < ipv4HeaderLen || headerLen > len(b) {
		return h, nil, 0, false
	}
	h = vrrp.Header{
		Src: netip.AddrFrom4([4]byte(b[12:16])),
		Dst: netip.AddrFrom4([4]byte(b[16:20])),
		TTL: b[8],
	}
	if info := controlData(control, unix.IPPROTO_IP, unix.IP_PKTINFO); len(info) >= unix.SizeofInet4Pktinfo {
		index = int(binary.NativeEndian.Uint32(info))
	}
	return h, b[headerLen:], index, true
}

// splitIPv6 takes the header from the control messages, because the kernel does not
// deliver it (RFC 3542, sections 3 and 6).
func splitIPv6(b, control []byte, from *unix.RawSockaddrInet6) (h vrrp.Header, payload []byte, index int, ok bool) {
	info := controlData(control, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO)
	hops := controlData(control, unix.IPPROTO_IPV6, unix.IPV6_HOPLIMIT)
	if len(info) < unix.SizeofInet6Pktinfo || len(hops) < 4 || from.Family != unix.AF_INET6 {
		return h, nil, 0, false
	}
	h = vrrp.Header{
		Src: netip.AddrFrom16(from.Addr),
		Dst: netip.AddrFrom16([16]byte(info)),
		TTL: uint8(binary.NativeEndian.Uint32(hops)),
	}
	return h, b, int(binary.NativeEndian.Uint32(info[16:])), true
}

// controlData finds a control message (cmsg(3)); nil if there is none.
func controlData(b []byte, level, kind int32) []byte {
	for len(b) >= unix.SizeofCmsghdr {
		h, data, rest, err := unix.ParseOneSocketControlMessage(b)
		if err != nil {
			return nil
		}
		if h.Level == level && h.Type == kind {
			return data
		}
		b = rest
	}
	return nil
}

func sourceIPv4(src netip.Addr, index int) []byte {
	return unix.PktInfo4(&unix.Inet4Pktinfo{Ifindex: int32(index), Spec_dst: src.As4()})
}

func sourceIPv6(src netip.Addr, index int) []byte {
	return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: src.As16(), Ifindex: uint32(index)})
}

func nameIPv4(to *unix.RawSockaddrInet6, dst netip.Addr, _ int) uint32 {
	*(*unix.RawSockaddrInet4)(unsafe.Pointer(to)) = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: dst.As4()}
	return unix.SizeofSockaddrInet4
}

func nameIPv6(to *unix.RawSockaddrInet6, dst netip.Addr, index int) uint32 {
	*to = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: dst.As16()}
	if dst.IsLinkLocalUnicast() || dst.IsLinkLocalMulticast() {
		to.Scope_id = uint32(index)
	}
	return unix.SizeofSockaddrInet6
}
