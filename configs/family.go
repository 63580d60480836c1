package configs

import (
	"fmt"
	"net/netip"
	"slices"
)

// IPv6 reports whether the adverts of r travel over IPv6: the addresses on its own
// interface, which they name, are of that family.
func (r VirtualRouter) IPv6() bool {
	for i := range r.Addresses {
		if a := &r.Addresses[i]; a.Interface == r.Interface && a.Prefix.IsValid() {
			return a.Prefix.Addr().Is6()
		}
	}
	return false
}

// advertised is the addresses on the router's own interface, in their order.
func (r VirtualRouter) advertised() []netip.Addr {
	var own []netip.Addr
	for _, a := range r.Addresses {
		if a.Interface == r.Interface && a.Prefix.IsValid() {
			own = append(own, a.Prefix.Addr())
		}
	}
	return own
}

// AdvertAddress is the address that d sends the adverts of a router with unicast
// transport from.
func (d Director) AdvertAddress(r VirtualRouter) netip.Addr {
	if r.IPv6() {
		return d.Address6
	}
	return d.Address
}

func familyOf(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}

// suggestedLinkLocal is a link-local address for an IPv6 virtual router: that of its
// virtual MAC, 00:00:5e:00:02:{VRID} (RFC 9568, section 7.3, and RFC 4291, appendix
// A), which no host has as its own.
func suggestedLinkLocal(vrid uint8) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: 0x02, 10: 0x5e, 11: 0xff, 12: 0xfe, 14: 0x02, 15: vrid})
}

// checkFamily refuses a router whose advert could not be sent: it has addresses of
// one family, the first of IPv6 is link-local, and version 2 has no IPv6.
func checkFamily(r VirtualRouter, p place) {
	own := r.advertised()
	if len(own) == 0 {
		return
	}
	list := p.key("addresses")
	at := func(ip netip.Addr) place {
		return list.index(slices.IndexFunc(r.Addresses, func(a RouterAddress) bool {
			return a.Interface == r.Interface && a.Prefix.Addr() == ip
		}))
	}
	for _, ip := range own[1:] {
		if ip.Is4() != own[0].Is4() {
			at(ip).fail(fmt.Sprintf("%s is %s and %s is %s: the advert names all addresses on the router's own interface, and has one family",
				ip, familyOf(ip), own[0], familyOf(own[0])),
				"make a virtual router for each family; the two may have the same vrid")
			return
		}
	}
	if !r.IPv6() {
		return
	}
	if r.Version == 2 {
		p.key("version").fail(fmt.Sprintf("2 is for IPv4 only, and %s is IPv6", own[0]), "write version = 3 here")
	}
	if p.node.key("checksum") != nil {
		p.key("checksum").fail("has no effect on adverts over IPv6, whose checksum has one form", "remove it")
	}
	if own[0].IsLinkLocalUnicast() {
		return
	}
	remedy := fmt.Sprintf(`write a link-local one before it, for example "%s/64"`, suggestedLinkLocal(r.VRID))
	if i := slices.IndexFunc(own, netip.Addr.IsLinkLocalUnicast); i > 0 {
		remedy = fmt.Sprintf("write %s before it", own[i])
	}
	at(own[0]).fail(fmt.Sprintf("%s is not link-local, and the first address of an IPv6 virtual router must be (RFC 9568, section 5.2.9)", own[0]), remedy)
}

// checkSources refuses unicast adverts without an address to send them from.
func checkSources(c *Config, p place) {
	for _, r := range c.Routers {
		if r.Transport != "unicast" || len(r.advertised()) == 0 {
			continue
		}
		key, remedy := "address", `write the director's own IPv4 address, for example address = "10.77.0.1"`
		if r.IPv6() {
			key, remedy = "address6", `write the director's own link-local address there, for example address6 = "fe80::1"`
		}
		missing := false
		for i, d := range c.Directors {
			if !d.AdvertAddress(r).IsValid() && p.index(i).node.key(key) == nil {
				p.index(i).key(key).fail(fmt.Sprintf("is missing, and virtual router %s sends its adverts by unicast", r.Name), remedy)
				missing = true
			}
		}
		if missing {
			return
		}
	}
}

// virtualFamily is that of a service's first address, empty if it could not be
// read.
func (s Service) virtualFamily() string {
	if len(s.Virtual) == 0 || !s.Virtual[0].IsValid() {
		return ""
	}
	return familyOf(s.Virtual[0].Addr())
}
