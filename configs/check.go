package configs

import (
	"fmt"
	"net/netip"
	"slices"
)

// maxAddresses is how many addresses fit the count of an advertisement
// (RFC 9568, section 5.2.5).
const maxAddresses = 255

// check records what does not hold between the parts of a file. What could not
// be read has its zero value, has been reported and is passed over.
func check(c *Config, top place) {
	checkDirectors(c.Directors, top.key("pair").key("director"))
	routers := top.key("virtual_router")
	checkRouters(c, routers)
	checkSources(c, top.key("pair").key("director"))
	vips := c.checkAddresses(routers)
	checkServices(c, top.key("service"), vips)
	checkTracks(c, routers)
	checkGroups(c, routers)
	checkHooks(c, top.key("hook"))
	checkFollowing(c, routers)
	checkAccept(c, routers)
}

// first remembers the place of each key, to report the second of its kind.
type first[K comparable] map[K]place

// unique reports p if k was there before. The zero K stands for a value that
// could not be read.
func (f first[K]) unique(k K, p place, remedy string) {
	var zero K
	if k == zero {
		return
	}
	if other, ok := f[k]; ok {
		p.fail(fmt.Sprintf("\"%v\" is also %s in line %d", k, other.path, other.line), remedy)
		return
	}
	f[k] = p
}

func checkDirectors(directors []Director, p place) {
	names, addresses := first[string]{}, first[netip.Addr]{}
	for i, d := range directors {
		names.unique(d.Name, p.index(i).key("name"), "give each director its own name")
		addresses.unique(d.Address, p.index(i).key("address"), "give each director its own address")
		addresses.unique(d.Address6, p.index(i).key("address6"), "give each director its own address")
	}
}

func checkRouters(c *Config, p place) {
	if len(c.Routers) == 0 {
		p.fail("the file has none", "write a table [[virtual_router]] with the addresses that move between the directors")
	}
	type group struct {
		Interface string
		IPv6      bool
		VRID      uint8
	}
	names, vrids := first[string]{}, map[group]place{}
	for i, r := range c.Routers {
		names.unique(r.Name, p.index(i).key("name"), "give each virtual router its own name")
		at, g := p.index(i).key("vrid"), group{r.Interface, r.IPv6(), r.VRID}
		other, ok := vrids[g]
		switch {
		case g.VRID == 0 || g.Interface == "" || len(r.advertised()) == 0: // reported already
		case ok:
			at.fail(fmt.Sprintf("%d on %s is also %s in line %d", r.VRID, r.Interface, other.path, other.line),
				"give each virtual router of an interface its own VRID")
		default:
			vrids[g] = at
		}
		checkOwners(c.Directors, r, p.index(i))
		checkFamily(r, p.index(i))
	}
}

// checkOwners refuses a router with two address owners: an owner takes the role
// without an election, so there would always be two active directors.
func checkOwners(directors []Director, r VirtualRouter, p place) {
	var owner string
	for _, d := range directors {
		switch {
		case r.Priority[d.Name] != 255 || d.Name == owner:
		case owner == "":
			owner = d.Name
		default:
			p.fail(fmt.Sprintf("%s and %s both have priority 255, the address owner's", owner, d.Name),
				"give it to one director at most")
			return
		}
	}
}

// checkAddresses returns the virtual addresses and their routers.
func (c *Config) checkAddresses(p place) map[netip.Addr]*VirtualRouter {
	directors := make(map[netip.Addr]string)
	for _, d := range c.Directors {
		directors[d.Address], directors[d.Address6] = d.Name, d.Name
	}
	vips, seen, local := make(map[netip.Addr]*VirtualRouter), first[netip.Addr]{}, make(map[string]first[netip.Addr])
	for i := range c.Routers {
		r, list := &c.Routers[i], p.index(i).key("addresses")
		if len(r.Addresses) > maxAddresses {
			list.fail(fmt.Sprintf("holds %d addresses", len(r.Addresses)),
				fmt.Sprintf("an advertisement has room for %d; make a second virtual router", maxAddresses))
		}
		here := func(a RouterAddress) bool { return a.Interface == r.Interface }
		if len(r.Addresses) > 0 && !slices.ContainsFunc(r.Addresses, here) {
			list.fail(fmt.Sprintf("has none on the router's own interface %s, so an advertisement would be empty (RFC 9568, section 5.2.5)", r.Interface),
				"put one address there, or write interface = the one that the addresses are on")
		}
		for j, a := range r.Addresses {
			ip, seen := a.Prefix.Addr(), seen
			if ip.Is6() && ip.IsLinkLocalUnicast() { // another interface may have it, too
				if local[a.Interface] == nil {
					local[a.Interface] = first[netip.Addr]{}
				}
				seen = local[a.Interface]
			}
			seen.unique(ip, list.index(j), "an address belongs to one virtual router; remove it from one place")
			if name, ok := directors[ip]; ok && ip.IsValid() {
				list.index(j).fail(fmt.Sprintf("%s is the own address of director %s", ip, name),
					"write an address that no host has of its own")
			}
			vips[ip] = r
		}
	}
	return vips
}

