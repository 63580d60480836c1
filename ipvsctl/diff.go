package ipvsctl

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
)

// Diff returns the operations that turn have, the kernel's table, into want.
//
// Services that are in have but not in want are deleted if owned says that they
// are ours, and left alone otherwise. A service in both is brought to want
// completely, its servers included, whoever made it.
//
// The operations come in the order of the Verb constants, so that capacity is
// added before it is taken away; for the same reason a SetServer that raises a
// weight comes before one that does not. Within that, they are sorted by service
// and server: equal tables give equal operations.
//
// Everything but the identity of a service or a server can be changed in place,
// which keeps their connections, so nothing is ever deleted to be added again.
func Diff(have, want Table, owned func(ServiceKey) bool) []Op {
	var d changes
	for _, key := range sortedKeys(want) {
		d.converge(have, key, want[key])
	}
	for _, key := range sortedKeys(have) {
		if _, wanted := want[key]; !wanted && owned(key) {
			d.delServices = append(d.delServices, Op{Verb: DelService, Service: have[key].Service})
		}
	}
	return d.inOrder()
}

// Foreign returns the services of have, sorted, that neither want nor owned
// knows: those that Diff leaves alone because somebody else made them.
func Foreign(have, want Table, owned func(ServiceKey) bool) []ServiceKey {
	var foreign []ServiceKey
	for _, key := range sortedKeys(have) {
		if _, wanted := want[key]; !wanted && !owned(key) {
			foreign = append(foreign, key)
		}
	}
	return foreign
}

// changes collects operations by when they must happen.
type changes struct {
	addServices, setServices []Op
	addServers, raiseServers []Op
	setServers, delServers   []Op
	delServices              []Op
}

func (d *changes) inOrder() []Op {
	return slices.Concat(d.addServices, d.setServices, d.addServers, d.raiseServers,
		d.setServers, d.delServers, d.delServices)
}

// converge collects what brings the service at key to want.
func (d *changes) converge(have Table, key ServiceKey, want Entry) {
	old, exists := have[key]
	switch {
	case !exists:
		d.addServices = append(d.addServices, Op{Verb: AddService, Service: want.Service})
	case old.Service.normal() != want.Service.normal():
		d.setServices = append(d.setServices, Op{Verb: SetService, Service: want.Service})
	}
	for _, address := range sortedAddresses(want.Servers) {
		d.convergeServer(old, want.Service, want.Servers[address])
	}
	for _, address := range sortedAddresses(old.Servers) {
		if _, wanted := want.Servers[address]; !wanted {
			d.delServers = append(d.delServers,
				Op{Verb: DelServer, Service: want.Service, Server: old.Servers[address]})
		}
	}
}

func (d *changes) convergeServer(old Entry, service Service, want Server) {
	have, exists := old.Servers[want.Address]
	op := Op{Verb: SetServer, Service: service, Server: want}
	switch {
	case !exists:
		op.Verb = AddServer
		d.addServers = append(d.addServers, op)
	case have == want:
	case want.Weight > have.Weight:
		d.raiseServers = append(d.raiseServers, op)
	default:
		d.setServers = append(d.setServers, op)
	}
}

// normal returns the service as the kernel sees it, so that two spellings of
// the same service compare equal.
func (s Service) normal() Service {
	s.Flags &= settableFlags
	if s.Flags&Persistent == 0 {
		// Without persistence the kernel stores both values and uses neither.
		s.Persistence, s.Netmask = 0, 0
	}
	if s.Netmask == 0 {
		s.Netmask = uint32(s.Address.Addr().BitLen())
	}
	return s
}

func compareKeys(a, b ServiceKey) int {
	return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Protocol, b.Protocol))
}

func sortedKeys(t Table) []ServiceKey {
	return slices.SortedFunc(maps.Keys(t), compareKeys)
}

func sortedAddresses(servers map[netip.AddrPort]Server) []netip.AddrPort {
	return slices.SortedFunc(maps.Keys(servers), netip.AddrPort.Compare)
}
