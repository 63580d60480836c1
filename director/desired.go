package director

import (
	"cmp"
	"net/netip"
	"time"

	"tandem/configs"
	"tandem/healthcheck"
	"tandem/ipvsctl"
	"tandem/vrrp"
)

// HeldAddress is a virtual IP that this director should have now.
type HeldAddress struct {
	configs.VirtualAddress
	Options configs.AddressOptions
	Router  RouterID
	Lease   time.Duration // 0: for ever
	Role    vrrp.Role     // that asks for it
}

// renew says whether the lease is to be renewed. During the short hold after a
// role was given up nothing prolongs the address.
func (a HeldAddress) renew() bool { return a.Role.State == vrrp.Active }

// DesiredAddresses says which virtual IPs to hold and which of the configured
// ones not to. A router without a role yet holds nothing.
func DesiredAddresses(cfg *configs.Config, roles map[RouterID]vrrp.Role) (hold []HeldAddress, drop []configs.VirtualAddress) {
	for _, r := range cfg.Routers {
		role := roles[idOf(r)]
		if role.Hold {
			hold = append(hold, heldAddresses(r, role)...)
			continue
		}
		for _, a := range placed(r) {
			drop = append(drop, a.VirtualAddress)
		}
	}
	return hold, drop
}

// heldAddresses are those of a router whose role holds them.
func heldAddresses(r configs.VirtualRouter, role vrrp.Role) []HeldAddress {
	addresses := placed(r)
	hold := make([]HeldAddress, len(addresses))
	for i, a := range addresses {
		hold[i] = HeldAddress{VirtualAddress: a.VirtualAddress, Options: a.AddressOptions, Router: idOf(r), Lease: r.AddressLease, Role: role}
	}
	return hold
}

// Judgement is what is wanted of one real server, and why.
type Judgement struct {
	Server  configs.Server
	Target  healthcheck.Target
	Verdict healthcheck.Verdict
	InTable bool
	Weight  int32 // in the table
	Why     string
}

// Judge decides on every server of a service. Servers without a verdict stay
// as they were before, which the IPVS entry before says: neither a restart nor a
// new check empties a pool that carries traffic.
func Judge(svc configs.Service, verdicts map[healthcheck.Target]healthcheck.Verdict, before ipvsctl.Entry) []Judgement {
	out := make([]Judgement, 0, len(svc.Servers))
	for _, srv := range svc.Servers {
		t := TargetOf(svc, srv)
		j := Judgement{Server: srv, Target: t, Verdict: verdicts[t]}
		switch j.Verdict.State {
		case healthcheck.Up:
			j.InTable, j.Weight, j.Why = true, srv.Weight, "up: configured weight"
		case healthcheck.Down:
			j.InTable, j.Why = false, "down: removed"
			if svc.OnFailure == "quiesce" {
				j.InTable, j.Why = true, "down: quiesced, no new connections"
			}
		default:
			was, ok := before.Servers[srv.Address]
			j.InTable, j.Weight, j.Why = ok, was.Weight, "not probed yet: not in the table"
			if ok {
				j.Why = "not probed yet: kept as it was"
			}
		}
		out = append(out, j)
	}
	return out
}

// TargetOf is what probes a server of a service.
func TargetOf(svc configs.Service, srv configs.Server) healthcheck.Target {
	c := svc.Check
	addr := srv.Address
	if c.Port != 0 {
		addr = netip.AddrPortFrom(addr.Addr(), c.Port)
	}
	t := healthcheck.Target{
		Kind:     healthcheck.Kind(c.Type),
		Address:  addr,
		Interval: c.Interval,
		Timeout:  c.Timeout,
		Rise:     c.Rise,
		Fall:     c.Fall,
	}
	if t.Kind == healthcheck.HTTP {
		t.HTTP = healthcheck.HTTPSpec{
			Method:    c.Method,
			Host:      c.Host,
			Path:      c.Path,
			StatusMin: c.StatusMin,
			StatusMax: c.StatusMax,
		}
	}
	return t
}

// Targets lists what a configuration probes, each distinct target once.
func Targets(cfg *configs.Config) []healthcheck.Target {
	seen := make(map[healthcheck.Target]bool)
	var out []healthcheck.Target
	for _, svc := range cfg.Services {
		for _, srv := range svc.Servers {
			if t := TargetOf(svc, srv); !seen[t] {
				seen[t] = true
				out = append(out, t)
			}
		}
	}
	return out
}

// CarryingTraffic is the verdicts that a table stands for which was made before
// these checks began: a server with a weight was up. So one lost probe after a
// restart, or the first of a new check, takes no server away; fall of them do.
func CarryingTraffic(cfg *configs.Config, have ipvsctl.Table, at time.Time) map[healthcheck.Target]healthcheck.Verdict {
	out := make(map[healthcheck.Target]healthcheck.Verdict)
	for _, svc := range cfg.Services {
		for _, spec := range Specs(svc) {
			servers := have[spec.ServiceKey].Servers
			for _, srv := range svc.Servers {
				if servers[srv.Address].Weight > 0 {
					out[TargetOf(svc, srv)] = healthcheck.Verdict{State: healthcheck.Up, Detail: "carried traffic before", Since: at}
				}
			}
		}
	}
	return out
}

// DesiredTable is the IPVS table that the verdicts ask for; see Judge for
// before. Both directors keep it programmed, whatever their role.
func DesiredTable(cfg *configs.Config, verdicts map[healthcheck.Target]healthcheck.Verdict, before ipvsctl.Table) ipvsctl.Table {
	want := make(ipvsctl.Table)
	for _, svc := range cfg.Services {
		forwarding := must(ipvsctl.ParseForwarding(svc.Forwarding))
		for _, spec := range Specs(svc) {
			e := ipvsctl.Entry{Service: spec, Servers: make(map[netip.AddrPort]ipvsctl.Server)}
			for _, j := range Judge(svc, verdicts, before[spec.ServiceKey]) {
				if j.InTable {
					e.Servers[j.Server.Address] = ipvsctl.Server{
						Address:    j.Server.Address,
						Weight:     j.Weight,
						Forwarding: forwarding,
					}
				}
			}
			want[spec.ServiceKey] = e
		}
	}
	return want
}

// verdictsOf is the present verdicts of a health runner.
func verdictsOf(checks map[healthcheck.Target]healthcheck.Status) map[healthcheck.Target]healthcheck.Verdict {
	out := make(map[healthcheck.Target]healthcheck.Verdict, len(checks))
	for t, s := range checks {
		out[t] = s.Verdict
	}
	return out
}

// compareAddress orders virtual addresses for logs and status.
func compareAddress(a, b configs.VirtualAddress) int {
	return cmp.Or(a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Interface, b.Interface))
}
