package vrrp

import (
	"fmt"
	"net/netip"
	"slices"
)

// Bytes of an address in a message. All addresses of one are of the family of its
// packet (RFC 9568, section 5.2.9).
const (
	ipv4Len = 4
	ipv6Len = 16
)

// addrLen is how many bytes the addresses of a message have that travels to or
// from a.
func addrLen(a netip.Addr) int {
	if a.Is4() {
		return ipv4Len
	}
	return ipv6Len
}

// LinkLocal reports whether a can be the first address of an IPv6 virtual router,
// or the one that its advertisements are sent from: an IPv6 link-local unicast
// address (RFC 4291, section 2.5.6) without a zone. The zone is that of the
// interface, and no message has one.
func LinkLocal(a netip.Addr) bool {
	return a.Is6() && !a.Is4In6() && a.IsLinkLocalUnicast() && a.Zone() == ""
}

// validateAddresses says why an advertisement cannot have these addresses, nil if
// it can.
func validateAddresses(v Version, addrs []netip.Addr) error {
	if len(addrs) == 0 || len(addrs) > maxCount {
		return fmt.Errorf("vrrp: %d addresses are not valid, use 1 to %d", len(addrs), maxCount)
	}
	first := addrs[0]
	for _, addr := range addrs {
		switch {
		case !addr.IsValid():
			return fmt.Errorf("vrrp: an address is missing")
		case addr.Zone() != "":
			return fmt.Errorf("vrrp: address %v has a zone, which no advertisement can carry", addr)
		case addr.Is4() != first.Is4():
			return fmt.Errorf("vrrp: addresses %v and %v are of two families", first, addr)
		}
	}
	switch {
	case first.Is4():
		return nil
	case v == V2:
		return fmt.Errorf("vrrp: version 2 is for IPv4, address %v is not an IPv4 address", first)
	case !LinkLocal(first):
		return fmt.Errorf("vrrp: the first IPv6 address must be link-local (fe80::/10), %v is not", first)
	}
	return nil
}

// sameAddresses compares as sets. Only the first address of IPv6 has a place of its
// own (RFC 9568, section 5.2.9).
func sameAddresses(a, b []netip.Addr) bool {
	if slices.Equal(a, b) {
		return true
	}
	if len(a) != len(b) || a[0].Is6() && a[0] != b[0] {
		return false
	}
	return slices.Equal(sorted(a), sorted(b))
}

func sorted(a []netip.Addr) []netip.Addr {
	return slices.SortedFunc(slices.Values(a), netip.Addr.Compare)
}
