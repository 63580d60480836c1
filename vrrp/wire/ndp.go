package wire

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/mdlayher/ndp"
	netipv6 "golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"tandem/internal/netif"
)

const (
	ipv6HeaderLen = 40
	icmpv6        = 58 // the next header of ICMPv6 (RFC 4443, section 1)
)

// allNodes is every machine of the segment (RFC 4291, section 2.7.1).
var allNodes = netip.IPv6LinkLocalAllNodes()

// advertisement returns the packet that tells everyone where ip is: the unsolicited
// Neighbor Advertisement of RFC 9568, section 6.4.2, and RFC 4861, section 7.2.6.
// Override makes it replace what caches have. router says whether the kernel, too,
// answers as a router; one that says it is none is no longer used as one (RFC 4861,
// section 7.2.5). The source is ip, because that is what everybody may answer to.
func advertisement(ip netip.Addr, mac net.HardwareAddr, router bool) ([]byte, error) {
	return icmpPacket(ip, allNodes, &ndp.NeighborAdvertisement{
		Router: router, Override: true, TargetAddress: ip,
		Options: []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Target, Addr: mac}},
	})
}

// solicitation returns the question of duplicate address detection (RFC 4862,
// section 5.4.2): who has ip? The source is not specified, so that nobody's cache
// changes and the answer is one that everybody hears.
func solicitation(ip netip.Addr) ([]byte, error) {
	group, err := ndp.SolicitedNodeMulticast(ip)
	if err != nil {
		return nil, err
	}
	return icmpPacket(netip.IPv6Unspecified(), group, &ndp.NeighborSolicitation{TargetAddress: ip})
}

// icmpPacket is a message with its IPv6 header (RFC 8200, section 3). Any other hop
// limit than 255 would have come through a router (RFC 4861, section 7.1).
func icmpPacket(src, dst netip.Addr, m ndp.Message) ([]byte, error) {
	msg, err := ndp.MarshalMessageChecksum(m, src, dst)
	if err != nil {
		return nil, fmt.Errorf("neighbour discovery for %v: %w", dst, err)
	}
	b := make([]byte, 0, ipv6HeaderLen+len(msg))
	b = append(b, 6<<4, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(msg)))
	b = append(b, icmpv6, ndp.HopLimit)
	b = append(b, src.AsSlice()...)
	b = append(b, dst.AsSlice()...)
	return append(b, msg...), nil
}

// destination is that of a packet of icmpPacket.
func destination(b []byte) net.IP { return b[24:ipv6HeaderLen] }

// parseAdvertisement decodes a received message, whose checksum the kernel has
// verified. It returns false for one that is no valid Neighbor Advertisement (RFC
// 4861, section 7.1.2), or that does not say the sender's MAC. What is sent to all
// nodes has to say it.
func parseAdvertisement(b []byte, hopLimit int) (claim, bool) {
	if hopLimit != ndp.HopLimit || len(b) < 2 || b[1] != 0 {
		return claim{}, false
	}
	m, err := ndp.ParseMessage(b)
	if err != nil {
		return claim{}, false
	}
	na, ok := m.(*ndp.NeighborAdvertisement)
	if !ok || na.TargetAddress.IsMulticast() {
		return claim{}, false
	}
	for _, o := range na.Options {
		if lla, ok := o.(*ndp.LinkLayerAddress); ok && lla.Direction == ndp.Target {
			return claim{ip: na.TargetAddress, mac: [6]byte(lla.Addr)}, true
		}
	}
	return claim{}, false
}

// ndpSocket is a raw ICMPv6 socket of one interface. It sends packets with their IP
// headers, because the kernel lets nobody else choose the source that a question
// needs, and receives messages without. A packet socket, as for ARP, would have to
// look at each IPv6 packet of the interface.
type ndpSocket struct {
	*netipv6.PacketConn
	link   netif.Link
	router func() bool // nil: no
	buf    []byte
}

func openNDP(link netif.Link, router func() bool) (*ndpSocket, error) {
	if len(link.MAC) != 6 {
		return nil, fmt.Errorf("neighbour discovery: not an Ethernet interface, its hardware address is %q", link.MAC)
	}
	lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) error {
		var err error
		cerr := rc.Control(func(fd uintptr) {
			err = cmp.Or(unix.BindToDevice(int(fd), link.Name),
				unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_HDRINCL, 1))
		})
		if cerr != nil {
			return cerr
		}
		return err
	}}
	pc, err := lc.ListenPacket(context.Background(), "ip6:ipv6-icmp", "::")
	if err != nil {
		return nil, err
	}
	s := &ndpSocket{netipv6.NewPacketConn(pc), link, router, make([]byte, link.MTU)}
	if err := s.configure(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *ndpSocket) configure() error {
	var filter netipv6.ICMPFilter
	filter.SetAll(true)
	filter.Accept(netipv6.ICMPTypeNeighborAdvertisement)
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"set filter", func() error { return s.SetICMPFilter(&filter) }},
		{"switch loopback off", func() error { return s.SetMulticastLoopback(false) }},
		{"ask for the hop limit of packets", func() error {
			return s.SetControlMessage(netipv6.FlagHopLimit|netipv6.FlagInterface, true)
		}},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

func (s *ndpSocket) announce(ip netip.Addr) error {
	b, err := advertisement(ip, s.link.MAC, s.router != nil && s.router())
	if err != nil {
		return err
	}
	return s.send(b)
}

func (s *ndpSocket) ask(ip netip.Addr) error {
	b, err := solicitation(ip)
	if err != nil {
		return err
	}
	return s.send(b)
}

func (s *ndpSocket) send(b []byte) error {
	if err := s.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return err
	}
	_, err := s.WriteTo(b, &netipv6.ControlMessage{IfIndex: s.link.Index}, &net.IPAddr{IP: destination(b)})
	return err
}

func (s *ndpSocket) hear() (claim, bool, error) {
	n, cm, _, err := s.ReadFrom(s.buf)
	// Before the socket was bound it could hear other interfaces.
	if err != nil || cm == nil || cm.IfIndex != s.link.Index {
		return claim{}, false, err
	}
	c, ok := parseAdvertisement(s.buf[:n], cm.HopLimit)
	return c, ok, nil
}
