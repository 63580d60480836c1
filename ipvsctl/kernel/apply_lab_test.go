//go:build lab

package kernel

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tandem/ipvsctl"
)

// TestMissingSchedulers leans on a scheduler that no released Debian kernel
// has, and on one that nobody has.
func TestMissingSchedulers(t *testing.T) {
	enterNamespace(t)
	h := open(t)
	missing, err := h.MissingSchedulers([]string{"wlc", "unheard-of", "mh", "twos", "wlc", "twos", "rr"})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"twos", "unheard-of"}; !slices.Equal(missing, want) {
		t.Errorf("missing %v, want %v", missing, want)
	}
	if got := ipvsadm(t, "", "-Sn"); got != "" {
		t.Errorf("asking has left traces:\n%s", got)
	}
}

func TestApplyErrors(t *testing.T) {
	enterNamespace(t)
	h := open(t)
	web := ipvsctl.Service{
		ServiceKey: ipvsctl.ServiceKey{Protocol: ipvsctl.TCP, Address: netip.MustParseAddrPort("10.77.0.100:80")},
		Scheduler:  "wlc",
	}
	other, twos := web, web
	other.Address = netip.MustParseAddrPort("10.77.0.100:443")
	twos.Scheduler = "twos"
	server := ipvsctl.Server{Address: netip.MustParseAddrPort("10.0.0.11:80"), Weight: 1, Forwarding: ipvsctl.Direct}
	multicast, lower := server, server
	multicast.Address = netip.MustParseAddrPort("224.0.0.1:80")
	lower.Address, lower.Lower = netip.MustParseAddrPort("10.0.0.12:80"), 1

	steps := []struct {
		op    ipvsctl.Op
		errno unix.Errno // 0: it works
		words string
	}{
		{ipvsctl.Op{Verb: ipvsctl.AddService, Service: twos}, unix.ENOENT, "add service tcp 10.77.0.100:80 scheduler twos: the kernel has no scheduler twos: its module ip_vs_twos is missing"},
		{ipvsctl.Op{Verb: ipvsctl.SetService, Service: web}, unix.ESRCH, "set service tcp 10.77.0.100:80 scheduler wlc: there is no such service"},
		{ipvsctl.Op{Verb: ipvsctl.AddServer, Service: web, Server: server}, unix.ESRCH, "add server 10.0.0.11:80 weight 1 direct to tcp 10.77.0.100:80: there is no such service"},
		{ipvsctl.Op{Verb: ipvsctl.AddService, Service: web}, 0, ""},
		{ipvsctl.Op{Verb: ipvsctl.AddService, Service: web}, unix.EEXIST, "add service tcp 10.77.0.100:80 scheduler wlc: the service is there already"},
		{ipvsctl.Op{Verb: ipvsctl.SetService, Service: twos}, unix.ENOENT, "set service tcp 10.77.0.100:80 scheduler twos: the kernel has no scheduler twos: its module ip_vs_twos is missing"},
		{ipvsctl.Op{Verb: ipvsctl.SetServer, Service: web, Server: server}, unix.ENOENT, "set server 10.0.0.11:80 weight 1 direct of tcp 10.77.0.100:80: the service has no such server"},
		{ipvsctl.Op{Verb: ipvsctl.AddServer, Service: web, Server: server}, 0, ""},
		{ipvsctl.Op{Verb: ipvsctl.AddServer, Service: web, Server: server}, unix.EEXIST, "add server 10.0.0.11:80 weight 1 direct to tcp 10.77.0.100:80: the service has this server already"},
		{ipvsctl.Op{Verb: ipvsctl.AddServer, Service: web, Server: multicast}, unix.EINVAL, "add server 224.0.0.1:80 weight 1 direct to tcp 10.77.0.100:80: the server's address is not a unicast address"},
		{ipvsctl.Op{Verb: ipvsctl.AddServer, Service: web, Server: lower}, unix.ERANGE, "add server 10.0.0.12:80 weight 1 direct lower 1 to tcp 10.77.0.100:80: the weight is negative or the lower threshold is above the upper one"},
		{ipvsctl.Op{Verb: ipvsctl.DelServer, Service: web, Server: lower}, unix.ENOENT, "delete server 10.0.0.12:80 from tcp 10.77.0.100:80: the service has no such server"},
		{ipvsctl.Op{Verb: ipvsctl.DelService, Service: other}, unix.ESRCH, "delete service tcp 10.77.0.100:443: there is no such service"},
	}
	var ops []ipvsctl.Op
	var want []string
	for _, s := range steps {
		ops = append(ops, s.op)
		if s.errno != 0 {
			want = append(want, fmt.Sprintf("%s (%s)", s.words, s.errno))
		}
	}
	err := h.Apply(ops)
	if err == nil {
		t.Fatal("no error")
	}
	if got := strings.Split(err.Error(), "\n"); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", err, strings.Join(want, "\n"))
	}
	for _, errno := range []unix.Errno{unix.ENOENT, unix.ESRCH, unix.EEXIST, unix.EINVAL, unix.ERANGE} {
		if !errors.Is(err, errno) {
			t.Errorf("the joined error does not wrap %v", errno)
		}
	}
	// What could be done is done.
	expectTable(t, h, ipvsctl.Table{web.ServiceKey: {Service: web, Servers: map[netip.AddrPort]ipvsctl.Server{server.Address: server}}})
}

