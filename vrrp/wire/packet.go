package wire

import (
	"net/netip"
	"time"

	"tandem/vrrp"
)

// Packet is a received advertisement that passed every check.
type Packet struct {
	At     time.Time // when it was read, with the monotonic clock
	Advert vrrp.Advert
	Src    netip.Addr        // the sender's primary IPv4 address
	Form   vrrp.ChecksumForm // which checksum the sender uses
}

// Drop reports received packets that were discarded.
type Drop struct {
	Reason vrrp.DropReason
	Src    netip.Addr // of the latest one
	Total  uint64     // so far, for this reason
}

const ipv4HeaderLen = 20

// judge decides about an IPv4 datagram as a raw socket delivers it at the given
// time, header included. own is the address that we send from; router is
// Options.Router. The error is a vrrp.DropReason.
func judge(at time.Time, datagram []byte, own netip.Addr, router func(vrid uint8) *Router) (Packet, error) {
	h, payload, ok := splitIPv4(datagram)
	p := Packet{At: at, Src: h.Src}
	if !ok {
		return p, vrrp.DropTruncated
	}
	if h.Src == own {
		return p, vrrp.DropOwnSource
	}
	var err error
	if p.Advert, p.Form, err = vrrp.Parse(payload, h); err != nil {
		return p, err
	}
	r := router(p.Advert.VRID)
	if r == nil {
		return p, vrrp.DropUnknownVRID
	}
	return p, r.accept(at, payload, h, p.Advert)
}

// splitIPv4 separates the header (RFC 791, section 3.1) from what follows it.
func splitIPv4(b []byte) (h vrrp.Header, payload []byte, ok bool) {
	if len(b) < ipv4HeaderLen || b[0]>>4 != 4 {
		return h, nil, false
	}
	headerLen := int(b[0]&0x0f) * 4
	if headerLen < ipv4HeaderLen || headerLen > len(b) {
		return h, nil, false
	}
	h = vrrp.Header{
		Src: netip.AddrFrom4([4]byte(b[12:16])),
		Dst: netip.AddrFrom4([4]byte(b[16:20])),
		TTL: b[8],
	}
	return h, b[headerLen:], true
}
