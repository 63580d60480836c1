package configs

import (
	"fmt"
	"net/netip"
	"time"
)

// Warning is something legal that often ends badly.
type Warning struct {
	Key     string // "vrrp.auth", "virtual_router web" or "service http"
	Problem string
	Remedy  string
}

// String renders w in one line.
func (w Warning) String() string {
	return fmt.Sprintf("%s: %s; %s", w.Key, w.Problem, w.Remedy)
}

// Warnings returns what an operator should know about a valid configuration, in
// the order of the file.
func (c *Config) Warnings() []Warning {
	list := c.Routers[0].Auth.warnings()
	vips := make(map[netip.Addr]int) // index of the router
	for i, r := range c.Routers {
		for _, a := range r.Addresses {
			vips[a.Prefix.Addr()] = i
		}
		list = append(list, c.routerWarnings(r)...)
	}
	for _, s := range c.Services {
		list = append(list, c.serviceWarnings(s, vips)...)
	}
	return list
}

// warm is how long a director that comes back waits at least until it knows the
// connections of the active: the refresh of the director's sysctl profile
// (net/ipv4/vs/sync_refresh_period) and two seconds to be sent and received.
const warm = 12 * time.Second

func (c *Config) routerWarnings(r VirtualRouter) []Warning {
	var list []Warning
	warn := func(problem, remedy string) {
		list = append(list, Warning{"virtual_router " + r.Name, problem, remedy})
	}
	byPriority := make(map[uint8]string)
	for _, d := range c.Directors {
		p := r.Priority[d.Name]
		if other, ok := byPriority[p]; ok {
			warn(fmt.Sprintf("%s and %s both have priority %d, so the higher address decides", other, d.Name, p),
				"give the preferred director the higher priority")
		}
		byPriority[p] = d.Name
		if p == 255 && r.Failback != "immediate" {
			warn(fmt.Sprintf("%s has priority 255 and takes the role without an election, so failback = %q does not hold for it", d.Name, r.Failback),
				"write a priority of 254 at most")
		}
	}
	c.trackWarnings(r, warn)
	c.followWarnings(r, warn)
	c.acceptWarnings(r, warn)
	c.virtualMACWarnings(r, warn)
	if r.Failback == "delay" && r.FailbackDelay < warm && c.ConnectionSync.Mode != SyncOff {
		warn(fmt.Sprintf("after failback_delay %s a director that comes back may not know the connections yet: the active's kernel sends each one again within 10s", short(r.FailbackDelay)),
			fmt.Sprintf("write at least %q", short(warm)))
	}
	if r.Failback == "immediate" {
		warn("a director that comes back takes the role before it knows the connections, which then break",
			`write failback = "delay"`)
	}
	if auto := leaseFor(r.AdvertInterval); r.AddressLease > 0 && r.AddressLease < auto {
		warn(fmt.Sprintf("address_lease %s may end before the peer takes over", short(r.AddressLease)),
			fmt.Sprintf("write at least %q, or \"auto\"", short(auto)))
	}
	if len(r.AuthPass) > 8 {
		warn("version 2 sends only the first 8 characters of auth_pass", "write those, as every other router does")
	}
	if r.AddressLease == 0 {
		warn("without address_lease a frozen director keeps its addresses while its peer takes them too",
			`write address_lease = "auto"`)
	}
	return list
}

func (c *Config) serviceWarnings(s Service, vips map[netip.Addr]int) []Warning {
	var list []Warning
	warn := func(problem, remedy string) {
		list = append(list, Warning{"service " + s.Name, problem, remedy})
	}
	if s.Check.Timeout > s.Check.Interval {
		warn(fmt.Sprintf("check.timeout %s is above check.interval %s, so a failure is noticed late", short(s.Check.Timeout), short(s.Check.Interval)),
			"write a timeout below the interval")
	}
	if s.Protocol != "tcp" && s.Check.Port == 0 {
		warn(fmt.Sprintf("the check speaks TCP to the servers' %s ports", s.Protocol),
			"write check.port, a TCP port whose answer tells that the server is well")
	}
	for _, v := range s.Virtual {
		i, ok := vips[v.Addr()]
		if s.Forwarding == "masquerade" && ok && !hasInside(c.Routers[i], v.Addr()) {
			example := "10.88.0.254/24"
			if v.Addr().Is6() {
				example = "2001:db8:88::254/64"
			}
			warn(fmt.Sprintf("router %s has no %s address on another interface, where the servers' answers could come back", c.Routers[i].Name, familyOf(v.Addr())),
				fmt.Sprintf(`add the servers' gateway, for example { address = %q, interface = "eth1" }`, example))
			break
		}
	}
	for _, server := range s.Servers {
		for _, d := range c.Directors {
			if server.Address.Addr() == d.Address {
				warn(fmt.Sprintf("server %s is director %s, and both directors hold the IPVS table: packets can go round in circles", server.Address, d.Name),
					"use a server of its own")
			}
		}
	}
	return list
}

// hasInside reports whether r holds an address of vip's family on another interface
// than vip's.
func hasInside(r VirtualRouter, vip netip.Addr) bool {
	var outside string
	for _, a := range r.Addresses {
		if a.Prefix.Addr() == vip {
			outside = a.Interface
		}
	}
	for _, a := range r.Addresses {
		if a.Interface != outside && a.Prefix.Addr().Is4() == vip.Is4() {
			return true
		}
	}
	return false
}
