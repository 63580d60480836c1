package director

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tandem/configs"
	"tandem/healthcheck"
	"tandem/ipvsctl"
	"tandem/vrrp"
	vrrprunner "tandem/vrrp/runner"
)

// directing is a Director that runs against a world.
type directing struct {
	*Director
	w    *world
	done chan error
}

// direct runs a director, with its checks, until the test ends.
func direct(t *testing.T, w *world, o Options) *directing {
	t.Helper()
	d := newDirecting(t, w, o)
	d.run(t)
	<-d.Ready()
	after(sec(0.3)) // the gates have probed
	return d
}

func newDirecting(t *testing.T, w *world, o Options) *directing {
	t.Helper()
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	w.edit(func() { w.judged = d.Judged })
	return &directing{d, w, make(chan error, 1)}
}

func (d *directing) run(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	checked := make(chan struct{})
	go func() { defer close(checked); d.o.Checks.Run(ctx) }()
	go func() { d.done <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-d.Director.done
		<-checked
	})
}

func (d *directing) election(t *testing.T, id RouterID) *fakeElection {
	t.Helper()
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	e := d.w.elections[id]
	if e == nil || e.isClosed() {
		t.Fatalf("no election of %v", id)
	}
	return e
}

func (d *directing) active(t *testing.T, id RouterID) {
	t.Helper()
	d.election(t, id).active()
	synctest.Wait()
}

func TestStart(t *testing.T) {
	for name, tt := range map[string]struct {
		harm func(*world, *Options)
		want string
	}{
		"another node":   {func(_ *world, o *Options) { o.Node = "lb9" }, "lb9"},
		"damaged ledger": {func(w *world, _ *Options) { w.fails["load"] = true }, "read the ledger of an earlier run: injected"},
		"network":        {func(w *world, _ *Options) { w.fails["prepare"] = true }, "injected"},
		"an election":    {func(w *world, _ *Options) { w.fails["elect two"] = true }, "virtual router two: injected"},
	} {
		bubble(t, "refused: "+name, func(t *testing.T, w *world) {
			o := w.options(config(t, routerWeb+routerTwo))
			tt.harm(w, &o)
			if _, err := New(o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
			for id, e := range w.elections {
				if !e.isClosed() {
					t.Errorf("election of %v is left running", id)
				}
			}
		})
	}
	for _, op := range []string{"save", "set net/a"} {
		bubble(t, "ended at once: "+op, func(t *testing.T, w *world) {
			w.fails[op] = true
			d := newDirecting(t, w, w.options(config(t, routerWeb)))
			d.run(t)
			if err := <-d.done; !errors.Is(err, errInjected) {
				t.Errorf("got %v", err)
			}
			wantText(t, "net/a", w.sysctls["net/a"], "1")
			if !w.elections[idWeb].isClosed() {
				t.Error("the election is left running")
			}
			if err := d.Reload(config(t, routerWeb)); !errors.Is(err, errNotRunning) {
				t.Errorf("reload: %v", err)
			}
			w.fail(op, false)
			if err := d.Stop(); err != nil {
				t.Errorf("stop: %v", err)
			}
		})
	}
	bubble(t, "what is ours is on the ledger before it is taken", func(t *testing.T, w *world) {
		direct(t, w, w.options(config(t, routerWeb+serviceWeb)))
		want := Owned{
			Addresses: []configs.VirtualAddress{vipWeb}, Services: []ipvsctl.ServiceKey{key("10.0.0.100:80")},
			Sysctls: map[string]string{"net/a": "1"}, Sync: true,
		}
		if d := cmp.Diff(want, w.ledger, compare); d != "" {
			t.Error(d)
		}
	})
	bubble(t, "what carries traffic is judged by several probes", func(t *testing.T, w *world) {
		cfg := config(t, routerWeb+serviceWeb)
		w.table[key("10.0.0.100:80")] = ipvsctl.Entry{Service: Specs(cfg.Services[0])[0],
			Servers: entryServers(map[string]int32{"10.0.0.11:80": 3, "10.0.0.12:80": 0})}
		w.servers[port("10.0.0.11:80")] = healthcheck.ReasonTimeout
		w.servers[port("10.0.0.12:80")] = healthcheck.ReasonTimeout
		d := direct(t, w, w.options(cfg))
		after(sec(0.5))
		wantText(t, "after one probe", w.weights("10.0.0.100:80"), "map[10.0.0.11:80:10]")
		// A new check knows as little of the servers as a new process.
		if err := d.Reload(config(t, routerWeb+strings.Replace(serviceWeb, "[[service.server]]", "[service.check]\ntype = \"http\"\n[[service.server]]", 1))); err != nil {
			t.Fatal(err)
		}
		after(sec(0.5))
		wantText(t, "after one probe of another kind", w.weights("10.0.0.100:80"), "map[10.0.0.11:80:10]")
		after(sec(3))
		wantText(t, "after fall probes", w.weights("10.0.0.100:80"), "map[]")
	})
	bubble(t, "no sysctl profile", func(t *testing.T, w *world) {
		direct(t, w, w.options(config(t, routerWeb+"[sysctl]\nprofile = \"none\"\n")))
		wantText(t, "net/a", w.sysctls["net/a"], "1")
	})
}

// A slow table must not delay an address.
func TestSlowTable(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb+serviceWeb)))
		block := make(chan struct{})
		w.edit(func() { w.block = block })
		after(sec(2))
		d.active(t, idWeb)
		w.wantHeld(vipWeb)
		if d.Snapshot(time.Now()).Routers[0].State != "active" {
			t.Error("status waits for the table")
		}
		after(sec(12))
		if !d.Alive(time.Now()) {
			t.Error("the watchdog bites too early")
		}
		after(sec(15))
		if d.Alive(time.Now()) {
			t.Error("a table that hangs is not noticed")
		}
		w.edit(func() { w.block = nil })
		close(block)
		synctest.Wait()
	})
}

