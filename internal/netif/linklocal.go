package netif

import (
	"bytes"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// virtualID is how the interface identifier begins that RFC 4291, appendix A, makes
// of a virtual router's MAC, 00:00:5e:00:02:{VRID}.
var virtualID = []byte{0x02, 0x00, 0x5e, 0xff, 0xfe, 0x00, 0x02}

// PrimaryIPv6 is PrimaryIPv4 for IPv6: the link-local address that adverts are sent
// from. Of several it is the one that the interface has had the longest, so that it
// does not change when another one is added. An address that is not known to be
// unique yet, or is known not to be, cannot be sent from. One that comes of a
// virtual MAC is that of several routers, whatever virtual says: nothing would
// break a tie (RFC 9568, section 7.4).
func (h *Handle) PrimaryIPv6(name string, virtual func(netip.Addr) bool) (netip.Addr, error) {
	link, err := h.link(name)
	if err != nil {
		return netip.Addr{}, err
	}
	list, err := h.addresses(link)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("list addresses of %s: %w", name, explain(err))
	}
	var primary netip.Addr
	for _, a := range list { // in IPv6 the kernel lists the latest of a scope first
		ip := prefixOf(a.IPNet).Addr()
		if ownLinkLocal(ip, a) && (virtual == nil || !virtual(ip)) {
			primary = ip
		}
	}
	if !primary.IsValid() {
		return primary, fmt.Errorf("interface %s: IPv6: %w; adverts are sent from a link-local one that is unique and does not move", name, ErrNoAddress)
	}
	return primary, nil
}

func ownLinkLocal(ip netip.Addr, a netlink.Addr) bool {
	if !ip.Is6() || !ip.IsLinkLocalUnicast() || !unique(uint32(a.Flags)) {
		return false
	}
	id := ip.As16()
	return !bytes.HasPrefix(id[8:], virtualID)
}

// unique says that duplicate address detection does not keep an address from being
// used (RFC 4862, section 5.4). IPv4 addresses have none of these flags.
func unique(flags uint32) bool {
	return flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0
}
