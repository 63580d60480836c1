package ipvsctl

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// KernelVersion is the version of a Linux kernel.
type KernelVersion struct {
	Major, Minor int
}

// ParseKernelVersion reads a kernel release as uname gives it: 6.1.0-32-amd64.
func ParseKernelVersion(release string) (KernelVersion, error) {
	major, rest, _ := strings.Cut(release, ".")
	minor := rest
	if end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		minor = rest[:end]
	}
	a, errMajor := strconv.ParseUint(major, 10, 16)
	b, errMinor := strconv.ParseUint(minor, 10, 16)
	if errMajor != nil || errMinor != nil {
		return KernelVersion{}, fmt.Errorf("kernel release %q does not begin with major.minor", release)
	}
	return KernelVersion{Major: int(a), Minor: int(b)}, nil
}

// AtLeast reports whether v is major.minor or later.
func (v KernelVersion) AtLeast(major, minor int) bool {
	return v.Major > major || v.Major == major && v.Minor >= minor
}

// ProfileInput is what the settings of a director depend on.
type ProfileInput struct {
	Kernel         KernelVersion
	Interfaces     []string // those that carry services' traffic, each once
	Masquerade     bool     // some IPv4 service forwards by masquerade
	MasqueradeIPv6 bool     // some IPv6 service forwards by masquerade
	Sync           bool     // the kernels synchronise their connections
	Conntrack      bool     // net/ipv4/vs/conntrack is 1: netfilter tracks the balanced connections
	AllHashed      bool     // every service schedules by hash: sh or mh
}

// Sysctl is one kernel setting that a director needs.
type Sysctl struct {
	Key    string   // path below /proc/sys, with slashes: an interface's name may have dots
	Want   string   // what to write
	Accept []string // other values that serve as well and are left as they are
	Why    string
}

// Satisfied reports whether the setting can stay as it is. It ignores the kind
// of white space between numbers: the kernel answers with tabs.
func (s Sysctl) Satisfied(current string) bool {
	current = strings.Join(strings.Fields(current), " ")
	return current == s.Want || slices.Contains(s.Accept, current)
}

// String returns for example "net/ipv4/vs/sync_threshold = 0 0".
func (s Sysctl) String() string { return s.Key + " = " + s.Want }

// Profile returns the settings that a director needs, in the order in which
// they must be written. The settings below net/ipv4/vs exist only after the
// module ip_vs is loaded.
func Profile(in ProfileInput) []Sysctl {
	// Forwarding comes first: changing it makes the kernel reset other settings.
	return slices.Concat(forwarding(in), interfaces(in), resolution(in), balancing(in), synchronisation(in))
}

func forwarding(in ProfileInput) []Sysctl {
	var settings []Sysctl
	if in.Masquerade {
		settings = append(settings, Sysctl{Key: "net/ipv4/ip_forward", Want: "1",
			Why: "masqueraded packets are routed through this machine"})
	}
	if in.MasqueradeIPv6 {
		settings = append(settings, Sysctl{Key: "net/ipv6/conf/all/forwarding", Want: "1",
			Why: "masqueraded packets are routed through this machine"})
	}
	return settings
}

// interfaces returns the settings per interface. The kernel takes send_redirects
// as on if it is on for "all" or for the interface, and the larger rp_filter of
// the two, so both must be right.
func interfaces(in ProfileInput) []Sysctl {
	var settings []Sysctl
	for _, name := range slices.Concat([]string{"all"}, in.Interfaces) {
		settings = append(settings,
			Sysctl{Key: "net/ipv4/conf/" + name + "/send_redirects", Want: "0",
				Why: "a redirect would tell neighbours to send around the director"},
			Sysctl{Key: "net/ipv4/conf/" + name + "/rp_filter", Want: "2", Accept: []string{"0"},
				Why: "strict filtering drops packets of clients that are routed back another way"})
	}
	for _, name := range in.Interfaces {
		settings = append(settings, Sysctl{Key: "net/ipv4/conf/" + name + "/promote_secondaries", Want: "1",
			Why: "when a virtual IP's lease ends, no other address of its subnet may go with it"})
	}
	return settings
}

