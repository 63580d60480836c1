//go:build lab

package firewall

import (
	"errors"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

var (
	own4, own6 = netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8::1/64")
	vip4, vip6 = netip.MustParsePrefix("192.0.2.100/24"), netip.MustParsePrefix("2001:db8::100/64")
	far4, far6 = netip.MustParsePrefix("192.0.2.2/24"), netip.MustParsePrefix("2001:db8::2/64")
)

// newNetwork is a host with its own addresses and virtual ones, where this thread
// is then, and a neighbour.
func newNetwork(t *testing.T) (host, neighbour netns.NsHandle) {
	t.Helper()
	runtime.LockOSThread() // for good: the namespaces go with the thread
	make := func() netns.NsHandle {
		ns, err := netns.New()
		if err != nil {
			t.Fatalf("new network namespace (needs root): %v", err)
		}
		t.Cleanup(func() { ns.Close() })
		return ns
	}
	neighbour = make()
	host = make()
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(neighbour)}
	if err := netlink.LinkAdd(pair); err != nil {
		t.Fatal(err)
	}
	addresses(t, own4, vip4, own6, vip6)
	in(t, neighbour, host, func() { addresses(t, far4, far6) })
	return host, neighbour
}

// awaitHost waits until the neighbour has heard from the host in both families: a
// link that has just come up loses packets. It must be called in the neighbour's
// namespace.
func awaitHost(t *testing.T) {
	t.Helper()
	for _, p := range []netip.Prefix{own4, own6} {
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			c, err := net.DialTimeout("tcp", netip.AddrPortFrom(p.Addr(), 7).String(), time.Second)
			if err == nil {
				c.Close()
				break
			}
			if time.Now().After(end) {
				t.Fatalf("the host is not heard at %v: %v", p, err)
			}
		}
	}
}

// in runs f in another namespace and comes back.
func in(t *testing.T, there, back netns.NsHandle, f func()) {
	t.Helper()
	if err := netns.Set(there); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := netns.Set(back); err != nil {
			t.Fatal(err)
		}
	}()
	f()
}

func addresses(t *testing.T, list ...netip.Prefix) {
	t.Helper()
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		a := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
		if p.Addr().Is6() {
			a.Flags = unix.IFA_F_NODAD
		}
		if err := netlink.AddrAdd(link, a); err != nil {
			t.Fatal(err)
		}
	}
}

// reaches says which addresses of the host a neighbour that knows no hardware
// address yet can connect to. It must be called in the neighbour's namespace.
func reaches(t *testing.T, list ...netip.Prefix) []netip.Addr {
	t.Helper()
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	var out []netip.Addr
	for _, p := range list {
		c, err := net.DialTimeout("tcp", netip.AddrPortFrom(p.Addr(), 7).String(), time.Second)
		if err == nil {
			c.Close()
			out = append(out, p.Addr())
		} else if e, ok := errors.AsType[net.Error](err); !ok || !e.Timeout() {
			t.Errorf("connect to %v: %v, want it to be dropped", p, err)
		}
		neighbours, err := netlink.NeighList(link.Attrs().Index, netlink.FAMILY_ALL)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(neighbours, func(n netlink.Neigh) bool { return n.IP.Equal(p.Addr().AsSlice()) })
		if i < 0 || len(neighbours[i].HardwareAddr) == 0 {
			t.Errorf("%v is not resolved: neighbour discovery was dropped", p)
			continue
		}
		if err := netlink.NeighDel(&neighbours[i]); err != nil {
			t.Error(err)
		}
	}
	return out
}

func addrs(list ...netip.Prefix) []netip.Addr {
	var out []netip.Addr
	for _, p := range list {
		out = append(out, p.Addr())
	}
	return out
}

