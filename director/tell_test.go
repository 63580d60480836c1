package director

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/configs"
	"tandem/healthcheck"
	"tandem/internal/events"
	"tandem/vrrp"
)

// told is what was published since the last call, of the given kinds or of all.
func (w *world) told(kinds ...events.Kind) []string {
	w.mu.Lock()
	after := w.heard
	w.mu.Unlock()
	var out []string
	for {
		list := w.events.After(after)
		if len(list) == 0 {
			break
		}
		for _, e := range list {
			after = e.Seq
			if len(kinds) == 0 || slices.Contains(kinds, e.Kind) {
				out = append(out, e.String())
			}
		}
	}
	w.edit(func() { w.heard = after })
	return out
}

// wantTold compares in any order: what happens comes from several goroutines.
func wantTold(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	wantList(t, what, got, want...)
}

// loaded runs a director as the command does.
func loaded(t *testing.T, w *world, cfg *configs.Config) *directing {
	t.Helper()
	d := newDirecting(t, w, w.options(cfg))
	d.Loaded("t.toml", "0123", time.Now())
	d.run(t)
	<-d.Ready()
	return d
}

// A director's life, as those see it who only hear of it.
func TestTold(t *testing.T) {
	bubble(t, "from start to stop", func(t *testing.T, w *world) {
		d := loaded(t, w, config(t, routerWeb+serviceWeb))
		after(sec(3))
		got := w.told()
		for _, want := range []string{
			"director lb1: start (configuration 0123)",
			"router web: role init -> backup, priority 150",
			"sync backup: sync stopped -> running",
			"server 10.0.0.11:80 of http: verdict unknown -> up (ok)",
			"server 10.0.0.12:80 of http: verdict unknown -> up (ok)",
			"service http: service served",
		} {
			if !slices.Contains(got, want) {
				t.Errorf("not told: %s", want)
			}
		}
		if len(got) != 6 || got[0] != "director lb1: start (configuration 0123)" {
			t.Errorf("told %q", got)
		}

		w.elections[idWeb].active()
		after(sec(0.1))
		wantTold(t, "active", w.told(),
			"router web: role backup -> active, priority 150", "router web: hold no -> yes",
			"address 10.0.0.100/32 on eth0: address absent -> held", "sync master: sync stopped -> running")
		after(sec(60))
		wantTold(t, "nothing happens", w.told(events.Role, events.Hold, events.Address, events.Verdict, events.Service))

		w.edit(func() { delete(w.addresses, vipWeb) })
		after(sec(2))
		wantTold(t, "put back", w.told(), "address 10.0.0.100/32 on eth0: address gone -> held")

		w.edit(func() {
			w.servers[port("10.0.0.11:80")] = healthcheck.ReasonRefused
			w.servers[port("10.0.0.12:80")] = healthcheck.ReasonRefused
		})
		after(sec(10))
		wantTold(t, "servers die", w.told(), "server 10.0.0.11:80 of http: verdict up -> down (refused)",
			"server 10.0.0.12:80 of http: verdict up -> down (refused)", "service http: service served -> empty (no server is up)")
		w.edit(func() { delete(w.servers, port("10.0.0.12:80")) })
		after(sec(10))
		wantTold(t, "one is back", w.told(), "server 10.0.0.12:80 of http: verdict down -> up (ok)", "service http: service empty -> served")

		d.AddressClaimed(time.Now(), vipWeb.Prefix.Addr(), "eth0", "02:00:00:00:00:66")
		d.AddressClaimed(time.Now(), vipWeb.Prefix.Addr(), "eth0", "02:00:00:00:00:66")
		for range 100 {
			w.elections[idWeb].events.Announce("rival 10.0.0.2 with priority 50")
		}
		wantTold(t, "others", w.told(), "address 10.0.0.100 on eth0: conflict (claimed by 02:00:00:00:00:66)",
			"router web: rival (rival 10.0.0.2 with priority 50)")

		d.ReloadFailed(errInjected, time.Now())
		d.Loaded("t.toml", "4567", time.Now())
		wantTold(t, "reloads", w.told(), "director lb1: reload refused (injected)", "director lb1: reload done (configuration 4567)")

		if err := d.Stop(); err != nil {
			t.Fatal(err)
		}
		wantTold(t, "stop", w.told(events.Stopping, events.Role, events.Address), "director lb1: stopping", "router web: role active -> init, priority 150",
			"address 10.0.0.100/32 on eth0: address gone -> absent")
	})
}

