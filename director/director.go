package director

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"tandem/configs"
	"tandem/healthcheck"
	"tandem/internal/events"
	"tandem/ipvsctl"
	"tandem/vrrp"
)

// Director is one director of the pair, running.
type Director struct {
	o        Options
	log      *slog.Logger
	books    *books
	holder   *holder
	balancer *balancer
	keeper   *keeper
	groups   *groups
	judges   *judges
	tuner    *tuner
	started  time.Time

	tellStop func()          // the first call tells that the director stops
	stopping context.Context // done: Stop wants the loops to end
	endLoops context.CancelFunc
	ready    chan struct{}
	done     chan struct{} // Run has returned
	retune   chan struct{} // links have changed, sysctls may have
	tuning   passes

	// changing lets one of Reload and Stop through at a time.
	changing sync.Mutex

	mu        sync.Mutex
	cfg       *configs.Config
	routers   map[RouterID]*router
	loading   ReloadStatus
	rivalries map[configs.VirtualAddress]rivalry
	retuned   int // sysctls that others changed
}

// New prepares a director. Nothing of the kernel is changed before Run, except
// that the elections' sockets are opened and the interfaces of virtual MACs made, so
// that a missing interface or privilege is an error here.
func New(o Options) (*Director, error) {
	if _, err := o.Config.Director(o.Node); err != nil {
		return nil, err
	}
	books, err := openBooks(o.Ledger)
	if err != nil {
		return nil, err
	}
	d := &Director{
		o:         o,
		log:       o.Log,
		books:     books,
		balancer:  newBalancer(o, books),
		tuner:     newTuner(o, books),
		started:   time.Now(),
		ready:     make(chan struct{}),
		done:      make(chan struct{}),
		retune:    make(chan struct{}, 1),
		tuning:    passes{complaint: "sysctls are not as they should be"},
		cfg:       o.Config,
		rivalries: make(map[configs.VirtualAddress]rivalry),
	}
	if err := d.strangers(o.Config, books.addresses()); err != nil {
		return nil, err
	}
	if err := d.deniable(o.Config); err != nil {
		return nil, err
	}
	d.holder = newHolder(o, books, d.fresh)
	d.tellStop = sync.OnceFunc(func() { o.Events.Publish(events.Event{Kind: events.Stopping}) })
	d.judges = newJudges(o.Events, o.Config)
	d.groups = newGroups(o.Node, d.electionOf, d.kickGate, o.Events, o.Log)
	d.groups.SetConfig(o.Config)
	d.keeper = newKeeper(o, books, d.holder)
	d.stopping, d.endLoops = context.WithCancel(context.Background())
	if err := d.open(o.Config); err != nil {
		return nil, errors.Join(err, d.keeper.Withdraw())
	}
	return d, nil
}

// open opens what a configuration needs of the network, and its elections.
func (d *Director) open(cfg *configs.Config) (err error) {
	if err := d.keeper.Expect(cfg); err != nil {
		return err
	}
	if err := d.o.Prepare(cfg); err != nil {
		return err
	}
	if d.routers, err = d.makeRouters(cfg, cfg.Routers); err != nil {
		return err
	}
	d.o.Commit(cfg)
	return nil
}

// makeRouters opens the elections of those virtual routers of a configuration
// that do not run yet: all of them or none. The configuration must be prepared.
func (d *Director) makeRouters(cfg *configs.Config, missing []configs.VirtualRouter) (map[RouterID]*router, error) {
	made := make(map[RouterID]*router, len(missing))
	for _, rc := range missing {
		r, err := d.makeRouter(cfg, rc)
		if err != nil {
			closeAll(made)
			return nil, fmt.Errorf("virtual router %s: %w", rc.Name, err)
		}
		made[idOf(rc)] = r
	}
	return made, nil
}

func (d *Director) makeRouter(cfg *configs.Config, rc configs.VirtualRouter) (*router, error) {
	id, g := idOf(rc), newGate(rc, d.ownAddress(cfg, rc), d.groups, d.o)
	g.services, g.started = trackedServices(cfg, rc), d.started
	told, rivals := telling{gate: g, log: d.o.Events}, rivals{gate: g, log: d.o.Events}
	election, err := d.o.NewElection(rc, electionConfig(rc, d.o.Node), ElectionEvents{
		Role: func(role vrrp.Role) {
			d.holder.SetRole(id, role)
			d.groups.SetRole(id, role)
			told.changed(role)
		},
		Announce: func(cause string) {
			d.holder.Announce(id)
			rivals.heard(time.Now(), cause)
		},
		Heard: g.Heard,
	})
	if err != nil {
		return nil, err
	}
	g.election = election
	g.failing = func(at time.Time) string { return d.holder.Failing(at, id) }
	return &router{cfg: rc, election: election, gate: g}, nil
}

// ownAddress is where a configuration that has this director says that its adverts
// of a router come from; invalid if it does not say.
func (d *Director) ownAddress(cfg *configs.Config, rc configs.VirtualRouter) netip.Addr {
	return must(cfg.Director(d.o.Node)).AdvertAddress(rc)
}

func closeAll(routers map[RouterID]*router) {
	for _, r := range routers {
		r.close()
	}
}

func (d *Director) String() string { return "director" }

// Ready is closed when every loop runs and the elections may begin.
func (d *Director) Ready() <-chan struct{} { return d.ready }

