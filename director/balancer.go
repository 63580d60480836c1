package director

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"tandem/configs"
	"tandem/healthcheck"
	"tandem/internal/events"
	"tandem/ipvsctl"
)

// balancer is the single writer of the IPVS table. Verdicts come in by Wake: a
// pass reads the newest ones from verdicts.
type balancer struct {
	table    Table
	verdicts func() map[healthcheck.Target]healthcheck.Verdict
	books    *books
	events   *events.Log
	log      *slog.Logger

	wake   chan struct{}
	passes passes

	mu      sync.Mutex
	cfg     *configs.Config
	owned   map[ipvsctl.ServiceKey]bool // only the loop changes it
	have    ipvsctl.Table               // what the kernel said last; replaced, never changed
	stats   map[ipvsctl.StatsKey]ipvsctl.ServerStats
	want    ipvsctl.Table // of the last pass that succeeded, nil before; replaced, never changed
	repairs int

	// Only the loop's own goroutine uses these.
	failed []ipvsctl.Op      // of the last pass, if it failed
	told   map[string]string // whether a service is served, by its name, see served
}

const (
	// balancerResync is how often the table is compared with the kernel without a
	// cause, which repairs what a third party changed.
	balancerResync = time.Second
	// Reading a large table takes long: the pause is also at least resyncShare
	// times the length of a pass, up to maxResync.
	resyncShare = 10
	maxResync   = 10 * time.Second
)

func newBalancer(o Options, books *books) *balancer {
	b := &balancer{
		table:    o.Table,
		verdicts: func() map[healthcheck.Target]healthcheck.Verdict { return verdictsOf(o.Checks.Snapshot()) },
		books:    books,
		events:   o.Events,
		log:      o.Log.With("part", "table"),
		wake:     make(chan struct{}, 1),
		passes:   passes{complaint: "the IPVS table is not as it should be"},
		cfg:      o.Config,
		owned:    make(map[ipvsctl.ServiceKey]bool),
		told:     make(map[string]string),
	}
	for _, k := range books.owned.Services {
		b.owned[k] = true
	}
	return b
}

// SetConfig replaces the configuration.
func (b *balancer) SetConfig(cfg *configs.Config) {
	b.mu.Lock()
	b.cfg = cfg
	b.mu.Unlock()
	b.Wake()
}

// Wake asks for a pass soon. It never blocks.
func (b *balancer) Wake() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Run passes until ctx is done.
func (b *balancer) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return nil
		case <-b.wake:
		case <-timer.C:
		}
		start := time.Now()
		err := b.pass()
		b.passes.note(b.log, start, err)
		timer.Reset(min(max(balancerResync, resyncShare*time.Since(start)), maxResync))
	}
	return nil
}

// pass reads the kernel's table and brings it in line once.
func (b *balancer) pass() error {
	have, err := b.read()
	if err != nil {
		return err
	}
	b.mu.Lock()
	cfg, last := b.cfg, b.want
	b.mu.Unlock()
	before := last
	if before == nil {
		before = have // of an earlier run
	}
	verdicts := b.verdicts()
	want := DesiredTable(cfg, verdicts, before)

	// A table that cannot be entered is programmed all the same; only a release
	// after a crash will miss services then.
	errs := []error{b.enter(want)}
	ops := ipvsctl.Diff(have, want, b.owns)
	// Nobody but a third party changes the table while the same is wanted.
	drifted := last != nil && len(ops) > 0 && len(ipvsctl.Diff(last, want, b.owns)) == 0
	if err := b.apply(ops, drifted); err != nil {
		return errors.Join(append(errs, err)...)
	}
	b.tell(cfg, want, verdicts)
	b.mu.Lock()
	b.want = want
	if drifted {
		b.repairs++
	}
	b.mu.Unlock()
	if len(ops) > 0 {
		if have, err = b.read(); err != nil {
			return errors.Join(append(errs, err)...)
		}
	}
	return errors.Join(append(errs, b.strike(want, have))...)
}

