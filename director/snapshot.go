package director

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"tandem/configs"
	"tandem/healthcheck"
	"tandem/internal/events"
	"tandem/ipvsctl"
	"tandem/vrrp"
	vrrprunner "tandem/vrrp/runner"
)

// Snapshot is everything there is to know about a running director, copied at
// one moment. Its JSON form is what the control socket serves.
type Snapshot struct {
	Version   string          `json:"version"`
	Node      string          `json:"node"`
	Pair      string          `json:"pair"`
	At        time.Time       `json:"at"`
	Started   time.Time       `json:"started"`
	Config    ReloadStatus    `json:"config"`
	Routers   []RouterStatus  `json:"virtual_routers"`
	Services  []ServiceStatus `json:"services"`
	Foreign   []string        `json:"foreign_services,omitempty"`
	Sync      SyncStatus      `json:"connection_sync"`
	Conflicts []Conflict      `json:"conflicts,omitempty"`
	Repairs   RepairStatus    `json:"repairs"`
	Drops     []DropStatus    `json:"drops,omitempty"`
	Hooks     []HookStatus    `json:"hooks,omitempty"` // in the order of the configuration
	Problems  []string        `json:"problems,omitempty"`
	NoIPVS    bool            `json:"no_ipvs,omitempty"` // the kernel has no IPVS, and nothing needs it
}

// ReloadStatus is where the running configuration came from, and what became of
// the last attempt to replace it.
type ReloadStatus struct {
	File   string    `json:"file"`
	Digest string    `json:"digest"`
	Loaded time.Time `json:"loaded"`
	Failed time.Time `json:"failed,omitzero"`
	Error  string    `json:"error,omitempty"` // of the last reload; empty: it succeeded
}

// RouterStatus is one virtual router.
type RouterStatus struct {
	Name        string          `json:"name"`
	VRID        uint8           `json:"vrid"`
	Interface   string          `json:"interface"`
	IPv6        bool            `json:"ipv6,omitempty"`   // the adverts travel over IPv6
	Device      *Device         `json:"device,omitempty"` // of the virtual MAC
	State       string          `json:"state"`            // init, backup, active
	Cause       string          `json:"cause"`
	Since       time.Time       `json:"since"`
	Transitions uint64          `json:"became_active"`
	Priority    uint8           `json:"priority"`      // with the weights of what is tracked
	Base        uint8           `json:"base_priority"` // configured
	Track       []TrackStatus   `json:"track,omitempty"`
	Group       string          `json:"group,omitempty"`
	GroupWeight int             `json:"group_weight,omitempty"` // of what all its routers track
	Ready       bool            `json:"ready,omitempty"`        // would be active if the others of the group were ready
	Fault       string          `json:"fault,omitempty"`
	Waits       time.Time       `json:"waits_until,omitzero"` // when startup_delay ends that keeps it out of its election
	Peer        *PeerStatus     `json:"peer,omitempty"`
	Addresses   []AddressStatus `json:"addresses"`
	Routes      []FollowStatus  `json:"routes,omitempty"`
	Rules       []FollowStatus  `json:"rules,omitempty"`
	Adverts     AdvertStatus    `json:"adverts"`
	Protocol    uint8           `json:"vrrp_version"` // 2 or 3
	Transport   string          `json:"transport"`
	Auth        AuthStatus      `json:"auth"`
	Remarks     []string        `json:"remarks,omitempty"` // what is odd about the election, in words
}

// DropStatus counts received packets of protocol 112 that were discarded.
type DropStatus struct {
	Interface string `json:"interface"`
	IPv6      bool   `json:"ipv6,omitempty"`
	Reason    string `json:"reason"` // a vrrp.DropReason
	Packets   uint64 `json:"packets"`
}

