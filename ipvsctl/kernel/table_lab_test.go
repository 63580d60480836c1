//go:build lab

package kernel

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"tandem/ipvsctl"
)

// everything has each scheduler with each protocol in each family, and between
// them each forwarding, flag, weight, threshold and persistence.
func everything(schedulers []string) ipvsctl.Table {
	table := ipvsctl.Table{}
	n := 0
	for i, scheduler := range schedulers {
		for _, protocol := range []ipvsctl.Protocol{ipvsctl.TCP, ipvsctl.UDP, ipvsctl.SCTP} {
			for _, six := range []bool{false, true} {
				n++
				s := ipvsctl.Service{
					ServiceKey: ipvsctl.ServiceKey{Protocol: protocol, Address: address(six, 100, i, 80)},
					Scheduler:  scheduler,
					Flags:      ipvsctl.Flags(n%8) << 3, // the three scheduler flags
				}
				if scheduler == "sh" || scheduler == "mh" {
					s.Flags &^= ipvsctl.Sched3 // ipvsadm does not show it for those
				}
				if protocol == ipvsctl.UDP && n%3 == 0 {
					s.Flags |= ipvsctl.OnePacket
				}
				if n%2 == 0 {
					s.Flags |= ipvsctl.Persistent
					s.Persistence = uint32(60 * n)
					s.Netmask = []uint32{0, 8, 20, 31}[n/2%4]
				}
				table[s.ServiceKey] = ipvsctl.Entry{Service: s, Servers: servers(six, n)}
			}
		}
	}
	return table
}

func servers(six bool, n int) map[netip.AddrPort]ipvsctl.Server {
	m := map[netip.AddrPort]ipvsctl.Server{}
	for j, forwarding := range []ipvsctl.Forwarding{ipvsctl.Masquerade, ipvsctl.Tunnel, ipvsctl.Direct} {
		port := uint16(80)
		if forwarding == ipvsctl.Masquerade { // the others cannot change it, and ipvsadm sees to that
			port = 8080
		}
		a := address(six, 1, j, port)
		m[a] = ipvsctl.Server{
			Address: a, Forwarding: forwarding,
			Weight: []int32{0, 1, 100, 65535}[(n+j)%4],
			Upper:  []uint32{0, 10, 5_000_000}[(n+j)%3],
			Lower:  []uint32{0, 5, 4_000_000}[(n+j)%3],
		}
	}
	return m
}

func address(six bool, high, low int, port uint16) netip.AddrPort {
	if six {
		return netip.MustParseAddrPort(fmt.Sprintf("[fd00::%x:%x]:%d", high, low+1, port))
	}
	return netip.MustParseAddrPort(fmt.Sprintf("10.77.%d.%d:%d", high, low+1, port))
}

func TestTableRoundTrip(t *testing.T) {
	enterNamespace(t)
	h := open(t)
	missing, err := h.MissingSchedulers(ipvsctl.Schedulers())
	if err != nil {
		t.Fatal(err)
	}
	present := slices.DeleteFunc(ipvsctl.Schedulers(), func(s string) bool { return slices.Contains(missing, s) })
	if len(present) < 10 {
		t.Fatalf("the kernel has only the schedulers %v", present)
	}
	want := everything(present)
	t.Logf("schedulers %v, %d services", present, len(want))

	apply(t, h, ipvsctl.Diff(nil, want, mine))
	expectTable(t, h, want)
	expectThresholds(t, want)

	// Turned around: everything that can change does.
	slices.Reverse(present)
	apply(t, h, ipvsctl.Diff(read(t, h), everything(present), mine))
	expectTable(t, h, everything(present))

	apply(t, h, ipvsctl.Diff(read(t, h), nil, mine))
	if got := ipvsadm(t, "", "-Sn"); got != "" {
		t.Errorf("after deleting everything ipvsadm -Sn says\n%s", got)
	}
}

