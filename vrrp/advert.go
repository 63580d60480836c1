package vrrp

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

// What every advertisement over IP has in common (RFC 9568, sections 5.1.1.3
// and 5.1.1.4).
const (
	Protocol = 112 // the IP protocol number
	TTL      = 255 // a receiver drops anything else: it came through a router
)

// The fixed part of the message.
const (
	typeAdvert  = 1
	headerLen   = 8
	ipv4Len     = 4
	maxCount    = 255
	centisecond = 10 * time.Millisecond
)

// Advert is an advertisement over IPv4 (RFC 9568, section 5.2; RFC 3768, section
// 5.3, for version 2).
type Advert struct {
	Version  Version
	VRID     uint8 // 1-255
	Priority uint8 // 0: the sender gives up its role; 255: address owner
	// Interval is Max Advertise Interval, 10 ms to 40.95 s in steps of 10 ms, or
	// in version 2 Advertisement Interval, 1 s to 255 s in steps of 1 s.
	Interval  time.Duration
	Addresses []netip.Addr // the IPv4 addresses of the virtual router, 1-255
}

// Header is what the codec needs of the IP header of a received packet.
type Header struct {
	Src, Dst netip.Addr
	TTL      uint8
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
	if len(a.Addresses) == 0 || len(a.Addresses) > maxCount {
		return fmt.Errorf("vrrp: %d addresses are not valid, use 1 to %d", len(a.Addresses), maxCount)
	}
	for _, addr := range a.Addresses {
		if !addr.Is4() {
			return fmt.Errorf("vrrp: address %v is not an IPv4 address", addr)
		}
	}
	return nil
}

// wireLen is how many bytes the message has.
func (a Advert) wireLen() int { return messageLen(a.Version, len(a.Addresses)) }

func messageLen(v Version, count int) int {
	n := headerLen + count*ipv4Len
	if v == V2 {
		n += passwordLen
	}
	return n
}

// Append appends the message to b and returns the result. The checksum has the
// given form, which version 2 leaves no choice of; src and dst are the IPv4
// addresses the packet will carry. It returns b and an error if a field of a is
// out of its range.
//
//	0      1     2         3            4-5                        6-7
//	3 | 1  VRID  Priority  IPvX count   0 | Max Advertise Interval  Checksum
//	2 | 1  VRID  Priority  IPvX count   Auth type, Adver Interval   Checksum
//	8-     the addresses, 4 bytes each, and in version 2 8 bytes of authentication
func (a Advert) Append(b []byte, form ChecksumForm, src, dst netip.Addr) ([]byte, error) {
	return a.append(b, form, Password{}, src, dst)
}

// append is Append with the password of version 2.
func (a Advert) append(b []byte, form ChecksumForm, p Password, src, dst netip.Addr) ([]byte, error) {
	if err := a.validate(); err != nil {
		return b, err
	}
	if !src.Is4() || !dst.Is4() {
		return b, fmt.Errorf("vrrp: advertisement from %v to %v: not IPv4 addresses", src, dst)
	}
	start := len(b)
	b = append(b, a.Version.nibble()<<4|typeAdvert, a.VRID, a.Priority, uint8(len(a.Addresses)))
	if a.Version == V2 {
		b = append(b, p.authType(), uint8(a.Interval/time.Second))
	} else {
		b = binary.BigEndian.AppendUint16(b, uint16(a.Interval/centisecond))
	}
	b = append(b, 0, 0) // the checksum is computed over zero
	for _, addr := range a.Addresses {
		ip := addr.As4()
		b = append(b, ip[:]...)
	}
	if a.Version == V2 {
		auth := p.bytes()
		b = append(b, auth[:]...)
	}
	msg := b[start:]
	sum := onesSum(msg)
	if form == ChecksumPseudoHeader && a.Version == V3 {
		sum += pseudoHeaderSum(src, dst, len(msg))
	}
	binary.BigEndian.PutUint16(msg[checksumAt:], fold(sum))
	return b, nil
}

// Parse checks a received message as RFC 9568, section 7.1, demands and returns
// it with the form of its checksum. payload is what follows the IP header. Bytes
// after the last address are ignored, because the RFC asks for a complete message
// and not for an exact one, and senders exist that append a trailer. The error is
// a DropReason. The result does not refer to payload. Both versions are read;
// which one a router wants is for its Codec to say.
func Parse(payload []byte, h Header) (Advert, ChecksumForm, error) {
	msg, version, err := message(payload, h)
	if err != nil {
		return Advert{}, 0, err
	}
	form, ok := verify(version, msg, h)
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
	addrs := make([]netip.Addr, 0, msg[3])
	for b := msg[headerLen:]; len(addrs) < cap(addrs); b = b[ipv4Len:] {
		addrs = append(addrs, netip.AddrFrom4([ipv4Len]byte(b)))
	}
	return Advert{Version: version, VRID: msg[1], Priority: msg[2], Interval: interval, Addresses: addrs}, form, nil
}

// message cuts the VRRP message out of payload: exactly the header, the addresses
// that it counts and, in version 2, the authentication.
func message(payload []byte, h Header) ([]byte, Version, error) {
	switch {
	case !h.Src.Is4() || !h.Dst.Is4():
		return nil, 0, DropFamilyMismatch
	case h.TTL != TTL:
		return nil, 0, DropBadTTL
	case len(payload) < headerLen:
		return nil, 0, DropTruncated
	}
	version, ok := versionOf(payload[0] >> 4)
	switch {
	case !ok:
		return nil, 0, DropBadVersion
	case payload[0]&0x0f != typeAdvert:
		return nil, 0, DropBadType
	case payload[3] == 0:
		return nil, 0, DropZeroCount
	}
	length := messageLen(version, int(payload[3]))
	if len(payload) < length {
		return nil, 0, DropTruncated
	}
	return payload[:length], version, nil
}

// verify finds the form in which the checksum of msg is right.
func verify(v Version, msg []byte, h Header) (ChecksumForm, bool) {
	sum := onesSum(msg)
	if v == V3 && fold(sum+pseudoHeaderSum(h.Src, h.Dst, len(msg))) == 0 {
		return ChecksumPseudoHeader, true
	}
	return ChecksumMessageOnly, fold(sum) == 0
}
