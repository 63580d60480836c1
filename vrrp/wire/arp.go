package wire

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"tandem/internal/netif"
)

// noMAC is the target hardware address of a request: not known, hence zero.
var noMAC = make(net.HardwareAddr, 6)

// gratuitous returns the two packets that tell everyone where ip is: the ARP
// announcement of RFC 5227, section 2.3, which is a request, and the reply form
// of RFC 5944, section 4.6. Some receivers update their cache only for one.
func gratuitous(ip netip.Addr, mac net.HardwareAddr) ([][]byte, error) {
	request, err := encode(arp.OperationRequest, mac, ip, noMAC, ip)
	if err != nil {
		return nil, err
	}
	reply, err := encode(arp.OperationReply, mac, ip, mac, ip)
	return [][]byte{request, reply}, err
}

// probe returns the question of RFC 5227, section 2.1.1: who has ip? The sender
// address is zero, so that nobody's cache changes.
func probe(ip netip.Addr, mac net.HardwareAddr) ([]byte, error) {
	return encode(arp.OperationRequest, mac, netip.IPv4Unspecified(), noMAC, ip)
}

func encode(op arp.Operation, srcMAC net.HardwareAddr, src netip.Addr, dstMAC net.HardwareAddr, dst netip.Addr) ([]byte, error) {
	p, err := arp.NewPacket(op, srcMAC, src, dstMAC, dst)
	if err != nil {
		return nil, fmt.Errorf("ARP for %v from MAC %q: %w", dst, srcMAC, err)
	}
	return p.MarshalBinary()
}

// parseClaim decodes a received packet. Request or reply, it says that its sender
// has an address, and every receiver may update its cache with that (RFC 826). It
// returns false for one that is malformed, not IPv4 over Ethernet, or a probe,
// which claims nothing.
func parseClaim(b []byte) (claim, bool) {
	var p arp.Packet
	if err := p.UnmarshalBinary(b); err != nil {
		return claim{}, false
	}
	if p.HardwareType != 1 || p.ProtocolType != uint16(ethernet.EtherTypeIPv4) ||
		p.HardwareAddrLength != 6 || p.IPLength != 4 || p.SenderIP.IsUnspecified() {
		return claim{}, false
	}
	return claim{ip: p.SenderIP, mac: [6]byte(p.SenderHardwareAddr)}, true
}

// arpSocket is a packet socket that gets the ARP packets of one interface. The
// kernel builds and strips the Ethernet headers.
type arpSocket struct {
	*packet.Conn
	mac net.HardwareAddr
	buf [128]byte // a packet has 28 bytes, and padding
}

func openARP(link netif.Link) (*arpSocket, error) {
	if len(link.MAC) != 6 {
		return nil, fmt.Errorf("ARP: not an Ethernet interface, its hardware address is %q", link.MAC)
	}
	conn, err := packet.Listen(&net.Interface{Index: link.Index, HardwareAddr: link.MAC}, packet.Datagram, unix.ETH_P_ARP, nil)
	if err != nil {
		return nil, err
	}
	return &arpSocket{Conn: conn, mac: link.MAC}, nil
}

func (s *arpSocket) announce(ip netip.Addr) error {
	packets, err := gratuitous(ip, s.mac)
	if err != nil {
		return err
	}
	for _, p := range packets {
		if err := s.broadcast(p); err != nil {
			return err
		}
	}
	return nil
}

func (s *arpSocket) ask(ip netip.Addr) error {
	b, err := probe(ip, s.mac)
	if err != nil {
		return err
	}
	return s.broadcast(b)
}

func (s *arpSocket) broadcast(b []byte) error {
	if err := s.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return err
	}
	_, err := s.WriteTo(b, &packet.Addr{HardwareAddr: ethernet.Broadcast})
	return err
}

func (s *arpSocket) hear() (claim, bool, error) {
	n, _, err := s.ReadFrom(s.buf[:])
	if err != nil {
		return claim{}, false, err
	}
	c, ok := parseClaim(s.buf[:n])
	return c, ok, nil
}
