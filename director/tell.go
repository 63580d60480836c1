package director

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"tandem/configs"
	"tandem/healthcheck"
	"tandem/internal/events"
	"tandem/ipvsctl"
	"tandem/vrrp"
)

// The functions of this file tell the world outside what happened. They publish
// events, which costs microseconds and waits for nobody, so they may be called
// wherever something happens, an election's goroutine included.

// telling is what was told of a virtual router last. Only the election's own
// goroutine uses it.
type telling struct {
	gate *gate
	log  *events.Log
	role vrrp.Role
}

// changed tells what is new in a role.
func (t *telling) changed(r vrrp.Role) {
	cfg, priority := t.gate.config(), t.gate.Priority()
	old := t.role
	t.role = r
	e := events.Event{Router: cfg.Name, Group: cfg.Group, Priority: priority, Cause: r.Cause}
	if r.State != old.State || old.Number == 0 {
		e.Kind, e.From, e.To = events.Role, old.State.String(), r.State.String()
		t.log.Publish(e)
	}
	if r.Hold != old.Hold {
		e.Kind, e.From, e.To = events.Hold, yesNo(old.Hold), yesNo(r.Hold)
		t.log.Publish(e)
	}
	if r.Ready != old.Ready {
		e.Kind, e.From, e.To = events.Ready, yesNo(old.Ready), yesNo(r.Ready)
		t.log.Publish(e)
	}
}

func yesNo(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

// rivalry of an election: how often a rival is told of. It may be heard a hundred
// times a second.
const rivalGap = 10 * time.Second

// rivals tells of rivals, and not of each of their advertisements. Only the
// election's own goroutine uses it.
type rivals struct {
	gate  *gate
	log   *events.Log
	cause string
	told  time.Time
}

func (r *rivals) heard(at time.Time, cause string) {
	if cause == r.cause && at.Sub(r.told) < rivalGap {
		return
	}
	r.cause, r.told = cause, at
	cfg := r.gate.config()
	r.log.Publish(events.Event{Kind: events.Rival, Router: cfg.Name, Group: cfg.Group, Cause: cause})
}

// tellFault tells that a router stays out of its election, or does so no longer.
func tellFault(log *events.Log, cfg configs.VirtualRouter, priority uint8, old, fault string) {
	if fault != old {
		log.Publish(events.Event{Kind: events.Fault, Router: cfg.Name, Group: cfg.Group, Priority: priority,
			From: yesNo(old != ""), To: yesNo(fault != ""), Cause: fault})
	}
}

// tellRenamed tells the state of a router that has another name than before: to
// those who know only names it is a new one.
func tellRenamed(log *events.Log, r *router, old string) {
	e := events.Event{Kind: events.Role, Router: r.cfg.Name, Group: r.cfg.Group, Priority: r.gate.Priority(), Cause: "was called " + old}
	e.To = r.election.Status().Role.State.String()
	log.Publish(e)
	tellFault(log, r.cfg, e.Priority, "", r.gate.Fault())
}

// tellPriority tells that a router elects with another priority.
func tellPriority(log *events.Log, cfg configs.VirtualRouter, from, to, base uint8) {
	cause := "configured"
	if to != base {
		cause = fmt.Sprintf("configured %d, and the weights of what is tracked", base)
	}
	log.Publish(events.Event{Kind: events.Priority, Router: cfg.Name, Group: cfg.Group, Priority: to,
		From: fmt.Sprint(from), To: fmt.Sprint(to), Cause: cause})
}

// tellTracked tells what of the tracked things has changed.
func tellTracked(log *events.Log, cfg configs.VirtualRouter, old, now Standing) {
	before := make(map[string]TrackStatus, len(old.Things))
	for _, t := range old.Things {
		before[t.Thing] = t
	}
	for _, t := range now.Things {
		was, ok := before[t.Thing]
		if !ok {
			was.State = "unknown"
		}
		if t.State != was.State || t.Effect != was.Effect {
			log.Publish(events.Event{Kind: events.Track, Router: cfg.Name, Group: cfg.Group, Thing: t.Thing,
				From: was.State, To: t.State, Cause: t.Reason})
		}
	}
}

// tellDecision tells what a group has its routers do.
func tellDecision(log *events.Log, group string, o vrrp.Order) {
	e := events.Event{Kind: events.Decision, Router: o.Name, Group: group, To: "take-over"}
	if r, ok := o.Event.(vrrp.Resign); ok {
		e.To, e.Cause = "resign", r.Cause
	}
	log.Publish(e)
}

// tellAddress tells what became of a virtual IP.
func tellAddress(log *events.Log, router string, a configs.VirtualAddress, from, to string) {
	log.Publish(events.Event{Kind: events.Address, Router: router, Address: a.Prefix.String(), Interface: a.Interface, From: from, To: to})
}

// tellSync tells that a connection-sync daemon runs, or does no longer.
func tellSync(log *events.Log, role SyncRole, d SyncDaemon, from, to string) {
	log.Publish(events.Event{Kind: events.Sync, Daemon: string(role), Interface: d.Interface, From: from, To: to})
}

// judges knows which servers a target stands for, and what was told of each.
type judges struct {
	log *events.Log

	mu      sync.Mutex
	servers map[healthcheck.Target][]judged
	told    map[judged]healthcheck.State
}

// judged is a server of a service.
type judged struct {
	service string
	server  netip.AddrPort
}

func newJudges(log *events.Log, cfg *configs.Config) *judges {
	j := &judges{log: log, told: make(map[judged]healthcheck.State)}
	j.SetConfig(cfg)
	return j
}

// SetConfig replaces the configuration. Servers that stay keep their verdicts.
func (j *judges) SetConfig(cfg *configs.Config) {
	servers := make(map[healthcheck.Target][]judged)
	for _, svc := range cfg.Services {
		for _, srv := range svc.Servers {
			t := TargetOf(svc, srv)
			servers[t] = append(servers[t], judged{svc.Name, srv.Address})
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	told := make(map[judged]healthcheck.State, len(j.told))
	for _, list := range servers {
		for _, s := range list {
			told[s] = j.told[s]
		}
	}
	j.servers, j.told = servers, told
}

// Judged tells a verdict, once for each server that it is about.
func (j *judges) Judged(t healthcheck.Target, v healthcheck.Verdict) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range j.servers[t] {
		old := j.told[s]
		if old == v.State {
			continue
		}
		j.told[s] = v.State
		j.log.Publish(events.Event{Kind: events.Verdict, Service: s.service, Server: s.server.String(),
			From: old.String(), To: v.State.String(), Cause: verdictCause(v)})
	}
}

func verdictCause(v healthcheck.Verdict) string {
	if v.Detail == "" {
		return string(v.Reason)
	}
	if v.Reason == healthcheck.ReasonNone {
		return v.Detail
	}
	return fmt.Sprintf("%s: %s", v.Reason, v.Detail)
}

// served says whether a service has a server that takes connections, as "served"
// or "empty", and why not. It says nothing as long as a server without a verdict
// could change that.
func served(svc configs.Service, entry ipvsctl.Entry, verdicts map[healthcheck.Target]healthcheck.Verdict) (state, cause string) {
	for _, s := range entry.Servers {
		if s.Weight > 0 {
			return "served", ""
		}
	}
	cause = "no server has a weight"
	for _, srv := range svc.Servers {
		switch {
		case srv.Weight == 0:
		case verdicts[TargetOf(svc, srv)].State == healthcheck.Unknown:
			return "", ""
		default:
			cause = "no server is up"
		}
	}
	return "empty", cause
}
