package configs

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Digest returns 16 hexadecimal digits that are the same for two files that
// mean the same, whatever their comments, layout and order. Two directors
// compare it to notice that their files have drifted apart. It may differ
// between versions of tandem.
func (c *Config) Digest() string {
	text, err := json.Marshal(c.sorted())
	if err != nil {
		panic("configs: " + err.Error()) // a Config is plain data
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// sorted returns a copy of c in which lists without an order of their own are
// sorted.
func (c *Config) sorted() *Config {
	s := *c
	s.Directors = sortedBy(c.Directors, func(a, b Director) int { return strings.Compare(a.Name, b.Name) })
	s.Routers = sortedBy(c.Routers, func(a, b VirtualRouter) int { return strings.Compare(a.Name, b.Name) })
	for i := range s.Routers {
		r := &s.Routers[i]
		r.Addresses = r.sortedAddresses()
		r.Track = sortedBy(r.Track, func(a, b Track) int { return strings.Compare(a.String(), b.String()) })
		r.Routes = sortedBy(r.Routes, func(a, b Route) int { return strings.Compare(a.String(), b.String()) })
		r.Rules = sortedBy(r.Rules, func(a, b Rule) int { return strings.Compare(a.String(), b.String()) })
	}
	s.Services = sortedBy(c.Services, func(a, b Service) int { return strings.Compare(a.Name, b.Name) })
	for i := range s.Services {
		service := &s.Services[i]
		service.Virtual = sortedBy(service.Virtual, netip.AddrPort.Compare)
		service.Flags = sortedBy(service.Flags, strings.Compare)
		service.Servers = sortedBy(service.Servers, func(a, b Server) int { return a.Address.Compare(b.Address) })
	}
	s.Hooks = sortedBy(c.Hooks, func(a, b Hook) int { return strings.Compare(fmt.Sprint(a.ID()), fmt.Sprint(b.ID())) })
	for i := range s.Hooks {
		s.Hooks[i].Events = sortedBy(s.Hooks[i].Events, strings.Compare)
	}
	return &s
}

// sortedAddresses is sorted but for the first that an IPv6 router advertises, whose
// place is its own (RFC 9568, section 5.2.9).
func (r VirtualRouter) sortedAddresses() []RouterAddress {
	own := r.advertised()
	return sortedBy(r.Addresses, func(a, b RouterAddress) int {
		if first := func(v RouterAddress) bool {
			return r.IPv6() && v.Interface == r.Interface && v.Prefix.Addr() == own[0]
		}; first(a) != first(b) {
			if first(a) {
				return -1
			}
			return 1
		}
		return cmp.Or(a.Prefix.Addr().Compare(b.Prefix.Addr()), strings.Compare(a.Interface, b.Interface))
	})
}

// sortedBy returns a sorted copy that is never nil, for JSON tells nil from
// empty and a Config does not.
func sortedBy[T any](list []T, compare func(a, b T) int) []T {
	list = append([]T{}, list...)
	slices.SortStableFunc(list, compare)
	return list
}
