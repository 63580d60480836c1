package director

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"tandem/configs"
	"tandem/ipvsctl"
	"tandem/vrrp"
	vrrprunner "tandem/vrrp/runner"
)

// fakeAddresses is the kernel's address table.
type fakeAddresses struct{ *world }

func (w fakeAddresses) List() ([]configs.RouterAddress, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fails["list"] {
		return nil, errInjected
	}
	w.expire()
	var list []configs.RouterAddress
	for _, a := range slices.SortedFunc(maps.Keys(w.addresses), compareAddress) {
		list = append(list, configs.RouterAddress{VirtualAddress: a, AddressOptions: w.shapes[a]})
	}
	return list, nil
}

func (w fakeAddresses) Ensure(ra configs.RouterAddress, lease time.Duration) error {
	a := ra.VirtualAddress
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.links[a.Interface]; !ok && strings.HasPrefix(a.Interface, "vr") {
		return fmt.Errorf("%s: %w", a.Interface, errNoDevice)
	} else if !ok {
		w.t.Errorf("address %v on an interface that does not exist", a)
	}
	w.expire()
	name := "add "
	if _, ok := w.addresses[a]; ok {
		name = "renew "
	}
	if err := w.do(name, a.Prefix); err != nil {
		return err
	}
	if _, ok := w.addresses[a]; !ok { // the kernel changes those of none that is there
		w.shapes[a] = ra.AddressOptions
	}
	w.addresses[a] = time.Time{}
	if lease > 0 {
		w.addresses[a] = time.Now().Add(lease)
	}
	return nil
}

func (w fakeAddresses) Remove(a configs.VirtualAddress) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expire()
	if _, ok := w.addresses[a]; !ok {
		w.t.Errorf("removal of %v, which the kernel does not have", a)
	}
	if err := w.do("remove ", a.Prefix); err != nil {
		return err
	}
	delete(w.addresses, a)
	w.dropSources()
	return nil
}

// fakeAnnouncer insists that what is announced is held.
type fakeAnnouncer struct{ *world }

func (w fakeAnnouncer) Announce(list []configs.VirtualAddress) {
	for _, a := range list {
		if w.holding == nil {
			break
		}
		if _, _, fresh := w.holding(a.Prefix.Addr(), a.Interface); !fresh {
			w.t.Errorf("%v is announced before it counts as held", a)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expire()
	for _, a := range list {
		if _, ok := w.addresses[a]; !ok {
			w.t.Errorf("%v is announced and not held", a)
		}
		w.repeating[a] = true
		w.do("announce ", a.Prefix)
	}
}

func (w fakeAnnouncer) Cancel(list []configs.VirtualAddress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range list {
		// The network knows an address without its prefix length.
		maps.DeleteFunc(w.repeating, func(b configs.VirtualAddress, _ bool) bool {
			return a.Interface == b.Interface && a.Prefix.Addr() == b.Prefix.Addr()
		})
	}
}

func (w fakeAnnouncer) Defend(a configs.VirtualAddress) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.do("defend ", a.Prefix)
}

// fakeTable is the IPVS table: it refuses to add what is there and to change or
// remove what is not.
type fakeTable struct{ *world }

func (w fakeTable) wait() {
	w.mu.Lock()
	block := w.block
	w.mu.Unlock()
	if block != nil {
		<-block
	}
}

func (w fakeTable) Table() (ipvsctl.Table, map[ipvsctl.StatsKey]ipvsctl.ServerStats, error) {
	w.wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fails["table"] {
		return nil, nil, errInjected
	}
	return cloneTable(w.table), map[ipvsctl.StatsKey]ipvsctl.ServerStats{}, nil
}

func cloneTable(t ipvsctl.Table) ipvsctl.Table {
	out := ipvsctl.Table{}
	for k, e := range t {
		out[k] = ipvsctl.Entry{Service: e.Service, Servers: maps.Clone(e.Servers)}
	}
	return out
}

func (w fakeTable) Apply(ops []ipvsctl.Op) error {
	w.wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	var errs []error
	unmade := map[ipvsctl.ServiceKey]bool{} // what follows from an injected failure
	for _, op := range ops {
		err := w.do(op.Verb.String()+" ", opObject(op))
		if err != nil || unmade[op.Service.ServiceKey] {
			unmade[op.Service.ServiceKey] = unmade[op.Service.ServiceKey] || op.Verb == ipvsctl.AddService
			errs = append(errs, errInjected)
			continue
		}
		w.applyOp(op)
	}
	return errors.Join(errs...)
}

func opObject(op ipvsctl.Op) any {
	switch op.Verb {
	case ipvsctl.AddServer, ipvsctl.SetServer, ipvsctl.DelServer:
		return op.Server.Address
	}
	return op.Service.Address
}

func (w fakeTable) applyOp(op ipvsctl.Op) {
	k := op.Service.ServiceKey
	e, exists := w.table[k]
	if exists == (op.Verb == ipvsctl.AddService) {
		w.t.Errorf("%v: service exists: %v", op, exists)
		return
	}
	_, server := e.Servers[op.Server.Address]
	switch op.Verb {
	case ipvsctl.AddService:
		w.table[k] = ipvsctl.Entry{Service: op.Service, Servers: map[netip.AddrPort]ipvsctl.Server{}}
	case ipvsctl.SetService:
		w.table[k] = ipvsctl.Entry{Service: op.Service, Servers: e.Servers}
	case ipvsctl.DelService:
		delete(w.table, k)
	case ipvsctl.AddServer, ipvsctl.SetServer:
		if server == (op.Verb == ipvsctl.AddServer) {
			w.t.Errorf("%v: server exists: %v", op, server)
		}
		e.Servers[op.Server.Address] = op.Server
	case ipvsctl.DelServer:
		if !server {
			w.t.Errorf("%v: no such server", op)
		}
		delete(e.Servers, op.Server.Address)
	}
}

// weights is a service's servers and their weights, as text.
func (w *world) weights(service string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	e, ok := w.table[key(service)]
	if !ok {
		return "absent"
	}
	out := map[netip.AddrPort]int32{}
	for a, s := range e.Servers {
		out[a] = s.Weight
	}
	return fmt.Sprint(out)
}

// fakeDaemons are the connection-sync daemons.
type fakeDaemons struct{ *world }

func (w fakeDaemons) Running() (map[SyncRole]SyncDaemon, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fails["running"] {
		return nil, errInjected
	}
	return w.daemons, nil
}

func (w fakeDaemons) Start(r SyncRole, d SyncDaemon) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.daemons[r] == d {
		w.t.Errorf("sync %s is started and runs already", r)
	}
	if err := w.do("start ", r); err != nil {
		return err
	}
	w.daemons = maps.Clone(w.daemons)
	w.daemons[r] = d
	return nil
}

