package netif

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ErrNoAddress says that an interface has no address to send adverts from.
var ErrNoAddress = errors.New("no address of its own")

// Link is a network interface.
type Link struct {
	Name  string
	Index int
	MAC   net.HardwareAddr // empty for interfaces without one
	MTU   int              // bytes
	Up    bool             // administratively up and able to carry packets
	ARP   bool             // answers ARP: neither a loopback nor a NOARP interface
}

// Equal compares all fields.
func (l Link) Equal(o Link) bool {
	return l.Name == o.Name && l.Index == o.Index && bytes.Equal(l.MAC, o.MAC) &&
		l.MTU == o.MTU && l.Up == o.Up && l.ARP == o.ARP
}

// Links returns every interface of the namespace.
func (h *Handle) Links() ([]Link, error) {
	raw, err := dump(h.nl.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", explain(err))
	}
	links := make([]Link, len(raw))
	for i, l := range raw {
		links[i] = linkOf(l.Attrs())
	}
	return links, nil
}

// Link returns one interface. The error wraps ErrNoInterface if there is none.
func (h *Handle) Link(name string) (Link, error) {
	attrs, err := h.link(name)
	if err != nil {
		return Link{}, err
	}
	return linkOf(attrs), nil
}

// PrimaryIPv4 returns the first IPv4 address of an interface that virtual does
// not report. It is the source of the adverts, and the election compares it,
// so an address that moves must not be taken for it. A nil virtual excludes
// nothing. The error wraps ErrNoAddress if there is none.
func (h *Handle) PrimaryIPv4(name string, virtual func(netip.Addr) bool) (netip.Addr, error) {
	link, err := h.link(name)
	if err != nil {
		return netip.Addr{}, err
	}
	list, err := h.addresses(link)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("list addresses of %s: %w", name, explain(err))
	}
	for _, a := range list {
		ip := prefixOf(a.IPNet).Addr()
		if ip.Is4() && (virtual == nil || !virtual(ip)) {
			return ip, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("interface %s: IPv4: %w; adverts are sent from one, so give it one that does not move", name, ErrNoAddress)
}

func linkOf(a *netlink.LinkAttrs) Link {
	return Link{
		Name: a.Name, Index: a.Index, MAC: a.HardwareAddr, MTU: a.MTU,
		Up: usable(a.RawFlags), ARP: answersARP(a.RawFlags),
	}
}

// usable interprets ifi_flags. IFF_UP is the administrator's wish, IFF_LOWER_UP
// the carrier, and IFF_RUNNING that the operational state of RFC 2863 is up, or
// unknown because the driver does not keep one (operstates.rst).
func usable(flags uint32) bool {
	const all = unix.IFF_UP | unix.IFF_LOWER_UP | unix.IFF_RUNNING
	return flags&all == all
}

func answersARP(flags uint32) bool { return flags&(unix.IFF_NOARP|unix.IFF_LOOPBACK) == 0 }
