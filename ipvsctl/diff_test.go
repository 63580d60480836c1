package ipvsctl

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func mine(ServiceKey) bool    { return true }
func notMine(ServiceKey) bool { return false }

func key(protocol Protocol, address string) ServiceKey {
	return ServiceKey{Protocol: protocol, Address: netip.MustParseAddrPort(address)}
}

func entry(s Service, servers ...Server) Entry {
	e := Entry{Service: s, Servers: map[netip.AddrPort]Server{}}
	for _, server := range servers {
		e.Servers[server.Address] = server
	}
	return e
}

func table(entries ...Entry) Table {
	t := Table{}
	for _, e := range entries {
		t[e.Service.ServiceKey] = e
	}
	return t
}

func server(address string, weight int32) Server {
	return Server{Address: netip.MustParseAddrPort(address), Weight: weight, Forwarding: Direct}
}

func lines(ops []Op) string {
	var b strings.Builder
	for _, op := range ops {
		fmt.Fprintln(&b, op)
	}
	return b.String()
}

func TestDiff(t *testing.T) {
	web := Service{ServiceKey: key(TCP, "10.77.0.100:80"), Scheduler: "wlc"}
	tls := Service{ServiceKey: key(TCP, "10.77.0.100:443"), Scheduler: "wlc"}
	dns := Service{ServiceKey: key(UDP, "10.77.0.100:53"), Scheduler: "rr", Flags: OnePacket}
	with := func(s Service, change func(*Service)) Service { change(&s); return s }

	tests := []struct {
		name       string
		have, want Table
		owned      func(ServiceKey) bool
		ops        string
	}{
		{name: "nothing", owned: mine},
		{
			name:  "from an empty kernel, sorted",
			want:  table(entry(web, server("10.0.0.12:80", 50), server("10.0.0.11:80", 100)), entry(dns)),
			owned: notMine,
			ops: `
add service udp 10.77.0.100:53 scheduler rr flags ops
add service tcp 10.77.0.100:80 scheduler wlc
add server 10.0.0.11:80 weight 100 direct to tcp 10.77.0.100:80
add server 10.0.0.12:80 weight 50 direct to tcp 10.77.0.100:80
`,
		},
		{
			name: "all the verbs, additions before removals, raises before reductions",
			have: table(
				entry(with(web, func(s *Service) { s.Scheduler = "rr" }),
					server("10.0.0.10:80", 1), server("10.0.0.11:80", 1), server("10.0.0.12:80", 1)),
				entry(tls, server("10.0.0.10:443", 1))),
			want: table(
				entry(dns, server("10.0.0.10:53", 1)),
				entry(web, server("10.0.0.11:80", 0), server("10.0.0.12:80", 2), server("10.0.0.13:80", 1))),
			owned: mine,
			ops: `
add service udp 10.77.0.100:53 scheduler rr flags ops
set service tcp 10.77.0.100:80 scheduler wlc
add server 10.0.0.10:53 weight 1 direct to udp 10.77.0.100:53
add server 10.0.0.13:80 weight 1 direct to tcp 10.77.0.100:80
set server 10.0.0.12:80 weight 2 direct of tcp 10.77.0.100:80
set server 10.0.0.11:80 weight 0 direct of tcp 10.77.0.100:80
delete server 10.0.0.10:80 from tcp 10.77.0.100:80
delete service tcp 10.77.0.100:443
`,
		},
		{
			name:  "a foreign service is left alone with its servers",
			have:  table(entry(tls, server("10.0.0.10:443", 1))),
			owned: notMine,
		},
		{
			name:  "a wanted service is converged even if somebody else made it",
			have:  table(entry(web, server("10.0.0.9:80", 1))),
			want:  table(entry(web)),
			owned: notMine,
			ops:   "delete server 10.0.0.9:80 from tcp 10.77.0.100:80\n",
		},
		{
			name: "forwarding and thresholds change in place",
			have: table(entry(web, server("10.0.0.10:80", 1), server("10.0.0.11:80", 1))),
			want: table(entry(web, Server{Address: netip.MustParseAddrPort("10.0.0.10:80"), Weight: 1, Forwarding: Masquerade},
				Server{Address: netip.MustParseAddrPort("10.0.0.11:80"), Weight: 1, Forwarding: Direct, Upper: 10, Lower: 5})),
			owned: mine,
			ops: `
set server 10.0.0.10:80 weight 1 masquerade of tcp 10.77.0.100:80
set server 10.0.0.11:80 weight 1 direct upper 10 lower 5 of tcp 10.77.0.100:80
`,
		},
		{
			name: "the kernel's own flag, its netmask and unused persistence values are no difference",
			have: table(
				entry(with(web, func(s *Service) { s.Flags, s.Netmask = 0x2, 32 })),
				entry(with(tls, func(s *Service) { s.Flags, s.Netmask, s.Persistence = 0x2|Persistent, 32, 300 }))),
			want: table(
				entry(with(web, func(s *Service) { s.Netmask, s.Persistence = 24, 60 })),
				entry(with(tls, func(s *Service) { s.Flags, s.Persistence = Persistent, 300 }))),
			owned: mine,
		},
		{
			name:  "persistence",
			have:  table(entry(with(web, func(s *Service) { s.Flags, s.Persistence, s.Netmask = 0x3, 300, 32 }))),
			want:  table(entry(with(web, func(s *Service) { s.Flags, s.Persistence, s.Netmask = Persistent, 300, 24 }))),
			owned: mine,
			ops:   "set service tcp 10.77.0.100:80 scheduler wlc persistent 300s mask 24\n",
		},
		{
			name:  "IPv6",
			have:  table(entry(Service{ServiceKey: key(TCP, "[fd00::100]:80"), Scheduler: "rr", Flags: 0x2, Netmask: 128})),
			want:  table(entry(Service{ServiceKey: key(TCP, "[fd00::100]:80"), Scheduler: "rr"}, server("[fd00::1]:80", 1))),
			owned: mine,
			ops:   "add server [fd00::1]:80 weight 1 direct to tcp [fd00::100]:80\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := lines(Diff(tt.have, tt.want, tt.owned))
			if diff := cmp.Diff(strings.TrimPrefix(tt.ops, "\n"), got); diff != "" {
				t.Errorf("operations (-want +got):\n%s", diff)
			}
		})
	}
}

