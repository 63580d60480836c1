package director

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tandem/configs"
	"tandem/healthcheck"
	"tandem/ipvsctl"
	"tandem/vrrp"
)

var compare = cmp.Options{cmpopts.EquateComparable(addrPort{}, configs.VirtualAddress{}, ipvsctl.ServiceKey{}, configs.Server{}, healthcheck.Target{}), cmpopts.EquateEmpty()}

func TestDesiredAddresses(t *testing.T) {
	cfg := config(t, routerWeb+routerTwo)
	active := vrrp.Role{State: vrrp.Active, Hold: true, Number: 3}
	leaving := vrrp.Role{State: vrrp.Backup, Hold: true, Number: 4}
	web := HeldAddress{VirtualAddress: vipWeb, Router: idWeb, Lease: 2 * time.Second, Role: active}
	for _, tt := range []struct {
		name  string
		roles map[RouterID]vrrp.Role
		hold  []HeldAddress
		drop  []configs.VirtualAddress
	}{
		{name: "no role yet", drop: []configs.VirtualAddress{vipWeb, vipTwo, vipInside}},
		{
			name:  "one active",
			roles: map[RouterID]vrrp.Role{idWeb: active, idTwo: {State: vrrp.Backup}},
			hold:  []HeldAddress{web}, drop: []configs.VirtualAddress{vipTwo, vipInside},
		},
		{
			name:  "held after the role was lost, on every interface",
			roles: map[RouterID]vrrp.Role{idTwo: leaving},
			hold: []HeldAddress{
				{VirtualAddress: vipTwo, Router: idTwo, Lease: 2 * time.Second, Role: leaving},
				{VirtualAddress: vipInside, Router: idTwo, Lease: 2 * time.Second, Role: leaving},
			},
			drop: []configs.VirtualAddress{vipWeb},
		},
		{
			name:  "a router of another VRID is not asked",
			roles: map[RouterID]vrrp.Role{{Interface: "eth0", VRID: 53}: active},
			drop:  []configs.VirtualAddress{vipWeb, vipTwo, vipInside},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hold, drop := DesiredAddresses(cfg, tt.roles)
			if d := cmp.Diff(tt.hold, hold, compare); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(tt.drop, drop, compare); d != "" {
				t.Error(d)
			}
		})
	}
	if !web.renew() {
		t.Error("an active router does not renew")
	}
	if (HeldAddress{Role: leaving}).renew() {
		t.Error("a lease is renewed after the role was lost")
	}
}

func verdicts(svc configs.Service, states ...healthcheck.State) map[healthcheck.Target]healthcheck.Verdict {
	out := make(map[healthcheck.Target]healthcheck.Verdict)
	for i, s := range states {
		out[TargetOf(svc, svc.Servers[i])] = healthcheck.Verdict{State: s}
	}
	return out
}

func TestJudge(t *testing.T) {
	svc := config(t, routerWeb+serviceWeb).Services[0]
	quiesce := svc
	quiesce.OnFailure = "quiesce"
	before := func(weight int32) ipvsctl.Entry {
		return ipvsctl.Entry{Servers: entryServers(map[string]int32{"10.0.0.11:80": weight})}
	}
	for _, tt := range []struct {
		name    string
		svc     configs.Service
		state   healthcheck.State
		before  ipvsctl.Entry
		inTable bool
		weight  int32
		why     string
	}{
		{"up", svc, healthcheck.Up, ipvsctl.Entry{}, true, 10, "up: configured weight"},
		{"down", svc, healthcheck.Down, before(10), false, 0, "down: removed"},
		{"down, quiesce", quiesce, healthcheck.Down, before(10), true, 0, "down: quiesced, no new connections"},
		{"unknown, new", svc, healthcheck.Unknown, ipvsctl.Entry{}, false, 0, "not probed yet: not in the table"},
		{"unknown, was there", svc, healthcheck.Unknown, before(7), true, 7, "not probed yet: kept as it was"},
		{"unknown, was quiesced", svc, healthcheck.Unknown, before(0), true, 0, "not probed yet: kept as it was"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Judge(tt.svc, verdicts(tt.svc, tt.state), tt.before)
			want := Judgement{
				Server: tt.svc.Servers[0], Target: TargetOf(tt.svc, tt.svc.Servers[0]),
				Verdict: healthcheck.Verdict{State: tt.state}, InTable: tt.inTable, Weight: tt.weight, Why: tt.why,
			}
			if len(got) != 2 || got[0] != want {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
		})
	}
}

