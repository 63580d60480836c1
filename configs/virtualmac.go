package configs

import "fmt"

// virtualMACWarnings are what surprises people about a router with a virtual MAC.
func (c *Config) virtualMACWarnings(r VirtualRouter, warn func(problem, remedy string)) {
	if !r.VirtualMAC {
		return
	}
	for _, a := range r.Addresses {
		if a.Interface != r.Interface || a.Prefix.IsSingleIP() {
			continue
		}
		for _, d := range c.Directors {
			if a.Prefix.Contains(d.Address) {
				warn(fmt.Sprintf("with virtual_mac, %s gives the active director a second route to the network that its own address is on", a.Prefix),
					fmt.Sprintf("write \"%s/%d\"", a.Prefix.Addr(), a.Prefix.Addr().BitLen()))
				break
			}
		}
	}
	if c.SysctlProfile == "none" {
		warn(fmt.Sprintf("virtual_mac needs net/ipv4/conf/%s/arp_ignore = 1, arp_announce = 2 there, and an rp_filter of \"all\" other than 1, and profile = \"none\" leaves them as they are", r.Interface),
			`set them, or write profile = "director" in [sysctl]`)
	}
}