// HookStatus is what became of a hook.
type HookStatus struct {
	Program   string    `json:"program"` // without its arguments
	Events    []string  `json:"events"`
	Running   string    `json:"running,omitempty"` // the event of the run that is on
	Waiting   int       `json:"waiting"`           // states that it is still to be told
	Merged    uint64    `json:"merged"`            // states that newer ones replaced
	Runs      uint64    `json:"runs"`
	Failures  uint64    `json:"failures"` // of the runs, those with another status than 0, or none
	Timeouts  uint64    `json:"timeouts"` // of the failures, those that took too long
	LastEvent string    `json:"last_event,omitempty"`
	LastEnd   time.Time `json:"last_end,omitzero"`
	LastError string    `json:"last_error,omitempty"` // of the last run; empty: it went well
}

// AuthStatus is how a router's advertisements are authenticated.
type AuthStatus struct {
	Mode      string `json:"mode"`
	ActiveKey uint8  `json:"active_key,omitempty"` // the id of the key to sign with
}

// PeerStatus is the director that was last heard as active.
type PeerStatus struct {
	Address  netip.Addr `json:"address"`
	Priority uint8      `json:"priority"`
}

// AdvertStatus is the timing of a router's advertisements.
type AdvertStatus struct {
	IntervalMS   float64 `json:"interval_ms"`
	ActiveDownMS float64 `json:"active_down_ms"` // silence after which the role is taken
	MaxLateMS    float64 `json:"max_late_ms"`
	Sent         uint64  `json:"sent"`
	Received     uint64  `json:"received"`
	SendErrors   uint64  `json:"send_errors"`
	Rivals       uint64  `json:"rivals"` // losing advertisements heard while active
	Pauses       uint64  `json:"pauses"` // roles given up because the process stood still
}

// AddressStatus is one virtual IP.
type AddressStatus struct {
	Address   netip.Prefix `json:"address"`
	Interface string       `json:"interface"`
	Label     string       `json:"label,omitempty"` // other than the interface's name
	Held      bool         `json:"held"`
	Denied    bool         `json:"denied,omitempty"` // packets to it are dropped
}

// ServiceStatus is one IPVS service.
type ServiceStatus struct {
	Name       string         `json:"name"`
	Protocol   string         `json:"protocol"`
	Address    netip.AddrPort `json:"address"`
	Scheduler  string         `json:"scheduler"`
	Forwarding string         `json:"forwarding"`
	InKernel   bool           `json:"in_kernel"`
	Servers    []ServerStatus `json:"servers"`
}

// ServerStatus is one real server of a service.
type ServerStatus struct {
	Address     netip.AddrPort `json:"address"`
	Verdict     string         `json:"verdict"` // unknown, up, down
	Reason      string         `json:"reason"`  // of the verdict
	Detail      string         `json:"detail,omitempty"`
	Since       time.Time      `json:"since,omitzero"`
	LastProbe   time.Time      `json:"last_probe,omitzero"`
	LastReason  string         `json:"last_reason,omitempty"`
	LatencyMS   float64        `json:"latency_ms"`
	Configured  int32          `json:"configured_weight"`
	Weight      int32          `json:"weight"` // in the kernel; 0 when not InKernel
	InKernel    bool           `json:"in_kernel"`
	Why         string         `json:"why"`
	Active      uint32         `json:"active_connections"`
	Inactive    uint32         `json:"inactive_connections"`
	Connections uint64         `json:"connections"`
	PacketsIn   uint64         `json:"packets_in"`
	PacketsOut  uint64         `json:"packets_out"`
	BytesIn     uint64         `json:"bytes_in"`
	BytesOut    uint64         `json:"bytes_out"`
}

// SyncStatus is the state of connection synchronisation.
type SyncStatus struct {
	Mode      string `json:"mode"`
	ID        uint8  `json:"id"`
	Interface string `json:"interface,omitempty"`
	Master    bool   `json:"master"`
	Backup    bool   `json:"backup"`
}

// RepairStatus counts what others changed and this director put back.
type RepairStatus struct {
	Addresses int `json:"addresses"`
	Routes    int `json:"routes"`
	Rules     int `json:"rules"`
	Firewall  int `json:"firewall"`
	Table     int `json:"table"`
	Sysctls   int `json:"sysctls"`
}