func (w fakeDaemons) Stop(r SyncRole) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.do("stop ", r); err != nil {
		return err
	}
	w.daemons = maps.Clone(w.daemons)
	delete(w.daemons, r)
	return nil
}

// syncs is which daemons run, as text.
func (w *world) syncs() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprint(slices.Sorted(maps.Keys(w.daemons)))
}

// fakeSysctls are kernel settings.
type fakeSysctls struct{ *world }

func (w fakeSysctls) Get(k string) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fails["get "+k] {
		return "", errInjected
	}
	v, ok := w.sysctls[k]
	if !ok {
		return "", fmt.Errorf("%s: %w", k, errNoSysctl)
	}
	return v, nil
}

func (w fakeSysctls) Set(k, v string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.sysctls[k]; !ok {
		return fmt.Errorf("%s: %w", k, errNoSysctl)
	}
	if err := w.do("set "+k, "=", v); err != nil {
		return err
	}
	w.sysctls[k] = v
	if k == "net/ipv4/ip_forward" { // as the kernel does
		w.sysctls["net/ipv4/conf/all/accept_redirects"] = map[string]string{"0": "1", "1": "0"}[v]
	}
	return nil
}

// fakeLedger is a file.
type fakeLedger struct{ *world }

func (w fakeLedger) Load() (Owned, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fails["load"] {
		return Owned{}, errInjected
	}
	return copyOwned(w.ledger), nil
}

func (w fakeLedger) Save(o Owned) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.saved++
	if w.fails["save"] {
		return errInjected
	}
	w.ledger = copyOwned(o)
	return nil
}

func copyOwned(o Owned) Owned {
	return Owned{Addresses: slices.Clone(o.Addresses), Services: slices.Clone(o.Services), Sysctls: maps.Clone(o.Sysctls), Sync: o.Sync, Routes: o.Routes, Rules: o.Rules, Firewall: o.Firewall, Devices: slices.Clone(o.Devices)}
}

// fakeThings are what routers track. It knows only of what it was told to watch.
type fakeThings struct{ *world }

func (w fakeThings) Watch(things []configs.Thing) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, t := range things {
		if slices.Contains(things[:i], t) {
			w.t.Errorf("%v is to be watched twice", t)
		}
	}
	w.watched = slices.Clone(things)
}

func (w fakeThings) States() map[configs.Thing]ThingState {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[configs.Thing]ThingState{}
	for _, t := range w.watched {
		out[t] = w.things[t]
	}
	return out
}

func (w *world) linkList() (map[string]Link, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fails["links"] {
		return nil, errInjected
	}
	return maps.Clone(w.links), nil
}

