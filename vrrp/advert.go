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
	version     = 3
	typeAdvert  = 1
	headerLen   = 8
	ipv4Len     = 4
	maxCount    = 255
	centisecond = 10 * time.Millisecond
)

// Advert is a VRRP version 3 advertisement over IPv4 (RFC 9568, section 5.2).
type Advert struct {
	VRID      uint8         // 1-255
	Priority  uint8         // 0: the sender gives up its role; 255: address owner
	Interval  time.Duration // Max Advertise Interval, 10 ms to 40.95 s in steps of 10 ms
	Addresses []netip.Addr  // the IPv4 addresses of the virtual router, 1-255
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
	if a.Interval < MinInterval || a.Interval > MaxInterval || a.Interval%centisecond != 0 {
		return fmt.Errorf("vrrp: interval %v is not valid, use %v to %v in steps of %v",
			a.Interval, MinInterval, MaxInterval, centisecond)
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
func (a Advert) wireLen() int { return headerLen + len(a.Addresses)*ipv4Len }

// Append appends the message to b and returns the result. The checksum has the
// given form; src and dst are the IPv4 addresses the packet will carry. It
// returns b and an error if a field of a is out of its range.
//
//	0      1     2         3            4-5                        6-7
//	3 | 1  VRID  Priority  IPvX count   0 | Max Advertise Interval  Checksum
//	8-     the addresses, 4 bytes each
func (a Advert) Append(b []byte, form ChecksumForm, src, dst netip.Addr) ([]byte, error) {
	if err := a.validate(); err != nil {
		return b, err
	}
	if !src.Is4() || !dst.Is4() {
		return b, fmt.Errorf("vrrp: advertisement from %v to %v: not IPv4 addresses", src, dst)
	}
	start := len(b)
	b = append(b, version<<4|typeAdvert, a.VRID, a.Priority, uint8(len(a.Addresses)))
	b = binary.BigEndian.AppendUint16(b, uint16(a.Interval/centisecond))
	b = append(b, 0, 0) // the checksum is computed over zero
	for _, addr := range a.Addresses {
		ip := addr.As4()
		b = append(b, ip[:]...)
	}
	msg := b[start:]
	sum := onesSum(msg)
	if form == ChecksumPseudoHeader {
		sum += pseudoHeaderSum(src, dst, len(msg))
	}
	binary.BigEndian.PutUint16(msg[6:], fold(sum))
	return b, nil
}

// Parse checks a received message as RFC 9568, section 7.1, demands and returns
// it with the form of its checksum. payload is what follows the IP header. Bytes
// after the last address are ignored, because the RFC asks for a complete message
// and not for an exact one, and senders exist that append a trailer. The error is
// a DropReason. The result does not refer to payload.
func Parse(payload []byte, h Header) (Advert, ChecksumForm, error) {
	msg, err := message(payload, h)
	if err != nil {
		return Advert{}, 0, err
	}
	form, ok := verify(msg, h)
	if !ok {
		return Advert{}, 0, DropBadChecksum
	}
	// The upper 4 bits are reserved: ignored on reception (section 5.2.6).
	interval := time.Duration(binary.BigEndian.Uint16(msg[4:])&0x0fff) * centisecond
	if interval == 0 {
		return Advert{}, 0, DropZeroInterval
	}
	if msg[1] == 0 {
		return Advert{}, 0, DropUnknownVRID
	}
	addrs := make([]netip.Addr, 0, msg[3])
	for b := msg[headerLen:]; len(b) > 0; b = b[ipv4Len:] {
		addrs = append(addrs, netip.AddrFrom4([ipv4Len]byte(b)))
	}
	return Advert{VRID: msg[1], Priority: msg[2], Interval: interval, Addresses: addrs}, form, nil
}

// message cuts the VRRP message out of payload: exactly the header and the
// addresses that it counts.
func message(payload []byte, h Header) ([]byte, error) {
	switch {
	case !h.Src.Is4() || !h.Dst.Is4():
		return nil, DropFamilyMismatch
	case h.TTL != TTL:
		return nil, DropBadTTL
	case len(payload) < headerLen:
		return nil, DropTruncated
	case payload[0]>>4 != version:
		return nil, DropBadVersion
	case payload[0]&0x0f != typeAdvert:
		return nil, DropBadType
	case payload[3] == 0:
		return nil, DropZeroCount
	}
	length := headerLen + int(payload[3])*ipv4Len
	if len(payload) < length {
		return nil, DropTruncated
	}
	return payload[:length], nil
}

// verify finds the form in which the checksum of msg is right.
func verify(msg []byte, h Header) (ChecksumForm, bool) {
	sum := onesSum(msg)
	if fold(sum+pseudoHeaderSum(h.Src, h.Dst, len(msg))) == 0 {
		return ChecksumPseudoHeader, true
	}
	return ChecksumMessageOnly, fold(sum) == 0
}
