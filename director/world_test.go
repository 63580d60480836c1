package director

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tandem/configs"
	"tandem/healthcheck"
	healthrunner "tandem/healthcheck/runner"
	"tandem/internal/events"
	"tandem/ipvsctl"
)

var errInjected = errors.New("injected")

// world is a kernel and a network as strict as the real ones, with a journal of
// what was done to them. An operation whose name is in fails returns an error
// and does nothing; block, while set, holds up every access to the IPVS table.
type world struct {
	t *testing.T

	mu        sync.Mutex
	journal   []string
	fails     map[string]bool
	block     chan struct{}
	addresses map[configs.VirtualAddress]time.Time // when the lease ends; zero: never
	shapes    map[configs.VirtualAddress]configs.AddressOptions
	routes    map[configs.RouteKey]fakeRoute
	rules     map[configs.RuleKey]configs.Rule // ours
	denied    []netip.Addr                     // by the firewall; nil: it has no table
	table     ipvsctl.Table
	daemons   map[SyncRole]SyncDaemon
	sysctls   map[string]string
	devices   map[Device]bool // whether it is open
	ledger    Owned
	saved     int
	links     map[string]Link
	occupied  map[netip.Addr]string // MAC by address
	slowProbe time.Duration
	repeating map[configs.VirtualAddress]bool
	elections map[RouterID]*fakeElection
	servers   map[netip.AddrPort]healthcheck.Reason
	judged    func(healthcheck.Target, healthcheck.Verdict) // hears of new verdicts
	watched   []configs.Thing
	things    map[configs.Thing]ThingState
	events    *events.Log
	heard     uint64 // the number of the last event that told has returned
	// holding is what an announcer asks before it announces; nil: it does not.
	holding func(netip.Addr, string) (va configs.VirtualAddress, held, fresh bool)
}

func newWorld(t *testing.T) *world {
	return &world{
		t:         t,
		fails:     map[string]bool{},
		addresses: map[configs.VirtualAddress]time.Time{},
		shapes:    map[configs.VirtualAddress]configs.AddressOptions{},
		routes:    map[configs.RouteKey]fakeRoute{},
		rules:     map[configs.RuleKey]configs.Rule{},
		table:     ipvsctl.Table{},
		daemons:   map[SyncRole]SyncDaemon{},
		sysctls:   map[string]string{"net/a": "1", "net/b": "old"},
		links:     map[string]Link{"eth0": {Up: true, Primary: ip("10.0.0.1")}, "eth1": {Up: true, Primary: ip("10.1.0.1")}},
		occupied:  map[netip.Addr]string{},
		repeating: map[configs.VirtualAddress]bool{},
		devices:   map[Device]bool{},
		elections: map[RouterID]*fakeElection{},
		servers:   map[netip.AddrPort]healthcheck.Reason{},
		things:    map[configs.Thing]ThingState{},
		events:    events.New("lb1", nil),
	}
}

func ip(s string) netip.Addr       { return netip.MustParseAddr(s) }
func port(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
func quietLog() *slog.Logger       { return slog.New(slog.DiscardHandler) }
func sec(n float64) time.Duration  { return time.Duration(n * float64(time.Second)) }
func key(s string) ipvsctl.ServiceKey {
	return ipvsctl.ServiceKey{Protocol: ipvsctl.TCP, Address: port(s)}
}

func vip(prefix, interfaceName string) configs.VirtualAddress {
	return configs.VirtualAddress{Prefix: netip.MustParsePrefix(prefix), Interface: interfaceName}
}

// do notes an operation, and says whether it is to fail. The caller holds w.mu.
func (w *world) do(name string, args ...any) error {
	w.journal = append(w.journal, fmt.Sprint(append([]any{name}, args...)...))
	if w.fails[name] {
		return fmt.Errorf("%s: %w", name, errInjected)
	}
	return nil
}

// steps is the journal since the last call.
func (w *world) steps() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.journal
	w.journal = nil
	return out
}

// edit changes the world as a third party does.
func (w *world) edit(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *world) fail(name string, fails bool) { w.edit(func() { w.fails[name] = fails }) }