func TestToldOfFaults(t *testing.T) {
	bubble(t, "and of what is tracked", func(t *testing.T, w *world) {
		rest := strings.Replace(routerWeb, "vrid = 51", "vrid = 51\nfailback = \"immediate\"\ntrack = [{ interface = \"eth1\" }, { file = \"/f\", weight = -30 }]", 1)
		d := loaded(t, w, config(t, rest))
		file := configs.Thing{Kind: configs.TrackFile, File: "/f"}
		after(sec(1))
		wantTold(t, "start", w.told(events.Fault, events.Track, events.Priority), "interface eth1 of router web: track unknown -> well")
		w.edit(func() { w.things[file] = ThingState{Known: true, Number: 2, Reason: "holds 2"} })
		d.ThingsChanged()
		after(sec(1))
		wantTold(t, "a weight", w.told(events.Fault, events.Track, events.Priority),
			"file /f of router web: track unknown -> failed (holds 2)",
			"router web: priority 150 -> 90 (configured 150, and the weights of what is tracked)")
		w.edit(func() { w.links["eth1"] = Link{} })
		d.LinksChanged()
		after(sec(20))
		wantTold(t, "a fault", w.told(events.Fault, events.Track, events.Role),
			"interface eth1 of router web: track well -> failed (is down or has no carrier)",
			"router web: fault no -> yes (interface eth1: is down or has no carrier)",
			"router web: role backup -> init, priority 90")
		w.edit(func() { w.links["eth1"] = Link{Up: true} })
		d.LinksChanged()
		after(sec(1))
		wantTold(t, "its end", w.told(events.Fault, events.Track, events.Role),
			"interface eth1 of router web: track failed -> well", "router web: fault yes -> no", "router web: role init -> backup, priority 90")
	})
	bubble(t, "a router that is renamed", func(t *testing.T, w *world) {
		d := loaded(t, w, config(t, routerWeb))
		after(sec(1))
		w.told()
		if err := d.Reload(config(t, strings.Replace(routerWeb, `name = "web"`, `name = "www"`, 1))); err != nil {
			t.Fatal(err)
		}
		wantTold(t, "told", w.told(), "router www: role backup, priority 150 (was called web)")
		w.elections[idWeb].active()
		wantTold(t, "then", w.told(events.Role), "router www: role backup -> active, priority 150")
	})
}

func TestToldOfGroups(t *testing.T) {
	bubble(t, "one is", func(t *testing.T, w *world) {
		grouped := strings.Replace(routerWeb, "vrid = 51", "vrid = 51\ngroup = \"site\"", 1) + strings.Replace(routerTwo, "vrid = 52", "vrid = 52\ngroup = \"site\"", 1)
		d := loaded(t, w, config(t, grouped))
		after(sec(1))
		wantTold(t, "start", w.told(events.Group), "group site: group init -> backup")
		w.elections[idWeb].ready()
		w.elections[idTwo].ready()
		after(sec(1))
		wantTold(t, "takes over", w.told(events.Group, events.Decision), "group site: group backup -> active", "router two: decision take-over", "router web: decision take-over")
		w.elections[idTwo].become(vrrp.Backup, true)
		after(sec(1))
		wantTold(t, "gives up", w.told(events.Group, events.Decision), "group site: group active -> backup",
			"router web: decision resign (two of the group gave its role up: )")
		w.edit(func() { w.links["eth1"] = Link{} })
		d.LinksChanged()
		after(sec(1))
		if got := w.told(events.Group); len(got) != 1 || !strings.HasPrefix(got[0], "group site: group backup -> fault (interface eth1 is down") {
			t.Errorf("fault: told %q", got)
		}
	})
}

// What carried traffic before and what the configuration no longer has.
func TestJudges(t *testing.T) {
	cfg := config(t, routerWeb+serviceWeb+strings.Replace(serviceWeb, `name = "http"
virtual = ["10.0.0.100:80"]`, `name = "again"
virtual = ["10.0.0.100:80"]
protocol = "udp"`, 1))
	w := newWorld(t)
	j := newJudges(w.events, cfg)
	target := TargetOf(cfg.Services[0], cfg.Services[0].Servers[0])
	if target != TargetOf(cfg.Services[1], cfg.Services[1].Servers[0]) {
		t.Fatal("the two services do not share a target")
	}
	j.Judged(target, healthcheck.Verdict{State: healthcheck.Up, Detail: "carried traffic before"})
	j.Judged(target, healthcheck.Verdict{State: healthcheck.Up, Reason: healthcheck.ReasonOK})
	wantTold(t, "both services", w.told(), "server 10.0.0.11:80 of http: verdict unknown -> up (carried traffic before)",
		"server 10.0.0.11:80 of again: verdict unknown -> up (carried traffic before)")
	j.SetConfig(config(t, routerWeb+serviceWeb))
	j.Judged(target, healthcheck.Verdict{State: healthcheck.Down, Reason: healthcheck.ReasonStatus, Detail: "503"})
	wantTold(t, "one is left", w.told(), "server 10.0.0.11:80 of http: verdict up -> down (status: 503)")
	j.SetConfig(config(t, routerWeb))
	j.Judged(target, healthcheck.Verdict{State: healthcheck.Up})
	wantTold(t, "none is left", w.told())
}
