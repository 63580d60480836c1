package netif

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// HasAddress says whether an address is there, on the named interface unless the
// name is empty.
func (h *Handle) HasAddress(a netip.Addr, interfaceName string) (bool, error) {
	list, err := h.Addresses()
	if err != nil {
		return false, err
	}
	for _, held := range list {
		if held.Prefix.Addr() == a && (interfaceName == "" || held.Interface == interfaceName) {
			return true, nil
		}
	}
	return false, nil
}

// HasRoute says whether the main table has a route to exactly this destination
// that packets can take now, through the named interface unless the name is
// empty. The kernel only gives the whole table, of either family.
func (h *Handle) HasRoute(dst netip.Prefix, interfaceName string) (bool, error) {
	index := 0
	if interfaceName != "" {
		link, err := h.link(interfaceName)
		if errors.Is(err, ErrNoInterface) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		index = link.Index
	}
	found, err := dump(func() ([]netlink.Route, error) {
		var list []netlink.Route
		err := h.nl.RouteListFilteredIter(family(dst), &netlink.Route{}, 0, func(r netlink.Route) bool {
			if destinationOf(r) == dst && leads(r, index) {
				list = append(list, r)
			}
			return true
		})
		return list, err
	})
	if err != nil {
		return false, fmt.Errorf("list routes: %w", explain(err))
	}
	return len(found) > 0, nil
}

func family(p netip.Prefix) int {
	if p.Addr().Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// destinationOf is the zero Prefix for what is no IP route. The library writes
// the default of IPv4 with an address of 16 bytes.
func destinationOf(r netlink.Route) netip.Prefix {
	if r.Dst == nil {
		return netip.Prefix{}
	}
	ip, _ := netip.AddrFromSlice(r.Dst.IP)
	bits, _ := r.Dst.Mask.Size()
	return netip.PrefixFrom(ip.Unmap(), bits)
}

// leads says whether a route forwards packets, through an interface unless index
// is 0. A route that prohibits does not, nor one whose links are down: the kernel
// keeps that one for when they are back.
func leads(r netlink.Route, index int) bool {
	if r.Type != unix.RTN_UNICAST {
		return false
	}
	const unusable = unix.RTNH_F_DEAD | unix.RTNH_F_LINKDOWN
	hop := func(link, flags int) bool { return flags&unusable == 0 && (index == 0 || link == index) }
	for _, n := range r.MultiPath {
		if hop(n.LinkIndex, n.Flags) {
			return true
		}
	}
	return len(r.MultiPath) == 0 && hop(r.LinkIndex, r.Flags)
}

// WatchRoute calls changed at first and when a route to a destination came or
// went, until ctx is done; it then returns nil. The kernel sends no message for
// the IPv4 routes that go with a link. It must be called in the network
// namespace of the Handle.
func (h *Handle) WatchRoute(ctx context.Context, dst netip.Prefix, changed func()) error {
	sock, err := subscribeRoutes(dst)
	if err != nil {
		return err
	}
	return watchRoute(ctx, sock, dst, changed)
}

func subscribeRoutes(dst netip.Prefix) (*nl.NetlinkSocket, error) {
	group := uint(unix.RTNLGRP_IPV4_ROUTE)
	if !dst.Addr().Is4() {
		group = unix.RTNLGRP_IPV6_ROUTE
	}
	sock, err := nl.Subscribe(unix.NETLINK_ROUTE, group)
	if err != nil {
		return nil, fmt.Errorf("subscribe to route changes: %w", explain(err))
	}
	return sock, nil
}

// watchRoute closes sock at the end. Messages that were lost count as a change.
func watchRoute(ctx context.Context, sock *nl.NetlinkSocket, dst netip.Prefix, changed func()) error {
	defer sock.Close()
	defer context.AfterFunc(ctx, sock.Close)() // ends a blocked Receive
	changed()                                  // for what happened before
	for {
		msgs, from, err := sock.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			changed()
			continue
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("watch routes: receive: %w", err)
		case from.Pid != nl.PidKernel:
			continue // another process can send to our socket
		}
		for _, m := range msgs {
			if routeMessage(m) == dst {
				changed()
			}
		}
	}
}

// routeMessage is the destination in struct rtmsg and its attributes
// (rtnetlink(7)); the zero Prefix for what is no message about a route.
func routeMessage(m syscall.NetlinkMessage) netip.Prefix {
	if m.Header.Type != unix.RTM_NEWROUTE && m.Header.Type != unix.RTM_DELROUTE || len(m.Data) < unix.SizeofRtMsg {
		return netip.Prefix{}
	}
	addr := netip.IPv4Unspecified()
	if m.Data[0] == unix.AF_INET6 {
		addr = netip.IPv6Unspecified()
	}
	for typ, value := range attributes(m.Data[unix.SizeofRtMsg:]) {
		if typ == unix.RTA_DST {
			addr, _ = netip.AddrFromSlice(value)
		}
	}
	return netip.PrefixFrom(addr, int(m.Data[1]))
}