// Run directs until ctx is done or Stop is called. It does not hand over: Stop
// does, before. It may be called once.
func (d *Director) Run(ctx context.Context) error {
	defer close(d.done)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.stopping, cancel)()
	defer func() { closeAll(d.currentRouters()) }()

	if err := d.books.expect(d.cfg); err != nil {
		return err
	}
	if err := d.tuner.apply(d.profile(d.cfg)); err != nil {
		return fmt.Errorf("sysctl profile: %w", errors.Join(err, d.tuner.revert()))
	}
	if _, err := d.balancer.read(); err != nil {
		d.log.Warn("servers that carry traffic are judged by their first probe alone", "err", err)
	}
	d.check(d.cfg)

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.holder.Run(ctx) })
	g.Go(func() error { return d.balancer.Run(ctx) })
	g.Go(func() error { return d.keeper.Run(ctx) })
	g.Go(func() error { return d.keepTuned(ctx) })
	g.Go(func() error { return d.groups.Run(ctx) })
	g.Go(func() error { return d.checkHolds(ctx) })
	for _, r := range d.currentRouters() {
		r.startGate(d.stopping)
	}
	close(d.ready)
	return g.Wait()
}

// holdCheck is how often active routers are asked whether they have their addresses.
const holdCheck = 250 * time.Millisecond

// checkHolds tells the gates of those that have not. It does not wait for a pass of
// the holder that hangs.
func (d *Director) checkHolds(ctx context.Context) error {
	ticker := time.NewTicker(holdCheck)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case at := <-ticker.C:
			d.mu.Lock()
			for id, r := range d.routers {
				if d.holder.Failing(at, id) != "" {
					r.gate.Lapse()
				}
			}
			d.mu.Unlock()
		}
	}
}

// check has the servers of a configuration probed and what its routers track
// watched. Servers that carry traffic count as up until probes say otherwise.
func (d *Director) check(cfg *configs.Config) {
	d.o.Things.Watch(thingsOf(cfg))
	d.o.Checks.SetTargets(Targets(cfg))
	d.o.Checks.Adopt(CarryingTraffic(cfg, d.balancer.view().have, time.Now()))
}

func (d *Director) currentRouters() map[RouterID]*router {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.routers)
}

// electionOf returns the election of a router; nil if there is none.
func (d *Director) electionOf(id RouterID) Election {
	if r := d.currentRouters()[id]; r != nil {
		return r.election
	}
	return nil
}

func (d *Director) kickGate(id RouterID) {
	if r := d.currentRouters()[id]; r != nil {
		r.gate.Kick()
	}
}

// running waits until Run has got going, and says whether it has not ended.
func (d *Director) running() bool {
	select {
	case <-d.ready:
	case <-d.done:
	}
	select {
	case <-d.done:
		return false
	default:
		return true
	}
}

func (d *Director) profile(cfg *configs.Config) []ipvsctl.Sysctl {
	if cfg.SysctlProfile != "director" {
		return nil
	}
	return d.o.Profile(cfg)
}

// fresh says whether a router's election is alive: no backup can have taken
// over from it because of silence. The earliest one does so three intervals
// after an advertisement that was sent. role is the
// active role that the caller acts on; the election's own status may be a moment
// older.
func (d *Director) fresh(id RouterID, role vrrp.Role) bool {
	d.mu.Lock()
	r, ok := d.routers[id]
	var interval time.Duration
	if ok {
		interval = r.cfg.AdvertInterval
	}
	d.mu.Unlock()
	if !ok {
		return false
	}
	s := r.election.Status()
	if s.Role.Number < role.Number {
		return time.Since(role.Since) < 3*interval
	}
	return s.Role.State == vrrp.Active && time.Since(s.LastSent) < 3*interval
}

// LinksChanged wakes whatever depends on links and addresses.
func (d *Director) LinksChanged() {
	d.holder.Wake()
	d.keeper.Wake()
	for _, r := range d.currentRouters() {
		r.gate.Kick()
	}
	select {
	case d.retune <- struct{}{}:
	default:
	}
}

// AddressesChanged says that virtual addresses came or went, and nothing else: the
// holder looks whether they are as they should be.
func (d *Director) AddressesChanged() { d.holder.Wake() }

// Judged takes a new verdict. It does not block.
func (d *Director) Judged(t healthcheck.Target, v healthcheck.Verdict) {
	d.judges.Judged(t, v)
	d.verdictChanged()
}

// verdictChanged wakes the table, and the gates of routers that track services.
func (d *Director) verdictChanged() {
	d.balancer.Wake()
	for _, r := range d.currentRouters() {
		r.gate.VerdictChanged()
	}
}

// ThingsChanged wakes the gates: a tracked thing is not as it was.
func (d *Director) ThingsChanged() {
	for _, r := range d.currentRouters() {
		r.gate.Kick()
	}
}

// HoldsIP says whether an address is held in an active role and is in the kernel,
// and whether the election is fresh, so that it may be announced now.
func (d *Director) HoldsIP(ip netip.Addr, interfaceName string) (held, fresh bool) {
	_, held, fresh = d.holder.Holding(ip, interfaceName)
	return held, fresh
}

// Alive says whether the loops have passed lately and no active election has
// fallen silent. The service manager's watchdog is fed only then.
func (d *Director) Alive(at time.Time) bool {
	const late = 10 * time.Second
	for _, r := range d.currentRouters() {
		if s := r.election.Status(); s.Role.State == vrrp.Active && at.Sub(s.AdvertAt) > late {
			return false
		}
	}
	return d.holder.passes.within(late, at) && d.balancer.passes.within(maxResync+late, at)
}
