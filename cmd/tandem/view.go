package main

import (
	"net/netip"
	"sync"
	"time"

	"tandem/director"
	"tandem/internal/netif"
)

// ofVirtual says whether an event is about nothing but a virtual IP. A takeover
// brings one for each, and they say nothing of the links.
func (n *network) ofVirtual(ev netif.Event) bool {
	switch ev := ev.(type) {
	case netif.AddressAdded:
		return n.isVirtual(ev.Address.Prefix.Addr())
	case netif.AddressRemoved:
		return n.isVirtual(ev.Address.Prefix.Addr())
	}
	return false
}

// viewAge is how old a view of the links may be, should an event of a change have
// been lost.
const viewAge = time.Second

// view is the latest view of the links. Every virtual router asks for one, all of
// them at the same moments.
type view struct {
	mu    sync.Mutex
	at    time.Time // zero: there is none, or it is out of date
	links map[string]director.Link
}

func (v *view) invalidate() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.at = time.Time{}
}

// state is the links as the director wants them. The result is shared, and must not
// be changed.
func (n *network) state() (map[string]director.Link, error) {
	n.view.mu.Lock()
	defer n.view.mu.Unlock()
	if now := time.Now(); now.Sub(n.view.at) > viewAge {
		links, err := n.look()
		if err != nil {
			return nil, err
		}
		n.view.at, n.view.links = now, links
	}
	return n.view.links, nil
}

// look asks the kernel for the links.
func (n *network) look() (map[string]director.Link, error) {
	list, err := n.links.Links()
	if err != nil {
		return nil, err
	}
	held, err := n.links.Addresses()
	if err != nil {
		return nil, err
	}
	out := make(map[string]director.Link, len(list))
	for _, l := range list {
		out[l.Name] = director.Link{Up: l.Up}
	}
	for _, a := range held {
		ip := a.Prefix.Addr()
		l, ok := out[a.Interface]
		switch {
		case !ok || n.isVirtual(ip):
			continue
		case ip.Is4() && !l.Primary.IsValid():
			l.Primary = ip
		case a.LinkLocal: // the last one is the oldest
			l.Primary6 = ip
		}
		out[a.Interface] = l
	}
	return out, nil
}

func (n *network) isVirtual(ip netip.Addr) bool {
	return (*n.virtual.Load())[ip]
}

// setVirtual says which addresses are virtual.
func (n *network) setVirtual(virtual map[netip.Addr]bool) {
	n.virtual.Store(&virtual)
	n.view.invalidate()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.segments {
		for _, a := range s.adverts {
			a.conn.VirtualChanged()
		}
	}
}
