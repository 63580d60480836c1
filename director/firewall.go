package director

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"tandem/configs"
)

// Firewall drops packets that the host would accept, and nothing else.
type Firewall interface {
	// Available says why this kernel cannot do that; nil: it can.
	Available() error
	// Deny drops packets to exactly these addresses, but for neighbour discovery;
	// none: what was there of it goes. It says whether something was changed.
	Deny([]netip.Addr) (changed bool, err error)
}

// Denied are the addresses of a configuration whose packets a director is not to
// accept, sorted: those of routers that say so and whose addresses it does not
// own (RFC 9568, section 6.1: Accept_Mode).
func Denied(cfg *configs.Config, node string) []netip.Addr {
	var out []netip.Addr
	for _, r := range cfg.Routers {
		if r.Accept || r.Priority[node] == addressOwner {
			continue
		}
		for _, a := range r.Addresses {
			out = append(out, a.Prefix.Addr())
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}

// addressOwner is the priority of a router that owns its addresses (RFC 9568,
// section 5.2.4).
const addressOwner = 255

// guard keeps the firewall as the configuration wants it, whatever the roles: on
// a director that does not hold an address no packet to it gets that far. So a
// takeover finds it in place.
type guard struct {
	firewall Firewall
	node     string
	log      *slog.Logger

	mu      sync.Mutex
	ours    bool // something may be in the kernel, or may get there
	denied  []netip.Addr
	done    bool      // denied was carried out
	looked  time.Time // when that was last verified
	repairs int
}

func newGuard(o Options, books *books) *guard {
	return &guard{firewall: o.Firewall, node: o.Node, log: partLog(o, "firewall"), ours: books.owned.Firewall}
}

// SetConfig says what is wanted from now on.
func (g *guard) SetConfig(cfg *configs.Config) {
	g.mu.Lock()
	defer g.mu.Unlock()
	denied := Denied(cfg, g.node)
	g.done = g.done && slices.Equal(g.denied, denied)
	g.denied = denied
	g.ours = g.ours || len(denied) > 0
}

// pass looks after it, and repairs what others changed. A takeover is not to wait
// for that: what was in place within the last resync is taken to be.
func (g *guard) pass(at time.Time) error {
	g.mu.Lock()
	ours, denied, done := g.ours, g.denied, g.done
	current := done && at.Sub(g.looked) < holderResync
	g.mu.Unlock()
	if !ours || current {
		return nil
	}
	changed, err := g.firewall.Deny(denied)
	if err != nil {
		return fmt.Errorf("drop packets to addresses with accept = false: %w", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !slices.Equal(g.denied, denied) {
		return nil // there is a newer configuration, and a pass for it
	}
	switch {
	case changed && done:
		g.repairs++
		g.log.Warn("the firewall's table was changed by someone else, put back", "drops", denied)
	case changed && len(denied) > 0:
		g.log.Info("packets to virtual addresses are dropped", "addresses", denied)
	case changed:
		g.log.Info("no packets to virtual addresses are dropped any more")
	}
	g.done, g.looked = true, at
	return nil
}

// forget stops looking when nothing is denied and nothing is left, and says
// whether this is so now and was not before.
func (g *guard) forget() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.ours || !g.done || len(g.denied) > 0 {
		return false
	}
	g.ours = false
	return true
}

// release takes everything away.
func (g *guard) release() error {
	g.mu.Lock()
	ours := g.ours
	g.denied, g.done = nil, false
	g.mu.Unlock()
	if !ours {
		return nil
	}
	return g.pass(time.Now())
}

type guardView struct {
	denied  []netip.Addr // in the kernel at the last pass
	repairs int
}

func (g *guard) view() guardView {
	g.mu.Lock()
	defer g.mu.Unlock()
	v := guardView{repairs: g.repairs}
	if g.done {
		v.denied = g.denied
	}
	return v
}

// deniable says why packets to the addresses of a configuration cannot be dropped
// as it wants.
func (d *Director) deniable(cfg *configs.Config) error {
	if len(Denied(cfg, d.o.Node)) == 0 {
		return nil
	}
	if err := d.o.Firewall.Available(); err != nil {
		return fmt.Errorf("a virtual router has accept = false: %w", err)
	}
	return nil
}
