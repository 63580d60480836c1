package director

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"tandem/configs"
	"tandem/internal/events"
	"tandem/vrrp"
)

// holder is the single writer of virtual IPs, of what follows them, and of the
// kernel's connection-sync daemons. Roles come in through SetRole, which never blocks.
type holder struct {
	addresses Addresses
	devices   Devices
	announcer Announcer
	routes    *following[configs.Route, configs.RouteKey]
	rules     *following[configs.Rule, configs.RuleKey]
	guard     *guard
	daemons   SyncDaemons
	books     *books
	// fresh says whether a router's election is alive now; see Director.fresh. An
	// address is added and its lease renewed only then, so that a process that was
	// frozen does not take addresses back on the strength of an old role.
	fresh  func(RouterID, vrrp.Role) bool
	events *events.Log
	log    *slog.Logger

	wake   chan struct{}
	passes passes

	mu      sync.Mutex
	cfg     *configs.Config
	routers map[RouterID]configs.VirtualRouter // of cfg
	roles   map[RouterID]vrrp.Role
	window  syncWindow
	again   map[RouterID]bool               // announce its addresses again
	orphans map[configs.VirtualAddress]bool // ours, no longer configured, perhaps still in the kernel
	syncs   bool                            // the sync daemons are ours, or were
	repairs int
	have    map[configs.VirtualAddress]bool      // at the last pass; replaced, never changed
	ensured map[configs.VirtualAddress]time.Time // when the kernel last took it, or it was first configured
	opened  map[Device]bool                      // as it was last done; nil: not known
	// openedAt is when all of them were opened or shut, changed or not.
	openedAt time.Time
	running  map[SyncRole]SyncDaemon // at the last pass; replaced, never changed

	// Only the loop's own goroutine uses this.
	claims map[configs.VirtualAddress]claim
}

// claim is what the holder knows of an address that it put into the kernel.
type claim struct {
	renewed   time.Time // when the lease was last set
	lease     time.Duration
	options   configs.AddressOptions
	announced uint64 // the role that it was announced for
}

const (
	// holderResync is how often the holder looks at the kernel without being told
	// to. Address events wake it earlier; this is for events that were lost.
	holderResync = time.Second
	// retryAfter is when a pass that failed, or that found an election stale, is
	// tried again. Each further failure doubles it, up to holderResync.
	retryAfter = 50 * time.Millisecond
	// unheldLimit is how long an active router may be without an address that has
	// no lease. One with a lease may be without renewal for three quarters of it.
	unheldLimit = 2 * time.Second
)

func newHolder(o Options, books *books, fresh func(RouterID, vrrp.Role) bool) *holder {
	h := &holder{
		addresses: o.Addresses,
		devices:   o.Devices,
		announcer: o.Announcer,
		routes:    newRoutes(o, books, fresh),
		rules:     newRules(o, books, fresh),
		guard:     newGuard(o, books),
		daemons:   o.Sync,
		books:     books,
		fresh:     fresh,
		events:    o.Events,
		log:       o.Log.With("part", "addresses"),
		wake:      make(chan struct{}, 1),
		passes:    passes{complaint: "the kernel's addresses, what follows them or its sync daemons are not as they should be"},
		roles:     make(map[RouterID]vrrp.Role),
		again:     make(map[RouterID]bool),
		orphans:   make(map[configs.VirtualAddress]bool),
		syncs:     books.owned.Sync,
		ensured:   make(map[configs.VirtualAddress]time.Time),
		claims:    make(map[configs.VirtualAddress]claim),
	}
	for _, a := range books.owned.Addresses {
		h.orphans[a] = true
	}
	h.SetConfig(o.Config)
	return h
}

// SetRole stores a router's newest role and wakes the loop.
func (h *holder) SetRole(id RouterID, r vrrp.Role) {
	h.mu.Lock()
	h.window.changed(time.Now(), h.roles[id], r)
	h.roles[id] = r
	h.mu.Unlock()
	h.Wake()
}

// Announce asks that a router's addresses be announced again.
func (h *holder) Announce(id RouterID) {
	h.mu.Lock()
	h.again[id] = true
	h.mu.Unlock()
	h.Wake()
}

// SetConfig replaces the configuration.
func (h *holder) SetConfig(cfg *configs.Config) {
	h.mu.Lock()
	if h.cfg != nil {
		maps.Copy(h.orphans, namedAddresses(h.cfg))
	}
	for a := range namedAddresses(cfg) {
		delete(h.orphans, a)
		// An active router has had no time yet to hold what is new.
		if _, known := h.ensured[a]; !known {
			h.ensured[a] = time.Now()
		}
	}
	h.cfg = cfg
	h.routers = make(map[RouterID]configs.VirtualRouter, len(cfg.Routers))
	for _, r := range cfg.Routers {
		h.routers[idOf(r)] = r
	}
	h.syncs = h.syncs || cfg.ConnectionSync.Mode != configs.SyncOff
	h.routes.expect(cfg)
	h.rules.expect(cfg)
	h.guard.SetConfig(cfg)
	h.mu.Unlock()
	h.Wake()
}

