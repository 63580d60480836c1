package main

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"tandem/configs"
	"tandem/director"
	"tandem/ipvsctl"
	"tandem/ipvsctl/kernel"
)

// ipvsHandle is what is used of an open IPVS, which is a *kernel.Handle, or
// noIPVS.
type ipvsHandle interface {
	director.Table
	MissingSchedulers(names []string) ([]string, error)
	syncHandle
	Close() error
}

// openKernel is how IPVS is opened outside of tests.
func openKernel() (ipvsHandle, error) {
	h, err := kernel.Open()
	if err != nil {
		return nil, err // not a nil *kernel.Handle in an interface
	}
	return h, nil
}

// noIPVS is the IPVS of a kernel that has none: its table is empty, no daemon
// runs, and every change is refused with the reason, which wraps
// kernel.ErrNoIPVS.
type noIPVS struct{ reason error }

func (noIPVS) Table() (ipvsctl.Table, map[ipvsctl.StatsKey]ipvsctl.ServerStats, error) {
	return ipvsctl.Table{}, nil, nil
}

func (n noIPVS) Apply(ops []ipvsctl.Op) error {
	if len(ops) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %w", ops[0], n.reason)
}

func (n noIPVS) MissingSchedulers(names []string) ([]string, error) {
	if len(names) == 0 {
		return nil, nil
	}
	return nil, n.reason
}

func (noIPVS) Daemons() ([]kernel.Daemon, error) { return nil, nil }

func (n noIPVS) StartDaemon(d kernel.Daemon) error {
	return fmt.Errorf("start the sync %s: %w", d.Role, n.reason)
}

func (noIPVS) StopDaemon(kernel.Role) error { return nil }

func (noIPVS) Close() error { return nil }

// needsIPVS says what of a configuration needs IPVS; empty: nothing does, the
// directors only hold addresses.
func needsIPVS(cfg *configs.Config) string {
	switch {
	case len(cfg.Services) > 0:
		return "service " + cfg.Services[0].Name
	case cfg.ConnectionSync.Mode != configs.SyncOff:
		return fmt.Sprintf("[connection_sync] mode %q", cfg.ConnectionSync.Mode)
	}
	return ""
}

// openIPVS opens IPVS. Where the kernel has none, that is an error only if the
// configuration needs it, or if an earlier run left something in it.
func openIPVS(open func() (ipvsHandle, error), cfg *configs.Config, owned director.Owned) (ipvsHandle, error) {
	h, err := open()
	if !errors.Is(err, kernel.ErrNoIPVS) {
		return h, err
	}
	if what := needsIPVS(cfg); what != "" {
		return nil, neededBy(what, err)
	}
	if len(owned.Services) > 0 || owned.Sync {
		return nil, fmt.Errorf("the ledger has services or sync daemons of an earlier run, "+
			"which \"tandem release --all\" strikes off: %w", err)
	}
	return noIPVS{err}, nil
}

func neededBy(what string, err error) error { return fmt.Errorf("%s needs IPVS: %w", what, err) }

// balancing is the IPVS of a running director. One that the kernel lacks is
// looked for again when a configuration needs it: loading the module is enough.
// Its methods may be called from several goroutines.
type balancing struct {
	open func() (ipvsHandle, error)

	mu sync.Mutex
	h  ipvsHandle // noIPVS until it is needed and there
}

// openBalancing opens IPVS and makes sure that it has what the configuration
// needs, before anything is changed.
func openBalancing(open func() (ipvsHandle, error), cfg *configs.Config, owned director.Owned, log *slog.Logger) (*balancing, error) {
	h, err := openIPVS(open, cfg, owned)
	if err != nil {
		return nil, err
	}
	b := &balancing{open: open, h: h}
	if err := b.check(cfg); err != nil {
		h.Close()
		return nil, err
	}
	if b.absent() {
		log.Info("the kernel has no IPVS and the configuration needs none: addresses only")
	}
	return b, nil
}

func (b *balancing) current() ipvsHandle {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.h
}

// absent says whether the kernel has no IPVS, as far as anybody has asked.
func (b *balancing) absent() bool {
	_, absent := b.current().(noIPVS)
	return absent
}

// check makes sure that IPVS, and the schedulers that a configuration names,
// exist.
func (b *balancing) check(cfg *configs.Config) error {
	if what := needsIPVS(cfg); what != "" && b.absent() {
		h, err := b.open()
		if err != nil {
			return neededBy(what, err)
		}
		b.mu.Lock()
		b.h = h
		b.mu.Unlock()
	}
	var names []string
	for _, svc := range cfg.Services {
		names = append(names, svc.Scheduler)
	}
	missing, err := b.current().MissingSchedulers(names)
	if err != nil {
		return fmt.Errorf("look for the schedulers: %w", err)
	}
	if len(missing) > 0 {
		return fmt.Errorf("the kernel has no scheduler %s: install the module ip_vs_%s, or choose another scheduler",
			strings.Join(missing, ", "), strings.Join(missing, ", ip_vs_"))
	}
	return nil
}

// What follows makes it a director.Table and the handle of syncDaemons.

func (b *balancing) Table() (ipvsctl.Table, map[ipvsctl.StatsKey]ipvsctl.ServerStats, error) {
	return b.current().Table()
}

func (b *balancing) Apply(ops []ipvsctl.Op) error      { return b.current().Apply(ops) }
func (b *balancing) Daemons() ([]kernel.Daemon, error) { return b.current().Daemons() }
func (b *balancing) StartDaemon(d kernel.Daemon) error { return b.current().StartDaemon(d) }
func (b *balancing) StopDaemon(r kernel.Role) error    { return b.current().StopDaemon(r) }
func (b *balancing) Close() error                      { return b.current().Close() }