// TestDiffConverges applies the operations between random tables to the strict
// model and looks at where that leads.
func TestDiffConverges(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 3_000 {
		have, want := Table(newModel(randomTable(r))), randomTable(r)
		ours := map[ServiceKey]bool{}
		for k := range have {
			ours[k] = r.IntN(2) == 0
		}
		owned := func(k ServiceKey) bool { return ours[k] }

		kernel := newModel(have)
		ops := Diff(have, want, owned)
		if !slices.IsSortedFunc(ops, func(a, b Op) int { return int(a.Verb) - int(b.Verb) }) {
			t.Fatalf("run %d: not in the order of the verbs:\n%s", i, lines(ops))
		}
		for _, op := range ops {
			if err := kernel.apply(op); err != nil {
				t.Fatalf("run %d: %v\nof\n%s", i, err, lines(ops))
			}
		}
		expected := clone(want)
		for k, e := range have {
			if _, wanted := want[k]; !wanted && !ours[k] {
				expected[k] = e
			}
		}
		normal := cmp.Transformer("normal", Service.normal)
		if diff := cmp.Diff(expected, Table(kernel), normal, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
			t.Fatalf("run %d (-want +got):\n%s", i, diff)
		}
		if again := Diff(Table(kernel), want, owned); len(again) != 0 {
			t.Fatalf("run %d: not idempotent:\n%s", i, lines(again))
		}
		if other := Diff(have, want, owned); !slices.Equal(ops, other) {
			t.Fatalf("run %d: two orders for the same tables:\n%s\n%s", i, lines(ops), lines(other))
		}
	}
}

// TestDiffNeverReducesFirst checks the reason for the order: no prefix of the
// operations leaves a wanted service with less weight than it has before and
// after.
func TestDiffNeverReducesFirst(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 3_000 {
		have, want := randomTable(r), randomTable(r)
		kernel := newModel(have)
		for _, op := range Diff(have, want, mine) {
			if err := kernel.apply(op); err != nil {
				t.Fatal(err)
			}
			k := op.Service.ServiceKey
			before, existed := have[k]
			after, wanted := want[k]
			if !existed || !wanted {
				continue
			}
			if now := weight(kernel[k]); now < min(weight(before), weight(after)) {
				t.Fatalf("run %d: after %q the service has weight %d, before all %d, after all %d",
					i, op, now, weight(before), weight(after))
			}
		}
	}
}

func weight(e Entry) (sum int32) {
	for _, s := range e.Servers {
		sum += s.Weight
	}
	return sum
}

func TestForeign(t *testing.T) {
	a := Service{ServiceKey: key(TCP, "10.0.0.1:80")}
	b := Service{ServiceKey: key(UDP, "10.0.0.1:80")}
	c := Service{ServiceKey: key(TCP, "10.0.0.2:80")}
	d := Service{ServiceKey: key(TCP, "9.0.0.2:80")}
	have := table(entry(a), entry(b), entry(c), entry(d))
	owned := func(k ServiceKey) bool { return k == a.ServiceKey }
	got := Foreign(have, table(entry(c)), owned)
	if want := []ServiceKey{d.ServiceKey, b.ServiceKey}; !slices.Equal(got, want) {
		t.Errorf("Foreign = %v, want %v", got, want)
	}
}

// bigTable has ten servers per service.
func bigTable(services int, weight int32) Table {
	t := make(Table, services)
	for i := range services {
		address := netip.AddrFrom4([4]byte{10, 77, byte(i >> 8), byte(i)})
		e := entry(Service{ServiceKey: ServiceKey{TCP, netip.AddrPortFrom(address, 80)}, Scheduler: "wlc"})
		for j := range 10 {
			a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(j), byte(i >> 8), byte(i)}), 80)
			e.Servers[a] = Server{Address: a, Weight: weight, Forwarding: Direct}
		}
		t[e.Service.ServiceKey] = e
	}
	return t
}

func BenchmarkDiff(b *testing.B) {
	for _, services := range []int{300, 3000} {
		have, want := bigTable(services, 1), bigTable(services, 2)
		b.Run(fmt.Sprintf("servers=%d/equal", services*10), func(b *testing.B) {
			for b.Loop() {
				if ops := Diff(have, have, mine); len(ops) != 0 {
					b.Fatal(len(ops))
				}
			}
		})
		b.Run(fmt.Sprintf("servers=%d/all-changed", services*10), func(b *testing.B) {
			for b.Loop() {
				if ops := Diff(have, want, mine); len(ops) != services*10 {
					b.Fatal(len(ops))
				}
			}
		})
	}
}
