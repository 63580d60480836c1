package director

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"tandem/configs"
)

// errNotRunning says that there is nothing to reload.
var errNotRunning = errors.New("the director has ended")

// Reload puts a new configuration in place: all of it or, on an error, nothing.
// Elections that stay keep running; their adverts do not pause.
func (d *Director) Reload(cfg *configs.Config) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	if !d.running() {
		return errNotRunning
	}
	if _, err := cfg.Director(d.o.Node); err != nil {
		return err
	}
	// d.cfg and d.routers change only below, so that no lock is needed to read them.
	gone, missing := splitRouters(d.routers, cfg.Routers)
	made, err := d.admit(cfg, missing)
	if err != nil {
		d.keeper.SetConfig(d.cfg)
		return errors.Join(err, d.o.Prepare(d.cfg))
	}
	// From here on nothing is refused.
	if err := d.books.expect(d.cfg, cfg); err != nil {
		d.log.Warn("trying again; a release after a crash relies on the configuration file until then", "err", err)
	}
	d.handOver(gone, "taken out of the configuration")
	d.o.Commit(cfg)
	d.check(cfg)
	d.balancer.SetConfig(cfg)
	d.adopt(cfg, gone, made)
	if err := d.books.expect(cfg); err != nil {
		d.log.Warn("trying again; a release after a crash relies on the configuration file until then", "err", err)
	}
	d.holder.SetConfig(cfg)
	d.keeper.SetConfig(cfg)
	return nil
}

// admit makes the routers that are missing, and does everything else that may be
// refused. On an error all is as before, except for what Prepare opened.
func (d *Director) admit(cfg *configs.Config, missing []configs.VirtualRouter) (map[RouterID]*router, error) {
	if err := d.deniable(cfg); err != nil {
		return nil, err
	}
	if err := d.keeper.Expect(d.cfg, cfg); err != nil {
		return nil, err
	}
	if err := d.o.Prepare(d.cfg, cfg); err != nil {
		return nil, err
	}
	made, err := d.makeRouters(cfg, missing)
	if err != nil {
		return nil, err
	}
	if err := d.vacant(cfg); err != nil {
		closeAll(made)
		return nil, err
	}
	if err := d.tuner.apply(d.profile(cfg)); err != nil {
		closeAll(made)
		return nil, fmt.Errorf("sysctl profile: %w", errors.Join(err, d.tuner.apply(d.profile(d.cfg))))
	}
	return made, nil
}

// adopt makes cfg the configuration in force and starts its new routers.
func (d *Director) adopt(cfg *configs.Config, gone, made map[RouterID]*router) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cfg = cfg
	for id := range gone {
		delete(d.routers, id)
	}
	maps.Copy(d.routers, made)
	d.groups.SetConfig(cfg)
	d.judges.SetConfig(cfg)
	for _, rc := range cfg.Routers {
		r := d.routers[idOf(rc)]
		if made[idOf(rc)] != nil {
			r.startGate(d.stopping)
			continue
		}
		old := r.cfg.Name
		r.cfg = rc
		if old != rc.Name {
			tellRenamed(d.o.Events, r, old)
		}
		r.gate.SetConfig(rc, d.ownAddress(cfg, rc), trackedServices(cfg, rc))
	}
}

// handOver gives routers up and closes them. It waits until they hold nothing
// any more, so that their addresses are not gone before the successor has them.
// The elections bound the wait; the bound here is for one that is broken.
func (d *Director) handOver(routers map[RouterID]*router, cause string) {
	if len(routers) == 0 {
		return
	}
	d.groups.Forget(routers) // their groups are not to resign with them
	var longest time.Duration
	for _, r := range routers {
		r.stopGate()
		r.election.Shutdown(cause, true)
		longest = max(longest, r.cfg.AdvertInterval)
	}
	bound := time.Now().Add(5*longest + 2*time.Second)
	for !d.handedOver(routers) {
		if time.Now().After(bound) {
			d.log.Warn("hand-over took too long; going on", "cause", cause)
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	for id, r := range routers {
		r.election.Close()
		d.holder.Forget(id)
	}
	d.groups.Forget(routers) // and the roles that came since
}

func (d *Director) handedOver(routers map[RouterID]*router) bool {
	for _, r := range routers {
		if !r.over() {
			return false
		}
	}
	return !d.holder.holdsAny(routers)
}

// Stop gives everything up in the order that loses least: the successor takes
// the addresses while this director still forwards, the last connection sync
// leaves, then the table, the daemons and the sysctls go. Run must have been
// called. What cannot be taken back stays in the ledger, for tandem release.
func (d *Director) Stop() error {
	d.changing.Lock()
	defer d.changing.Unlock()
	d.tellStop()
	if d.running() {
		d.handOver(d.currentRouters(), "stopping")
		d.holder.drain()
	}
	// The loops end first, or they would put back what is taken away.
	d.endLoops()
	<-d.done
	return errors.Join(d.balancer.Release(), d.holder.Release(), d.keeper.Release(), d.tuner.revert())
}
