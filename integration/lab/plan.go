package lab

import (
	"fmt"
	"net"
	"net/netip"
)

// The segments, by the name of the device that is attached to them.
const (
	LAN     = "eth0" // clients, directors and, unless Options.Inside, real servers
	Inside  = "eth1" // directors and real servers, with Options.Inside
	Outside = "eth2" // router and client, with Options.Router
)

// Host numbers, the same on every segment and in both address families.
const (
	hostDirector = 1   // first director
	hostServer   = 11  // first real server
	hostVIP      = 100 // virtual addresses begin here and end before the client
	hostClient   = 200
	hostGateway  = 254 // the router on LAN and Outside, the gateway VIP on Inside
)

const (
	maxDirectors = hostServer - hostDirector
	maxServers   = hostVIP - hostServer
)

// Addresses that no node holds until a director takes them.
var (
	VIP         = Addr(LAN, hostVIP)         // 10.77.0.100
	VIP6        = Addr6(LAN, hostVIP)        // fd77::100
	GatewayVIP  = Addr(Inside, hostGateway)  // 10.88.0.254
	GatewayVIP6 = Addr6(Inside, hostGateway) // fd88::254
)

// segmentNumber is the digit pair that tells the segments' prefixes apart.
func segmentNumber(dev string) int {
	switch dev {
	case LAN:
		return 77
	case Inside:
		return 88
	case Outside:
		return 99
	}
	panic(fmt.Sprintf("lab: no segment %q: use lab.LAN, lab.Inside or lab.Outside", dev))
}

// Addr is the IPv4 address of a host number (1–254) on a segment. The numbers
// 100 to 199 are never given to a node. It panics if dev is not a segment.
func Addr(dev string, host int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(segmentNumber(dev)), 0, byte(host)})
}

// Addr6 is the IPv6 address of a host number on a segment: Addr6(LAN, 11) is
// fd77::11, the digits of the decimal number. It panics if dev is not a segment.
func Addr6(dev string, host int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("fd%d::%d", segmentNumber(dev), host))
}

// hardwareAddr is a locally administered address that spells the IPv4 address.
func hardwareAddr(a netip.Addr) net.HardwareAddr {
	b := a.As4()
	return net.HardwareAddr{0x02, 0x00, b[0], b[1], b[2], b[3]}
}

// spec describes one node before anything exists.
type spec struct {
	name    string
	host    int      // host number on every segment it is attached to
	devs    []string // segments it is attached to
	gateway string   // segment of its default route; "" for none
	forward bool     // is a router
}

// plan is everything that New builds.
type plan struct {
	segments  []string
	client    spec
	router    *spec
	directors []spec
	servers   []spec
}

// newPlan lays out the topology that the options ask for.
func newPlan(o Options) (plan, error) {
	if o.Directors < 1 || o.Directors > maxDirectors {
		return plan{}, fmt.Errorf("lab: %d directors: want 1 to %d", o.Directors, maxDirectors)
	}
	if o.Servers < 0 || o.Servers > maxServers {
		return plan{}, fmt.Errorf("lab: %d servers: want 0 to %d", o.Servers, maxServers)
	}
	p := plan{
		segments: []string{LAN},
		client:   spec{name: "client", host: hostClient, devs: []string{LAN}},
	}
	directorDevs, serverDev := []string{LAN}, LAN
	var lanGateway, serverGateway string
	if o.Router {
		p.segments = append(p.segments, Outside)
		p.client.devs, p.client.gateway = []string{Outside}, Outside
		p.router = &spec{name: "router", host: hostGateway, devs: []string{LAN, Outside}, forward: true}
		lanGateway, serverGateway = LAN, LAN
	}
	if o.Inside {
		p.segments = append(p.segments, Inside)
		directorDevs, serverDev, serverGateway = []string{LAN, Inside}, Inside, Inside
	}
	for i := range o.Directors {
		p.directors = append(p.directors, spec{
			name: fmt.Sprintf("lb%d", i+1), host: hostDirector + i, devs: directorDevs, gateway: lanGateway,
		})
	}
	for i := range o.Servers {
		p.servers = append(p.servers, spec{
			name: fmt.Sprintf("s%d", i+1), host: hostServer + i, devs: []string{serverDev}, gateway: serverGateway,
		})
	}
	return p, nil
}
