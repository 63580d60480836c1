package realserver

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/netif"
)

var (
	vip1 = netip.MustParseAddr("192.0.2.100")
	vip2 = netip.MustParseAddr("192.0.2.101")
	vip6 = netip.MustParseAddr("2001:db8::100")
)

// fakeHost is a strict machine: a change that changes nothing, an address before
// the machine is silent about it, and silence ended too early all fail the test.
type fakeHost struct {
	t         *testing.T
	sysctls   map[string]string
	addresses []netif.Held
	changes   int
	failAt    int // the change that fails, counted from 1; 0: none
}

var errRefused = errors.New("refused by the test")

func newHost(t *testing.T) *fakeHost {
	h := &fakeHost{t: t, sysctls: map[string]string{}}
	for _, p := range parameters {
		h.sysctls[p.key] = "0"
	}
	h.hold("127.0.0.1/8", "lo")
	h.hold("192.0.2.10/24", "eth0")
	return h
}

func (h *fakeHost) hold(prefix, ifname string) {
	h.addresses = append(h.addresses, netif.Held{
		Address:   netif.Address{Prefix: netip.MustParsePrefix(prefix), Interface: ifname},
		Permanent: true,
	})
}

func (h *fakeHost) fail() error {
	if h.changes++; h.changes == h.failAt {
		return errRefused
	}
	return nil
}

func (h *fakeHost) silent() bool {
	ignore := h.sysctls["net/ipv4/conf/all/arp_ignore"]
	return (ignore == "1" || ignore == "2") && h.sysctls["net/ipv4/conf/all/arp_announce"] == "2"
}

func (h *fakeHost) holdsVIP() bool {
	return slices.ContainsFunc(h.addresses, func(a netif.Held) bool {
		return a.Interface == "lo" && a.Prefix.Addr().Is4() && !a.Prefix.Addr().IsLoopback()
	})
}

func (h *fakeHost) Addresses() ([]netif.Held, error) { return slices.Clone(h.addresses), nil }

func (h *fakeHost) Ensure(a netif.Address, lease time.Duration) error {
	if err := h.fail(); err != nil {
		return err
	}
	if a.Interface != "lo" || !a.Prefix.IsSingleIP() || lease != 0 {
		h.t.Errorf("added %v for %v", a, lease)
	}
	if a.Prefix.Addr().Is4() && !h.silent() {
		h.t.Errorf("%v added while the machine answers for it", a)
	}
	if slices.ContainsFunc(h.addresses, func(b netif.Held) bool { return a == b.Address }) {
		h.t.Errorf("%v added twice", a)
	}
	h.hold(a.Prefix.String(), a.Interface)
	return nil
}

func (h *fakeHost) Remove(a netif.Address) error {
	if err := h.fail(); err != nil {
		return err
	}
	h.addresses = slices.DeleteFunc(h.addresses, func(b netif.Held) bool { return a == b.Address })
	return nil
}

func (h *fakeHost) GetSysctl(key string) (string, error) {
	v, ok := h.sysctls[key]
	if !ok {
		h.t.Errorf("read of %s", key)
	}
	return v, nil
}

func (h *fakeHost) SetSysctl(key, value string) error {
	if err := h.fail(); err != nil {
		return err
	}
	if h.sysctls[key] == value {
		h.t.Errorf("%s set to the %s it had", key, value)
	}
	h.sysctls[key] = value
	if h.holdsVIP() && !h.silent() {
		h.t.Errorf("%s=%s ends the silence while an address is there", key, value)
	}
	return nil
}

// String is everything about the machine.
func (h *fakeHost) String() string {
	var b strings.Builder
	for _, a := range h.addresses {
		fmt.Fprintln(&b, a.Address)
	}
	for _, key := range slices.Sorted(maps.Keys(h.sysctls)) {
		fmt.Fprintln(&b, key, h.sysctls[key])
	}
	return b.String()
}

func statePath(t *testing.T) string { return filepath.Join(t.TempDir(), "run", "realserver.json") }

func mustApply(t *testing.T, h *fakeHost, path string, vips ...netip.Addr) {
	t.Helper()
	if err := apply(h, vips, path); err != nil {
		t.Fatal(err)
	}
}