// Wake asks for a pass soon. It never blocks.
func (h *holder) Wake() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// Holding finds the virtual address that is held in an active role and was in
// the kernel at the last pass, on an interface or on its device, and says whether its election is fresh. While it is
// not, another director may be active by now.
func (h *holder) Holding(ip netip.Addr, interfaceName string) (va configs.VirtualAddress, held, fresh bool) {
	h.mu.Lock()
	var id RouterID
	for _, r := range h.cfg.Routers {
		for i, a := range placed(r) {
			if a.Prefix.Addr() == ip && (a.Interface == interfaceName || r.Addresses[i].Interface == interfaceName) {
				va, id = a.VirtualAddress, idOf(r)
			}
		}
	}
	role, have := h.roles[id], h.have[va]
	h.mu.Unlock()
	held = have && role.State == vrrp.Active
	return va, held, held && h.fresh(id, role)
}

// Run passes until ctx is done.
func (h *holder) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	retry := retryAfter
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return nil
		case <-h.wake:
			retry = retryAfter // this pass is about something new
		case <-timer.C:
		}
		start := time.Now()
		next, err := h.pass(start)
		h.passes.note(h.log, start, err)
		if err == nil {
			retry = retryAfter
		} else {
			next = earliest(next, start.Add(retry))
			retry = min(2*retry, holderResync)
		}
		timer.Reset(time.Until(next))
	}
	return nil
}

// Failing says why an active router should rather be none: the kernel has not
// taken an address of it for so long that clients find nobody there, or soon will.
// It does not wait for a pass that hangs. Empty: all is well.
func (h *holder) Failing(at time.Time, id RouterID) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	role := h.roles[id]
	r, ok := h.routers[id]
	if !ok || role.State != vrrp.Active {
		return ""
	}
	for _, a := range heldAddresses(r, role) {
		if a.Lease == 0 && h.have[a.VirtualAddress] {
			continue
		}
		limit := unheldLimit
		if a.Lease > 0 {
			limit = a.Lease * 3 / 4
		}
		since := h.ensured[a.VirtualAddress]
		if since.Before(a.Role.Since) {
			since = a.Role.Since
		}
		if at.Sub(since) >= limit {
			return fmt.Sprintf("the kernel has not taken %s on %s for %v", a.Prefix, a.Interface, at.Sub(since).Round(time.Millisecond))
		}
	}
	return ""
}

// pass brings addresses, what follows them and daemons in line once, and says
// when to look again.
func (h *holder) pass(at time.Time) (next time.Time, err error) {
	h.mu.Lock()
	hold, drop := DesiredAddresses(h.cfg, h.roles)
	routes, rules := Desired(h.cfg, h.roles, routesOf), Desired(h.cfg, h.roles, rulesOf)
	orphans := slices.SortedFunc(maps.Keys(h.orphans), compareAddress)
	daemons, daemonsAgain := h.wantedDaemons(at)
	cfg, open := h.cfg, openings(h.cfg, h.roles)
	h.mu.Unlock()
	openErr := h.openDevices(open)
	guardErr := h.guard.pass(at) // before an address that it is for is there

	// The addresses come first: starting a daemon takes the kernel milliseconds
	// that clients of a dead director would wait. What is established meanwhile is
	// synchronised with the next refresh.
	renewAt, followAt, addressErr, followErr := h.converge(hold, append(drop, orphans...), routes, rules)
	running, startErr := h.startDaemons(daemons)
	stopErr := h.stopDaemons(running, daemons)

	if addressErr == nil {
		addressErr = h.forgetOrphans(orphans)
	}
	return earliest(at.Add(holderResync), daemonsAgain, renewAt, followAt),
		errors.Join(openErr, addressErr, guardErr, followErr, h.forgetFollowers(cfg), startErr, stopErr)
}

// wantedDaemons is which sync daemons should run, and when to ask again; nil if
// they are none of our business. The caller holds h.mu.
func (h *holder) wantedDaemons(at time.Time) (map[SyncRole]SyncDaemon, time.Time) {
	if !h.syncs {
		return nil, time.Time{}
	}
	want := make(map[SyncRole]SyncDaemon)
	cs := h.cfg.ConnectionSync
	if cs.Mode == configs.SyncOff {
		return want, time.Time{}
	}
	var roles []vrrp.Role
	for _, r := range h.cfg.Routers {
		roles = append(roles, h.roles[idOf(r)])
	}
	master, backup, again := h.window.want(at, roles)
	d := SyncDaemon{Interface: cs.Interface, ID: cs.ID}
	if master {
		want[SyncMaster] = d
	}
	if backup {
		want[SyncBackup] = d
	}
	return want, again
}

