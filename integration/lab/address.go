package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ErrNoNeighbour is the error of Neighbour if the cache has no hardware
// address for that IP address.
var ErrNoNeighbour = errors.New("not in the neighbour cache")

// An Address is one that the node holds now.
type Address struct {
	Dev    string
	Prefix netip.Prefix
	Valid  time.Duration // lifetime that is left, in whole seconds; 0 is for ever
}

// Addresses returns all addresses of all devices, those of lo and the
// link-local ones included.
func (n *Node) Addresses() ([]Address, error) {
	var held []Address
	err := n.Netlink(func(h *netlink.Handle) error {
		links, err := h.LinkList()
		if err != nil {
			return fmt.Errorf("list devices: %w", err)
		}
		for _, link := range links {
			addrs, err := h.AddrList(link, netlink.FAMILY_ALL)
			if err != nil {
				return fmt.Errorf("list addresses: %w", err)
			}
			for _, a := range addrs {
				held = append(held, address(link.Attrs().Name, a))
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("lab: addresses of %s: %w", n.Name, err)
	}
	return held, nil
}

func address(dev string, a netlink.Addr) Address {
	ip, _ := netip.AddrFromSlice(a.IP)
	bits, _ := a.Mask.Size()
	held := Address{Dev: dev, Prefix: netip.PrefixFrom(ip.Unmap(), bits)}
	// The kernel's "for ever" is all ones, in 32 bits.
	if uint32(a.ValidLft) != 1<<32-1 {
		held.Valid = time.Duration(a.ValidLft) * time.Second
	}
	return held
}

// Holds reports whether the node has an address on any device.
func (n *Node) Holds(ip netip.Addr) (bool, error) {
	held, err := n.Addresses()
	for _, a := range held {
		if a.Prefix.Addr() == ip {
			return true, nil
		}
	}
	return false, err
}

// Neighbour returns the hardware address that the node's ARP or neighbour
// cache has for an IP address, fresh or stale, or ErrNoNeighbour.
func (n *Node) Neighbour(ip netip.Addr) (net.HardwareAddr, error) {
	const usable = unix.NUD_REACHABLE | unix.NUD_STALE | unix.NUD_DELAY | unix.NUD_PROBE | unix.NUD_PERMANENT
	var mac net.HardwareAddr
	err := n.Netlink(func(h *netlink.Handle) error {
		entries, err := h.NeighList(0, family(ip))
		if err != nil {
			return fmt.Errorf("list: %w", err)
		}
		for _, e := range entries {
			if e.IP.Equal(ip.AsSlice()) && e.State&usable != 0 {
				mac = e.HardwareAddr
				return nil
			}
		}
		return ErrNoNeighbour
	})
	if err != nil {
		return nil, fmt.Errorf("lab: neighbour %s of %s: %w", ip, n.Name, err)
	}
	return mac, nil
}

func family(ip netip.Addr) int {
	if ip.Is4() {
		return netlink.FAMILY_V4
	}
	return netlink.FAMILY_V6
}

// FlushNeighbours empties the ARP and neighbour caches, permanent entries
// excepted.
func (n *Node) FlushNeighbours() error {
	err := n.Netlink(func(h *netlink.Handle) error {
		for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
			entries, err := h.NeighList(0, family)
			if err != nil {
				return fmt.Errorf("list: %w", err)
			}
			for _, e := range entries {
				if e.State&(unix.NUD_PERMANENT|unix.NUD_NOARP) != 0 {
					continue
				}
				if err := h.NeighDel(&e); err != nil && !errors.Is(err, unix.ENOENT) {
					return fmt.Errorf("delete %s: %w", e.IP, err)
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("lab: flush the neighbours of %s: %w", n.Name, err)
	}
	return nil
}
