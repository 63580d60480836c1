package configs

import (
	"fmt"
	"net/netip"
)

// checkAccept refuses to drop the packets that a service is for.
func checkAccept(c *Config, p place) {
	served := make(map[netip.Addr]string)
	for _, s := range c.Services {
		for _, v := range s.Virtual {
			if v.IsValid() {
				served[v.Addr()] = s.Name
			}
		}
	}
	for i, r := range c.Routers {
		if r.Accept {
			continue
		}
		for _, a := range r.Addresses {
			if name, ok := served[a.Prefix.Addr()]; ok {
				p.index(i).key("accept").fail(
					fmt.Sprintf("false drops the packets of service %s at %s: IPVS takes only what the host accepts", name, a.Prefix.Addr()),
					"remove it, or move the addresses that no service is at to a router of their own")
				break
			}
		}
	}
}

// acceptWarnings says where accept = false does not hold.
func (c *Config) acceptWarnings(r VirtualRouter, warn func(problem, remedy string)) {
	for _, d := range c.Directors {
		if !r.Accept && r.Priority[d.Name] == 255 {
			warn(fmt.Sprintf("%s has priority 255 and so owns the addresses: there accept = false does not hold (RFC 9568, section 6.1)", d.Name),
				"write a priority of 254 at most, or remove accept")
		}
	}
}
