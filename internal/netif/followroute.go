package netif

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Protocol is the number that marks the routes and the policy rules that tandem
// puts into the kernel: rtm_protocol of rtnetlink(7), FRA_PROTOCOL. No program
// that iproute2 knows has it. What has it is tandem's, whoever put it there.
const Protocol = 116

// Route is a way to a destination. It is comparable. The kernel has one of each
// destination, metric and table at most.
type Route struct {
	Destination netip.Prefix // masked
	Via         netip.Addr   // of the same family; invalid: none
	Interface   string       // empty: the kernel finds it by Via
	Source      netip.Addr   // preferred source; invalid: none
	Metric      uint32
	Table       uint32
	Scope       uint8 // RT_SCOPE_…; 0 for IPv6 and for what is not RTN_UNICAST
	OnLink      bool
	Type        uint8 // RTN_UNICAST, RTN_BLACKHOLE, RTN_UNREACHABLE or RTN_PROHIBIT
}

// Routes returns tandem's routes of every table. The kernel itself leaves out
// those of other protocols, so that a full table of the Internet costs little.
func (h *Handle) Routes() ([]Route, error) {
	links, err := h.Links()
	if err != nil {
		return nil, err
	}
	names := make(map[int]string, len(links))
	for _, l := range links {
		names[l.Index] = l.Name
	}
	var all []Route
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		const filter = netlink.RT_FILTER_PROTOCOL | netlink.RT_FILTER_TABLE // of any number: all tables
		list, err := dump(func() ([]netlink.Route, error) {
			return h.strict.RouteListFiltered(family, &netlink.Route{Protocol: Protocol, Table: unix.RT_TABLE_UNSPEC}, filter)
		})
		if err != nil {
			return nil, fmt.Errorf("list routes: %w", explain(err))
		}
		for _, r := range list {
			all = append(all, routeOf(r, names))
		}
	}
	return all, nil
}

// routeOf is a route of the kernel as a Route. Of one that leads several ways,
// which tandem adds none of, the interface is missing.
func routeOf(r netlink.Route, names map[int]string) Route {
	out := Route{
		Destination: destinationOf(r),
		Via:         addrOf(r.Gw),
		Interface:   names[r.LinkIndex],
		Source:      addrOf(r.Src),
		Metric:      uint32(r.Priority),
		Table:       uint32(r.Table),
		Scope:       uint8(r.Scope),
		OnLink:      r.Flags&unix.RTNH_F_ONLINK != 0,
		Type:        uint8(r.Type),
	}
	if out.Type != unix.RTN_UNICAST { // IPv6 says lo
		out.Interface, out.Scope = "", 0
	}
	return out
}

func addrOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

// PutRoute adds a route, or with replace takes the place of tandem's route of
// the same destination, metric and table, without a moment between the two. The
// error wraps fs.ErrExist if there is such a route already; replace is only for
// one that is known to be tandem's.
func (h *Handle) PutRoute(r Route, replace bool) error {
	req := &netlink.Route{
		Dst:      netOf(r.Destination),
		Priority: int(r.Metric),
		Table:    int(r.Table),
		Scope:    netlink.Scope(r.Scope),
		Type:     int(r.Type),
		Protocol: Protocol,
	}
	if r.Via.IsValid() {
		req.Gw = r.Via.AsSlice()
	}
	if r.Source.IsValid() {
		req.Src = r.Source.AsSlice()
	}
	if r.OnLink {
		req.Flags = unix.RTNH_F_ONLINK
	}
	if r.Interface != "" {
		link, err := h.link(r.Interface)
		if err != nil {
			return err
		}
		req.LinkIndex = link.Index
	}
	put := h.nl.RouteAdd
	if replace {
		put = h.nl.RouteReplace
	}
	return explainRoute(put(req), r)
}

// explainRoute adds to the kernel's answer what it most likely means.
func explainRoute(err error, r Route) error {
	switch {
	case errors.Is(err, unix.EEXIST):
		return fs.ErrExist
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH):
		return fmt.Errorf("%w: the gateway %v is on the network of no address there", err, r.Via)
	case errors.Is(err, unix.EINVAL) && r.Source.IsValid():
		return fmt.Errorf("%w: is %v an address of this host?", err, r.Source)
	case errors.Is(err, unix.ENETDOWN):
		return fmt.Errorf("%w: the interface is not up", err)
	}
	return explain(err)
}

// RemoveRoute takes away tandem's route of that destination, metric and table.
// One that is not there, or is another program's, is no error and stays.
func (h *Handle) RemoveRoute(r Route) error {
	err := h.nl.RouteDel(&netlink.Route{
		Dst: netOf(r.Destination), Priority: int(r.Metric), Table: int(r.Table),
		Scope:    unix.RT_SCOPE_NOWHERE, // of any scope
		Protocol: Protocol,
	})
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return explain(err)
}

func netOf(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
