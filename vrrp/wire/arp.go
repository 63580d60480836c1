package wire

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
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

// claim is what an ARP packet says about its sender, request or reply: it has
// this address. Every receiver may update its cache with it (RFC 826).
type claim struct {
	ip  netip.Addr
	mac [6]byte
}

// parseClaim decodes a received packet. It returns false for one that is
// malformed, not IPv4 over Ethernet, or a probe, which claims nothing.
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
