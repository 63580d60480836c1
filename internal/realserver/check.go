package realserver

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"tandem/internal/netif"
)

// Finding is something about this machine that a real server should not have.
type Finding struct {
	// Fatal findings break the service or take its traffic past the director;
	// the others may, depending on the network.
	Fatal   bool
	Problem string // one sentence in words
	Remedy  string // what to run or to change
}

// Check compares this machine with what a real server of vips must be.
func Check(vips []netip.Addr) ([]Finding, error) {
	if err := validate(vips); err != nil {
		return nil, err
	}
	var f facts
	if err := withKernel(func(k kernel) (err error) {
		f, err = gather(k)
		return err
	}); err != nil {
		return nil, err
	}
	return assess(vips, f), nil
}

// facts is the part of the machine that matters.
type facts struct {
	addresses  []netif.Held
	interfaces []arpInterface // those that are up and answer ARP
}

// arpInterface has the values that the kernel uses: the larger one of the
// interface's own and of "all" (ip-sysctl.rst, IN_DEV_MAXCONF).
type arpInterface struct {
	name                             string
	arpIgnore, arpAnnounce, rpFilter int
}

func gather(k kernel) (facts, error) {
	addresses, err := k.Addresses()
	if err != nil {
		return facts{}, err
	}
	links, err := k.Links()
	if err != nil {
		return facts{}, err
	}
	f := facts{addresses: addresses}
	for _, l := range links {
		if !l.Up || !l.ARP {
			continue
		}
		i := arpInterface{name: l.Name}
		for _, p := range []struct {
			name string
			into *int
		}{{"arp_ignore", &i.arpIgnore}, {"arp_announce", &i.arpAnnounce}, {"rp_filter", &i.rpFilter}} {
			if *p.into, err = effective(k, l.Name, p.name); err != nil {
				return facts{}, err
			}
		}
		f.interfaces = append(f.interfaces, i)
	}
	return f, nil
}

func effective(h host, ifname, name string) (int, error) {
	value := 0
	for _, scope := range []string{"all", ifname} {
		s, err := h.GetSysctl("net/ipv4/conf/" + scope + "/" + name)
		if err != nil {
			return 0, err
		}
		n, err := strconv.Atoi(s)
		if err != nil {
			return 0, fmt.Errorf("sysctl net/ipv4/conf/%s/%s: %w", scope, name, err)
		}
		value = max(value, n)
	}
	return value, nil
}

// assess is the pure part of Check.
func assess(vips []netip.Addr, f facts) []Finding {
	var findings []Finding
	for _, vip := range vips {
		findings = append(findings, assessAddress(vip, f.addresses)...)
	}
	if slices.ContainsFunc(vips, netip.Addr.Is4) {
		for _, i := range f.interfaces {
			findings = append(findings, assessInterface(i)...)
		}
	}
	return findings
}

func assessAddress(vip netip.Addr, addresses []netif.Held) []Finding {
	var findings []Finding
	found := false
	for _, a := range addresses {
		switch {
		case a.Prefix.Addr() != vip:
		case a.Interface != loopback:
			findings = append(findings, Finding{
				Fatal:   true,
				Problem: fmt.Sprintf("%v is on %s, which answers for it: clients may reach this machine without the director", vip, a.Interface),
				Remedy:  fmt.Sprintf("ip addr del %v dev %s", a.Prefix, a.Interface),
			})
		case !a.Prefix.IsSingleIP():
			found = true
			findings = append(findings, Finding{
				Fatal:   true,
				Problem: fmt.Sprintf("%v is on %s: with this prefix length the machine takes all of %v for itself and cannot reach it", a.Prefix, loopback, a.Prefix.Masked()),
				Remedy:  fmt.Sprintf("ip addr del %v dev %s, then tandem realserver apply", a.Prefix, loopback),
			})
		default:
			found = true
		}
	}
	if !found {
		findings = append(findings, Finding{
			Fatal:   true,
			Problem: fmt.Sprintf("%v is not on %s: what the director sends is not accepted", vip, loopback),
			Remedy:  "tandem realserver apply",
		})
	}
	return findings
}

func assessInterface(i arpInterface) []Finding {
	var findings []Finding
	// 1 answers only for addresses of the interface, 2 only if the asker is in
	// its subnet too. 0 and 3 to 7 do not look at the interface; 8 answers nothing.
	switch i.arpIgnore {
	case 1, 2:
	case 0:
		findings = append(findings, Finding{
			Fatal:   true,
			Problem: fmt.Sprintf("%s answers ARP requests for the virtual addresses (arp_ignore is 0): clients may reach this machine without the director", i.name),
			Remedy:  "tandem realserver apply",
		})
	case 8:
		findings = append(findings, Finding{
			Fatal:   true,
			Problem: fmt.Sprintf("%s answers no ARP request at all (arp_ignore is 8): the director cannot reach this machine there", i.name),
			Remedy:  setting(i.name, "arp_ignore", "1"),
		})
	default:
		findings = append(findings, Finding{
			Fatal:   true,
			Problem: fmt.Sprintf("%s may answer ARP requests for the virtual addresses (arp_ignore is %d)", i.name, i.arpIgnore),
			Remedy:  setting(i.name, "arp_ignore", "1"),
		})
	}
	if i.arpAnnounce != 2 {
		findings = append(findings, Finding{
			Fatal:   true,
			Problem: fmt.Sprintf("%s may give a virtual address as its own in ARP requests (arp_announce is %d): neighbours then send to this machine", i.name, i.arpAnnounce),
			Remedy:  "tandem realserver apply",
		})
	}
	if i.rpFilter == 1 {
		findings = append(findings, Finding{
			Problem: fmt.Sprintf("%s takes packets only from clients that it would itself answer through %s (rp_filter is 1)", i.name, i.name),
			Remedy:  "nothing, if replies to clients leave through it; otherwise " + setting(i.name, "rp_filter", "2"),
		})
	}
	return findings
}

// setting sets both places, because the kernel uses the larger value.
func setting(ifname, name, value string) string {
	return fmt.Sprintf("sysctl -w net/ipv4/conf/all/%s=%s net/ipv4/conf/%s/%s=%s", name, value, ifname, name, value)
}
