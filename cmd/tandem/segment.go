package main

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"

	"tandem/configs"
	"tandem/director"
	"tandem/vrrp"
	"tandem/vrrp/wire"
)

// segment is one interface.
type segment struct {
	name      string
	announcer *wire.Announcer
	repeater  *wire.Repeater
	adverts   map[bool]*adverts // by whether they travel over IPv6; none: not here
}

// adverts are the advertisements of one family on a segment.
type adverts struct {
	conn *wire.Conn
	// elections are by VRID. They have no lock: the thread of the elections reads them.
	elections [256]atomic.Pointer[election]
}

// drops counts what was discarded on every segment.
func (n *network) drops() []director.DropStatus {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []director.DropStatus
	for _, name := range slices.Sorted(maps.Keys(n.segments)) {
		for _, ipv6 := range []bool{false, true} {
			a := n.segments[name].adverts[ipv6]
			if a == nil {
				continue
			}
			drops := a.conn.Drops()
			for _, reason := range slices.Sorted(maps.Keys(drops)) {
				out = append(out, director.DropStatus{Interface: name, IPv6: ipv6, Reason: reason.String(), Packets: drops[reason]})
			}
		}
	}
	return out
}

// probe asks an interface's segment who has an address.
func (n *network) probe(ctx context.Context, name string, ip netip.Addr) (net.HardwareAddr, error) {
	s, err := n.segment(name)
	if err != nil {
		return nil, err
	}
	return s.announcer.Probe(ctx, ip)
}

// Announce announces addresses now and again as long as they are held.
func (n *network) Announce(list []configs.VirtualAddress) {
	n.each(list, func(s *segment, ip netip.Addr) { s.repeater.Announce(ip) })
	n.mu.Lock()
	defer n.mu.Unlock()
	n.useOutlets(list)
}

// Cancel ends the repeats.
func (n *network) Cancel(list []configs.VirtualAddress) {
	n.each(list, func(s *segment, ip netip.Addr) { s.repeater.Cancel(ip) })
}

// Defend announces an address once.
func (n *network) Defend(a configs.VirtualAddress) error {
	s, err := n.segment(a.Interface)
	if err != nil {
		return err
	}
	return s.announcer.Announce(a.Prefix.Addr())
}

func (n *network) segment(name string) (*segment, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s, ok := n.segments[name]; ok {
		return s, nil
	}
	return nil, fmt.Errorf("%s: %w", name, errNoSegment)
}

func (n *network) each(list []configs.VirtualAddress, f func(*segment, netip.Addr)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range list {
		if s, ok := n.segments[a.Interface]; ok {
			f(s, a.Prefix.Addr())
		}
	}
}

// open opens the segment of an interface.
func (n *network) open(name string) (*segment, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s, ok := n.segments[name]
	if !ok {
		var err error
		if s, err = n.openSegment(name, name, n.goRun); err != nil {
			return nil, err
		}
		n.segments[name] = s
	}
	return s, nil
}

// openAdverts opens the segment of a virtual router for the advertisements of its
// family.
func (n *network) openAdverts(r configs.VirtualRouter) (*adverts, error) {
	s, err := n.open(r.Interface)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if a, ok := s.adverts[r.IPv6()]; ok {
		return a, nil
	}
	a, err := n.listen(s.name, r.IPv6())
	if err != nil {
		return nil, err
	}
	s.adverts[r.IPv6()] = a
	return a, nil
}

// openSegment opens an interface for announcements, where the kernel forwards IPv6 as
// on the interface called router. run runs a part of it until the end.
func (n *network) openSegment(name, router string, run func(string, func(context.Context) error)) (*segment, error) {
	announcer, err := wire.NewAnnouncer(name, wire.AnnouncerOptions{
		Report: func(err error) { n.log.Warn("neighbours", "interface", name, "usable", err == nil, "err", err) },
		Router: func() bool { return forwardsIPv6(router) },
	})
	if err != nil {
		return nil, err
	}
	s := &segment{name: name, announcer: announcer, adverts: make(map[bool]*adverts)}
	s.repeater = wire.NewRepeater(
		announcer.Announce,
		func(ip netip.Addr) wire.Standing { return n.standing(name, ip) },
		func(ip netip.Addr, err error) {
			n.log.Warn("address was not announced", "address", ip, "interface", name, "err", err)
		})
	run("announcements on "+name, s.repeater.Run)
	run("neighbours on "+name, func(ctx context.Context) error {
		return announcer.Watch(ctx, func(c wire.Conflict) {
			n.tell(func(d *director.Director) { d.AddressClaimed(c.At, c.IP, name, c.MAC.String()) })
		})
	})
	return s, nil
}

func (n *network) listen(name string, ipv6 bool) (*adverts, error) {
	a := &adverts{}
	conn, err := n.poller.Listen(name, wire.Options{
		IPv6:     ipv6,
		Virtual:  n.isVirtual,
		Router:   a.router,
		OnPacket: a.receive,
		OnDrop: func(d wire.Drop) {
			n.log.Warn("packets dropped", "interface", name, "reason", d.Reason.String(), "from", d.Src, "total", d.Total)
		},
		OnChange: func(err error) {
			n.log.Warn("advertisements", "interface", name, "ipv6", ipv6, "usable", err == nil, "err", err)
		},
	})
	if err != nil {
		return nil, err
	}
	a.conn = conn
	n.goRun("advertisements on "+name, conn.Run)
	return a, nil
}

func (n *network) standing(name string, ip netip.Addr) wire.Standing {
	n.mu.Lock()
	d := n.director
	n.mu.Unlock()
	if d == nil {
		return wire.Lost
	}
	held, fresh := d.HoldsIP(ip, name)
	switch {
	case !held:
		return wire.Lost
	case !fresh:
		return wire.Doubtful
	}
	return wire.Held
}

func (a *adverts) election(vrid uint8) *election { return a.elections[vrid].Load() }

// router is how the advertisements of a VRID travel.
func (a *adverts) router(vrid uint8) *wire.Router {
	if e := a.election(vrid); e != nil {
		return e.router
	}
	return nil
}

func (a *adverts) receive(p wire.Packet) {
	if e := a.election(p.Advert.VRID); e != nil {
		e.events.Heard()
		e.Receive(p.At, vrrp.Received{Advert: p.Advert, Src: p.Src})
	}
}
