package configs

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// exact compares the types of net/netip, which cmp cannot look into.
var exact = []cmp.Option{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

func mustParse(t testing.TB, file string, data []byte) *Config {
	t.Helper()
	c, err := Parse(file, data)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// plain is an address without options.
func plain(prefix, interfaceName string) RouterAddress {
	return RouterAddress{VirtualAddress: VirtualAddress{netip.MustParsePrefix(prefix), interfaceName}}
}

// TestMinimal is also the test of every default.
func TestMinimal(t *testing.T) {
	want := &Config{
		Name: "tandem",
		Directors: []Director{
			{Name: "lb1", Address: netip.MustParseAddr("10.77.0.1"), Priority: 150},
			{Name: "lb2", Address: netip.MustParseAddr("10.77.0.2"), Priority: 100},
		},
		ConnectionSync: ConnectionSync{Mode: SyncMulticast, ID: 51, Interface: "eth0"},
		Routers: []VirtualRouter{{
			Name:           "web",
			VRID:           51,
			Interface:      "eth0",
			Priority:       map[string]uint8{"lb1": 150, "lb2": 100},
			Transport:      "multicast",
			Version:        3,
			Checksum:       "pseudo-header",
			AdvertInterval: 100 * time.Millisecond,
			Failback:       "delay",
			FailbackDelay:  30 * time.Second,
			AddressLease:   2 * time.Second,
			Auth:           Auth{Mode: "off"},
			Addresses:      []RouterAddress{plain("10.77.0.100/32", "eth0")},
			Accept:         true,
		}},
		Services: []Service{{
			Name:       "http",
			Virtual:    []netip.AddrPort{netip.MustParseAddrPort("10.77.0.100:80")},
			Protocol:   "tcp",
			Scheduler:  "wlc",
			Forwarding: "direct",
			OnFailure:  "remove",
			Check:      Check{Type: "tcp", Interval: time.Second, Timeout: 500 * time.Millisecond, Rise: 2, Fall: 3},
			Servers: []Server{
				{Address: netip.MustParseAddrPort("10.77.0.11:80"), Weight: 100},
				{Address: netip.MustParseAddrPort("10.77.0.12:80"), Weight: 100},
			},
		}},
		SysctlProfile: "director",
		ControlSocket: "/run/tandem/control.sock",
	}
	got := mustParse(t, "minimal.toml", readFile(t, "minimal.toml"))
	if diff := cmp.Diff(want, got, exact...); diff != "" {
		t.Errorf("minimal.toml (-want +got):\n%s", diff)
	}
}

// TestAllKeys has no value that is a default.
func TestAllKeys(t *testing.T) {
	const file = `
control        = { socket = "/run/edge.sock", group = "wheel" }
sysctl.profile = "none"
[pair]
name = "edge"
director = [
  { name = "lb1", address = "10.77.0.1", priority = 1 },
  { name = "lb2.example", address = "10.77.0.2", priority = 254 },
]
[connection_sync]
mode      = "off"
id        = 255
interface = "sync0"
[vrrp]
interface       = "eth0"
transport       = "unicast"
checksum        = "rfc9568"
advert_interval = "1s"
failback        = "never"
address_lease   = "off"
[vrrp.auth]
mode       = "permissive"
keys       = { 1 = "/etc/tandem/old.key", 255 = "/etc/tandem/new.key" }
active_key = 255
replay     = "monotonic"
[[virtual_router]]
name      = "a"
vrid      = 1
addresses = ["10.77.0.100/24", { address = "10.88.0.254/24", interface = "eth1" }]
priority  = { "lb2.example" = 7 }
[[virtual_router]]
name      = "b"
vrid      = 1
interface = "eth2"
addresses = ["10.77.0.101"]
transport       = "multicast"
checksum        = "pseudo-header"
advert_interval = "40.95s"
failback        = "delay"
failback_delay  = "1500ms"
address_lease   = "auto"
[[virtual_router]]
name      = "c"
vrid      = 2
addresses = [
  { address = "10.77.0.102/31", label = "eth0:c", scope = "site" },
  { address = "10.77.0.103", interface = "lo", label = "lo" },
  { address = "10.77.0.104", interface = "lo", scope = "global" },
  { address = "10.77.0.105", interface = "eth1", scope = 7 },
]
accept = false
route = [
  { destination = "default", via = "10.77.0.254" },
  { destination = "default", via = "fe80::1", interface = "eth0" },
  { destination = "default", interface = "ppp0", table = 7 },
  { destination = "10.9.0.0/16", via = "192.0.2.1", interface = "eth1", source = "10.77.0.102", metric = 5, table = 4294967295, onlink = true },
  { destination = "10.9.9.9", interface = "eth1", scope = "host" },
  { destination = "2001:db8::/32", interface = "eth1", source = "2001:db8::1", metric = 1 },
  { destination = "::/0", table = 100, type = "prohibit" },
  { destination = "default", table = 100, type = "blackhole" },
]
rule = [
  { priority = 1, from = "10.77.0.102", table = 100 },
  { priority = 32765, from = "0.0.0.0/0", to = "10.0.0.0/8", fwmark = 0x10, fwmask = 0xf0, incoming = "eth1", outgoing = "eth2", table = 4294967295 },
  { priority = 7, fwmark = 5, type = "unreachable" },
  { priority = 1, to = "::/0", incoming = "eth1", type = "blackhole" },
]
version       = 2
failback      = "immediate"
address_lease = "1h"
group = "site"
track = [
  { interface = "eth5", weight = -253 },
  { address = "2001:db8::1", interface = "eth5" },
  { address = "10.77.0.1" },
  { route = "::/0" },
  { route = "10.0.0.0/8", interface = "eth6" },
  { script = ["/bin/check it"], interval = "10s" },
  { script = ["/bin/check", "", "a b"], timeout = "2s", rise = 2, fall = 3, weight = 253 },
  { file = "/etc/tandem/maintenance", weight = -1 },
  { process = "tmux: server" },
  { service = "dns" },
  { service = "dns", quorum = 65535 },
]
[[service]]
name        = "dns"
virtual     = ["10.77.0.100:53", "10.77.0.101:5353"]
protocol    = "udp"
scheduler   = "sh"
flags       = ["sh-port", "sh-fallback", "ops"]
forwarding  = "masquerade"
persistence = "1m"
on_failure  = "quiesce"
check = { type = "http", port = 8080, method = "HEAD", host = "dns", path = "/ok", expect = { status = 204 }, interval = "2s", timeout = "10ms", rise = 1, fall = 1 }
server = [{ address = "10.88.0.11:53", weight = 0 }, { address = "10.88.0.12:5300", weight = 65535 }]
`
	auth := Auth{Mode: "permissive", Keys: map[uint8]string{1: "/etc/tandem/old.key", 255: "/etc/tandem/new.key"}, ActiveKey: 255, Replay: "monotonic"}
	addr, prefix, port := netip.MustParseAddr, netip.MustParsePrefix, netip.MustParseAddrPort
	want := &Config{
		Name: "edge",
		Directors: []Director{
			{Name: "lb1", Address: addr("10.77.0.1"), Priority: 1},
			{Name: "lb2.example", Address: addr("10.77.0.2"), Priority: 254},
		},
		ConnectionSync: ConnectionSync{Mode: SyncOff, ID: 255, Interface: "sync0"},
		Routers: []VirtualRouter{{
			Name: "a", VRID: 1, Interface: "eth0",
			Priority:       map[string]uint8{"lb1": 1, "lb2.example": 7},
			Transport:      "unicast",
			Version:        3,
			Checksum:       "rfc9568",
			AdvertInterval: time.Second,
			Failback:       "never",
			Auth:           auth,
			Addresses:      []RouterAddress{plain("10.77.0.100/24", "eth0"), plain("10.88.0.254/24", "eth1")},
			Accept:         true,
		}, {
			Name: "b", VRID: 1, Interface: "eth2",
			Priority:       map[string]uint8{"lb1": 1, "lb2.example": 254},
			Transport:      "multicast",
			Version:        3,
			Checksum:       "pseudo-header",
			AdvertInterval: 40950 * time.Millisecond,
			Failback:       "delay",
			FailbackDelay:  1500 * time.Millisecond,
			AddressLease:   219 * time.Second,
			Auth:           auth,
			Addresses:      []RouterAddress{plain("10.77.0.101/32", "eth2")},
			Accept:         true,
		}, {
			Name: "c", VRID: 2, Interface: "eth0",
			Priority:       map[string]uint8{"lb1": 1, "lb2.example": 254},
			Transport:      "unicast",
			Version:        2,
			AdvertInterval: time.Second,
			Failback:       "immediate",
			AddressLease:   time.Hour,
			Auth:           auth,
			Addresses: []RouterAddress{
				{VirtualAddress{prefix("10.77.0.102/31"), "eth0"}, AddressOptions{Label: "eth0:c", Scope: 200}},
				{VirtualAddress{prefix("10.77.0.103/32"), "lo"}, AddressOptions{Scope: 254}},
				{VirtualAddress{prefix("10.77.0.104/32"), "lo"}, AddressOptions{Scope: 0}},
				{VirtualAddress{prefix("10.77.0.105/32"), "eth1"}, AddressOptions{Scope: 7}},
			},
			Group: "site",
			Routes: []Route{
				{Destination: prefix("0.0.0.0/0"), Via: addr("10.77.0.254"), Table: 254, Type: "unicast"},
				{Destination: prefix("::/0"), Via: addr("fe80::1"), Interface: "eth0", Metric: 1024, Table: 254, Type: "unicast"},
				{Destination: prefix("0.0.0.0/0"), Interface: "ppp0", Table: 7, Scope: 253, Type: "unicast"},
				{Destination: prefix("10.9.0.0/16"), Via: addr("192.0.2.1"), Interface: "eth1", Source: addr("10.77.0.102"), Metric: 5, Table: 1<<32 - 1, OnLink: true, Type: "unicast"},
				{Destination: prefix("10.9.9.9/32"), Interface: "eth1", Table: 254, Scope: 254, Type: "unicast"},
				{Destination: prefix("2001:db8::/32"), Interface: "eth1", Source: addr("2001:db8::1"), Metric: 1, Table: 254, Type: "unicast"},
				{Destination: prefix("::/0"), Metric: 1024, Table: 100, Type: "prohibit"},
				{Destination: prefix("0.0.0.0/0"), Table: 100, Type: "blackhole"},
			},
			Rules: []Rule{
				{Priority: 1, From: prefix("10.77.0.102/32"), Table: 100, Type: "lookup"},
				{Priority: 32765, To: prefix("10.0.0.0/8"), Mark: 0x10, Mask: 0xf0, Incoming: "eth1", Outgoing: "eth2", Table: 1<<32 - 1, Type: "lookup"},
				{Priority: 7, Mark: 5, Mask: 1<<32 - 1, Type: "unreachable"},
				{Priority: 1, IPv6: true, Incoming: "eth1", Type: "blackhole"},
			},
			Track: []Track{
				{Thing{Kind: TrackInterface, Interface: "eth5"}, -253},
				{Thing{Kind: TrackAddress, Address: addr("2001:db8::1"), Interface: "eth5"}, 0},
				{Thing{Kind: TrackAddress, Address: addr("10.77.0.1")}, 0},
				{Thing{Kind: TrackRoute, Route: prefix("::/0")}, 0},
				{Thing{Kind: TrackRoute, Route: prefix("10.0.0.0/8"), Interface: "eth6"}, 0},
				{Thing{Kind: TrackScript, Script: "/bin/check it\x00", Interval: 10 * time.Second, Timeout: 10 * time.Second, Rise: 1, Fall: 1}, 0},
				{Thing{Kind: TrackScript, Script: "/bin/check\x00\x00a b\x00", Interval: time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3}, 253},
				{Thing{Kind: TrackFile, File: "/etc/tandem/maintenance"}, -1},
				{Thing{Kind: TrackProcess, Process: "tmux: server"}, 0},
				{Thing{Kind: TrackService, Service: "dns", Quorum: 1}, 0},
				{Thing{Kind: TrackService, Service: "dns", Quorum: 65535}, 0},
			},
		}},
		Services: []Service{{
			Name:        "dns",
			Virtual:     []netip.AddrPort{port("10.77.0.100:53"), port("10.77.0.101:5353")},
			Protocol:    "udp",
			Scheduler:   "sh",
			Flags:       []string{"sh-port", "sh-fallback", "ops"},
			Forwarding:  "masquerade",
			Persistence: time.Minute,
			OnFailure:   "quiesce",
			Check: Check{
				Type: "http", Port: 8080, Method: "HEAD", Host: "dns", Path: "/ok", StatusMin: 204, StatusMax: 204,
				Interval: 2 * time.Second, Timeout: 10 * time.Millisecond, Rise: 1, Fall: 1,
			},
			Servers: []Server{{Address: port("10.88.0.11:53")}, {Address: port("10.88.0.12:5300"), Weight: 65535}},
		}},
		SysctlProfile: "none",
		ControlSocket: "/run/edge.sock",
		ControlGroup:  "wheel",
	}
	if diff := cmp.Diff(want, mustParse(t, "all.toml", []byte(file)), exact...); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

// TestSyncInterface checks where the default comes from.
func TestSyncInterface(t *testing.T) {
	file := strings.Replace(string(readFile(t, "minimal.toml")), "[vrrp]\ninterface = \"eth0\"\n", "", 1)
	file = strings.Replace(file, "vrid ", "interface = \"eth7\"\nvrid ", 1)
	if got := mustParse(t, "minimal.toml", []byte(file)).ConnectionSync.Interface; got != "eth7" {
		t.Errorf("interface %q, want that of the first router", got)
	}
}

// TestLeaseFor checks the two halves of the promise: the addresses outlast the
// peer's takeover, counted from the worst moment to freeze, but not by much.
func TestLeaseFor(t *testing.T) {
	for interval := 10 * time.Millisecond; interval <= 40950*time.Millisecond; interval += 10 * time.Millisecond {
		lease := leaseFor(interval)
		if lease%time.Second != 0 || lease < minLease || lease > maxLease {
			t.Fatalf("interval %v: lease %v is no valid one", interval, lease)
		}
		sinceRenewal, takeover := lease/4, 4*interval
		if lease-sinceRenewal < takeover {
			t.Errorf("interval %v: lease %v ends %v after a freeze, before the peer takes over after %v",
				interval, lease, lease-sinceRenewal, takeover)
		}
		if lease > max(minLease, 6*interval+time.Second) {
			t.Errorf("interval %v: lease %v is needlessly long", interval, lease)
		}
	}
}

// TestWindow checks the default, and that it is each router's own.
func TestWindow(t *testing.T) {
	const auth = "[vrrp.auth]\nmode = \"enforce\"\nkeys = { 7 = \"/etc/tandem/vrrp.key\" }\n"
	for _, tt := range []struct {
		interval, window string
		want             time.Duration
	}{
		{"100ms", "", 5 * time.Second},
		{"1s", "", 5 * time.Second},
		{"2s", "", 6 * time.Second},
		{"40.95s", `window = "auto"`, 122850 * time.Millisecond},
		{"40.95s", `window = "1s"`, time.Second},
		{"100ms", `window = "300s"`, 300 * time.Second},
	} {
		file := strings.Replace(string(readFile(t, "minimal.toml")), "vrid ", "advert_interval = \""+tt.interval+"\"\nvrid ", 1)
		got := mustParse(t, "minimal.toml", []byte(file+auth+tt.window)).Routers[0].Auth
		want := Auth{Mode: "enforce", Keys: map[uint8]string{7: "/etc/tandem/vrrp.key"}, ActiveKey: 7, Replay: "time", Window: tt.want}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("interval %s, %q (-want +got):\n%s", tt.interval, tt.window, diff)
		}
	}
	if got := windowFor(255 * time.Second); got != maxWindow {
		t.Errorf("window %v of the longest interval", got)
	}
}

// TestVersions checks what depends on the version, and what a router inherits.
func TestVersions(t *testing.T) {
	type result struct {
		Version  uint8
		Interval time.Duration
		Checksum string
		Pass     string
	}
	for _, tt := range []struct {
		vrrp, router string
		want         result
	}{
		{"", "", result{3, 100 * time.Millisecond, "pseudo-header", ""}},
		{"version = 2", "", result{2, time.Second, "", ""}},
		{"", "version = 2", result{2, time.Second, "", ""}},
		{"version = 2", "version = 3", result{3, 100 * time.Millisecond, "pseudo-header", ""}},
		{`checksum = "rfc9568"`, "version = 2", result{2, time.Second, "", ""}},
		{"version = 2\nadvert_interval = \"3s\"\nauth_pass = \"abc\"", "", result{2, 3 * time.Second, "", "abc"}},
		{"version = 2\nauth_pass = \"abc\"", "version = 3", result{3, 100 * time.Millisecond, "pseudo-header", ""}},
		{`advert_interval = "200ms"`, "version = 2\nadvert_interval = \"255s\"\nauth_pass = \"p w!\"", result{2, 255 * time.Second, "", "p w!"}},
	} {
		file := strings.NewReplacer("interface = \"eth0\"\n", "interface = \"eth0\"\n"+tt.vrrp+"\n", "vrid ", tt.router+"\nvrid ").
			Replace(string(readFile(t, "minimal.toml")))
		r := mustParse(t, "minimal.toml", []byte(file)).Routers[0]
		if got := (result{r.Version, r.AdvertInterval, r.Checksum, string(r.AuthPass)}); got != tt.want {
			t.Errorf("[vrrp] %q, router %q: %+v, want %+v", tt.vrrp, tt.router, got, tt.want)
		}
	}
}