// Loaded notes a successful load of the configuration.
func (d *Director) Loaded(file, digest string, at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := events.Event{Kind: events.Reload, To: "done", Cause: "configuration " + digest}
	if d.loading.Loaded.IsZero() {
		e.Kind, e.To = events.Start, ""
	}
	d.o.Events.Publish(e)
	d.loading = ReloadStatus{File: file, Digest: digest, Loaded: at}
}

// ReloadFailed notes that a reload was refused and the old configuration runs on.
func (d *Director) ReloadFailed(err error, at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.loading.Failed, d.loading.Error = at, oneLine(err)
	d.o.Events.Publish(events.Event{Kind: events.Reload, To: "refused", Cause: d.loading.Error})
}

// Snapshot copies the state of everything. It holds locks only while it copies
// references: a takeover does not wait for it.
func (d *Director) Snapshot(at time.Time) Snapshot {
	checks := d.o.Checks.Snapshot()
	h := d.holder.view()
	b := d.balancer.view()
	d.mu.Lock()
	cfg, loading, conflicts, routers, retuned := d.cfg, d.loading, d.conflicts(at), maps.Clone(d.routers), d.retuned
	d.mu.Unlock()

	s := Snapshot{
		Node:      d.o.Node,
		Pair:      cfg.Name,
		At:        at,
		Started:   d.started,
		Config:    loading,
		Sync:      syncStatus(cfg.ConnectionSync, h.running),
		Conflicts: conflicts,
		Repairs:   RepairStatus{Addresses: h.repairs, Table: b.repairs, Sysctls: retuned},
		Drops:     d.o.Drops(),
		Problems:  problems(h.problem, b.problem, d.tuning.problem(), d.keeper.passes.problem(), loading.Error),
	}
	d.holder.countRepairs(&s.Repairs)
	for _, rc := range cfg.Routers {
		st := routerStatus(rc, routers[idOf(rc)], h.have)
		d.holder.showFollowers(rc, &st)
		s.Routers = append(s.Routers, st)
	}
	verdicts := verdictsOf(checks)
	for _, svc := range cfg.Services {
		s.Services = append(s.Services, serviceStatus(svc, verdicts, checks, b)...)
	}
	for _, k := range ipvsctl.Foreign(b.have, b.want, func(k ipvsctl.ServiceKey) bool { return b.owned[k] }) {
		s.Foreign = append(s.Foreign, k.String())
	}
	return s
}

func problems(holder, balancer, tuning, devices, reload string) []string {
	if reload != "" {
		reload = "the last reload was refused, the older configuration runs: " + reload
	}
	return slices.DeleteFunc([]string{holder, balancer, tuning, devices, reload}, func(s string) bool { return s == "" })
}

func syncStatus(cfg configs.ConnectionSync, running map[SyncRole]SyncDaemon) SyncStatus {
	_, master := running[SyncMaster]
	_, backup := running[SyncBackup]
	return SyncStatus{Mode: string(cfg.Mode), ID: cfg.ID, Interface: cfg.Interface, Master: master, Backup: backup}
}

