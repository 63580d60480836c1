package ipvsctl

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
)

// model is a kernel as strict as the real one: it refuses to add what is there
// and to change or delete what is not.
type model Table

func newModel(t Table) model { return model(clone(t)) }

func clone(t Table) Table {
	c := make(Table, len(t))
	for key, entry := range t {
		c[key] = Entry{Service: entry.Service, Servers: maps.Clone(entry.Servers)}
	}
	return c
}

func (m model) apply(op Op) error {
	key := op.Service.ServiceKey
	entry, exists := m[key]
	switch {
	case op.Verb == AddService && exists:
		return fmt.Errorf("%s: EEXIST", op)
	case op.Verb != AddService && !exists:
		return fmt.Errorf("%s: ESRCH", op)
	}
	switch op.Verb {
	case AddService:
		m[key] = Entry{Service: asKernel(op.Service), Servers: map[netip.AddrPort]Server{}}
		return nil
	case SetService:
		entry.Service = asKernel(op.Service)
		m[key] = entry
		return nil
	case DelService:
		delete(m, key)
		return nil
	}
	return m.applyServer(entry.Servers, op)
}

func (m model) applyServer(servers map[netip.AddrPort]Server, op Op) error {
	_, exists := servers[op.Server.Address]
	switch {
	case op.Verb == AddServer && exists:
		return fmt.Errorf("%s: EEXIST", op)
	case op.Verb != AddServer && !exists:
		return fmt.Errorf("%s: ENOENT", op)
	}
	switch op.Verb {
	case AddServer, SetServer:
		servers[op.Server.Address] = op.Server
	case DelServer:
		delete(servers, op.Server.Address)
	default:
		return fmt.Errorf("%s: EINVAL", op)
	}
	return nil
}

// asKernel is how the kernel reports a service: with its own flag, and with a
// netmask in full.
func asKernel(s Service) Service {
	s.Flags |= 0x2
	if s.Netmask == 0 {
		s.Netmask = uint32(s.Address.Addr().BitLen())
	}
	return s
}

// randomTable draws a table from a space so small that two tables share many
// services and servers.
func randomTable(r *rand.Rand) Table {
	t := Table{}
	for range r.IntN(8) {
		entry := Entry{Service: randomService(r), Servers: map[netip.AddrPort]Server{}}
		for range r.IntN(6) {
			s := randomServer(r, entry.Service.Address.Addr().Is6())
			entry.Servers[s.Address] = s
		}
		t[entry.Service.ServiceKey] = entry
	}
	return t
}

func randomService(r *rand.Rand) Service {
	addresses := []string{"10.77.0.100:80", "10.77.0.100:443", "10.77.0.101:80", "[fd00::100]:80"}
	s := Service{
		ServiceKey: ServiceKey{
			Protocol: []Protocol{TCP, UDP, SCTP}[r.IntN(3)],
			Address:  netip.MustParseAddrPort(addresses[r.IntN(len(addresses))]),
		},
		Scheduler: []string{"rr", "wlc", "mh"}[r.IntN(3)],
		Flags:     []Flags{0, Sched1, Sched2, OnePacket}[r.IntN(4)],
	}
	if r.IntN(2) == 0 {
		s.Flags |= Persistent
		s.Persistence = uint32(300 + r.IntN(2))
		s.Netmask = []uint32{0, 24}[r.IntN(2)]
	}
	return s
}

func randomServer(r *rand.Rand, six bool) Server {
	address := netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(6))})
	if six {
		address = netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(r.IntN(6))})
	}
	return Server{
		Address:    netip.AddrPortFrom(address, 80),
		Weight:     int32(r.IntN(3)),
		Forwarding: []Forwarding{Masquerade, Direct, Tunnel}[r.IntN(3)],
		Upper:      uint32(r.IntN(2) * 100),
	}
}