// An active director whose kernel does not take the addresses is worse than a
// backup: it gives its role up, so that the other one can have it.
func TestUnheldAddresses(t *testing.T) {
	for _, lease := range []string{`"2s"`, `"off"`} {
		bubble(t, "lease "+lease, func(t *testing.T, w *world) {
			d := direct(t, w, w.options(config(t, routerWeb+"address_lease = "+lease+"\n")))
			w.fail("add ", true)
			d.active(t, idWeb)
			after(sec(1.2))
			wantText(t, "a short failure", d.Snapshot(time.Now()).Routers[0].State, "active")
			after(sec(1.2))
			got := d.Snapshot(time.Now()).Routers[0]
			if got.State != "init" || !strings.Contains(got.Fault, "the kernel has not taken 10.0.0.100/32 on eth0 for") {
				t.Errorf("got %s, fault %q", got.State, got.Fault)
			}
			w.fail("add ", false)
			after(gateResync + sec(1))
			wantText(t, "joins again", d.Snapshot(time.Now()).Routers[0].State, "backup")
			d.active(t, idWeb)
			after(time.Minute)
			wantText(t, "with its address", d.Snapshot(time.Now()).Routers[0].State, "active")
			w.wantHeld(vipWeb)
		})
	}
	bubble(t, "renewals fail", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb)))
		d.active(t, idWeb)
		after(sec(10))
		w.fail("renew ", true)
		after(sec(2))
		wantText(t, "after three quarters of the lease", d.Snapshot(time.Now()).Routers[0].State, "init")
	})
}

// An election whose goroutine hangs is a reason to start anew.
func TestAliveElections(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb)))
		d.active(t, idWeb)
		e := d.election(t, idWeb)
		e.mu.Lock()
		e.status.AdvertAt = time.Now()
		e.mu.Unlock()
		after(sec(10))
		if !d.Alive(time.Now()) {
			t.Error("the watchdog bites too early")
		}
		after(sec(1))
		if d.Alive(time.Now()) {
			t.Error("an active election that is silent is not noticed")
		}
		e.become(vrrp.Backup, false)
		if !d.Alive(time.Now()) {
			t.Error("a backup has to advertise")
		}
	})
}

