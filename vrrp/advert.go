package vrrp

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

// What every advertisement over IP has in common (RFC 9568, sections 5.1.1.3,
// 5.1.1.4, 5.1.2.3 and 5.1.2.4).
const (
	Protocol = 112 // the IP protocol number, or the IPv6 next header
	TTL      = 255 // or hop limit: a receiver drops anything else, it came through a router
)

// The fixed part of the message.
const (
	typeAdvert  = 1
	headerLen   = 8
	maxCount    = 255
	centisecond = 10 * time.Millisecond
)

// Advert is an advertisement (RFC 9568, section 5.2; RFC 3768, section 5.3, for
// version 2). It travels over the IP version of its addresses.
type Advert struct {
	Version  Version
	VRID     uint8 // 1-255
	Priority uint8 // 0: the sender gives up its role; 255: address owner
	// Interval is Max Advertise Interval, 10 ms to 40.95 s in steps of 10 ms, or
	// in version 2 Advertisement Interval, 1 s to 255 s in steps of 1 s.
	Interval time.Duration
	// Addresses are those of the virtual router: 1-255 of one family, without a
	// zone. In version 2 they are IPv4 addresses. The first of IPv6 is link-local.
	Addresses []netip.Addr
}

// Header is what the codec needs of the IP header of a received packet.
type Header struct {
	Src, Dst netip.Addr // without a zone
	TTL      uint8      // over IPv6 the hop limit
}

// validate says why a cannot be sent, nil if it can.
func (a Advert) validate() error {
	if a.VRID == 0 {
		return fmt.Errorf("vrrp: VRID 0 is not valid, use 1-255")
	}
	if a.Version > V2 {
		return fmt.Errorf("vrrp: unknown %v", a.Version)
	}
	if least, most, step := a.Version.intervals(); a.Interval < least || a.Interval > most || a.Interval%step != 0 {
		return fmt.Errorf("vrrp: interval %v is not valid, use %v to %v in steps of %v", a.Interval, least, most, step)
	}
	return validateAddresses(a.Version, a.Addresses)
}

// wireLen is how many bytes the message has.
func (a Advert) wireLen() int {
	return messageLen(a.Version, len(a.Addresses), addrLen(a.Addresses[0]))
}

func messageLen(v Version, count, addrLen int) int {
	n := headerLen + count*addrLen
	if v == V2 {
		n += passwordLen
	}
	return n
}

// Append appends the message to b and returns the result. The checksum has the
// given form, which only version 3 over IPv4 leaves a choice of; src and dst are
// the addresses the packet will carry. It returns b and an error if a field of a
// is out of its range.
//
//	0      1     2         3            4-5                        6-7
//	3 | 1  VRID  Priority  IPvX count   0 | Max Advertise Interval  Checksum
//	2 | 1  VRID  Priority  IPvX count   Auth type, Adver Interval   Checksum
//	8-     the addresses, 4 or 16 bytes each, and in version 2 8 bytes of authentication
func (a Advert) Append(b []byte, form ChecksumForm, src, dst netip.Addr) ([]byte, error) {
	start := len(b)
	b, err := a.append(b, Password{}, src, dst)
	if err != nil {
		return b, err
	}
	a.seal(b[start:], form, src, dst)
	return b, nil
}

// append is Append with the password of version 2, and with zero for the checksum.
func (a Advert) append(b []byte, p Password, src, dst netip.Addr) ([]byte, error) {
	if err := a.validate(); err != nil {
		return b, err
	}
	if v4 := a.Addresses[0].Is4(); !src.IsValid() || !dst.IsValid() || src.Is4() != v4 || dst.Is4() != v4 {
		return b, fmt.Errorf("vrrp: advertisement of %v from %v to %v: not of one family", a.Addresses[0], src, dst)
	}
	b = append(b, a.Version.nibble()<<4|typeAdvert, a.VRID, a.Priority, uint8(len(a.Addresses)))
	if a.Version == V2 {
		b = append(b, p.authType(), uint8(a.Interval/time.Second))
	} else {
		b = binary.BigEndian.AppendUint16(b, uint16(a.Interval/centisecond))
	}
	b = append(b, 0, 0) // the checksum is computed over zero
	for _, addr := range a.Addresses {
		b = appendAddr(b, addr)
	}
	if a.Version == V2 {
		auth := p.bytes()
		b = append(b, auth[:]...)
	}
	return b, nil
}

