package ipvsctl

import (
	"net/netip"
)

// Protocol is an IP protocol number that IPVS balances.
type Protocol uint8

// The protocols of IPVS.
const (
	TCP  Protocol = 6
	UDP  Protocol = 17
	SCTP Protocol = 132
)

// Forwarding is how packets reach a real server (IP_VS_CONN_F_FWD_MASK of
// linux/ip_vs.h).
type Forwarding uint8

// The ways of forwarding. Masquerade, Tunnel and Direct are configured. A
// kernel of today finds out by itself, packet by packet, that a server's
// address is its own, and goes on reporting the configured way; LocalNode is
// only seen where another program asked for it.
const (
	Masquerade Forwarding = 0 // LVS-NAT
	LocalNode  Forwarding = 1
	Tunnel     Forwarding = 2 // LVS-TUN
	Direct     Forwarding = 3 // LVS-DR
)

// Flags are the service flags that are configured (IP_VS_SVC_F_* of
// linux/ip_vs.h).
type Flags uint32

// The service flags. The scheduler flags share their bits between schedulers.
// The kernel's own bit 0x2 (IP_VS_SVC_F_HASHED) is not one of them.
const (
	Persistent Flags = 0x1
	OnePacket  Flags = 0x4
	Sched1     Flags = 0x8  // sh-fallback, mh-fallback
	Sched2     Flags = 0x10 // sh-port, mh-port
	Sched3     Flags = 0x20

	settableFlags = Persistent | OnePacket | Sched1 | Sched2 | Sched3
)

// ServiceKey identifies a service.
type ServiceKey struct {
	Protocol Protocol
	Address  netip.AddrPort // port 0: every port, served only with Persistent
}

// Service is the specification of a virtual service.
type Service struct {
	ServiceKey
	Scheduler   string // without the ip_vs_ prefix: rr, wlc, mh …
	Flags       Flags
	Persistence uint32 // seconds; only with Persistent
	Netmask     uint32 // persistence granularity as a prefix length; 32 or 128, or 0: one client
}

// Server is the specification of a real server within a service, identified by
// its Address.
type Server struct {
	Address    netip.AddrPort
	Weight     int32 // 0-65535; 0 takes no new connections
	Forwarding Forwarding
	Upper      uint32 // connections above which it gets no new ones; 0: no limit
	Lower      uint32 // connections below which an overloaded server gets new ones again; at most Upper; 0: three quarters of Upper
}

// Entry is a service with its servers.
type Entry struct {
	Service Service
	Servers map[netip.AddrPort]Server
}

// Table is an IPVS table: what the kernel has, or what it should have. The key
// of an entry is its service's ServiceKey, the key of a server its Address.
type Table map[ServiceKey]Entry

// Verb is what an Op does.
type Verb uint8

// The operations in the order in which Diff emits them, so that capacity is
// added before it is taken away.
const (
	AddService Verb = iota
	SetService
	AddServer
	SetServer
	DelServer
	DelService // and its servers with it
)

// Op is one change of the kernel's table.
type Op struct {
	Verb    Verb
	Service Service
	Server  Server // for the Server verbs
}

// ServerStats is what the kernel counts of a server since it was added.
type ServerStats struct {
	Active, Inactive      uint32 // connections now
	Connections           uint64 // ever scheduled
	PacketsIn, PacketsOut uint64
	BytesIn, BytesOut     uint64
}

// StatsKey identifies a server's counters.
type StatsKey struct {
	Service ServiceKey
	Server  netip.AddrPort
}
