package configs

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Config is a valid tandem.toml. It is immutable: a reload makes a new one.
// Every field holds its final value, defaults applied.
type Config struct {
	Name           string     // pair.name
	Directors      []Director // 2 to 5, with different names and addresses
	ConnectionSync ConnectionSync
	Routers        []VirtualRouter // at least one
	Services       []Service       // may be empty: a pair that only holds addresses
	Hooks          []Hook          // at most 64
	SysctlProfile  string          // "director" or "none"
	ControlSocket  string          // absolute path of the control socket
	ControlGroup   string          // group that may use it; empty: root only
}

// Director is one member of the pair.
type Director struct {
	Name     string
	Address  netip.Addr // IPv4; no virtual address; valid unless Address6 is
	Address6 netip.Addr // IPv6 link-local; no virtual address; valid if an IPv6 router has transport unicast
	Priority uint8      // 1-255, default of its virtual routers
}

// SyncMode is how live connections reach the backup.
type SyncMode string

// The modes of connection synchronisation.
const (
	SyncOff       SyncMode = "off"
	SyncMulticast SyncMode = "multicast" // kernel to kernel
)

// ConnectionSync is the [connection_sync] table.
type ConnectionSync struct {
	Mode      SyncMode
	ID        uint8  // 1-255, the same on both directors
	Interface string // never empty
}

// VirtualRouter is one [[virtual_router]] (RFC 9568).
type VirtualRouter struct {
	Name           string
	VRID           uint8            // 1-255, unique on Interface among the routers of a family, see IPv6
	Interface      string           // adverts leave here
	Priority       map[string]uint8 // by director name, complete; 1-255, with one 255 at most
	Transport      string           // "multicast", or "unicast": to the other directors' addresses
	Version        uint8            // of VRRP: 3 or 2
	Checksum       string           // "pseudo-header" or "rfc9568"; only with version 3 over IPv4, else empty
	AuthPass       Secret           // printable ASCII, of which the first 8 count; only with version 2, and empty for none
	VirtualMAC     bool             // the addresses on Interface have the MAC of RFC 9568, section 7.3
	AdvertInterval time.Duration    // 10 ms to 40.95 s in whole centiseconds; with version 2 1 s to 255 s in whole seconds
	Failback       string           // "immediate", "delay" or "never"
	FailbackDelay  time.Duration    // above 0 with "delay", else 0
	StartupDelay   time.Duration    // 0 to 10 min in whole milliseconds, from the start of the process
	AddressLease   time.Duration    // whole seconds from 2 s to 1 h; 0: off
	Auth           Auth             // the same for all, but for Window
	Addresses      []RouterAddress  // 1 to 255; no address is in two routers. Those on Interface, one at least, are of one family, and the first of IPv6 is link-local
	Accept         bool             // packets to the addresses; true if a service is at one (RFC 9568, section 6.1: Accept_Mode)
	Group          string           // the routers of a group move together; empty: alone
	Track          []Track          // at most 64, none twice; weights only without priority 255 and failback "never"
	Routes         []Route          // at most 256; no two of a file have the same key
	Rules          []Rule           // at most 256; no two of a file have the same key
}

// Auth is the [vrrp.auth] table: how adverts are authenticated.
type Auth struct {
	Mode      string           // "off", "receive-only", "permissive" or "enforce"; the rest is zero with "off"
	Keys      map[uint8]string // absolute paths of the key files by key id, 1-255; at least one
	ActiveKey uint8            // the one of Keys to sign with; 0 only with "receive-only"
	Replay    string           // "time" or "monotonic"
	Window    time.Duration    // 1 s to 300 s with "time", else 0
}

// Secret is a text that does not show itself when it is printed or encoded. A
// Digest knows only whether there is one.
type Secret string

// Format implements fmt.Formatter for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.cover())) }

// MarshalText implements encoding.TextMarshaler.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.cover()), nil }

func (s Secret) cover() string {
	if s == "" {
		return ""
	}
	return "(secret)"
}

// RouterAddress is a virtual address of a router, and how it is added.
type RouterAddress struct {
	VirtualAddress
	AddressOptions
}

// AddressOptions are how an address is added; they do not identify it. IPv6
// addresses have none: the zero value.
type AddressOptions struct {
	Label string // begins with the interface's name and a colon, at most 15 bytes; empty: the interface's name
	Scope uint8  // of rtnetlink: 0 (global) to 255 (nowhere)
}

// VirtualAddress is an address that moves with its virtual router. It identifies
// the address.
type VirtualAddress struct {
	Prefix    netip.Prefix // address and prefix length, not masked
	Interface string       // the router's, unless the file names another
}

// Service is one [[service]]. It becomes one IPVS service per Virtual address.
type Service struct {
	Name        string
	Virtual     []netip.AddrPort // at least one, of one family; addresses of routers; no two services share one of a protocol
	Protocol    string           // tcp, udp or sctp
	Scheduler   string           // without the ip_vs_ prefix: rr, wlc, mh …
	Flags       []string         // sh-port, sh-fallback, mh-port, mh-fallback, ops; only what fits Scheduler and Protocol
	Forwarding  string           // direct or masquerade
	Persistence time.Duration    // whole seconds up to 31 days; 0: none
	OnFailure   string           // "remove" or "quiesce" (weight 0)
	Check       Check
	Servers     []Server // at least one, with different addresses, of the family of Virtual
}

// Check is a [service.check].
type Check struct {
	Type     string        // tcp or http
	Port     uint16        // 0: the server's own port
	Interval time.Duration // from start to start, 10 ms to 1 h
	Timeout  time.Duration // of the whole check, 1 ms to 1 h
	Rise     int           // good results in a row that bring a server up, 1-1000
	Fall     int           // bad results in a row that take it down, 1-1000

	// The rest has its zero value unless Type is http.

	Method    string // GET or HEAD
	Host      string // Host header, a host[:port] of a URL; empty: the server's address
	Path      string // begins with /, has valid escapes and no fragment; may have a query
	StatusMin int    // lowest good status, 100-599
	StatusMax int    // highest good status, 100-599
}

// Server is one [[service.server]].
type Server struct {
	Address netip.AddrPort // with direct forwarding the port is the service's
	Weight  int32          // 0-65535; 0 takes no new connections
}

// Director returns the director of that name. The error names those there are
// and the flag that chooses.
func (c *Config) Director(name string) (Director, error) {
	var names []string
	for _, d := range c.Directors {
		if d.Name == name {
			return d, nil
		}
		names = append(names, d.Name)
	}
	return Director{}, fmt.Errorf("%q is no director of pair %q, which has %s; say which one this host is with --node",
		name, c.Name, strings.Join(names, ", "))
}
