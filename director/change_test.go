package director

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/configs"
	"tandem/healthcheck"
	"tandem/ipvsctl"
	"tandem/vrrp"
)

// succeed lets the successor of an active router be heard after d: it lets go of
// its addresses then.
func succeed(e *fakeElection, d time.Duration) {
	time.AfterFunc(d, func() {
		if !e.isClosed() {
			e.become(vrrp.Init, false)
		}
	})
}

// without strips a list of what is not of interest.
func without(steps []string, prefixes ...string) []string {
	return slices.DeleteFunc(steps, func(s string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s, p) })
	})
}

func TestStop(t *testing.T) {
	bubble(t, "in the order that loses least", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb+serviceWeb)))
		d.active(t, idWeb)
		after(sec(5))
		w.steps()
		start := time.Now()
		succeed(d.election(t, idWeb), sec(0.2))
		time.AfterFunc(sec(0.19), func() { w.wantHeld(vipWeb) })
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took < sec(3.2) || took > sec(3.25) {
			t.Errorf("took %v: 0.2 s until the successor is there, 3 s for the last sync", took)
		}
		// The master stops after 3 s, which is when the loop and Stop wake up.
		wantList(t, "steps", without(w.steps(), "renew", "stop master"), "shutdown web", "start backup", "remove 10.0.0.100/32", "close web",
			"delete service 10.0.0.100:80", "stop backup", "set net/a=1")
		wantText(t, "daemons", w.syncs(), "[]")
		if o := w.ledger; len(o.Addresses)+len(o.Services)+len(o.Sysctls) > 0 || o.Sync {
			t.Errorf("left on the ledger: %+v", o)
		}
		if err := <-d.done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := d.Reload(config(t, routerWeb)); !errors.Is(err, errNotRunning) {
			t.Errorf("reload after it: %v", err)
		}
	})
	bubble(t, "a backup goes at once", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb)))
		start := time.Now()
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > sec(0.1) {
			t.Errorf("took %v", took)
		}
	})
	bubble(t, "an election that does not obey", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb+serviceWeb)))
		d.active(t, idWeb)
		d.election(t, idWeb).stuck = true
		w.steps()
		start := time.Now()
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took < sec(5.5) || took > sec(5.6) {
			t.Errorf("took %v, want the bound of 2.5 s and 3 s for the last sync", took)
		}
		steps := w.steps()
		if address := slices.Index(steps, "remove 10.0.0.100/32"); address < 0 || slices.Index(steps, "delete service 10.0.0.100:80") < address {
			t.Errorf("steps: %v", steps)
		}
		w.wantHeld()
		wantText(t, "service", w.weights("10.0.0.100:80"), "absent")
		wantText(t, "daemons", w.syncs(), "[]")
	})
	bubble(t, "before everything runs", func(t *testing.T, w *world) {
		d := newDirecting(t, w, w.options(config(t, routerWeb+serviceWeb)))
		stopped := make(chan error)
		go func() { stopped <- d.Stop() }()
		synctest.Wait()
		d.run(t)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		wantText(t, "net/a", w.sysctls["net/a"], "1")
		wantText(t, "service", w.weights("10.0.0.100:80"), "absent")
		wantText(t, "daemons", w.syncs(), "[]")
	})
	for _, tt := range []struct {
		op   string
		left func(Owned) bool
	}{
		{"remove ", func(o Owned) bool { return len(o.Addresses) == 1 }},
		{"delete service ", func(o Owned) bool { return len(o.Services) == 1 }},
		{"stop backup", func(o Owned) bool { return o.Sync }},
		{"set net/a", func(o Owned) bool { return len(o.Sysctls) == 1 }},
	} {
		bubble(t, "what stays is on the ledger: "+tt.op, func(t *testing.T, w *world) {
			d := direct(t, w, w.options(config(t, routerWeb+serviceWeb+`
[[virtual_router]]
name = "forever"
vrid = 53
address_lease = "off"
addresses = ["10.0.0.103"]
`)))
			if tt.op == "remove " {
				d.active(t, RouterID{Interface: "eth0", VRID: 53})
			}
			w.fail(tt.op, true)
			w.fail("stop ", tt.op == "stop backup")
			if err := d.Stop(); !errors.Is(err, errInjected) {
				t.Errorf("got %v", err)
			}
			if tt.op == "remove " {
				tt.left = func(o Owned) bool { return len(o.Addresses) == 2 } // as it was: the router's two
			}
			if !tt.left(w.ledger) {
				t.Errorf("ledger: %+v", w.ledger)
			}
		})
	}
	bubble(t, "Run alone neither hands over nor takes back", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb+serviceWeb)))
		d.active(t, idWeb)
		w.steps()
		d.endLoops()
		if err := <-d.done; err != nil {
			t.Error(err)
		}
		w.wantHeld(vipWeb)
		wantList(t, "steps", w.steps(), "close web")
	})
}