// A process that was frozen must not take an address back on the strength of
// an old role.
func TestFresh(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb)))
		d.active(t, idWeb)
		e := d.election(t, idWeb)
		sent := time.Now()
		e.stale(sent)
		role := e.Status().Role
		for _, tt := range []struct {
			silent time.Duration
			want   bool
		}{{0, true}, {299 * time.Millisecond, true}, {300 * time.Millisecond, false}} {
			time.Sleep(time.Until(sent.Add(tt.silent)))
			if got := d.fresh(idWeb, role); got != tt.want {
				t.Errorf("silent for %v: fresh %v", tt.silent, got)
			}
		}
		if _, fresh := d.HoldsIP(vipWeb.Prefix.Addr(), "eth0"); fresh {
			t.Error("a stale address is announced")
		}

		later := role
		later.Number, later.Since = role.Number+1, time.Now()
		if !d.fresh(idWeb, later) {
			t.Error("a role that is newer than the status is taken for stale")
		}
		after(300 * time.Millisecond)
		if d.fresh(idWeb, later) {
			t.Error("a role that nobody confirms stays fresh")
		}
		if d.fresh(idTwo, role) {
			t.Error("a router that does not exist is fresh")
		}
		e.become(vrrp.Backup, false)
		if d.fresh(idWeb, role) {
			t.Error("a role that was lost is fresh")
		}
	})
}

func TestLinksChanged(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb)))
		d.active(t, idWeb)
		w.edit(func() { w.links["eth0"] = Link{} })
		d.LinksChanged()
		synctest.Wait()
		w.wantHeld()
		if got := d.Snapshot(time.Now()).Routers[0]; got.State != "init" || got.Fault != "interface eth0 is down or has no carrier" {
			t.Errorf("got %+v", got)
		}
	})
}

func TestConflicts(t *testing.T) {
	const mac = "02:00:00:00:00:66"
	rival := func(d *directing) {
		d.AddressClaimed(time.Now(), vipWeb.Prefix.Addr(), "eth0", mac)
	}
	bubble(t, "the active's own announcements are none", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb)))
		rival(d)
		if got := d.Snapshot(time.Now()).Conflicts; got != nil {
			t.Errorf("got %v", got)
		}
	})
	bubble(t, "counted, answered each 10 s, forgotten after an hour", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb+routerTwo)))
		d.active(t, idWeb)
		d.active(t, idTwo)
		w.steps()
		for range 25 {
			rival(d)
			after(sec(1))
		}
		answers := slices.DeleteFunc(w.steps(), func(s string) bool { return !strings.HasPrefix(s, "defend") && !strings.HasPrefix(s, "announce") })
		wantList(t, "answers", answers, "defend 10.0.0.100/32", "defend 10.0.0.100/32", "defend 10.0.0.100/32")
		d.AddressClaimed(time.Now(), vipTwo.Prefix.Addr(), "eth0", mac)
		got := d.Snapshot(time.Now()).Conflicts
		if len(got) != 2 || got[0].Count != 25 || got[0].MAC != mac || got[0].Address != vipWeb.Prefix.Addr() || got[1].Count != 1 {
			t.Errorf("got %+v", got)
		}
		if got := d.Snapshot(time.Now().Add(2 * time.Hour)).Conflicts; got != nil {
			t.Errorf("an hour later: %+v", got)
		}
	})
	bubble(t, "an address of nobody, and one of a router that is gone", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb+routerTwo)))
		d.active(t, idTwo)
		d.AddressClaimed(time.Now(), ip("10.0.0.77"), "eth0", mac)
		if err := d.Reload(config(t, routerWeb)); err != nil {
			t.Fatal(err)
		}
		d.AddressClaimed(time.Now(), vipTwo.Prefix.Addr(), "eth0", mac)
		if got := d.Snapshot(time.Now()).Conflicts; got != nil {
			t.Errorf("got %v", got)
		}
	})
	bubble(t, "a defence that fails", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb)))
		d.active(t, idWeb)
		w.fail("defend ", true)
		rival(d)
		if got := d.Snapshot(time.Now()).Conflicts; len(got) != 1 {
			t.Errorf("got %v", got)
		}
	})
}

