//go:build lab

package kernel

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"tandem/ipvsctl"
)

// enterNamespace moves the test into a network namespace of its own, whose only
// device lo is up, until the test ends. A subtest would run on another thread
// and so outside of it.
func enterNamespace(t testing.TB) {
	t.Helper()
	runtime.LockOSThread()
	before, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := netns.New()
	if err != nil {
		t.Fatalf("a network namespace needs root: %v", err)
	}
	t.Cleanup(func() {
		fresh.Close()
		if err := netns.Set(before); err != nil {
			t.Error(err) // and the thread, still locked, ends with the test
			return
		}
		before.Close()
		runtime.UnlockOSThread()
	})
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB) *Handle {
	t.Helper()
	h, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// ipvsadm is the independent witness. It returns the standard output.
func ipvsadm(t testing.TB, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.Command("ipvsadm", args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errOut strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil || errOut.Len() > 0 {
		t.Fatalf("ipvsadm %s: %v: %s", strings.Join(args, " "), err, errOut.String())
	}
	return out.String()
}

func mine(ipvsctl.ServiceKey) bool { return true }

// apply fails the test on any error.
func apply(t testing.TB, h *Handle, ops []ipvsctl.Op) {
	t.Helper()
	if err := h.Apply(ops); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, h *Handle) ipvsctl.Table {
	t.Helper()
	table, _, err := h.Table()
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// expectTable compares what the kernel has with want: as read here, and as
// ipvsadm saves it.
func expectTable(t testing.TB, h *Handle, want ipvsctl.Table) {
	t.Helper()
	if left := ipvsctl.Diff(read(t, h), want, mine); len(left) > 0 {
		t.Errorf("%d operations are left to do, first %q", len(left), left[0])
	}
	got := strings.Split(strings.TrimSpace(ipvsadm(t, "", "-Sn")), "\n")
	slices.Sort(got)
	expected := strings.Split(strings.TrimSpace(saved(want)), "\n")
	slices.Sort(expected)
	if diff := cmp.Diff(expected, got); diff != "" {
		t.Errorf("ipvsadm -Sn (-want +got):\n%s", diff)
	}
}

// saved returns the table in the form of ipvsadm -Sn, which ipvsadm -R reads.
func saved(table ipvsctl.Table) string {
	var b strings.Builder
	for _, key := range slices.SortedFunc(maps.Keys(table), func(a, b ipvsctl.ServiceKey) int {
		return strings.Compare(a.String(), b.String())
	}) {
		entry := table[key]
		name := serviceOption(key)
		fmt.Fprintf(&b, "-A %s -s %s%s\n", name, entry.Service.Scheduler, serviceOptions(entry.Service))
		for _, address := range slices.SortedFunc(maps.Keys(entry.Servers), netip.AddrPort.Compare) {
			server := entry.Servers[address]
			forwarding := map[ipvsctl.Forwarding]string{
				ipvsctl.Masquerade: "-m -w %d", ipvsctl.Direct: "-g -w %d", ipvsctl.Tunnel: "-i -w %d --tun-type ipip",
			}[server.Forwarding]
			fmt.Fprintf(&b, "-a %s -r %s "+forwarding+"\n", name, address, server.Weight)
		}
	}
	return b.String()
}

func serviceOption(key ipvsctl.ServiceKey) string {
	option := map[ipvsctl.Protocol]string{ipvsctl.TCP: "-t", ipvsctl.UDP: "-u", ipvsctl.SCTP: "--sctp-service"}
	return option[key.Protocol] + " " + key.Address.String()
}

func serviceOptions(s ipvsctl.Service) string {
	var b strings.Builder
	if s.Flags&ipvsctl.Persistent != 0 {
		fmt.Fprintf(&b, " -p %d", s.Persistence)
		if four := s.Address.Addr().Is4(); s.Netmask != 0 && four && s.Netmask != 32 {
			fmt.Fprintf(&b, " -M %s", net.IP(net.CIDRMask(int(s.Netmask), 32)))
		} else if s.Netmask != 0 && !four && s.Netmask != 128 {
			fmt.Fprintf(&b, " -M %d", s.Netmask)
		}
	}
	if s.Flags&ipvsctl.OnePacket != 0 {
		b.WriteString(" -o")
	}
	var flags []string
	for i, bit := range []ipvsctl.Flags{ipvsctl.Sched1, ipvsctl.Sched2, ipvsctl.Sched3} {
		if s.Flags&bit == 0 {
			continue
		}
		name := fmt.Sprintf("flag-%d", i+1)
		if (s.Scheduler == "sh" || s.Scheduler == "mh") && i < 2 {
			name = s.Scheduler + []string{"-fallback", "-port"}[i]
		}
		flags = append(flags, name)
	}
	if len(flags) > 0 {
		fmt.Fprintf(&b, " -b %s", strings.Join(flags, ","))
	}
	return b.String()
}