// Packets to the addresses are dropped, others are not, and both kinds are
// resolved.
func TestDeny(t *testing.T) {
	host, neighbour := newNetwork(t)
	for _, network := range []string{"tcp4", "tcp6"} {
		l, err := net.Listen(network, ":7")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	in(t, neighbour, host, func() { awaitHost(t) })
	all := []netip.Prefix{own4, vip4, own6, vip6}
	for _, tt := range []struct{ denied, reached []netip.Addr }{
		{nil, addrs(all...)},
		{addrs(vip6, vip4), addrs(own4, own6)},
		{addrs(vip4), addrs(own4, own6, vip6)},
		{addrs(vip6), addrs(own4, vip4, own6)},
		{nil, addrs(all...)},
	} {
		if _, err := (Table{}).Deny(tt.denied); err != nil {
			t.Fatal(err)
		}
		in(t, neighbour, host, func() {
			got := reaches(t, all...)
			if !slices.Equal(slices.SortedFunc(slices.Values(got), netip.Addr.Compare), slices.SortedFunc(slices.Values(tt.reached), netip.Addr.Compare)) {
				t.Errorf("denied %v: reached %v, want %v", tt.denied, got, tt.reached)
			}
		})
	}
	if tables := list(t); len(tables) != 0 {
		t.Errorf("left: %v", tables)
	}
}

func list(t *testing.T) (names []string) {
	t.Helper()
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	tables, err := c.ListTables()
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		names = append(names, table.Name)
	}
	return names
}

// Deny does nothing where nothing is to be done, and repairs whatever others did.
func TestDenyRepairs(t *testing.T) {
	newNetwork(t)
	var f Table
	if err := f.Available(); err != nil {
		t.Fatal(err)
	}
	many := addrs(vip4, vip6)
	for i := range 1200 {
		many = append(many, netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}))
	}
	step := func(what string, want bool, list []netip.Addr) {
		t.Helper()
		if changed, err := f.Deny(list); err != nil || changed != want {
			t.Errorf("%s: changed %t, %v, want %t", what, changed, err, want)
		}
		denied, whole, err := f.Denied()
		if err != nil || whole != (len(list) > 0) || !slices.Equal(denied, slices.SortedFunc(slices.Values(list), netip.Addr.Compare)) {
			t.Errorf("%s: %d denied, whole %t, %v", what, len(denied), whole, err)
		}
	}
	step("none", false, nil)
	step("many", true, many)
	step("the same", false, many)
	short := many[:2]
	step("fewer", true, short)
	ours := &nftables.Table{Name: Name, Family: nftables.TableFamilyINet}
	input := &nftables.Chain{Name: chainName, Table: ours}
	for what, meddle := range map[string]func(*nftables.Conn){
		"flush ruleset":  func(c *nftables.Conn) { c.FlushRuleset() },
		"delete table":   func(c *nftables.Conn) { c.DelTable(ours) },
		"flush chain":    func(c *nftables.Conn) { c.FlushChain(input) },
		"another rule":   func(c *nftables.Conn) { c.InsertRule(&nftables.Rule{Table: ours, Chain: input}) },
		"another chain":  func(c *nftables.Conn) { c.AddChain(&nftables.Chain{Name: "x", Table: ours}) },
		"another entry":  func(c *nftables.Conn) { element(t, c, ours, "ipv4", netip.MustParseAddr("192.0.2.1"), false) },
		"an entry less":  func(c *nftables.Conn) { element(t, c, ours, "ipv6", vip6.Addr(), true) },
		"policy changed": func(c *nftables.Conn) { policy(c, ours) },
	} {
		c, err := nftables.New()
		if err != nil {
			t.Fatal(err)
		}
		meddle(c)
		if err := c.Flush(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		step(what, true, short)
	}
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	c.AddTable(&nftables.Table{Name: "other", Family: nftables.TableFamilyINet})
	c.AddTable(&nftables.Table{Name: Name, Family: nftables.TableFamilyIPv4})
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	step("tables of others", false, short)
	start := time.Now()
	const times = 100
	for range times {
		if _, err := f.Deny(short); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("a look takes %v", time.Since(start)/times)
	step("gone", true, nil)
	if left := list(t); len(left) != 2 {
		t.Errorf("left: %v", left)
	}
}

func element(t *testing.T, c *nftables.Conn, table *nftables.Table, set string, a netip.Addr, del bool) {
	t.Helper()
	s, err := c.GetSetByName(table, set)
	if err != nil {
		t.Fatal(err)
	}
	change := c.SetAddElements
	if del {
		change = c.SetDeleteElements
	}
	if err := change(s, []nftables.SetElement{{Key: a.AsSlice()}}); err != nil {
		t.Fatal(err)
	}
}

// policy makes the chain drop what no rule accepts.
func policy(c *nftables.Conn, table *nftables.Table) {
	drop := nftables.ChainPolicyDrop
	c.AddChain(&nftables.Chain{
		Name: chainName, Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter, Policy: &drop,
	})
}