func (w *world) probe(ctx context.Context, _ string, a netip.Addr) (net.HardwareAddr, error) {
	w.mu.Lock()
	mac, fails, wait := w.occupied[a], w.fails["probe"], w.slowProbe
	w.journal = append(w.journal, fmt.Sprint("probe ", a))
	w.mu.Unlock()
	if fails {
		return nil, errInjected
	}
	if mac != "" {
		return net.ParseMAC(mac)
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(max(wait, 200*time.Millisecond)):
		return nil, nil
	}
}

// fakeElection is an election that a test leads. It insists on an order of
// calls that a real one could follow.
type fakeElection struct {
	w      *world
	id     RouterID
	name   string
	events ElectionEvents

	step   sync.Mutex // a real election does one thing after the other
	mu     sync.Mutex
	status vrrprunner.Status
	closed bool
	stuck  bool // does not obey Shutdown
}

func (w *world) newElection(r configs.VirtualRouter, c vrrp.Config, events ElectionEvents) (Election, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.do("elect ", r.Name); err != nil || w.fails["elect "+r.Name] {
		return nil, errInjected
	}
	if old := w.elections[idOf(r)]; old != nil && !old.isClosed() {
		w.t.Errorf("%v has two elections at a time", idOf(r))
	}
	if err := c.Validate(); err != nil {
		w.t.Errorf("%s: %v", r.Name, err)
	}
	e := &fakeElection{w: w, id: idOf(r), name: r.Name, events: events}
	e.status.Priority = c.Priority
	w.elections[e.id] = e
	return e, nil
}

func (e *fakeElection) isClosed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closed
}

func (e *fakeElection) note(what string) {
	e.w.mu.Lock()
	e.w.do(what+" ", e.name)
	e.w.mu.Unlock()
	if e.isClosed() && what != "close" {
		e.w.t.Errorf("%s of %s after it was closed", what, e.name)
	}
}

func (e *fakeElection) Startup(primary netip.Addr) {
	e.note("startup")
	e.step.Lock()
	defer e.step.Unlock()
	e.mu.Lock()
	e.status.PrimaryAddr = primary
	joins := e.status.Role.State == vrrp.Init
	e.mu.Unlock()
	if joins {
		e.set(vrrp.Backup, false)
	}
}

func (e *fakeElection) Shutdown(_ string, handOver bool) {
	e.note("shutdown")
	e.step.Lock()
	defer e.step.Unlock()
	e.mu.Lock()
	active, stuck := e.status.Role.State == vrrp.Active || e.status.Role.Hold, e.stuck
	e.mu.Unlock()
	if stuck {
		return
	}
	e.set(vrrp.Init, handOver && active)
}

func (e *fakeElection) Reconfigure(r configs.VirtualRouter, c vrrp.Config) {
	e.note("reconfigure")
	if idOf(r) != e.id || r.VRID != c.VRID {
		e.w.t.Errorf("%v is reconfigured as %v", e.id, idOf(r))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status.Priority = c.Priority
}

// TakeOver and Resign do what a real election does with them.
func (e *fakeElection) TakeOver() {
	e.note("take over")
	e.step.Lock()
	defer e.step.Unlock()
	if e.Status().Role.Ready {
		e.set(vrrp.Active, true)
	}
}

func (e *fakeElection) Resign(string) {
	e.note("resign")
	e.step.Lock()
	defer e.step.Unlock()
	if e.Status().Role.State == vrrp.Active {
		e.set(vrrp.Backup, true)
	}
}

// ready is a backup that waits for its group.
func (e *fakeElection) ready() {
	e.mu.Lock()
	e.status.Role.Ready = true
	e.mu.Unlock()
	e.become(vrrp.Backup, false)
}

func (e *fakeElection) Status() vrrprunner.Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.status
}

func (e *fakeElection) Close() {
	e.mu.Lock()
	first := !e.closed
	e.closed = true
	e.mu.Unlock()
	if first {
		e.note("close")
	}
}

// become reports a role, and only then shows it in the status: nobody may rely on
// the other order.
// An active one that the test does not tell otherwise advertises for ever.
func (e *fakeElection) become(s vrrp.State, hold bool) {
	e.step.Lock()
	defer e.step.Unlock()
	e.set(s, hold)
}

func (e *fakeElection) set(s vrrp.State, hold bool) {
	e.mu.Lock()
	role := e.status.Role
	role.State, role.Hold, role.Since = s, hold, time.Now()
	role.Ready = role.Ready && s == vrrp.Backup
	role.Number++
	e.mu.Unlock()
	e.events.Role(role)
	e.mu.Lock()
	e.status.Role = role
	e.status.LastSent = time.Now().Add(24 * time.Hour)
	e.status.AdvertAt = e.status.LastSent
	e.mu.Unlock()
}

func (e *fakeElection) active() { e.become(vrrp.Active, true) }

// stale makes the election one that last sent an advertisement then.
func (e *fakeElection) stale(sent time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status.LastSent = sent
}