func TestSnapshot(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		w.servers[port("10.0.0.12:80")] = healthcheck.ReasonRefused
		w.table[key("10.0.0.7:25")] = ipvsctl.Entry{Service: ipvsctl.Service{ServiceKey: key("10.0.0.7:25")}}
		d := direct(t, w, w.options(config(t, routerWeb+routerTwo+serviceWeb)))
		d.Loaded("/etc/t.toml", "abc", time.Now())
		d.ReloadFailed(errors.Join(errors.New("line 1"), errors.New("line 2")), time.Now())
		d.active(t, idWeb)
		w.fail("running", true)
		d.holder.Wake()
		after(sec(1))
		s := d.Snapshot(time.Now())

		wantText(t, "node and pair", s.Node+" "+s.Pair, "lb1 tandem")
		wantList(t, "foreign", s.Foreign, "tcp 10.0.0.7:25")
		wantList(t, "drops", s.Drops, DropStatus{Interface: "eth0", Reason: "bad-ttl", Packets: 7})
		wantList(t, "problems", s.Problems, "injected", "the last reload was refused, the older configuration runs: line 1; line 2")
		web, two := s.Routers[0], s.Routers[1]
		wantList(t, "addresses", slices.Concat(web.Addresses, two.Addresses),
			AddressStatus{Address: vipWeb.Prefix, Interface: "eth0", Held: true},
			AddressStatus{Address: vipTwo.Prefix, Interface: "eth0"}, AddressStatus{Address: vipInside.Prefix, Interface: "eth1"})
		wantText(t, "states", web.State+" "+two.State, "active backup")
		svc := s.Services[0]
		if !svc.InKernel || svc.Scheduler == "" || svc.Forwarding != "direct" {
			t.Errorf("service: %+v", svc)
		}
		up, down := svc.Servers[0], svc.Servers[1]
		if up.Verdict != "up" || !up.InKernel || up.Weight != 10 || up.Configured != 10 || up.LatencyMS != 1 {
			t.Errorf("up: %+v", up)
		}
		if down.Verdict != "down" || down.InKernel || down.Reason != "refused" || down.Why != "down: removed" || down.Configured != 20 {
			t.Errorf("down: %+v", down)
		}
	})
}

func TestRemarks(t *testing.T) {
	if got := remarks(vrrprunner.Status{}); got != nil {
		t.Errorf("of nothing odd: %q", got)
	}
	var st vrrprunner.Status
	st.Heard = vrrp.Heard{Src: ip("10.0.0.2"), Interval: time.Second, IntervalDiffers: true, AddressesDiffer: true}
	st.Counters = vrrp.Counters{Rivals: 3, OwnSource: 4, Pauses: 5}
	st.SendErrors, st.LastSendError = 6, "no buffer space available"
	wantList(t, "remarks", remarks(st),
		"10.0.0.2 advertises every 1s, this router has another advert_interval",
		"10.0.0.2 advertises other addresses than this router has",
		"heard 3 advertisements of rivals while active",
		"heard 4 advertisements from its own address: they loop back, or another host uses it",
		"gave its role up 5 times because the process stood still",
		"6 advertisements could not be sent, the last one because: no buffer space available")
}

func TestSnapshotPeer(t *testing.T) {
	r := config(t, routerWeb).Routers[0]
	e := &fakeElection{}
	e.status.Role.State = vrrp.Backup
	e.status.Heard = vrrp.Heard{Src: ip("10.0.0.2"), Priority: 100}
	rt := &router{cfg: r, election: e, gate: newGate(r, ip("10.0.0.1"), noGroups(), Options{Log: quietLog()})}
	if got := routerStatus(r, rt, nil).Peer; got == nil || *got != (PeerStatus{ip("10.0.0.2"), 100}) {
		t.Errorf("got %v", got)
	}
	e.status.Role.State = vrrp.Active
	if got := routerStatus(r, rt, nil).Peer; got != nil {
		t.Errorf("an active router shows the peer %v as active", got)
	}
}