func entryServers(weights map[string]int32) map[addrPort]ipvsctl.Server {
	out := make(map[addrPort]ipvsctl.Server)
	for a, w := range weights {
		out[port(a)] = ipvsctl.Server{Address: port(a), Weight: w, Forwarding: ipvsctl.Direct}
	}
	return out
}

func TestTargetOf(t *testing.T) {
	svc := config(t, routerWeb+`
[[service]]
name = "web"
virtual = ["10.0.0.100:80"]
[service.check]
type = "http"
port = 8080
path = "/healthz"
host = "example.com"
method = "HEAD"
expect = { status = [200, 204] }
interval = "2s"
timeout = "700ms"
rise = 4
fall = 5
[[service.server]]
address = "10.0.0.11:80"
`).Services[0]
	want := healthcheck.Target{
		Kind: healthcheck.HTTP, Address: port("10.0.0.11:8080"),
		HTTP:     healthcheck.HTTPSpec{Method: "HEAD", Host: "example.com", Path: "/healthz", StatusMin: 200, StatusMax: 204},
		Interval: sec(2), Timeout: sec(0.7), Rise: 4, Fall: 5,
	}
	if got := TargetOf(svc, svc.Servers[0]); got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	svc.Check = configs.Check{Type: "tcp", Interval: sec(1), Timeout: sec(1), Rise: 1, Fall: 1, Path: "/left-over"}
	want = healthcheck.Target{Kind: healthcheck.TCP, Address: port("10.0.0.11:80"), Interval: sec(1), Timeout: sec(1), Rise: 1, Fall: 1}
	if got := TargetOf(svc, svc.Servers[0]); got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestTargets(t *testing.T) {
	cfg := config(t, routerWeb+serviceWeb+`
[[service]]
name = "same"
virtual = ["10.0.0.100:80"]
protocol = "sctp"
[[service.server]]
address = "10.0.0.12:80"
[[service.server]]
address = "10.0.0.13:80"
`)
	var got []string
	for _, target := range Targets(cfg) {
		got = append(got, target.Address.String())
	}
	wantList(t, "targets", got, "10.0.0.11:80", "10.0.0.12:80", "10.0.0.13:80")
}

func TestSpecs(t *testing.T) {
	svc := configs.Service{
		Virtual: []addrPort{port("10.0.0.100:53"), port("[fd00::1]:53")}, Protocol: "udp",
		Scheduler: "mh", Flags: []string{"mh-port", "ops"}, Persistence: 5 * time.Minute, Forwarding: "direct",
	}
	four := ipvsctl.Service{
		ServiceKey: ipvsctl.ServiceKey{Protocol: ipvsctl.UDP, Address: port("10.0.0.100:53")},
		Scheduler:  "mh", Flags: ipvsctl.Sched2 | ipvsctl.OnePacket | ipvsctl.Persistent, Persistence: 300, Netmask: 32,
	}
	six := four
	six.Address, six.Netmask = port("[fd00::1]:53"), 128
	wantList(t, "persistent", Specs(svc), four, six)

	svc.Persistence, svc.Flags, svc.Virtual = 0, nil, svc.Virtual[:1]
	four.Persistence, four.Flags = 0, 0
	wantList(t, "plain", Specs(svc), four)

	svc.Protocol = "carrier-pigeon"
	defer func() {
		if recover() == nil {
			t.Error("a protocol that package configs refuses is accepted")
		}
	}()
	Specs(svc)
}

func TestDesiredTable(t *testing.T) {
	cfg := config(t, routerWeb+serviceWeb+`
[[service]]
name = "new"
virtual = ["10.0.0.100:443"]
forwarding = "masquerade"
[[service.server]]
address = "10.0.0.11:8443"
`)
	svc := cfg.Services[0]
	before := ipvsctl.Table{key("10.0.0.100:80"): {Servers: entryServers(map[string]int32{"10.0.0.12:80": 3, "10.9.9.9:80": 1})}}
	got := DesiredTable(cfg, verdicts(svc, healthcheck.Up), before)
	want := ipvsctl.Table{
		key("10.0.0.100:80"):  {Service: Specs(svc)[0], Servers: entryServers(map[string]int32{"10.0.0.11:80": 10, "10.0.0.12:80": 3})},
		key("10.0.0.100:443"): {Service: Specs(cfg.Services[1])[0]},
	}
	if d := cmp.Diff(want, got, compare); d != "" {
		t.Error(d)
	}
}

func TestCarryingTraffic(t *testing.T) {
	cfg := config(t, routerWeb+serviceWeb)
	at := time.Unix(7, 0)
	have := ipvsctl.Table{key("10.0.0.100:80"): {Servers: entryServers(map[string]int32{"10.0.0.11:80": 3, "10.0.0.12:80": 0, "10.9.9.9:80": 1})}}
	got := CarryingTraffic(cfg, have, at)
	want := map[healthcheck.Target]healthcheck.Verdict{
		TargetOf(cfg.Services[0], cfg.Services[0].Servers[0]): {State: healthcheck.Up, Detail: "carried traffic before", Since: at},
	}
	if d := cmp.Diff(want, got, compare); d != "" {
		t.Error(d)
	}
	if got := CarryingTraffic(cfg, nil, at); len(got) != 0 {
		t.Errorf("an empty table gives %v", got)
	}
}

func TestSyncWindow(t *testing.T) {
	init, backup := vrrp.Role{}, vrrp.Role{State: vrrp.Backup}
	active := vrrp.Role{State: vrrp.Active, Hold: true}
	leaving := vrrp.Role{State: vrrp.Init, Hold: true}
	start := time.Now()
	for _, tt := range []struct {
		name           string
		from, to       vrrp.Role
		others         []vrrp.Role
		after          float64
		master, backup bool
		again          float64 // 0: never
	}{
		{name: "start", from: init, to: init, backup: true},
		{name: "backup", from: init, to: backup, backup: true},
		{name: "just active", from: backup, to: active, master: true, backup: true, again: 3},
		{name: "active, almost 3 s", from: backup, to: active, after: 2.999, master: true, backup: true, again: 3},
		{name: "active, 3 s", from: backup, to: active, after: 3, master: true},
		{name: "handing over, still forwarding", from: active, to: leaving, after: 10, master: true, backup: true},
		{name: "let go", from: leaving, to: init, master: true, backup: true, again: 3},
		{name: "let go, 3 s", from: leaving, to: init, after: 3, backup: true},
		{name: "dropped at once", from: active, to: backup, after: 1, master: true, backup: true, again: 3},
		{name: "another is active", from: active, to: backup, others: []vrrp.Role{active}, after: 9, master: true, backup: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var w syncWindow
			w.changed(start, tt.from, tt.to)
			master, backup, again := w.want(start.Add(sec(tt.after)), append(tt.others, tt.to))
			var wantAgain time.Time
			if tt.again > 0 {
				wantAgain = start.Add(sec(tt.again))
			}
			if master != tt.master || backup != tt.backup || !again.Equal(wantAgain) {
				t.Errorf("got master %v, backup %v, again %v", master, backup, again.Sub(start))
			}
		})
	}
}