func checkServices(c *Config, p place, vips map[netip.Addr]*VirtualRouter) {
	type key struct {
		address  netip.AddrPort
		protocol string
	}
	names, keys := first[string]{}, map[key]place{}
	for i, s := range c.Services {
		at := p.index(i)
		names.unique(s.Name, at.key("name"), "give each service its own name")
		for j, v := range s.Virtual {
			if !v.IsValid() {
				continue
			}
			k, vp := key{v, s.Protocol}, at.key("virtual").index(j)
			if one := s.Virtual[0].Addr(); one.IsValid() && one.Is4() != v.Addr().Is4() {
				vp.fail(fmt.Sprintf("%s is %s beside %s: a service has one family", v.Addr(), familyOf(v.Addr()), one), "make a service for each family")
			}
			if other, ok := keys[k]; ok {
				vp.fail(fmt.Sprintf("%s %s is also %s in line %d", s.Protocol, v, other.path, other.line),
					"remove it from one of them")
			} else {
				keys[k] = vp
			}
			if vips[v.Addr()] == nil && len(c.Routers) > 0 {
				vp.fail(fmt.Sprintf("%s is no address of a virtual router, so no director would answer for it", v.Addr()),
					"add it to the addresses of a [[virtual_router]]")
			}
		}
		checkPorts(s, at)
		checkServers(s, at.key("server"), vips)
	}
}

// checkPorts refuses what direct forwarding cannot do: it leaves the packet as
// it is, so the port stays the client's.
func checkPorts(s Service, p place) {
	if s.Forwarding != "direct" || len(s.Virtual) == 0 || !s.Virtual[0].IsValid() {
		return
	}
	port := s.Virtual[0].Port()
	for j, v := range s.Virtual {
		if v.IsValid() && v.Port() != port {
			p.key("virtual").index(j).fail(fmt.Sprintf("port %d beside port %d: direct forwarding keeps the port, so no server could serve both", v.Port(), port),
				`make a service for each port, or write forwarding = "masquerade"`)
			return
		}
	}
	for j, server := range s.Servers {
		if server.Address.IsValid() && server.Address.Port() != port {
			p.key("server").index(j).key("address").fail(
				fmt.Sprintf("port %d is not the service's port %d: direct forwarding keeps the port", server.Address.Port(), port),
				fmt.Sprintf(`write "%s", or forwarding = "masquerade"`, netip.AddrPortFrom(server.Address.Addr(), port)))
		}
	}
}

func checkServers(s Service, p place, vips map[netip.Addr]*VirtualRouter) {
	if len(s.Servers) == 0 {
		p.fail("the service has none", "write a table [[service.server]] for each real server")
	}
	seen := first[netip.AddrPort]{}
	for j, server := range s.Servers {
		at, ip := p.index(j).key("address"), server.Address.Addr()
		if !ip.IsValid() {
			continue
		}
		seen.unique(server.Address, at, "remove one of the two; a larger share is a larger weight")
		if v := s.virtualFamily(); v != "" && v != familyOf(ip) {
			at.fail(fmt.Sprintf("%s is %s and the service is %s", ip, familyOf(ip), v), fmt.Sprintf("write the server's %s address", v))
		}
		if vips[ip] != nil {
			at.fail(fmt.Sprintf("%s is a virtual address of router %s", ip, vips[ip].Name),
				"write the server's own address")
		}
	}
}
