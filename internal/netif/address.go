package netif

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tandem/internal/sysctl"
)

// Address is an address on an interface. It is comparable, and all three parts
// identify it: the kernel holds 192.0.2.1/24 and 192.0.2.1/32 side by side.
type Address struct {
	Prefix    netip.Prefix // address and prefix length, not masked
	Interface string
}

// String is like "192.0.2.1/32 on eth0".
func (a Address) String() string { return a.Prefix.String() + " on " + a.Interface }

// Options are how an address is added. The kernel changes neither of an address
// that is there; to change them, remove it first.
type Options struct {
	Label string // only for IPv4, at most 15 bytes; empty: the interface's name, as the kernel has it
	Scope uint8  // RT_SCOPE_…; of IPv6 addresses the kernel derives it from the address
}

// Held is an Address with what the kernel says about it.
type Held struct {
	Address
	// Options are the zero value for IPv6.
	Options Options
	// Permanent addresses never expire; the others do after Remaining, which the
	// kernel reports in whole seconds, rounded down.
	Permanent bool
	Remaining time.Duration
	// Secondary is an IPv4 address whose subnet another address of the interface
	// opened. The kernel may remove it together with that one.
	Secondary bool
	// LinkLocal is an IPv6 address that adverts can be sent from, see PrimaryIPv6.
	LinkLocal bool
}

// Addresses returns every address of the namespace, in the kernel's order: on
// each interface primary addresses come before secondary ones, and of IPv6 ones of
// the same scope the latest is first.
func (h *Handle) Addresses() ([]Held, error) {
	links, err := h.Links()
	if err != nil {
		return nil, err
	}
	names := make(map[int]string, len(links))
	for _, l := range links {
		names[l.Index] = l.Name
	}
	raw, err := h.addresses(nil)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", explain(err))
	}
	var list []Held
	for _, a := range raw {
		name, known := names[a.LinkIndex]
		prefix := prefixOf(a.IPNet)
		if !known || !prefix.IsValid() {
			continue // the interface came or went between the two dumps
		}
		list = append(list, Held{
			Address:   Address{Prefix: prefix, Interface: name},
			Options:   optionsOf(a, name),
			Permanent: uint32(a.ValidLft) == math.MaxUint32,
			Remaining: remaining(a.ValidLft),
			Secondary: a.Flags&unix.IFA_F_SECONDARY != 0 && prefix.Addr().Is4(),
			LinkLocal: ownLinkLocal(prefix.Addr(), a),
		})
	}
	return list, nil
}

// Ensure puts an address on its interface, or renews it. After lease the
// kernel removes the address unless Ensure is called again; the kernel counts
// whole seconds, so lease is rounded up. A lease of 0 is for ever.
//
// An address that is already there with the same prefix length is the virtual
// address, whoever put it there, and takes the new lease: this is how a
// permanent one, left by an earlier release, comes under the lease. Any other
// address is left alone, even the same one with another prefix length.
//
// IPv6 addresses skip duplicate address detection, which would leave them
// unusable for a second, and are deprecated from the start (RFC 4862, section
// 5.5.4), so that the director does not choose them as a source of its own. On
// the loopback interface an address has the scope of the host, for the same
// reason and so that routing daemons keep it to themselves.
func (h *Handle) Ensure(a Address, lease time.Duration) error { return h.ensure(a, nil, lease) }

// EnsureWith is Ensure with options. An address that is there keeps those it has.
func (h *Handle) EnsureWith(a Address, o Options, lease time.Duration) error {
	return h.ensure(a, &o, lease)
}

func (h *Handle) ensure(a Address, o *Options, lease time.Duration) error {
	index, flags, err := h.indexOf(a.Interface)
	if err != nil {
		return fmt.Errorf("add %v: %w", a.Prefix, err)
	}
	req := request(a.Prefix, index, lease)
	switch {
	case o != nil:
		req.Label, req.Scope = o.Label, int(o.Scope)
	case flags&unix.IFF_LOOPBACK != 0:
		req.Scope = unix.RT_SCOPE_HOST
	}
	if err := h.nl.AddrReplace(nil, req); err != nil {
		return fmt.Errorf("add %v: %w", a, explain(err))
	}
	return nil
}

