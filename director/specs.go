package director

import (
	"fmt"
	"time"

	"tandem/configs"
	"tandem/ipvsctl"
)

// Specs is the IPVS services that a configured service becomes: one for each of
// its virtual addresses. It panics on a value that package configs would have
// refused.
func Specs(svc configs.Service) []ipvsctl.Service {
	proto := must(ipvsctl.ParseProtocol(svc.Protocol))
	flags := must(ipvsctl.ParseFlags(proto, svc.Scheduler, svc.Flags))
	if svc.Persistence > 0 {
		flags |= ipvsctl.Persistent
	}
	out := make([]ipvsctl.Service, 0, len(svc.Virtual))
	for _, v := range svc.Virtual {
		out = append(out, ipvsctl.Service{
			ServiceKey:  ipvsctl.ServiceKey{Protocol: proto, Address: v},
			Scheduler:   svc.Scheduler,
			Flags:       flags,
			Persistence: uint32(svc.Persistence / time.Second),
			Netmask:     uint32(v.Addr().BitLen()),
		})
	}
	return out
}

// ProfileInput is what a configuration says of the sysctl profile. The kernel
// version and the state of conntrack are for the caller to add.
func ProfileInput(cfg *configs.Config) ipvsctl.ProfileInput {
	in := ipvsctl.ProfileInput{
		Sync:      cfg.ConnectionSync.Mode != configs.SyncOff,
		AllHashed: len(cfg.Services) > 0,
	}
	seen := make(map[string]bool)
	add := func(name string) {
		if name != "" && !seen[name] {
			seen[name] = true
			in.Interfaces = append(in.Interfaces, name)
		}
	}
	for _, r := range cfg.Routers {
		add(r.Interface)
		for _, a := range r.Addresses {
			add(a.Interface)
		}
	}
	for _, s := range cfg.Services {
		if s.Forwarding == ipvsctl.Masquerade.String() {
			ipv6 := s.Virtual[0].Addr().Is6()
			in.Masquerade, in.MasqueradeIPv6 = in.Masquerade || !ipv6, in.MasqueradeIPv6 || ipv6
		}
		in.AllHashed = in.AllHashed && (s.Scheduler == "sh" || s.Scheduler == "mh")
	}
	return in
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("director: the configuration was not checked: %v", err))
	}
	return v
}
