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
	Src    netip.Addr        // the sender's primary address, link-local over IPv6
	Form   vrrp.ChecksumForm // which checksum the sender uses
}

// Drop reports received packets that were discarded.
type Drop struct {
	Reason vrrp.DropReason
	Src    netip.Addr // of the latest one
	Total  uint64     // so far, for this reason
}

// judge decides about a message that was read at the given time. own is the address
// that we send from; router is Options.Router. The error is a vrrp.DropReason.
func judge(at time.Time, h vrrp.Header, payload []byte, own netip.Addr, router func(vrid uint8) *Router) (Packet, error) {
	p := Packet{At: at, Src: h.Src}
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
