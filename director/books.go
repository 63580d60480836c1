package director

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"tandem/configs"
	"tandem/ipvsctl"
)

// books keeps the ledger, in memory and on disk. What is to be put into the
// kernel is entered before, what is taken out is struck off after.
type books struct {
	file Ledger

	mu    sync.Mutex
	owned Owned
	dirty bool                            // the file says something else
	named map[configs.VirtualAddress]bool // by a configuration in force, or about to be
	cfgs  []*configs.Config               // those configurations
}

// openBooks reads what an earlier run left.
func openBooks(file Ledger) (*books, error) {
	owned, err := file.Load()
	if err != nil {
		return nil, fmt.Errorf("read the ledger of an earlier run: %w", err)
	}
	return &books{file: file, owned: owned}, nil
}

// change alters the entries and saves them. The entries are right even if that
// fails; flush tries again.
func (b *books) change(alter func(*Owned)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	alter(&b.owned)
	return b.save()
}

// flush saves what an earlier change could not.
func (b *books) flush() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.dirty {
		return nil
	}
	return b.save()
}

// save writes the file. The caller holds b.mu.
func (b *books) save() error {
	err := b.file.Save(b.owned)
	b.dirty = err != nil
	if err != nil {
		return fmt.Errorf("write the ledger: %w", err)
	}
	return nil
}

// expect enters everything that a takeover under the configurations may take: a
// takeover must not wait for a file.
func (b *books) expect(cfgs ...*configs.Config) error {
	named := make(map[configs.VirtualAddress]bool)
	for _, cfg := range cfgs {
		maps.Copy(named, namedAddresses(cfg))
	}
	return b.change(func(o *Owned) {
		b.named, b.cfgs = named, cfgs
		all := maps.Clone(named)
		for _, a := range o.Addresses {
			all[a] = true
		}
		o.Addresses = slices.SortedFunc(maps.Keys(all), compareAddress)
		for _, cfg := range cfgs {
			o.Sync = o.Sync || cfg.ConnectionSync.Mode != configs.SyncOff
		}
		b.expectFollowers(o)
	})
}

// expectFollowers enters what configurations in force, or about to be, have
// beside addresses.
func (b *books) expectFollowers(o *Owned) {
	for _, cfg := range b.cfgs {
		o.Routes = o.Routes || namesAny(cfg, routesOf)
		o.Rules = o.Rules || namesAny(cfg, rulesOf)
		o.Firewall = o.Firewall || slices.ContainsFunc(cfg.Routers, func(r configs.VirtualRouter) bool { return !r.Accept })
	}
}

// gone strikes off addresses that are out of the kernel, unless a configuration
// names them by now.
func (b *books) gone(list []configs.VirtualAddress) error {
	return b.change(func(o *Owned) {
		o.Addresses = slices.DeleteFunc(slices.Clone(o.Addresses), func(a configs.VirtualAddress) bool {
			return slices.Contains(list, a) && !b.named[a]
		})
	})
}

// addresses is the set of those that are in the kernel or may be.
func (b *books) addresses() map[configs.VirtualAddress]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make(map[configs.VirtualAddress]bool, len(b.owned.Addresses))
	for _, a := range b.owned.Addresses {
		out[a] = true
	}
	return out
}

// services enters the services that are ours.
func (b *books) services(owned map[ipvsctl.ServiceKey]bool) error {
	keys := slices.SortedFunc(maps.Keys(owned), func(a, b ipvsctl.ServiceKey) int {
		if a.Protocol != b.Protocol {
			return int(a.Protocol) - int(b.Protocol)
		}
		return a.Address.Compare(b.Address)
	})
	return b.change(func(o *Owned) { o.Services = keys })
}

// sysctls enters the values that settings had before.
func (b *books) sysctls(before map[string]string) error {
	before = maps.Clone(before)
	return b.change(func(o *Owned) { o.Sysctls = before })
}

// namedAddresses is the set of virtual addresses of a configuration, as placed.
func namedAddresses(cfg *configs.Config) map[configs.VirtualAddress]bool {
	out := make(map[configs.VirtualAddress]bool)
	for _, r := range cfg.Routers {
		for _, a := range placed(r) {
			out[a.VirtualAddress] = true
		}
	}
	return out
}