// expectThresholds asks ipvsadm for what -Sn leaves out.
func expectThresholds(t *testing.T, want ipvsctl.Table) {
	t.Helper()
	var got, expected []string
	for line := range strings.Lines(ipvsadm(t, "", "-Ln", "--thresholds")) {
		if f := strings.Fields(line); len(f) == 6 && f[0] == "->" {
			got = append(got, strings.Join(f[1:4], " "))
		}
	}
	for _, entry := range want {
		for _, s := range entry.Servers {
			expected = append(expected, fmt.Sprintf("%s %d %d", s.Address, s.Upper, s.Lower))
		}
	}
	slices.Sort(got)
	slices.Sort(expected)
	if diff := cmp.Diff(expected, got); diff != "" {
		t.Errorf("ipvsadm -Ln --thresholds (-want +got):\n%s", diff)
	}
}

// TestTableOfIpvsadm reads what another program made, among it a service with a
// firewall mark, which stays unseen and unharmed.
func TestTableOfIpvsadm(t *testing.T) {
	enterNamespace(t)
	h := open(t)
	ipvsadm(t, "-A -f 7 -s rr\n-a -f 7 -r 10.0.0.9:0 -g -w 1\n", "-R")
	want := everything([]string{"rr", "sh", "mh"})
	for _, entry := range want {
		for address, s := range entry.Servers { // -R has no thresholds
			s.Upper, s.Lower = 0, 0
			entry.Servers[address] = s
		}
	}
	ipvsadm(t, saved(want), "-R")

	got := read(t, h)
	if left := ipvsctl.Diff(got, want, mine); len(left) > 0 || len(got) != len(want) {
		t.Errorf("%d services of %d, %d differences %v", len(got), len(want), len(left), left)
	}
	apply(t, h, ipvsctl.Diff(got, nil, mine))
	if left := ipvsadm(t, "", "-Sn"); left != "-A -f 7 -s rr\n-a -f 7 -r 10.0.0.9:0 -g -w 1\n" {
		t.Errorf("left in the kernel:\n%s", left)
	}
}

// TestForwardingInPlace holds Diff to its promise that a forwarding method can
// be changed without deleting the server, and shows that the kernel reports the
// configured method also for an address of its own.
func TestForwardingInPlace(t *testing.T) {
	enterNamespace(t)
	h := open(t)
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	own, err := netlink.ParseAddr("10.9.9.9/32")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrAdd(lo, own); err != nil {
		t.Fatal(err)
	}
	service := ipvsctl.Service{
		ServiceKey: ipvsctl.ServiceKey{Protocol: ipvsctl.TCP, Address: netip.MustParseAddrPort("10.77.0.100:80")},
		Scheduler:  "wlc",
	}
	for _, forwarding := range []ipvsctl.Forwarding{ipvsctl.Direct, ipvsctl.Masquerade, ipvsctl.Tunnel, ipvsctl.Direct} {
		want := ipvsctl.Table{service.ServiceKey: {Service: service, Servers: map[netip.AddrPort]ipvsctl.Server{}}}
		for _, a := range []string{"10.0.0.11:80", "10.9.9.9:80", "127.0.0.1:80"} {
			server := ipvsctl.Server{Address: netip.MustParseAddrPort(a), Weight: 1, Forwarding: forwarding}
			want[service.ServiceKey].Servers[server.Address] = server
		}
		apply(t, h, ipvsctl.Diff(read(t, h), want, mine))
		expectTable(t, h, want)
	}
}

// TestTableDuringChanges reads while another program adds and deletes. What is
// read may be from before or after, but it is never an error and never broken.
func TestTableDuringChanges(t *testing.T) {
	enterNamespace(t)
	reader, writer := open(t), open(t)
	stable := everything([]string{"rr"})
	apply(t, writer, ipvsctl.Diff(nil, stable, mine))
	both := everything([]string{"rr", "wrr", "lc", "wlc"})

	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if err := writer.Apply(ipvsctl.Diff(stable, both, mine)); err != nil {
				done <- err
				return
			}
			if err := writer.Apply(ipvsctl.Diff(both, stable, mine)); err != nil {
				done <- err
				return
			}
		}
	}()
	sizes := map[int]bool{}
	for range 300 {
		table, _, err := reader.Table()
		if err != nil {
			t.Error(err)
			break
		}
		sizes[len(table)] = true
		for key := range stable {
			if entry, ok := table[key]; !ok || len(entry.Servers) != 3 {
				t.Errorf("%s, which nobody changes, has %d servers of 3", key, len(entry.Servers))
			}
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if len(sizes) < 2 {
		t.Errorf("no change was ever seen: %v", sizes)
	}
}