func routerStatus(rc configs.VirtualRouter, r *router, have map[configs.VirtualAddress]bool) RouterStatus {
	out := RouterStatus{
		Name: rc.Name, VRID: rc.VRID, Interface: rc.Interface, IPv6: rc.IPv6(),
		Protocol: rc.Version, Transport: rc.Transport,
		Auth: AuthStatus{Mode: rc.Auth.Mode, ActiveKey: rc.Auth.ActiveKey},
	}
	if d, ok := DeviceOf(rc); ok {
		out.Device = &d
	}
	for _, a := range placed(rc) {
		out.Addresses = append(out.Addresses, AddressStatus{Address: a.Prefix, Interface: a.Interface, Label: a.Label, Held: have[a.VirtualAddress]})
	}
	if r == nil {
		return out
	}
	st := r.election.Status()
	out.State = st.Role.State.String()
	out.Cause, out.Since, out.Transitions = st.Role.Cause, st.Role.Since, st.Counters.BecameActive
	out.Priority = st.Priority
	out.Fault, out.Waits = r.gate.Fault(), r.gate.Waits()
	out.Group, out.Ready = rc.Group, st.Role.Ready
	if rc.Group != "" {
		out.GroupWeight = r.gate.groups.Weight(idOf(rc))
	}
	out.Base, out.Track = rc.Priority[r.gate.node], r.gate.Tracked().Things
	if st.Role.State == vrrp.Backup && st.Heard.Src.IsValid() {
		out.Peer = &PeerStatus{Address: st.Heard.Src, Priority: st.Heard.Priority}
	}
	out.Adverts = AdvertStatus{
		IntervalMS:   ms(st.ActiveInterval),
		ActiveDownMS: ms(st.ActiveDown),
		MaxLateMS:    ms(st.Lateness.Max),
		Sent:         st.Counters.AdvertsSent,
		Received:     st.Counters.AdvertsReceived,
		SendErrors:   st.SendErrors,
		Rivals:       st.Counters.Rivals,
		Pauses:       st.Counters.Pauses,
	}
	out.Remarks = remarks(st)
	return out
}

// remarks are what an operator should look into although the election copes.
func remarks(st vrrprunner.Status) []string {
	var out []string
	remark := func(odd bool, format string, args ...any) {
		if odd {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	remark(st.Heard.IntervalDiffers, "%v advertises every %v, this router has another advert_interval", st.Heard.Src, st.Heard.Interval)
	remark(st.Heard.AddressesDiffer, "%v advertises other addresses than this router has", st.Heard.Src)
	remark(st.Counters.Rivals > 0, "heard %d advertisements of rivals while active", st.Counters.Rivals)
	remark(st.Counters.OwnSource > 0, "heard %d advertisements from its own address: they loop back, or another host uses it", st.Counters.OwnSource)
	remark(st.Counters.Pauses > 0, "gave its role up %d times because the process stood still", st.Counters.Pauses)
	remark(st.SendErrors > 0, "%d advertisements could not be sent, the last one because: %s", st.SendErrors, st.LastSendError)
	return out
}

func serviceStatus(svc configs.Service, verdicts map[healthcheck.Target]healthcheck.Verdict, checks map[healthcheck.Target]healthcheck.Status, b balancerView) []ServiceStatus {
	var out []ServiceStatus
	for _, spec := range Specs(svc) {
		entry, inKernel := b.have[spec.ServiceKey]
		st := ServiceStatus{
			Name: svc.Name, Protocol: svc.Protocol, Address: spec.Address,
			Scheduler: spec.Scheduler, Forwarding: svc.Forwarding, InKernel: inKernel,
		}
		for _, j := range Judge(svc, verdicts, b.want[spec.ServiceKey]) {
			have, inKernel := entry.Servers[j.Server.Address]
			srv := serverStatus(j, checks[j.Target], b.stats[ipvsctl.StatsKey{Service: spec.ServiceKey, Server: j.Server.Address}])
			srv.Weight, srv.InKernel = have.Weight, inKernel
			st.Servers = append(st.Servers, srv)
		}
		out = append(out, st)
	}
	return out
}

func serverStatus(j Judgement, check healthcheck.Status, n ipvsctl.ServerStats) ServerStatus {
	return ServerStatus{
		Address: j.Server.Address,
		Verdict: j.Verdict.State.String(), Reason: string(j.Verdict.Reason), Detail: j.Verdict.Detail,
		Since: j.Verdict.Since, LastProbe: check.LastAt, LastReason: string(check.Last.Reason), LatencyMS: ms(check.Last.Latency),
		Configured: j.Server.Weight, Why: j.Why,
		Active: n.Active, Inactive: n.Inactive, Connections: n.Connections,
		PacketsIn: n.PacketsIn, PacketsOut: n.PacketsOut, BytesIn: n.BytesIn, BytesOut: n.BytesOut,
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
