package director

import (
	"errors"
	"slices"
	"time"

	"tandem/configs"
)

// converge brings the kernel's addresses in line, and what follows them: first
// the addresses that are to be held, because clients wait for them; then out goes
// what is not wanted, addresses last; then comes what may need one of them as its
// source. It returns when a lease is to be renewed next, and when an election
// that was too stale to act on is to be looked at again.
//
// What fails among the routes and rules keeps no address from being held or
// dropped.
func (h *holder) converge(hold []HeldAddress, drop []configs.VirtualAddress, routes []Followed[configs.Route], rules []Followed[configs.Rule]) (renewAt, followAt time.Time, addressErr, followErr error) {
	have, renewAt, addressErr := h.raise(hold)
	rulesOut, routesOut := h.rules.withdraw(rules), h.routes.withdraw(routes)
	if have != nil {
		addressErr = errors.Join(addressErr, h.remove(drop, hold, have))
		h.setHave(have)
	}
	routesStale, routesIn := h.routes.establish(routes)
	rulesStale, rulesIn := h.rules.establish(rules)
	if routesStale || rulesStale {
		followAt = time.Now().Add(retryAfter)
	}
	return renewAt, followAt, addressErr, errors.Join(rulesOut, routesOut, routesIn, rulesIn)
}

// forgetFollowers strikes off the ledger what a configuration does not name any
// more and is out of the kernel.
func (h *holder) forgetFollowers(cfg *configs.Config) error {
	routes, rules, firewall := h.routes.forget(cfg), h.rules.forget(cfg), h.guard.forget()
	if !routes && !rules && !firewall {
		return nil
	}
	return h.books.change(func(o *Owned) {
		o.Routes = o.Routes && !routes
		o.Rules = o.Rules && !rules
		o.Firewall = o.Firewall && !firewall
		h.books.expectFollowers(o)
	})
}

// releaseFollowers takes away the firewall's table, which goes last because no
// address is left that could be reached, and strikes all followers off the
// ledger; err is why routes or rules were not withdrawn.
func (h *holder) releaseFollowers(err error) error {
	if err = errors.Join(err, h.guard.release()); err != nil {
		return err
	}
	return h.books.change(func(o *Owned) { o.Routes, o.Rules, o.Firewall = false, false, false })
}

// showFollowers adds to the status of a router what follows its role.
func (h *holder) showFollowers(r configs.VirtualRouter, out *RouterStatus) {
	out.Routes, out.Rules = h.routes.statuses(r), h.rules.statuses(r)
	denied := h.guard.view().denied
	for i := range out.Addresses {
		out.Addresses[i].Denied = slices.Contains(denied, out.Addresses[i].Address.Addr())
	}
}

// countRepairs adds how often followers were put back.
func (h *holder) countRepairs(out *RepairStatus) {
	out.Routes, out.Rules, out.Firewall = h.routes.view().repairs, h.rules.view().repairs, h.guard.view().repairs
}
