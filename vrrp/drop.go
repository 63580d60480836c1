package vrrp

import "fmt"

// DropReason is why a received packet was discarded. It is the error of Parse
// and of Codec.Accept, and its String is the label of the counter.
type DropReason uint8

// The discards of RFC 9568, section 7.1, in the order in which they are judged,
// and those that only the caller can see.
const (
	// DropFamilyMismatch is a packet whose source and destination are not of one IP
	// version.
	DropFamilyMismatch DropReason = iota + 1
	// DropBadTTL is a packet that was forwarded: TTL, or hop limit, is not 255.
	DropBadTTL
	// DropTruncated is a packet shorter than its header and its addresses.
	DropTruncated
	// DropBadVersion is a version other than 3 and, over IPv4, 2.
	DropBadVersion
	// DropBadType is a type other than 1, ADVERTISEMENT.
	DropBadType
	// DropZeroCount is an advertisement without an address (section 5.2.5).
	DropZeroCount
	// DropBadChecksum is a checksum that is wrong in every known form.
	DropBadChecksum
	// DropZeroInterval is a Max Advertise Interval of zero (erratum 8301): every
	// timer made from it would be zero too.
	DropZeroInterval
	// DropUnknownVRID is a VRID that is not configured on the interface. Parse
	// knows it only of VRID 0, which is none.
	DropUnknownVRID
	// DropNotLinkLocal is an IPv6 advertisement whose first address is not link-local
	// (erratum 8300).
	DropNotLinkLocal
	// DropOwnSource is a packet from the router's own address: looped back by the
	// network, or another machine uses the address. Parse does not report it.
	DropOwnSource

	// DropUnknownSender is a packet from none of the peers of a router that has
	// peers. Only package wire reports it.
	DropUnknownSender
	// DropOverflow is a packet that the socket's buffer had no room for. Only package
	// wire reports it.
	DropOverflow

	// These are of Codec.Accept, in the order in which they are judged.

	// DropVersionMismatch is a version that this router does not speak.
	DropVersionMismatch
	// DropAuthType is an authentication type of version 2 that this router does
	// not use (RFC 3768, section 7.1).
	DropAuthType
	// DropBadPassword is another password than this router's. Version 2 only.
	DropBadPassword
	// DropAuthMissing is a packet without the trailer that AuthEnforce demands.
	DropAuthMissing
	// DropAuthMalformed is a trailer of another length or type, or with reserved
	// bits.
	DropAuthMalformed
	// DropAuthWindow is a time too far from this router's: an old recording, or
	// clocks that are not synchronised.
	DropAuthWindow
	// DropAuthUnknownKey is a key id that is not configured.
	DropAuthUnknownKey
	// DropAuthBadDigest is a digest that the packet does not have with that key.
	DropAuthBadDigest
	// DropAuthReplayed is a packet that is not later than one already accepted.
	DropAuthReplayed
	// DropTooManySenders is an authentic packet of one sender more than a router
	// remembers.
	DropTooManySenders
	// DropIntervalMismatch is another interval than this router's, which version 2
	// does not allow (RFC 3768, section 7.1) and version 3 adopts.
	DropIntervalMismatch

	dropReasons // how many there are, and one
)

// String returns a stable label in kebab case.
func (r DropReason) String() string {
	switch r {
	case DropFamilyMismatch:
		return "family-mismatch"
	case DropBadTTL:
		return "bad-ttl"
	case DropTruncated:
		return "truncated"
	case DropBadVersion:
		return "bad-version"
	case DropBadType:
		return "bad-type"
	case DropZeroCount:
		return "zero-count"
	case DropBadChecksum:
		return "bad-checksum"
	case DropZeroInterval:
		return "zero-interval"
	case DropUnknownVRID:
		return "unknown-vrid"
	case DropNotLinkLocal:
		return "first-not-link-local"
	case DropOwnSource:
		return "own-source"
	case DropUnknownSender:
		return "unknown-sender"
	case DropOverflow:
		return "socket-overflow"
	case DropVersionMismatch:
		return "version-mismatch"
	case DropAuthType:
		return "auth-type-mismatch"
	case DropBadPassword:
		return "auth-bad-password"
	case DropAuthMissing:
		return "auth-missing"
	case DropAuthMalformed:
		return "auth-malformed"
	case DropAuthWindow:
		return "auth-outside-window"
	case DropAuthUnknownKey:
		return "auth-unknown-key"
	case DropAuthBadDigest:
		return "auth-bad-digest"
	case DropAuthReplayed:
		return "auth-replayed"
	case DropTooManySenders:
		return "too-many-senders"
	case DropIntervalMismatch:
		return "interval-mismatch"
	}
	return fmt.Sprintf("drop-reason-%d", uint8(r))
}

// Error makes a DropReason an error.
func (r DropReason) Error() string { return "vrrp: packet dropped: " + r.String() }