func TestElectionConfig(t *testing.T) {
	r := config(t, routerTwo).Routers[0]
	want := vrrp.Config{VRID: 52, Priority: 150, Interval: 100 * time.Millisecond, Addresses: []addr{ip("10.0.0.102")}, Failback: vrrp.FailbackNever}
	if d := cmp.Diff(want, electionConfig(r, "lb1"), cmpopts.EquateComparable(addr{})); d != "" {
		t.Error("the advertisement names the addresses of its own segment:", d)
	}
	r.Failback, r.FailbackDelay = "delay", sec(30)
	if c := electionConfig(r, "lb2"); c.Priority != 100 || c.Failback != vrrp.FailbackDelayed || c.FailbackDelay != sec(30) {
		t.Errorf("got %+v", c)
	}
	r.Version, r.AdvertInterval = 2, time.Second
	if c := electionConfig(r, "lb1"); c.Version != vrrp.V2 || c.Validate() != nil {
		t.Errorf("got %+v", c)
	}
	r.Failback = "immediate"
	if c := electionConfig(r, "lb1"); c.Failback != vrrp.FailbackImmediate {
		t.Errorf("got %+v", c)
	}
}

func TestSplitRouters(t *testing.T) {
	web, two := &router{}, &router{}
	running := map[RouterID]*router{idWeb: web, idTwo: two}
	want := []configs.VirtualRouter{
		{Name: "renamed", VRID: 51, Interface: "eth0"},
		{Name: "two", VRID: 52, Interface: "eth1"}, // moved
	}
	gone, missing := splitRouters(running, want)
	if len(gone) != 1 || gone[idTwo] != two {
		t.Errorf("gone: %v", gone)
	}
	if len(missing) != 1 || missing[0].Name != "two" {
		t.Errorf("missing: %v", missing)
	}
}

