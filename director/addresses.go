package director

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"tandem/configs"
)

// raise puts the addresses in that are to be held, and has them announced. It
// returns those that the kernel has then, and when a lease is to be renewed next.
func (h *holder) raise(hold []HeldAddress) (have map[configs.VirtualAddress]bool, renewAt time.Time, err error) {
	// Those of a new role first: asking what the kernel has, with hundreds of addresses,
	// takes longer than adding them.
	firstErr := h.raiseNew(hold)
	list, err := h.addresses.List()
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("list addresses: %w", err)
	}
	have = make(map[configs.VirtualAddress]bool, len(list))
	options := make(map[configs.VirtualAddress]configs.AddressOptions, len(list))
	for _, a := range list {
		have[a.VirtualAddress], options[a.VirtualAddress] = true, a.AddressOptions
	}
	err = h.reshape(hold, have, options)
	renewAt, ensureErr := h.ensureAll(hold, have)
	h.setHave(have)
	h.mu.Lock()
	again := h.again
	h.again = make(map[RouterID]bool)
	h.mu.Unlock()
	h.announce(hold, have, again)
	if err = errors.Join(err, ensureErr); err == nil {
		firstErr = nil // it was possible after all
	}
	return have, renewAt, errors.Join(firstErr, err)
}

// raiseNew puts in, and has announced, the addresses that this process has not put
// in since it gave them up, by what the kernel had at the last pass.
func (h *holder) raiseNew(hold []HeldAddress) error {
	hold = slices.DeleteFunc(slices.Clone(hold), func(a HeldAddress) bool {
		_, claimed := h.claims[a.VirtualAddress]
		return claimed || !a.renew()
	})
	if len(hold) == 0 {
		return nil
	}
	h.mu.Lock()
	have := maps.Clone(h.have)
	h.mu.Unlock()
	if have == nil {
		return nil // the first pass has to look
	}
	_, err := h.ensureAll(hold, have)
	h.setHave(have)
	h.announce(hold, have, nil)
	return err
}

// reshape takes out, for ensure to put in again, the addresses whose options are
// not as they should be: the kernel changes neither a label nor a scope.
func (h *holder) reshape(hold []HeldAddress, have map[configs.VirtualAddress]bool, options map[configs.VirtualAddress]configs.AddressOptions) error {
	var errs []error
	for _, a := range hold {
		va := a.VirtualAddress
		if !have[va] || options[va] == a.Options || !a.renew() || !h.fresh(a.Router, a.Role) {
			continue
		}
		if err := h.addresses.Remove(va); err != nil {
			errs = append(errs, fmt.Errorf("change the label or scope of %s on %s: %w", va.Prefix, va.Interface, err))
			continue
		}
		delete(have, va)
		if c, claimed := h.claims[va]; claimed && c.options != a.Options {
			delete(h.claims, va) // the configuration has changed, and nobody else did anything
		}
	}
	return errors.Join(errs...)
}

func (h *holder) setHave(have map[configs.VirtualAddress]bool) {
	have = maps.Clone(have)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.have = have
}

func (h *holder) ensureAll(hold []HeldAddress, have map[configs.VirtualAddress]bool) (renewAt time.Time, err error) {
	var errs []error
	for _, a := range hold {
		due, err := h.ensure(a, have)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		renewAt = earliest(renewAt, due)
	}
	return renewAt, errors.Join(errs...)
}

// together is how much before its time a lease is renewed along with others, as a
// part of it: a pass for each of hundreds of addresses would be most of the work.
const together = 16

