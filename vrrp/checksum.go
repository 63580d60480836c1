package vrrp

import (
	"encoding/binary"
	"net/netip"
)

// ChecksumForm says what the checksum of a version 3 advertisement over IPv4
// covers. RFC 5798, section 5.2.8, was read both ways, and RFC 9568, section
// 5.2.8, decided against most of the installed routers: some verify only one
// form, so the sender has to choose and the receiver takes both. In version 2 it
// is always the message alone (RFC 3768, section 5.3.8), and over IPv6 always the
// pseudo-header and all that follows the IP headers (RFC 8200, section 8.1).
type ChecksumForm uint8

const (
	// ChecksumPseudoHeader covers a pseudo-header and the message. It is what
	// keepalived and FRR send by default and the only one they accept then.
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

// pseudoHeaderSum is the one's complement sum of the pseudo-header: source,
// destination, protocol, length of what the checksum covers, and zeros. Those of
// IPv4 (RFC 9293, section 3.1) and IPv6 (RFC 8200, section 8.1) have the same
// fields in another order and width, which a sum does not tell apart.
func pseudoHeaderSum(src, dst netip.Addr, length int) uint64 {
	return addrSum(src) + addrSum(dst) + Protocol + uint64(length)
}

func addrSum(a netip.Addr) uint64 {
	if a.Is4() {
		b := a.As4()
		return onesSum(b[:])
	}
	b := a.As16()
	return onesSum(b[:])
}

// onesSum is the one's complement sum of b, not yet folded (RFC 1071). A message
// has an even length; with what follows it over IPv6 the length may be odd.
func onesSum(b []byte) uint64 {
	var sum uint64
	for ; len(b) >= 2; b = b[2:] {
		sum += uint64(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
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