// startDaemons starts what is wanted and returns what runs then.
func (h *holder) startDaemons(want map[SyncRole]SyncDaemon) (map[SyncRole]SyncDaemon, error) {
	if want == nil {
		return nil, nil
	}
	running, err := h.daemons.Running()
	if err != nil {
		return nil, err
	}
	running = maps.Clone(running)
	var errs []error
	for _, role := range []SyncRole{SyncMaster, SyncBackup} {
		d, ok := want[role]
		if !ok || running[role] == d {
			continue
		}
		if err := h.daemons.Start(role, d); err != nil {
			errs = append(errs, err)
			continue
		}
		running[role] = d
		tellSync(h.events, role, d, "stopped", "running")
		h.log.Info("connection sync started", "role", role, "interface", d.Interface, "id", d.ID)
	}
	return running, errors.Join(errs...)
}

// stopDaemons stops what runs and is not wanted.
func (h *holder) stopDaemons(running, want map[SyncRole]SyncDaemon) error {
	running = maps.Clone(running)
	var errs []error
	for _, role := range []SyncRole{SyncMaster, SyncBackup} {
		d, runs := running[role]
		if _, wanted := want[role]; !runs || wanted {
			continue
		}
		if err := h.daemons.Stop(role); err != nil {
			errs = append(errs, err)
			continue
		}
		delete(running, role)
		tellSync(h.events, role, d, "running", "stopped")
		h.log.Info("connection sync stopped", "role", role)
	}
	h.mu.Lock()
	h.running = running
	h.mu.Unlock()
	return errors.Join(errs...)
}

// forgetOrphans strikes off those that are out of the kernel. It is the only
// pass that writes a file: the first one, and the first one after a reload.
func (h *holder) forgetOrphans(orphans []configs.VirtualAddress) error {
	if len(orphans) == 0 {
		return nil
	}
	h.mu.Lock()
	out := slices.DeleteFunc(orphans, func(a configs.VirtualAddress) bool { return h.have[a] })
	h.mu.Unlock()
	if len(out) == 0 {
		return nil
	}
	if err := h.books.gone(out); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range out {
		delete(h.orphans, a)
	}
	return nil
}

// holdsAny says whether one of the routers still holds addresses.
func (h *holder) holdsAny(routers map[RouterID]*router) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, r := range routers {
		if h.roles[id].Hold || slices.ContainsFunc(placed(r.cfg), func(a configs.RouterAddress) bool { return h.have[a.VirtualAddress] }) {
			return true
		}
	}
	return false
}

// Forget drops a router that was closed.
func (h *holder) Forget(id RouterID) {
	h.mu.Lock()
	h.window.changed(time.Now(), h.roles[id], vrrp.Role{})
	delete(h.roles, id)
	delete(h.again, id)
	h.mu.Unlock()
	h.Wake()
}

// drain waits until the master daemon has sent what it had.
func (h *holder) drain() {
	h.mu.Lock()
	wait := time.Until(h.window.masterUntil)
	off := h.cfg.ConnectionSync.Mode == configs.SyncOff
	h.mu.Unlock()
	if !off && wait > 0 {
		h.log.Info("waiting for the last connection sync to leave", "for", wait.Round(time.Millisecond))
		time.Sleep(wait)
	}
}

// Release stops the daemons and takes away what is left of the addresses. The
// loop must have ended, or it would put them back.
func (h *holder) Release() error {
	h.mu.Lock()
	h.roles = make(map[RouterID]vrrp.Role)
	_, drop := DesiredAddresses(h.cfg, h.roles)
	drop = slices.AppendSeq(drop, maps.Keys(h.orphans))
	syncs := h.syncs
	h.mu.Unlock()

	_, _, err, followErr := h.converge(nil, drop, nil, nil)
	if err == nil {
		err = h.books.change(func(o *Owned) { o.Addresses = nil })
	}
	err = errors.Join(err, h.releaseFollowers(followErr))
	if !syncs {
		return err
	}
	running, stopErr := h.daemons.Running()
	if stopErr == nil {
		stopErr = h.stopDaemons(running, nil)
	}
	if stopErr == nil {
		stopErr = h.books.change(func(o *Owned) { o.Sync = false })
	}
	return errors.Join(err, stopErr)
}

type holderView struct {
	have    map[configs.VirtualAddress]bool
	running map[SyncRole]SyncDaemon
	repairs int
	problem string
}

func (h *holder) view() holderView {
	h.mu.Lock()
	defer h.mu.Unlock()
	return holderView{have: h.have, running: h.running, repairs: h.repairs, problem: h.passes.problem()}
}

// earliest is the earliest of the times that are not zero.
func earliest(times ...time.Time) time.Time {
	var out time.Time
	for _, t := range times {
		if !t.IsZero() && (out.IsZero() || t.Before(out)) {
			out = t
		}
	}
	return out
}