func mustClear(t *testing.T, h *fakeHost, path string) {
	t.Helper()
	if err := restore(h, path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the state file is still there: %v", err)
	}
}

func TestApplyAndClear(t *testing.T) {
	h, path := newHost(t), statePath(t)
	h.sysctls["net/ipv4/conf/all/arp_announce"] = "1"
	before := h.String()
	mustApply(t, h, path, vip1, vip6)
	want := `127.0.0.1/8 on lo
192.0.2.10/24 on eth0
192.0.2.100/32 on lo
2001:db8::100/128 on lo
net/ipv4/conf/all/arp_announce 2
net/ipv4/conf/all/arp_ignore 1
net/ipv4/conf/lo/arp_announce 2
net/ipv4/conf/lo/arp_ignore 1
`
	if got := h.String(); got != want {
		t.Errorf("after Apply:\n%swant:\n%s", got, want)
	}
	mustApply(t, h, path, vip1, vip6) // the strict host allows no second change
	if got := h.String(); got != want {
		t.Errorf("after the second Apply:\n%s", got)
	}
	mustClear(t, h, path)
	if got := h.String(); got != before {
		t.Errorf("after Clear:\n%swant:\n%s", got, before)
	}
	mustClear(t, h, path)
}

// What was there before stays as it was.
func TestClearLeavesOthers(t *testing.T) {
	h, path := newHost(t), statePath(t)
	h.hold("192.0.2.100/32", "lo")
	for _, p := range parameters {
		h.sysctls[p.key] = p.value
	}
	h.sysctls["net/ipv4/conf/all/arp_ignore"] = "2" // stricter
	before := h.String()
	mustApply(t, h, path, vip1, vip2)
	mustClear(t, h, path)
	if got := h.String(); got != before {
		t.Errorf("after Clear:\n%swant:\n%s", got, before)
	}
}

func TestApplyOtherAddresses(t *testing.T) {
	h, path := newHost(t), statePath(t)
	before := h.String()
	mustApply(t, h, path, vip1, vip2)
	mustApply(t, h, path, vip2)
	if got := h.String(); strings.Contains(got, "192.0.2.100/32") || !strings.Contains(got, "192.0.2.101/32 on lo") {
		t.Errorf("after the second Apply:\n%s", got)
	}
	mustClear(t, h, path)
	if got := h.String(); got != before {
		t.Errorf("after Clear:\n%swant:\n%s", got, before)
	}
}

func TestIPv6NeedsNoParameter(t *testing.T) {
	h, path := newHost(t), statePath(t)
	mustApply(t, h, path, vip6)
	if h.silent() {
		t.Error("changed the ARP parameters")
	}
}

// Whatever change fails, in Apply or in Clear, trying again restores everything.
func TestEveryFailureCanBeRepaired(t *testing.T) {
	total := 2 * (len(parameters) + 2)
	for failAt := 1; failAt <= total; failAt++ {
		h, path := newHost(t), statePath(t)
		before := h.String()
		h.failAt = failAt
		err := apply(h, []netip.Addr{vip1, vip2}, path)
		if err == nil {
			err = restore(h, path)
		}
		if !errors.Is(err, errRefused) {
			t.Fatalf("change %d: %v, want the failure to be told", failAt, err)
		}
		mustClear(t, h, path)
		if got := h.String(); got != before {
			t.Errorf("change %d failed; after Clear:\n%swant:\n%s", failAt, got, before)
		}
	}
}