func TestLinkFault(t *testing.T) {
	r := config(t, routerTwo).Routers[0]
	up, down := Link{Up: true, Primary: ip("10.0.0.1")}, Link{Primary: ip("10.0.0.1")}
	for _, tt := range []struct {
		name  string
		links map[string]Link
		want  string
	}{
		{"well", map[string]Link{"eth0": up, "eth1": {Up: true}}, ""},
		{"own link down", map[string]Link{"eth0": down, "eth1": up}, "interface eth0 is down or has no carrier"},
		{"link of another address down", map[string]Link{"eth0": up, "eth1": down}, "interface eth1 is down or has no carrier"},
		{"gone", map[string]Link{"eth0": up}, "interface eth1 does not exist"},
		{"no address", map[string]Link{"eth0": {Up: true}, "eth1": up}, "interface eth0 has no IPv4 address of its own to send advertisements from"},
		{"all", nil, "interface eth0 does not exist; interface eth1 does not exist"},
	} {
		t.Run(tt.name, func(t *testing.T) { wantText(t, "fault", linkFault(r, ip("10.0.0.1"), tt.links), tt.want) })
	}
	links := map[string]Link{"eth0": up, "eth1": {Up: true}}
	wantText(t, "another address by multicast", linkFault(r, ip("10.0.0.9"), links), "")
	r.Transport = "unicast"
	wantText(t, "the own address by unicast", linkFault(r, ip("10.0.0.1"), links), "")
	wantText(t, "another address by unicast", linkFault(r, ip("10.0.0.9"), links),
		"interface eth0 sends advertisements from its address 10.0.0.1, and by unicast the peers accept them only from 10.0.0.9, the address of this director in the configuration")
}

func TestProfileInput(t *testing.T) {
	cfg := config(t, routerWeb+routerTwo+serviceWeb)
	got := ProfileInput(cfg)
	want := ipvsctl.ProfileInput{Interfaces: []string{"eth0", "eth1"}, Sync: true}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	cfg.Services[0].Scheduler, cfg.Services[0].Forwarding = "mh", "masquerade"
	cfg.ConnectionSync.Mode = configs.SyncOff
	want = ipvsctl.ProfileInput{Interfaces: []string{"eth0", "eth1"}, AllHashed: true, Masquerade: true}
	if d := cmp.Diff(want, ProfileInput(cfg)); d != "" {
		t.Error(d)
	}
	if cfg.Services = nil; ProfileInput(cfg).AllHashed {
		t.Error("no service at all is hashed")
	}
}

type (
	addr     = netip.Addr
	addrPort = netip.AddrPort
)
