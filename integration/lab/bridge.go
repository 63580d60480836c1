package lab

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// bridgeName is the bridge in a switch's namespace.
const bridgeName = "br0"

// A bridge is the switch of one segment.
type bridge struct {
	*Node
	dev   string // the segment
	drops []drop // guarded by Node.mu
}

// newBridge builds a switch without ports. The bridge itself takes no part in
// IP: IPv6 is off so that it sends nothing of its own.
func newBridge(dev string) (*bridge, error) {
	name := "switch-" + dev
	pl, err := newPlace(name, []sysctl{{"net/ipv6/conf/default/disable_ipv6", "1"}})
	if err != nil {
		return nil, err
	}
	b := &bridge{Node: &Node{Name: name, place: pl}, dev: dev}
	snooping := false // VRRP's group must reach every port, at once and always
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridgeName}, MulticastSnooping: &snooping}
	if err := pl.nl.LinkAdd(br); err != nil {
		return nil, errors.Join(fmt.Errorf("add the bridge: %w", err), b.close())
	}
	if err := pl.nl.LinkSetUp(br); err != nil {
		return nil, errors.Join(fmt.Errorf("set the bridge up: %w", err), b.close())
	}
	return b, nil
}

// addPort creates the pair of a link, with one end as a port of that name and
// the other in ns.
func (b *bridge) addPort(name string, ln *link, ns netns.NsHandle) error {
	return b.Netlink(func(h *netlink.Handle) error {
		br, err := h.LinkByName(bridgeName)
		if err != nil {
			return fmt.Errorf("find the bridge: %w", err)
		}
		port := &netlink.Veth{
			LinkAttrs:        netlink.LinkAttrs{Name: name, MasterIndex: br.Attrs().Index},
			PeerName:         ln.dev,
			PeerHardwareAddr: ln.mac,
			PeerNamespace:    netlink.NsFd(ns),
		}
		if err := h.LinkAdd(port); err != nil {
			return fmt.Errorf("add the pair for %s: %w", ln.dev, err)
		}
		if ln.isolated {
			if err := h.LinkSetIsolated(port, true); err != nil {
				return fmt.Errorf("isolate the port: %w", err)
			}
		}
		if ln.cut {
			return nil
		}
		if err := h.LinkSetUp(port); err != nil {
			return fmt.Errorf("set the port up: %w", err)
		}
		return nil
	})
}

// deletePort removes a port and with it the node's device. A port that is not
// there is fine: the node may have deleted the device, or never had it.
func (b *bridge) deletePort(name string) error {
	return b.Netlink(func(h *netlink.Handle) error {
		port, err := h.LinkByName(name)
		if errors.As(err, new(netlink.LinkNotFoundError)) {
			return nil
		}
		if err == nil {
			err = h.LinkDel(port)
		}
		if err != nil {
			return fmt.Errorf("delete port %s of %s: %w", name, b.Name, err)
		}
		return nil
	})
}

// onPort calls f with a port.
func (b *bridge) onPort(name string, f func(*netlink.Handle, netlink.Link) error) error {
	return b.Netlink(func(h *netlink.Handle) error {
		port, err := h.LinkByName(name)
		if err != nil {
			return fmt.Errorf("find port %s of %s: %w", name, b.Name, err)
		}
		return f(h, port)
	})
}

func (b *bridge) setPort(name string, up bool) error {
	return b.onPort(name, func(h *netlink.Handle, port netlink.Link) error {
		if up {
			return h.LinkSetUp(port)
		}
		return h.LinkSetDown(port)
	})
}

func (b *bridge) awaitPort(name string, up bool) error {
	return b.Netlink(func(h *netlink.Handle) error { return awaitOper(h, name, up) })
}