func appendAddr(b []byte, addr netip.Addr) []byte {
	if addr.Is4() {
		ip := addr.As4()
		return append(b, ip[:]...)
	}
	ip := addr.As16()
	return append(b, ip[:]...)
}

// seal puts the checksum into a packet of a, which is the message and what may
// follow it.
func (a Advert) seal(packet []byte, form ChecksumForm, src, dst netip.Addr) {
	covered := packet
	if src.Is4() {
		covered = packet[:a.wireLen()]
	} else {
		form = ChecksumPseudoHeader
	}
	sum := onesSum(covered)
	if form == ChecksumPseudoHeader && a.Version == V3 {
		sum += pseudoHeaderSum(src, dst, len(covered))
	}
	binary.BigEndian.PutUint16(packet[checksumAt:], fold(sum))
}

// Parse checks a received message as RFC 9568, section 7.1, demands and returns
// it with the form of its checksum. payload is what follows the IP headers. Bytes
// after the last address are ignored, because the RFC asks for a complete message
// and not for an exact one, and senders exist that append a trailer. The error is
// a DropReason. The result does not refer to payload. Both versions are read;
// which one a router wants is for its Codec to say. Over IPv6 there is only version 3.
func Parse(payload []byte, h Header) (Advert, ChecksumForm, error) {
	msg, version, err := message(payload, h)
	if err != nil {
		return Advert{}, 0, err
	}
	form, ok := verify(version, msg, payload, h)
	if !ok {
		return Advert{}, 0, DropBadChecksum
	}
	// The upper 4 bits are reserved: ignored on reception (section 5.2.6).
	interval := time.Duration(binary.BigEndian.Uint16(msg[4:])&0x0fff) * centisecond
	if version == V2 {
		interval = time.Duration(msg[5]) * time.Second
	}
	if interval == 0 {
		return Advert{}, 0, DropZeroInterval
	}
	if msg[1] == 0 {
		return Advert{}, 0, DropUnknownVRID
	}
	addrs := addresses(msg, addrLen(h.Src))
	if !h.Src.Is4() && !LinkLocal(addrs[0]) {
		return Advert{}, 0, DropNotLinkLocal
	}
	return Advert{Version: version, VRID: msg[1], Priority: msg[2], Interval: interval, Addresses: addrs}, form, nil
}

// addresses are those of a message.
func addresses(msg []byte, addrLen int) []netip.Addr {
	addrs := make([]netip.Addr, msg[3])
	for i := range addrs {
		addrs[i], _ = netip.AddrFromSlice(msg[headerLen+i*addrLen:][:addrLen])
	}
	return addrs
}

// message cuts the VRRP message out of payload: exactly the header, the addresses
// that it counts and, in version 2, the authentication.
func message(payload []byte, h Header) ([]byte, Version, error) {
	switch {
	case !h.Src.IsValid() || !h.Dst.IsValid() || h.Src.Is4() != h.Dst.Is4():
		return nil, 0, DropFamilyMismatch
	case h.TTL != TTL:
		return nil, 0, DropBadTTL
	case len(payload) < headerLen:
		return nil, 0, DropTruncated
	}
	version, ok := versionOf(payload[0] >> 4)
	switch {
	case !ok, version == V2 && !h.Src.Is4():
		return nil, 0, DropBadVersion
	case payload[0]&0x0f != typeAdvert:
		return nil, 0, DropBadType
	case payload[3] == 0:
		return nil, 0, DropZeroCount
	}
	length := messageLen(version, int(payload[3]), addrLen(h.Src))
	if len(payload) < length {
		return nil, 0, DropTruncated
	}
	return payload[:length], version, nil
}

// verify finds the form in which the checksum of msg is right. Over IPv6 there is
// one form, and it covers all of payload (RFC 8200, section 8.1): what follows the
// message, too.
func verify(v Version, msg, payload []byte, h Header) (ChecksumForm, bool) {
	if !h.Src.Is4() {
		sum := onesSum(payload) + pseudoHeaderSum(h.Src, h.Dst, len(payload))
		return ChecksumPseudoHeader, fold(sum) == 0
	}
	sum := onesSum(msg)
	if v == V3 && fold(sum+pseudoHeaderSum(h.Src, h.Dst, len(msg))) == 0 {
		return ChecksumPseudoHeader, true
	}
	return ChecksumMessageOnly, fold(sum) == 0
}
