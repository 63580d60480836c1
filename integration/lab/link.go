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

// carrierTimeout bounds the wait for the kernel to report a link up or down.
// It takes a millisecond; an emulated machine may be far slower.
const carrierTimeout = 10 * time.Second

// A link is a node's cable to a switch: a veth pair with the device in the node
// and, named after the node, the port in the switch. Its state outlives the
// pair, which a reboot of the node replaces.
type link struct {
	dev      string
	sw       *bridge
	mac      net.HardwareAddr
	prefixes []netip.Prefix

	cut      bool
	isolated bool
	impaired Impairment
}

func newLink(dev string, host int, ipv6 bool, sw *bridge) *link {
	a := Addr(dev, host)
	ln := &link{dev: dev, sw: sw, mac: hardwareAddr(a), prefixes: []netip.Prefix{netip.PrefixFrom(a, 24)}}
	if ipv6 {
		ln.prefixes = append(ln.prefixes, netip.PrefixFrom(Addr6(dev, host), 64))
	}
	return ln
}

// connect creates the pair, in the state that the link is in. mu is held.
func (n *Node) connect(ln *link) error {
	if err := ln.sw.addPort(n.Name, ln, n.place.ns); err != nil {
		return err
	}
	h := n.place.nl
	dev, err := h.LinkByName(ln.dev)
	if err != nil {
		return fmt.Errorf("find %s: %w", ln.dev, err)
	}
	for _, p := range ln.prefixes {
		addr := &netlink.Addr{IPNet: ipNet(p)}
		if p.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := h.AddrAdd(dev, addr); err != nil {
			return fmt.Errorf("add %s to %s: %w", p, ln.dev, err)
		}
	}
	if err := h.LinkSetUp(dev); err != nil {
		return fmt.Errorf("set %s up: %w", ln.dev, err)
	}
	return n.impair(ln, ln.impaired)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// addRoutes adds the default routes. mu is held.
func (n *Node) addRoutes() error {
	if n.spec.gateway == "" {
		return nil
	}
	dev, err := n.place.nl.LinkByName(n.spec.gateway)
	if err != nil {
		return fmt.Errorf("find %s: %w", n.spec.gateway, err)
	}
	gateways := []netip.Addr{Addr(n.spec.gateway, hostGateway)}
	if n.ipv6 {
		gateways = append(gateways, Addr6(n.spec.gateway, hostGateway))
	}
	for _, gw := range gateways {
		route := &netlink.Route{LinkIndex: dev.Attrs().Index, Gw: gw.AsSlice()}
		if err := n.place.nl.RouteAdd(route); err != nil {
			return fmt.Errorf("add the default route via %s: %w", gw, err)
		}
	}
	return nil
}

// unplug removes the pairs; both ends go. mu is held.
func (n *Node) unplug() error {
	var errs []error
	for _, ln := range n.links {
		errs = append(errs, ln.sw.deletePort(n.Name))
	}
	return errors.Join(errs...)
}

// LinkDown pulls the cable out of a device: the node loses its carrier, the
// device stays administratively up. It returns when the node knows.
func (n *Node) LinkDown(dev string) error { return n.setCable(dev, true) }

// LinkUp puts the cable back and returns when both ends can send.
func (n *Node) LinkUp(dev string) error { return n.setCable(dev, false) }

func (n *Node) setCable(dev string, cut bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	ln, err := n.link(dev)
	if err == nil {
		err = ln.sw.setPort(n.Name, !cut)
	}
	if err == nil {
		ln.cut = cut
		err = n.awaitCarriers()
	}
	if err != nil {
		return fmt.Errorf("lab: %s: cable of %s: %w", n.Name, dev, err)
	}
	return nil
}

// link finds a link of a living node. mu is held.
func (n *Node) link(dev string) (*link, error) {
	if n.place == nil {
		return nil, ErrClosed
	}
	for _, ln := range n.links {
		if ln.dev == dev {
			return ln, nil
		}
	}
	return nil, fmt.Errorf("no such device: it has %v", n.spec.devs)
}

// awaitCarriers waits until each device, and the switch port at its other end,
// is operationally what its cable says. Before that the kernel throws frames
// away without a word. A device that the node itself has set down is left alone.
// mu is held.
func (n *Node) awaitCarriers() error {
	for _, ln := range n.links {
		dev, err := n.place.nl.LinkByName(ln.dev)
		if err != nil {
			return fmt.Errorf("find %s: %w", ln.dev, err)
		}
		if dev.Attrs().RawFlags&unix.IFF_UP == 0 {
			continue
		}
		if err := awaitOper(n.place.nl, ln.dev, !ln.cut); err != nil {
			return err
		}
		if err := ln.sw.awaitPort(n.Name, !ln.cut); err != nil {
			return err
		}
	}
	return nil
}

// awaitOper polls a device until it is operationally up, or is not.
func awaitOper(h *netlink.Handle, dev string, up bool) error {
	for deadline := time.Now().Add(carrierTimeout); ; time.Sleep(time.Millisecond) {
		link, err := h.LinkByName(dev)
		if err != nil {
			return fmt.Errorf("watch %s: %w", dev, err)
		}
		state := link.Attrs().OperState
		if (state == netlink.OperUp) == up {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is still %s after %v", dev, state, carrierTimeout)
		}
	}
}