// Remove takes an address off its interface. An address or an interface that
// is not there is no error. No other address goes with it.
func (h *Handle) Remove(a Address) error {
	link, err := h.link(a.Interface)
	if errors.Is(err, ErrNoInterface) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove %v: %w", a.Prefix, err)
	}
	if err := h.promoteSecondaries(a, link); err != nil {
		return fmt.Errorf("remove %v: %w", a, err)
	}
	// The kernel matches address and prefix length, and nothing else.
	err = h.nl.AddrDel(nil, request(a.Prefix, link.Index, 0))
	if err == nil || errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return fmt.Errorf("remove %v: %w", a, explain(err))
}

// promoteSecondaries keeps the other addresses of a subnet when the one that
// opened it goes. Linux deletes an IPv4 subnet's secondary addresses along with
// its primary one unless promote_secondaries is set (ip-sysctl.rst). A virtual
// address is the primary one if it came first, for example on an interface
// that had no address of that subnet yet.
func (h *Handle) promoteSecondaries(a Address, link *netlink.LinkAttrs) error {
	if !a.Prefix.Addr().Is4() || a.Prefix.IsSingleIP() {
		return nil // nothing can share its subnet
	}
	list, err := h.addresses(link)
	if err != nil {
		return fmt.Errorf("list addresses: %w", explain(err))
	}
	for _, other := range list {
		p := prefixOf(other.IPNet)
		if other.Flags&unix.IFA_F_SECONDARY != 0 && p != a.Prefix && p.Masked() == a.Prefix.Masked() {
			return sysctl.Set("net/ipv4/conf/"+a.Interface+"/promote_secondaries", "1")
		}
	}
	return nil
}

// optionsOf is the options that an address of an interface has.
func optionsOf(a netlink.Addr, interfaceName string) Options {
	if a.IP.To4() == nil {
		return Options{}
	}
	o := Options{Label: a.Label, Scope: uint8(a.Scope)}
	if o.Label == interfaceName {
		o.Label = ""
	}
	return o
}

// addresses lists those of one link, or of all for nil.
func (h *Handle) addresses(link *netlink.LinkAttrs) ([]netlink.Addr, error) {
	var only netlink.Link
	if link != nil {
		only = &netlink.Device{LinkAttrs: *link}
	}
	return dump(func() ([]netlink.Addr, error) {
		return h.nl.AddrList(only, netlink.FAMILY_ALL)
	})
}

// request is what the kernel is asked to add or remove.
func request(p netip.Prefix, index int, lease time.Duration) *netlink.Addr {
	valid := lifetime(lease)
	r := &netlink.Addr{
		IPNet: &net.IPNet{
			IP:   p.Addr().AsSlice(),
			Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
		},
		LinkIndex:   index,
		ValidLft:    int(valid),
		PreferedLft: int(valid),
	}
	if p.Addr().Is6() {
		r.Flags = unix.IFA_F_NODAD
		r.PreferedLft = 0
	}
	return r
}

// lifetime is a lease as the kernel counts it: in whole seconds, with
// INFINITY_LIFE_TIME (include/net/addrconf.h) for ever.
func lifetime(lease time.Duration) uint32 {
	if lease <= 0 {
		return math.MaxUint32
	}
	seconds := (lease-1)/time.Second + 1
	return uint32(min(seconds, math.MaxUint32-1))
}

func remaining(seconds int) time.Duration {
	if uint32(seconds) == math.MaxUint32 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// prefixOf is the zero Prefix for a nil or malformed network.
func prefixOf(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	ip, ok := netip.AddrFromSlice(n.IP)
	bits, size := n.Mask.Size()
	if !ok || size != ip.BitLen() {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(ip, bits)
}
