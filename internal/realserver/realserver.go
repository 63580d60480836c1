// Package realserver prepares a machine to be a real server for direct routing
// (LVS-DR).
//
// The director hands packets on with their destination unchanged, so the real
// server must hold the virtual address too, and yet must never answer ARP for
// it: clients would then reach it without the director. The address goes to the
// loopback interface, and two parameters keep the other interfaces silent about
// it (ip-sysctl.rst): arp_ignore=1 answers only for addresses of the interface
// that was asked, and arp_announce=2 never reveals the virtual address as the
// sender of a request. IPv6 needs no parameter: a Linux interface answers
// neighbour solicitations only for its own addresses.
package realserver

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"tandem/internal/netif"
	"tandem/internal/sysctl"
)

const loopback = "lo"

// parameter is a sysctl that keeps the machine silent.
type parameter struct {
	key, value string
	stricter   string // another value that does too, left alone; empty for none
}

// parameters must be set before the address is there. The kernel uses the
// larger value of "all" and the interface that was asked, so "all" is enough; lo
// is for tools that look only there.
var parameters = []parameter{
	{key: "net/ipv4/conf/all/arp_ignore", value: "1", stricter: "2"},
	{key: "net/ipv4/conf/all/arp_announce", value: "2"},
	{key: "net/ipv4/conf/lo/arp_ignore", value: "1", stricter: "2"},
	{key: "net/ipv4/conf/lo/arp_announce", value: "2"},
}

// host is what Apply and Clear change.
type host interface {
	Addresses() ([]netif.Held, error)
	Ensure(a netif.Address, lease time.Duration) error
	Remove(a netif.Address) error
	GetSysctl(key string) (string, error)
	SetSysctl(key, value string) error
}

// kernel is the host of the calling thread's network namespace.
type kernel struct{ *netif.Handle }

func (kernel) GetSysctl(key string) (string, error) { return sysctl.Get(key) }
func (kernel) SetSysctl(key, value string) error    { return sysctl.Set(key, value) }

// withKernel runs f on the kernel.
func withKernel(f func(kernel) error) error {
	h, err := netif.Open()
	if err != nil {
		return err
	}
	defer h.Close()
	return f(kernel{h})
}

// Apply makes this machine a real server of vips, and of no others that an
// earlier Apply added. It may be repeated. What it changes it first records in
// the file statePath, so that Clear restores it.
func Apply(vips []netip.Addr, statePath string) error {
	return withKernel(func(k kernel) error { return apply(k, vips, statePath) })
}

// Clear takes back what Apply changed, and nothing else. Without a state file
// there is nothing to do.
func Clear(statePath string) error {
	return withKernel(func(k kernel) error { return restore(k, statePath) })
}

func apply(h host, vips []netip.Addr, statePath string) error {
	if err := validate(vips); err != nil {
		return err
	}
	st, err := loadState(statePath)
	if err != nil {
		return err
	}
	present, err := h.Addresses()
	if err != nil {
		return err
	}
	if err := elsewhere(vips, present); err != nil {
		return err
	}
	if slices.ContainsFunc(vips, netip.Addr.Is4) {
		if err := silence(h, &st, statePath); err != nil {
			return err
		}
	}
	for _, vip := range vips {
		if err := add(h, vip, present, &st, statePath); err != nil {
			return err
		}
	}
	return removeOthers(h, vips, &st, statePath)
}

func validate(vips []netip.Addr) error {
	if len(vips) == 0 {
		return errors.New("no virtual address given")
	}
	for _, vip := range vips {
		if !vip.IsValid() || vip.Zone() != "" || vip.Is4In6() || vip.IsUnspecified() || vip.IsLoopback() || vip.IsMulticast() {
			return fmt.Errorf("%v is no address that a service can have", vip)
		}
	}
	return nil
}

// elsewhere refuses an address that another interface holds: it answers ARP for
// it whatever the parameters say.
func elsewhere(vips []netip.Addr, present []netif.Held) error {
	for _, a := range present {
		if a.Interface != loopback && slices.Contains(vips, a.Prefix.Addr()) {
			return fmt.Errorf("%v: a real server must hold the address on %s only; first run: ip addr del %v dev %s",
				a.Address, loopback, a.Prefix, a.Interface)
		}
	}
	return nil
}

// silence sets the parameters that are not yet as they must be.
func silence(h host, st *state, statePath string) error {
	for _, p := range parameters {
		now, err := h.GetSysctl(p.key)
		if err != nil {
			return err
		}
		if now == p.value || now == p.stricter {
			continue
		}
		if st.rememberSysctl(p.key, now) {
			if err := st.save(statePath); err != nil {
				return err
			}
		}
		if err := h.SetSysctl(p.key, p.value); err != nil {
			return err
		}
	}
	return nil
}

// add puts an address on the loopback interface, unless it is there.
func add(h host, vip netip.Addr, present []netif.Held, st *state, statePath string) error {
	a := onLoopback(vip)
	if slices.ContainsFunc(present, func(p netif.Held) bool { return p.Address == a && p.Permanent }) {
		return nil
	}
	if st.rememberAddress(vip) {
		if err := st.save(statePath); err != nil {
			return err
		}
	}
	return h.Ensure(a, 0)
}

// removeOthers removes the addresses of an earlier Apply that are not in vips.
func removeOthers(h host, vips []netip.Addr, st *state, statePath string) error {
	var errs []error
	for _, vip := range slices.Clone(st.Addresses) {
		if slices.Contains(vips, vip) {
			continue
		}
		if err := h.Remove(onLoopback(vip)); err != nil {
			errs = append(errs, err)
			continue
		}
		st.forgetAddress(vip)
		errs = append(errs, st.save(statePath))
	}
	return errors.Join(errs...)
}

// restore undoes apply in the reverse order: while the address is there the
// machine stays silent about it. What fails stays in the state file, for the
// next attempt.
func restore(h host, statePath string) error {
	st, err := loadState(statePath)
	if err != nil {
		return err
	}
	if err := removeOthers(h, nil, &st, statePath); err != nil {
		return err
	}
	var errs []error
	for _, p := range slices.Backward(parameters) {
		value, changed := st.Sysctls[p.key]
		if !changed {
			continue
		}
		if err := reset(h, p.key, value); err != nil {
			errs = append(errs, err)
			continue
		}
		delete(st.Sysctls, p.key)
	}
	if len(errs) > 0 {
		return errors.Join(append(errs, st.save(statePath))...)
	}
	return deleteState(statePath)
}

// reset spares a value that an interrupted Apply remembered and never changed.
func reset(h host, key, value string) error {
	now, err := h.GetSysctl(key)
	if err != nil || now == value {
		return err
	}
	return h.SetSysctl(key, value)
}

func onLoopback(vip netip.Addr) netif.Address {
	return netif.Address{Prefix: netip.PrefixFrom(vip, vip.BitLen()), Interface: loopback}
}