// tell tells which services have lost their last server, or have one again.
func (b *balancer) tell(cfg *configs.Config, have ipvsctl.Table, verdicts map[healthcheck.Target]healthcheck.Verdict) {
	told := make(map[string]string, len(cfg.Services))
	for _, svc := range cfg.Services {
		old := b.told[svc.Name]
		state, cause := served(svc, have[Specs(svc)[0].ServiceKey], verdicts)
		if state != "" && state != old {
			b.events.Publish(events.Event{Kind: events.Service, Service: svc.Name, From: old, To: state, Cause: cause})
		}
		told[svc.Name] = cmp.Or(state, old)
	}
	b.told = told
}

// strike gives up what is neither wanted nor there any more: a service that
// somebody makes later under that address is theirs.
func (b *balancer) strike(want, have ipvsctl.Table) error {
	b.mu.Lock()
	n := len(b.owned)
	maps.DeleteFunc(b.owned, func(k ipvsctl.ServiceKey, _ bool) bool {
		_, wanted := want[k]
		_, there := have[k]
		return !wanted && !there
	})
	struck := len(b.owned) < n
	b.mu.Unlock()
	if !struck {
		return nil
	}
	return b.books.services(b.owned)
}

// read reads the kernel's table, for the pass and for status.
func (b *balancer) read() (ipvsctl.Table, error) {
	have, stats, err := b.table.Table()
	if err != nil {
		return nil, fmt.Errorf("read the IPVS table: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.have, b.stats = have, stats
	return have, nil
}

// owns says whether a service is ours to remove: the configuration names it,
// or named it. A service that is named is ours even if someone else made it.
func (b *balancer) owns(k ipvsctl.ServiceKey) bool { return b.owned[k] }

// enter records the services of want as ours, before they are made.
func (b *balancer) enter(want ipvsctl.Table) error {
	news := false
	b.mu.Lock()
	for k := range want {
		news = news || !b.owned[k]
		b.owned[k] = true
	}
	b.mu.Unlock()
	if news {
		return b.books.services(b.owned)
	}
	return b.books.flush()
}

// apply carries operations out, and logs them unless the same have just failed.
func (b *balancer) apply(ops []ipvsctl.Op, drifted bool) error {
	if len(ops) == 0 {
		b.failed = nil
		return nil
	}
	if !slices.Equal(ops, b.failed) {
		b.report(ops, drifted)
	}
	if err := b.table.Apply(ops); err != nil {
		b.failed = ops
		return fmt.Errorf("change the IPVS table: %w", err)
	}
	b.failed = nil
	return nil
}

// report logs operations, one line each up to a bound.
func (b *balancer) report(ops []ipvsctl.Op, drifted bool) {
	const most = 20
	msg := "table"
	if drifted {
		msg = "table was changed by someone else, repairing"
	}
	for _, op := range ops[:min(len(ops), most)] {
		b.log.Info(msg, "op", op.String())
	}
	if len(ops) > most {
		b.log.Info(msg, "further_ops", len(ops)-most)
	}
}

// Release removes every service that is ours. The loop must have ended, or it
// would put them back.
func (b *balancer) Release() error {
	have, err := b.read()
	if err != nil {
		return err
	}
	if err := b.apply(ipvsctl.Diff(have, ipvsctl.Table{}, b.owns), false); err != nil {
		return err
	}
	return b.books.services(nil)
}

type balancerView struct {
	have, want ipvsctl.Table
	owned      map[ipvsctl.ServiceKey]bool
	stats      map[ipvsctl.StatsKey]ipvsctl.ServerStats
	repairs    int
	problem    string
}

func (b *balancer) view() balancerView {
	b.mu.Lock()
	defer b.mu.Unlock()
	return balancerView{
		have: b.have, want: b.want, owned: maps.Clone(b.owned),
		stats: b.stats, repairs: b.repairs, problem: b.passes.problem(),
	}
}