// TestConvergence walks from random table to random table, as reloads do.
func TestConvergence(t *testing.T) {
	enterNamespace(t)
	h := open(t)
	r := rand.New(rand.NewPCG(5, 6))
	for i := range 60 {
		want := randomTable(r)
		apply(t, h, ipvsctl.Diff(read(t, h), want, mine))
		if left := ipvsctl.Diff(read(t, h), want, mine); len(left) > 0 {
			t.Fatalf("table %d: left to do: %v", i, left)
		}
		if i%10 == 0 { // each run of a process is slow under emulation
			expectTable(t, h, want)
		}
	}
}

func randomTable(r *rand.Rand) ipvsctl.Table {
	all := everything([]string{"rr", "wlc", "sh", "mh"})
	table := ipvsctl.Table{}
	for _, key := range slices.SortedFunc(maps.Keys(all), func(a, b ipvsctl.ServiceKey) int {
		return strings.Compare(a.String(), b.String())
	}) {
		if r.IntN(2) == 0 {
			continue
		}
		entry := all[key]
		entry.Service.Scheduler = []string{"rr", "wlc", "sh", "mh"}[r.IntN(4)]
		entry.Service.Flags &^= ipvsctl.Sched3 // which ipvsadm does not show with sh and mh
		entry.Servers = servers(key.Address.Addr().Is6(), r.IntN(12))
		for address := range entry.Servers {
			if r.IntN(3) == 0 {
				delete(entry.Servers, address)
			}
		}
		table[key] = entry
	}
	return table
}

// TestRepair lets another program interfere and looks at whether one round of
// reading, comparing and applying undoes that, and nothing else.
func TestRepair(t *testing.T) {
	enterNamespace(t)
	h := open(t)
	want := everything([]string{"rr", "wlc"})
	apply(t, h, ipvsctl.Diff(nil, want, mine))
	for _, interference := range [][]string{
		{"-D", "-t", "10.77.100.1:80"},
		{"-d", "-t", "10.77.100.2:80", "-r", "10.77.1.1:8080"},
		{"-e", "-t", "10.77.100.2:80", "-r", "10.77.1.2:80", "-g", "-w", "7"},
		{"-E", "-u", "10.77.100.1:80", "-s", "sh"},
		{"-a", "-u", "10.77.100.1:80", "-r", "10.0.0.99:80", "-g"},
		{"-A", "-t", "10.99.0.1:80", "-s", "rr"},
		{"-C"},
	} {
		ipvsadm(t, "", interference...)
		ops := ipvsctl.Diff(read(t, h), want, mine)
		if len(ops) == 0 {
			t.Errorf("ipvsadm %v went unseen", interference)
		}
		apply(t, h, ops)
		expectTable(t, h, want)
	}
}