// resolution returns how ARP deals with virtual IPs. By the kernel's defaults a
// host owns its addresses, not an interface: with two interfaces on one segment
// either answers for a virtual IP and asks in its name, so that neighbours send
// to one that has no address of the virtual router, over a link nobody watches.
//
// Not "all": other interfaces may answer for what is elsewhere on purpose. On
// those named here it ends that a virtual IP on lo, or on another network's
// interface, is resolved too. Takeovers of such an address never worked that
// way, because it is announced on its own interface alone: it must be routed to
// the directors. An interface without an address of its own still asks in the
// name of a virtual IP, having no other.
//
// The larger value of "all" and the interface counts. An arp_ignore of 2, which
// answers only to neighbours of the same subnet, is no less good; 3 would not
// ask for the interface, and an arp_announce of 1 lets a virtual IP of the
// neighbour's subnet pass.
func resolution(in ProfileInput) []Sysctl {
	var settings []Sysctl
	for _, name := range in.Interfaces {
		settings = append(settings,
			Sysctl{Key: "net/ipv4/conf/" + name + "/arp_ignore", Want: "1", Accept: []string{"2"},
				Why: "of two interfaces on one segment, only the one that has a virtual IP may answer for it"},
			Sysctl{Key: "net/ipv4/conf/" + name + "/arp_announce", Want: "2",
				Why: "an ARP request in the name of a virtual IP would point neighbours at whatever interface asks"})
	}
	return settings
}

func balancing(in ProfileInput) []Sysctl {
	settings := []Sysctl{
		{Key: "net/ipv4/vs/expire_nodest_conn", Want: "1",
			Why: "connections to a removed server end at once instead of hanging until they time out"},
		{Key: "net/ipv4/vs/expire_quiescent_template", Want: "1",
			Why: "persistent clients leave a server of weight 0 for another one"},
		{Key: "net/ipv4/vs/drop_entry", Want: "1", Accept: []string{"2", "3"},
			Why: "short of memory, half-open connections are dropped first: defence against SYN floods"},
		connReuseMode(in),
		sloppyTCP(in),
	}
	if in.Masquerade || in.MasqueradeIPv6 {
		// Not 1, tempting as it is: the kernel then takes the answers to the
		// director's own health checks for stray packets of a real server, rejects
		// them with an ICMP error and drops them (ip_vs_out in ip_vs_core.c).
		settings = append(settings, Sysctl{Key: "net/ipv4/vs/nat_icmp_send", Want: "0",
			Why: "the director's own health checks of servers behind masquerade would be rejected"})
	}
	return settings
}

// connReuseMode returns what to do when a client's port comes back while its
// old connection is still known. Before Linux 5.9 choosing a server anew delayed
// the new connection by a second where netfilter tracks connections.
func connReuseMode(in ProfileInput) Sysctl {
	const key = "net/ipv4/vs/conn_reuse_mode"
	if in.Conntrack && !in.Kernel.AtLeast(5, 9) {
		return Sysctl{Key: key, Want: "0",
			Why: "before Linux 5.9 and with conntrack, any other value delays connections from a reused port by 1 s"}
	}
	return Sysctl{Key: key, Want: "1",
		Why: "a new connection from a reused client port may go to another server than the old one"}
}

// sloppyTCP returns whether a TCP packet that is not a SYN may create a
// connection. By hash it is sure to reach the server that it reached before.
func sloppyTCP(in ProfileInput) Sysctl {
	const key = "net/ipv4/vs/sloppy_tcp"
	if in.AllHashed {
		return Sysctl{Key: key, Want: "1",
			Why: "hashing finds the server of a connection that was never synchronised"}
	}
	return Sysctl{Key: key, Want: "0",
		Why: "an unknown connection would be sent to just any server"}
}

// synchronisation returns the settings of the kernel's connection
// synchronisation. The values of sync_threshold and sync_refresh_period belong
// together: with a threshold of "0 0" a connection is sent when it is
// established and then whenever the refresh period asks for it.
func synchronisation(in ProfileInput) []Sysctl {
	if !in.Sync {
		return nil
	}
	return []Sysctl{
		{Key: "net/ipv4/vs/sync_version", Want: "1",
			Why: "version 0 carries neither IPv6 nor timeouts"},
		{Key: "net/ipv4/vs/sync_refresh_period", Want: "10",
			Why: "seconds; keeps the backup's timers of a quiet connection from running out"},
		{Key: "net/ipv4/vs/sync_threshold", Want: "0 0",
			Why: "a connection is sent as soon as it is established, not at its third packet"},
		{Key: "net/ipv4/vs/sync_retries", Want: "1", Accept: []string{"2", "3"},
			Why: "a lost datagram is made good"},
		{Key: "net/ipv4/vs/backup_only", Want: "0",
			Why: "at a switchover both daemons run for some seconds and this director must balance meanwhile"},
	}
}
