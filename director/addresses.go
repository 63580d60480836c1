package director

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"tandem/configs"
)

// converge brings the kernel's addresses in line: first what is to be held,
// then what is not. It returns when a lease is to be renewed next.
func (h *holder) converge(hold []HeldAddress, drop []configs.VirtualAddress) (time.Time, error) {
	list, err := h.addresses.List()
	if err != nil {
		return time.Time{}, fmt.Errorf("list addresses: %w", err)
	}
	have := make(map[configs.VirtualAddress]bool, len(list))
	for _, a := range list {
		have[a] = true
	}
	renewAt, err := h.ensureAll(hold, have)
	h.setHave(have)
	h.announce(hold, have)
	err = errors.Join(err, h.remove(drop, hold, have))
	h.setHave(have)
	return renewAt, err
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
	if err := h.addresses.Ensure(va, a.Lease); err != nil {
		return time.Time{}, fmt.Errorf("hold %s on %s: %w", va.Prefix, va.Interface, err)
	}
	if !have[va] && claimed {
		h.log.Warn("address was gone from the kernel, put back", "address", va.Prefix, "interface", va.Interface)
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
	c.renewed, c.lease = now, a.Lease
	h.claims[va] = c
	h.mu.Lock()
	h.ensured[va] = now
	h.mu.Unlock()
	return c.due(), nil
}

// routerOf is the name of a virtual router, and carrier that of the one that has
// an address; empty if the configuration has it no longer.
func (h *holder) routerOf(id RouterID) string {
	return h.routerWith(func(r configs.VirtualRouter) bool { return idOf(r) == id })
}

func (h *holder) carrier(a configs.VirtualAddress) string {
	return h.routerWith(func(r configs.VirtualRouter) bool { return slices.Contains(r.Addresses, a) })
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
func (h *holder) announce(hold []HeldAddress, have map[configs.VirtualAddress]bool) {
	h.mu.Lock()
	again := h.again
	h.again = make(map[RouterID]bool)
	h.mu.Unlock()
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