// expire drops what the kernel drops by itself. The caller holds w.mu.
func (w *world) expire() {
	maps.DeleteFunc(w.addresses, func(_ configs.VirtualAddress, until time.Time) bool {
		return !until.IsZero() && !time.Now().Before(until)
	})
	w.dropSources()
}

// held lists the addresses that the kernel has now.
func (w *world) held() []configs.VirtualAddress {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expire()
	return slices.SortedFunc(maps.Keys(w.addresses), compareAddress)
}

var errNoSysctl = fmt.Errorf("no such setting: %w", fs.ErrNotExist)

// config reads a configuration that begins with the usual pair.
func config(t *testing.T, rest string) *configs.Config {
	t.Helper()
	const pair = `
[[pair.director]]
name = "lb1"
address = "10.0.0.1"
priority = 150
[[pair.director]]
name = "lb2"
address = "10.0.0.2"
[vrrp]
interface = "eth0"
failback = "never"
`
	cfg, err := configs.Parse("test.toml", []byte(pair+rest))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

const (
	routerWeb = `
[[virtual_router]]
name = "web"
vrid = 51
addresses = ["10.0.0.100"]
`
	routerTwo = `
[[virtual_router]]
name = "two"
vrid = 52
addresses = ["10.0.0.102", { address = "10.1.0.254/24", interface = "eth1" }]
`
	serviceWeb = `
[[service]]
name = "http"
virtual = ["10.0.0.100:80"]
[[service.server]]
address = "10.0.0.11:80"
weight = 10
[[service.server]]
address = "10.0.0.12:80"
weight = 20
`
	syncOff = `
[connection_sync]
mode = "off"
`
)

var (
	vipWeb    = vip("10.0.0.100/32", "eth0")
	vipTwo    = vip("10.0.0.102/32", "eth0")
	vipInside = vip("10.1.0.254/24", "eth1")
	idWeb     = RouterID{Interface: "eth0", VRID: 51}
	idTwo     = RouterID{Interface: "eth0", VRID: 52}
)

func (w *world) options(cfg *configs.Config) Options {
	return Options{
		Node:        "lb1",
		Config:      cfg,
		Addresses:   fakeAddresses{w},
		Routes:      fakeRoutes{w},
		Rules:       fakeRules{w},
		Firewall:    fakeFirewall{w},
		Devices:     fakeDevices{w},
		Announcer:   fakeAnnouncer{w},
		Links:       w.linkList,
		Probe:       w.probe,
		Table:       fakeTable{w},
		Sync:        fakeDaemons{w},
		Sysctls:     fakeSysctls{w},
		Ledger:      fakeLedger{w},
		Checks:      w.checks(),
		Things:      fakeThings{w},
		Profile:     func(*configs.Config) []ipvsctl.Sysctl { return []ipvsctl.Sysctl{{Key: "net/a", Want: "2"}} },
		Commit:      func(*configs.Config) {},
		Prepare:     func(...*configs.Config) error { w.mu.Lock(); defer w.mu.Unlock(); return w.do("prepare") },
		Drops:       func() []DropStatus { return []DropStatus{{Interface: "eth0", Reason: "bad-ttl", Packets: 7}} },
		NewElection: w.newElection,
		Events:      w.events,
		Log:         quietLog(),
	}
}

// checks probes the servers of the world, which are well unless it says
// otherwise.
func (w *world) checks() *healthrunner.Runner {
	return healthrunner.New(healthrunner.Options{
		Probe: func(_ context.Context, t healthcheck.Target) healthcheck.Result {
			w.mu.Lock()
			defer w.mu.Unlock()
			reason, ok := w.servers[t.Address]
			if !ok {
				reason = healthcheck.ReasonOK
			}
			return healthcheck.Result{Reason: reason, Latency: time.Millisecond}
		},
		OnVerdict: func(t healthcheck.Target, v healthcheck.Verdict) { w.judged(t, v) },
	})
}

// bubble runs f as a subtest in virtual time.
func bubble(t *testing.T, name string, f func(*testing.T, *world)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t, newWorld(t)) })
	})
}

// after lets virtual time pass and everything settle.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func wantText(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %s, want %s", what, got, want)
	}
}

func wantList[T comparable](t *testing.T, what string, got []T, want ...T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// textLog writes log lines without their times.
func textLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}
