package ipvsctl

import (
	"fmt"
	"slices"
	"strings"
)

// schedulers are those of the mainline kernel, net/netfilter/ipvs/ip_vs_*.c.
var schedulers = []string{
	"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos",
}

// Schedulers returns the names of the schedulers of the mainline kernel. A
// given kernel may lack some.
func Schedulers() []string { return slices.Clone(schedulers) }

// String returns the name that ParseProtocol accepts, or the number of a
// protocol that IPVS does not balance.
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case SCTP:
		return "sctp"
	}
	return fmt.Sprintf("protocol-%d", uint8(p))
}

// ParseProtocol returns the protocol called tcp, udp or sctp.
func ParseProtocol(name string) (Protocol, error) {
	for _, p := range []Protocol{TCP, UDP, SCTP} {
		if p.String() == name {
			return p, nil
		}
	}
	return 0, fmt.Errorf("unknown protocol %q: use tcp, udp or sctp", name)
}

// String returns the name that ParseForwarding accepts, or local for LocalNode.
func (f Forwarding) String() string {
	switch f {
	case Masquerade:
		return "masquerade"
	case LocalNode:
		return "local"
	case Tunnel:
		return "tunnel"
	case Direct:
		return "direct"
	}
	return fmt.Sprintf("forwarding-%d", uint8(f))
}

// ParseForwarding returns the forwarding called direct, masquerade or tunnel.
func ParseForwarding(name string) (Forwarding, error) {
	for _, f := range []Forwarding{Direct, Masquerade, Tunnel} {
		if f.String() == name {
			return f, nil
		}
	}
	return 0, fmt.Errorf("unknown forwarding %q: use direct, masquerade or tunnel", name)
}

// namedFlag is a flag as it is configured. A flag of a scheduler means
// something else, or nothing, with another scheduler.
type namedFlag struct {
	name      string
	bit       Flags
	scheduler string // empty: every scheduler
}

var namedFlags = []namedFlag{
	{"ops", OnePacket, ""},
	{"sh-fallback", Sched1, "sh"},
	{"sh-port", Sched2, "sh"},
	{"mh-fallback", Sched1, "mh"},
	{"mh-port", Sched2, "mh"},
}

// ParseFlags returns the flags called names, for a service of the given
// protocol and scheduler. It fails on a flag of another scheduler, and on ops
// (one-packet scheduling) for anything but udp, where the kernel ignores it.
func ParseFlags(protocol Protocol, scheduler string, names []string) (Flags, error) {
	var flags Flags
	for _, name := range names {
		i := slices.IndexFunc(namedFlags, func(f namedFlag) bool { return f.name == name })
		if i < 0 {
			return 0, fmt.Errorf("unknown flag %q: use ops, sh-port, sh-fallback, mh-port or mh-fallback", name)
		}
		flag := namedFlags[i]
		if flag.scheduler != "" && flag.scheduler != scheduler {
			return 0, fmt.Errorf("flag %q belongs to scheduler %s, not to %s", name, flag.scheduler, scheduler)
		}
		if flag.bit == OnePacket && protocol != UDP {
			return 0, fmt.Errorf("flag %q works with protocol udp only, not with %s", name, protocol)
		}
		flags |= flag.bit
	}
	return flags, nil
}

// FlagNames returns the names of the service's flags, as ParseFlags accepts
// them. Scheduler flags without a name are called flag-1 to flag-3, as ipvsadm
// does. Persistent is not among them: it shows as the persistence.
func (s Service) FlagNames() []string {
	var names []string
	rest := s.Flags
	for _, f := range namedFlags {
		if rest&f.bit != 0 && (f.scheduler == "" || f.scheduler == s.Scheduler) {
			names = append(names, f.name)
			rest &^= f.bit
		}
	}
	for i, bit := range []Flags{Sched1, Sched2, Sched3} {
		if rest&bit != 0 {
			names = append(names, fmt.Sprintf("flag-%d", i+1))
		}
	}
	return names
}

// String returns for example "tcp 10.77.0.100:80".
func (k ServiceKey) String() string {
	return k.Protocol.String() + " " + k.Address.String()
}

// String returns for example "tcp 10.77.0.100:80 scheduler sh persistent 300s
// mask 24 flags sh-port,sh-fallback".
func (s Service) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s scheduler %s", s.ServiceKey, s.Scheduler)
	if s.Flags&Persistent != 0 {
		fmt.Fprintf(&b, " persistent %ds", s.Persistence)
		if mask := s.normal().Netmask; mask != uint32(s.Address.Addr().BitLen()) {
			fmt.Fprintf(&b, " mask %d", mask)
		}
	}
	if names := s.FlagNames(); len(names) > 0 {
		fmt.Fprintf(&b, " flags %s", strings.Join(names, ","))
	}
	return b.String()
}

// String returns for example "10.0.0.11:80 weight 100 direct upper 500 lower 400".
func (s Server) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s weight %d %s", s.Address, s.Weight, s.Forwarding)
	if s.Upper != 0 {
		fmt.Fprintf(&b, " upper %d", s.Upper)
	}
	if s.Lower != 0 {
		fmt.Fprintf(&b, " lower %d", s.Lower)
	}
	return b.String()
}

// String returns what the verb does, for example "add server".
func (v Verb) String() string {
	switch v {
	case AddService:
		return "add service"
	case SetService:
		return "set service"
	case AddServer:
		return "add server"
	case SetServer:
		return "set server"
	case DelServer:
		return "delete server"
	case DelService:
		return "delete service"
	}
	return fmt.Sprintf("verb-%d", uint8(v))
}

// String returns the operation in words, for example "add server 10.0.0.11:80
// weight 100 direct to tcp 10.77.0.100:80".
func (op Op) String() string {
	switch op.Verb {
	case AddService, SetService:
		return fmt.Sprintf("%s %s", op.Verb, op.Service)
	case AddServer:
		return fmt.Sprintf("%s %s to %s", op.Verb, op.Server, op.Service.ServiceKey)
	case SetServer:
		return fmt.Sprintf("%s %s of %s", op.Verb, op.Server, op.Service.ServiceKey)
	case DelServer:
		return fmt.Sprintf("%s %s from %s", op.Verb, op.Server.Address, op.Service.ServiceKey)
	}
	return fmt.Sprintf("%s %s", op.Verb, op.Service.ServiceKey)
}
