package vrrp

import (
	"encoding/binary"
	"net/netip"
)

// ChecksumForm says what the checksum of a version 3 advertisement over IPv4
// covers. RFC 5798, section 5.2.8, was read both ways, and RFC 9568, section
// 5.2.8, decided against most of the installed routers: some verify only one
// form, so the sender has to choose and the receiver takes both. In version 2 it
// is always the message alone (RFC 3768, section 5.3.8).
type ChecksumForm uint8

const (
	// ChecksumPseudoHeader covers an IPv4 pseudo-header and the message. It is
	// what keepalived and FRR send by default and the only one they accept then.
	ChecksumPseudoHeader ChecksumForm = iota
	// ChecksumMessageOnly covers the message alone, as RFC 9568 has it.
	ChecksumMessageOnly
)

// String returns "pseudo-header" or "message-only".
func (f ChecksumForm) String() string {
	if f == ChecksumMessageOnly {
		return "message-only"
	}
	return "pseudo-header"
}

// pseudoHeaderSum is the one's complement sum of the IPv4 pseudo-header: source,
// destination, zero, protocol, length of the message.
func pseudoHeaderSum(src, dst netip.Addr, length int) uint64 {
	s, d := src.As4(), dst.As4()
	return onesSum(s[:]) + onesSum(d[:]) + Protocol + uint64(length)
}

// onesSum is the one's complement sum of b, not yet folded (RFC 1071). A
// message has an even length: 8 or 16 bytes and 4 for each address.
func onesSum(b []byte) uint64 {
	var sum uint64
	for ; len(b) >= 2; b = b[2:] {
		sum += uint64(binary.BigEndian.Uint16(b))
	}
	return sum
}

// fold turns a sum into the Internet checksum. Over a message that contains its
// correct checksum it gives zero.
func fold(sum uint64) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
