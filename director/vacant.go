package director

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"tandem/configs"
)

// vacantTimeout bounds the questions of a reload: whether another host uses an
// address is asked three times within a quarter of a second.
const vacantTimeout = 2 * time.Second

// strangers says which virtual IPs of a configuration are in the kernel already
// although no tandem put them there: the host's own addresses, or those of another
// program that fails over. Taking them under a lease, or away, would break what
// they serve. ours are the addresses that this director put there, or may have.
func strangers(cfg *configs.Config, have []configs.VirtualAddress, ours map[configs.VirtualAddress]bool) error {
	known := make(map[endpoint]bool)
	for a := range ours {
		known[endpointOf(a)] = true
	}
	var errs []error
	for _, r := range cfg.Routers {
		for _, a := range places(r) {
			i := slices.IndexFunc(have, func(h configs.VirtualAddress) bool { return endpointOf(h) == endpointOf(a.VirtualAddress) })
			if i < 0 || known[endpointOf(a.VirtualAddress)] {
				continue
			}
			errs = append(errs, fmt.Errorf("virtual router %s: %s is on %s already, and not by tandem: end what put it there, then remove it with \"ip address del %s dev %s\"",
				r.Name, have[i].Prefix, a.Interface, have[i].Prefix, a.Interface))
		}
	}
	return errors.Join(errs...)
}

// endpoint is an address regardless of its prefix length.
type endpoint struct {
	ip            netip.Addr
	interfaceName string
}

func endpointOf(a configs.VirtualAddress) endpoint { return endpoint{a.Prefix.Addr(), a.Interface} }

// strangers reads the kernel's addresses and judges those of a configuration.
func (d *Director) strangers(cfg *configs.Config, ours map[configs.VirtualAddress]bool) error {
	list, err := d.o.Addresses.List()
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	have := make([]configs.VirtualAddress, len(list))
	for i, a := range list {
		have[i] = a.VirtualAddress
	}
	return strangers(cfg, have, ours)
}

// vacant says why what a reload adds cannot be taken. An active router takes a new
// address at once, so it has to be asked for before; a backup takes it at a
// takeover, and until then the active has it.
func (d *Director) vacant(cfg *configs.Config) error {
	ours := d.books.addresses()
	errs := []error{d.strangers(cfg, ours)}
	ctx, cancel := context.WithTimeout(context.Background(), vacantTimeout)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, rc := range cfg.Routers {
		r := d.routers[idOf(rc)]
		if r == nil || !r.election.Status().Role.Hold {
			continue
		}
		at := placed(rc)
		for i, a := range rc.Addresses {
			if ours[a.VirtualAddress] || ours[at[i].VirtualAddress] {
				continue
			}
			wg.Go(func() {
				mac, err := d.o.Probe(ctx, a.Interface, a.Prefix.Addr())
				if mac != nil {
					err = fmt.Errorf("virtual router %s: %s is used by another host, %s on %s: free it there or take it out of the configuration",
						rc.Name, a.Prefix.Addr(), mac, a.Interface)
				} else if err != nil {
					d.log.Warn("taking an address without knowing whether another host uses it", "address", a.Prefix.Addr(), "interface", a.Interface, "err", err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			})
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}
