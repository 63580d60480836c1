package director

import (
	"net/netip"
	"slices"
	"time"

	"tandem/configs"
	"tandem/internal/events"
)

// Conflict is another host that claims, by ARP or neighbour discovery, a virtual IP that we hold.
type Conflict struct {
	Address   netip.Addr `json:"address"`
	Interface string     `json:"interface"`
	MAC       string     `json:"mac"` // the latest one
	Count     uint64     `json:"count"`
	Last      time.Time  `json:"last"`
}

const (
	// defendInterval is how often a held address is announced against a rival at
	// most (DEFEND_INTERVAL of RFC 5227, section 1.1): two hosts that both insist
	// would otherwise flood the segment.
	defendInterval = 10 * time.Second
	// conflictMemory is how long a claim is shown, and how long the same host is
	// not news.
	conflictMemory = time.Hour
)

// rivalry is what is known of the claims on one address.
type rivalry struct {
	Conflict
	defended time.Time
}

// AddressClaimed notes that another host claims a virtual IP. While this
// director holds it, it answers with one announcement each defendInterval; who
// the address belongs to is for the election or the operator to settle. Claims
// on what it does not hold are the active director's own.
func (d *Director) AddressClaimed(at time.Time, ip netip.Addr, interfaceName, mac string) {
	va, _, fresh := d.holder.Holding(ip, interfaceName)
	if !fresh {
		return
	}
	d.mu.Lock()
	if claimsForRouter(d.cfg, ip, mac) {
		d.mu.Unlock()
		return
	}
	r := d.rivalries[va]
	news := r.MAC != mac || at.Sub(r.Last) > conflictMemory
	defend := r.defended.IsZero() || at.Sub(r.defended) >= defendInterval
	if defend {
		r.defended = at
	}
	r.Conflict = Conflict{Address: ip, Interface: interfaceName, MAC: mac, Count: r.Count + 1, Last: at}
	d.rivalries[va] = r
	d.mu.Unlock()

	if news {
		d.o.Events.Publish(events.Event{Kind: events.Conflict, Address: ip.String(), Interface: interfaceName, Cause: "claimed by " + mac})
		d.log.Error("another host claims a virtual IP that this director holds", "address", ip, "interface", interfaceName, "mac", mac)
	}
	if !defend {
		return
	}
	if err := d.o.Announcer.Defend(va); err != nil {
		d.log.Warn("a virtual IP could not be defended", "address", ip, "interface", interfaceName, "err", err)
	}
}

// claimsForRouter says whether a claim has the virtual MAC of the address's router. It
// comes from another director that takes itself for the active, which the election
// settles.
func claimsForRouter(cfg *configs.Config, ip netip.Addr, mac string) bool {
	return slices.ContainsFunc(cfg.Routers, func(r configs.VirtualRouter) bool {
		return virtualMAC(r) == mac && slices.ContainsFunc(r.Addresses, func(a configs.RouterAddress) bool { return a.Prefix.Addr() == ip })
	})
}

// conflicts lists the claims that are not old. The caller holds d.mu.
func (d *Director) conflicts(at time.Time) []Conflict {
	var out []Conflict
	for _, r := range d.rivalries {
		if at.Sub(r.Last) <= conflictMemory {
			out = append(out, r.Conflict)
		}
	}
	slices.SortFunc(out, func(a, b Conflict) int { return a.Address.Compare(b.Address) })
	return out
}