// ensure adds one address or renews its lease when a quarter of it has passed, or
// nearly, and enters it in have. It returns when to do so again (zero: never).
func (h *holder) ensure(a HeldAddress, have map[configs.VirtualAddress]bool) (time.Time, error) {
	if !a.renew() {
		return time.Time{}, nil
	}
	va, now := a.VirtualAddress, time.Now()
	c, claimed := h.claims[va]
	if due := c.due(); have[va] && claimed && c.lease == a.Lease && (due.IsZero() || now.Before(due.Add(-c.lease/together))) {
		return due, nil
	}
	if !h.fresh(a.Router, a.Role) {
		return now.Add(retryAfter), nil
	}
	if err := h.addresses.Ensure(configs.RouterAddress{VirtualAddress: va, AddressOptions: a.Options}, a.Lease); err != nil {
		return time.Time{}, fmt.Errorf("hold %s on %s: %w", va.Prefix, va.Interface, err)
	}
	if !have[va] && claimed {
		h.log.Warn("address was gone from the kernel, or not as it was put there; put back", "address", va.Prefix, "interface", va.Interface)
		h.mu.Lock()
		h.repairs++
		h.mu.Unlock()
		c.announced = 0
	}
	switch {
	case !claimed:
		tellAddress(h.events, h.routerOf(a.Router), va, "absent", "held")
	case !have[va]:
		tellAddress(h.events, h.routerOf(a.Router), va, "gone", "held")
	}
	have[va] = true
	c.renewed, c.lease, c.options = now, a.Lease, a.Options
	h.claims[va] = c
	h.mu.Lock()
	h.ensured[va] = now
	h.mu.Unlock()
	return c.due(), nil
}

// routerOf is the name of a virtual router, and carrier that of the one that has
// an address; empty if the configuration has it no longer.
func (h *holder) routerOf(id RouterID) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.routers[id].Name
}

func (h *holder) carrier(a configs.VirtualAddress) string {
	return h.routerWith(func(r configs.VirtualRouter) bool { return carries(r, a) })
}

func carries(r configs.VirtualRouter, a configs.VirtualAddress) bool {
	return slices.ContainsFunc(r.Addresses, func(ra configs.RouterAddress) bool { return ra.VirtualAddress == a })
}

func (h *holder) routerWith(f func(configs.VirtualRouter) bool) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := slices.IndexFunc(h.cfg.Routers, f); i >= 0 {
		return h.cfg.Routers[i].Name
	}
	return ""
}

// due is when the lease is to be renewed; zero: never.
func (c claim) due() time.Time {
	if c.lease == 0 {
		return time.Time{}
	}
	return c.renewed.Add(c.lease / 4)
}

// announce has the addresses announced that are new in the kernel, that have a
// new active role, or whose router asks for it.
func (h *holder) announce(hold []HeldAddress, have map[configs.VirtualAddress]bool, again map[RouterID]bool) {
	var list []configs.VirtualAddress
	for _, a := range hold {
		c, claimed := h.claims[a.VirtualAddress]
		if !claimed || !a.renew() || !have[a.VirtualAddress] {
			continue
		}
		if again[a.Router] || c.announced != a.Role.Number {
			c.announced = a.Role.Number
			h.claims[a.VirtualAddress] = c
			list = append(list, a.VirtualAddress)
		}
	}
	if len(list) > 0 {
		h.announcer.Announce(list)
	}
}

// remove takes away the addresses that are not to be held, and strikes them
// from have. One that is held on with another prefix length is still announced.
func (h *holder) remove(drop []configs.VirtualAddress, hold []HeldAddress, have map[configs.VirtualAddress]bool) error {
	var errs []error
	for _, a := range drop {
		_, claimed := h.claims[a]
		if claimed {
			if !slices.ContainsFunc(hold, func(b HeldAddress) bool { return b.Interface == a.Interface && b.Prefix.Addr() == a.Prefix.Addr() }) {
				h.announcer.Cancel([]configs.VirtualAddress{a})
			}
			delete(h.claims, a)
			h.mu.Lock()
			delete(h.ensured, a)
			h.mu.Unlock()
		}
		if !have[a] {
			if claimed { // the kernel dropped it at the end of its lease
				tellAddress(h.events, h.carrier(a), a, "gone", "absent")
			}
			continue
		}
		if err := h.addresses.Remove(a); err != nil {
			errs = append(errs, fmt.Errorf("drop %s from %s: %w", a.Prefix, a.Interface, err))
			continue
		}
		delete(have, a)
		tellAddress(h.events, h.carrier(a), a, "held", "absent")
		h.log.Info("address dropped", "address", a.Prefix, "interface", a.Interface)
	}
	return errors.Join(errs...)
}