func TestApplyRefuses(t *testing.T) {
	h, path := newHost(t), statePath(t)
	h.hold("192.0.2.100/24", "eth0")
	before := h.String()
	if err := apply(h, []netip.Addr{vip2, vip1}, path); err == nil || !strings.Contains(err.Error(), "ip addr del 192.0.2.100/24 dev eth0") {
		t.Errorf("address on eth0: %v", err)
	}
	for _, bad := range []string{"127.0.0.1", "0.0.0.0", "224.0.0.18", "::ffff:192.0.2.1", "fe80::1%eth0"} {
		if err := apply(h, []netip.Addr{netip.MustParseAddr(bad)}, path); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if err := apply(h, nil, path); err == nil {
		t.Error("no address: no error")
	}
	if got := h.String(); got != before {
		t.Errorf("changed:\n%s", got)
	}
}

// A state file that cannot be read must not be taken for an empty one: the old
// values would be lost.
func TestBrokenState(t *testing.T) {
	h, path := newHost(t), filepath.Join(t.TempDir(), "state.json")
	before := h.String()
	if err := os.WriteFile(path, []byte(`{"sysctls": {`), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"Apply": apply(h, []netip.Addr{vip1}, path),
		"Clear": restore(h, path),
	} {
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := h.String(); got != before {
		t.Errorf("changed:\n%s", got)
	}
}

func TestAssess(t *testing.T) {
	good := arpInterface{name: "eth0", arpIgnore: 1, arpAnnounce: 2, rpFilter: 2}
	with := func(change func(*arpInterface)) arpInterface {
		i := good
		change(&i)
		return i
	}
	held := func(list ...string) []netif.Held {
		h := &fakeHost{}
		for _, s := range list {
			prefix, ifname, _ := strings.Cut(s, " ")
			h.hold(prefix, ifname)
		}
		return h.addresses
	}
	onLo := "192.0.2.100/32 lo"
	for _, tt := range []struct {
		name      string
		vip       netip.Addr
		addresses []netif.Held
		iface     arpInterface
		want      []string // one for each finding: a part of its problem
		fatal     bool
	}{
		{"good", vip1, held(onLo), good, nil, false},
		{"stricter", vip1, held(onLo), with(func(i *arpInterface) { i.arpIgnore = 2 }), nil, false},
		{"missing", vip1, held("192.0.2.10/24 eth0"), good, []string{"not on lo"}, true},
		{"elsewhere too", vip1, held(onLo, "192.0.2.100/24 eth0"), good, []string{"is on eth0"}, true},
		{"elsewhere only", vip1, held("192.0.2.100/24 eth0"), good, []string{"is on eth0", "not on lo"}, true},
		{"prefix too short", vip1, held("192.0.2.100/24 lo"), good, []string{"takes all of 192.0.2.0/24"}, true},
		{"answers", vip1, held(onLo), with(func(i *arpInterface) { i.arpIgnore = 0 }), []string{"eth0 answers ARP"}, true},
		{"answers by scope", vip1, held(onLo), with(func(i *arpInterface) { i.arpIgnore = 3 }), []string{"may answer"}, true},
		{"answers nothing", vip1, held(onLo), with(func(i *arpInterface) { i.arpIgnore = 8 }), []string{"no ARP request at all"}, true},
		{"announces", vip1, held(onLo), with(func(i *arpInterface) { i.arpAnnounce = 1 }), []string{"arp_announce is 1"}, true},
		{"strict reverse path", vip1, held(onLo), with(func(i *arpInterface) { i.rpFilter = 1 }), []string{"rp_filter"}, false},
		{"IPv6", vip6, held("2001:db8::100/128 lo"), arpInterface{name: "eth0"}, nil, false},
		{"IPv6 missing", vip6, nil, arpInterface{name: "eth0"}, []string{"not on lo"}, true},
	} {
		got := assess([]netip.Addr{tt.vip}, facts{addresses: tt.addresses, interfaces: []arpInterface{tt.iface}})
		if len(got) != len(tt.want) {
			t.Errorf("%s: findings %+v, want %q", tt.name, got, tt.want)
			continue
		}
		for i, f := range got {
			if !strings.Contains(f.Problem, tt.want[i]) || f.Remedy == "" || f.Fatal != tt.fatal {
				t.Errorf("%s: finding %+v, want %q, fatal %t", tt.name, f, tt.want[i], tt.fatal)
			}
		}
	}
}

func TestEffectiveIsTheLarger(t *testing.T) {
	for _, tt := range []struct {
		all, own string
		want     int
	}{{"0", "1", 1}, {"2", "1", 2}, {"0", "0", 0}} {
		h := &fakeHost{t: t, sysctls: map[string]string{
			"net/ipv4/conf/all/arp_ignore": tt.all, "net/ipv4/conf/eth0.10/arp_ignore": tt.own,
		}}
		if got, err := effective(h, "eth0.10", "arp_ignore"); err != nil || got != tt.want {
			t.Errorf("all %s, own %s: %d, %v", tt.all, tt.own, got, err)
		}
	}
}