func TestReload(t *testing.T) {
	all := routerWeb + routerTwo + serviceWeb
	for name, tt := range map[string]struct {
		op   string
		harm func(*configs.Config)
	}{
		"this node is not in it": {harm: func(c *configs.Config) { c.Directors = c.Directors[1:] }},
		"the network":            {op: "prepare"},
		"an election":            {op: "elect fresh"},
		"a sysctl":               {op: "set net/b"},
	} {
		bubble(t, "refused: "+name, func(t *testing.T, w *world) {
			o := w.options(config(t, all))
			profile := o.Profile
			o.Profile = func(cfg *configs.Config) []ipvsctl.Sysctl {
				if len(cfg.Routers) < 4 {
					return profile(cfg)
				}
				return []ipvsctl.Sysctl{{Key: "net/b", Want: "new"}}
			}
			d := direct(t, w, o)
			d.active(t, idWeb)
			before, ledger := d.Snapshot(time.Now()), copyOwned(w.ledger)
			w.steps()
			w.fail(tt.op, true)
			next := config(t, `
[[virtual_router]]
name = "renamed"
vrid = 51
addresses = ["10.0.0.150"]
[[virtual_router]]
name = "first"
vrid = 60
addresses = ["10.0.0.160"]
[[virtual_router]]
name = "fresh"
vrid = 61
addresses = ["10.0.0.161"]
[[virtual_router]]
name = "last"
vrid = 62
addresses = ["10.0.0.162"]
`)
			if tt.harm != nil {
				tt.harm(next)
			}
			if err := d.Reload(next); err == nil {
				t.Fatal("accepted")
			}
			after(sec(10))
			w.wantHeld(vipWeb)
			now := d.Snapshot(before.At)
			if a, b := texts(before), texts(now); !slices.Equal(a, b) {
				t.Errorf("status was\n%v\nand is\n%v", a, b)
			}
			if !slices.Equal(w.ledger.Addresses, ledger.Addresses) || !slices.Equal(w.ledger.Services, ledger.Services) {
				t.Errorf("the ledger was %+v and is %+v", ledger, w.ledger)
			}
			wantText(t, "net/a", w.sysctls["net/a"], "2")
			wantText(t, "net/b", w.sysctls["net/b"], "old")
			for id, e := range w.elections {
				if running := id == idWeb || id == idTwo; running == e.isClosed() {
					t.Errorf("election of %v: closed %v", id, e.isClosed())
				}
			}
			for _, s := range w.steps() {
				if strings.HasPrefix(s, "shutdown") || strings.HasPrefix(s, "reconfigure") || strings.HasPrefix(s, "remove ") {
					t.Errorf("an election or an address was touched: %s", s)
				}
			}
		})
	}
	bubble(t, "kept, renamed, removed, moved and new", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, all)))
		d.active(t, idWeb)
		d.active(t, idTwo)
		web, two := d.election(t, idWeb), d.election(t, idTwo)
		succeed(two, sec(0.3))
		w.steps()
		start := time.Now()
		err := d.Reload(config(t, strings.NewReplacer(`name = "web"`, `name = "www"`, `"10.0.0.100"`, `"10.0.0.100", "10.0.0.101"`).Replace(routerWeb)+
			strings.Replace(routerTwo, "vrid = 52", "vrid = 62", 1)))
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < sec(0.3) || took > sec(0.4) {
			t.Errorf("took %v, the successor is there after 0.3 s", took)
		}
		if d.election(t, idWeb) != web {
			t.Error("a router that only has another name was made anew")
		}
		synctest.Wait() // the gate tells the election
		steps := without(w.steps(), "renew", "probe", "set ", "start ", "stop ")
		if !slices.Contains(steps, "reconfigure web") || slices.Contains(steps, "shutdown web") {
			t.Errorf("steps: %v", steps)
		}
		if !two.isClosed() {
			t.Error("a removed router is left running")
		}
		after(sec(1))
		w.wantHeld(vipWeb, vip("10.0.0.101/32", "eth0"))
		wantText(t, "service", w.weights("10.0.0.100:80"), "absent")
		if got := d.election(t, RouterID{Interface: "eth0", VRID: 62}).Status().Role.State; got != vrrp.Backup {
			t.Errorf("the new router is %v", got)
		}
		wantList(t, "ledger", w.ledger.Addresses, vipWeb, vip("10.0.0.101/32", "eth0"), vipTwo, vipInside)
	})
	bubble(t, "a removed router's services outlive its addresses", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, all)))
		d.active(t, idWeb)
		succeed(d.election(t, idWeb), sec(0.5))
		w.steps()
		if err := d.Reload(config(t, routerTwo)); err != nil {
			t.Fatal(err)
		}
		after(sec(1))
		steps := w.steps()
		address, service := slices.Index(steps, "remove 10.0.0.100/32"), slices.Index(steps, "delete service 10.0.0.100:80")
		if address < 0 || service < address {
			t.Errorf("steps: %v", steps)
		}
		wantList(t, "ledger", w.ledger.Addresses, vipTwo, vipInside)
	})
	bubble(t, "an interval that changes does not lose a server", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, all)))
		wantText(t, "before", w.weights("10.0.0.100:80"), both)
		w.steps()
		if err := d.Reload(config(t, strings.Replace(all, "[[service.server]]", "[service.check]\ninterval = \"7s\"\n[[service.server]]", 1))); err != nil {
			t.Fatal(err)
		}
		after(sec(20))
		for _, s := range w.steps() {
			if strings.Contains(s, "server") {
				t.Errorf("the table was touched: %s", s)
			}
		}
	})
	bubble(t, "a ledger that cannot be written is no reason", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb)))
		w.fail("save", true)
		if err := d.Reload(config(t, all)); err != nil {
			t.Fatal(err)
		}
		w.fail("save", false)
		after(sec(2))
		wantList(t, "ledger", w.ledger.Addresses, vipWeb, vipTwo, vipInside)
	})
	bubble(t, "before everything runs", func(t *testing.T, w *world) {
		d := newDirecting(t, w, w.options(config(t, routerWeb)))
		reloaded := make(chan error)
		go func() { reloaded <- d.Reload(config(t, all)) }()
		synctest.Wait()
		d.run(t)
		if err := <-reloaded; err != nil {
			t.Error(err)
		}
		after(sec(1))
		if got := d.Snapshot(time.Now()); len(got.Routers) != 2 || got.Routers[1].State != "backup" {
			t.Errorf("got %+v", got.Routers)
		}
	})
	bubble(t, "servers come and go", func(t *testing.T, w *world) {
		w.servers[port("10.0.0.13:80")] = healthcheck.ReasonRefused
		d := direct(t, w, w.options(config(t, all)))
		if err := d.Reload(config(t, strings.Replace(all, "10.0.0.12", "10.0.0.14", 1))); err != nil {
			t.Fatal(err)
		}
		after(sec(1))
		wantText(t, "table", w.weights("10.0.0.100:80"), "map[10.0.0.11:80:10 10.0.0.14:80:20]")
	})
}

// texts is what a snapshot says of routers, services and problems.
func texts(s Snapshot) []string {
	var out []string
	for _, r := range s.Routers {
		out = append(out, r.Name+" "+r.State)
	}
	for _, svc := range s.Services {
		out = append(out, svc.Name)
		for _, srv := range svc.Servers {
			out = append(out, srv.Address.String()+" "+srv.Why)
		}
	}
	return append(out, s.Problems...)
}
