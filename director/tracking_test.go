package director

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tandem/configs"
	"tandem/healthcheck"
	"tandem/vrrp"
)

func TestWeigh(t *testing.T) {
	thing := configs.Thing{Kind: configs.TrackProcess, Process: "nginx"}
	file := configs.Thing{Kind: configs.TrackFile, File: "/f"}
	well, failed := ThingState{Known: true, Well: true, Reason: "PID 7"}, ThingState{Known: true, Reason: "does not run"}
	holds := func(n int64) ThingState { return ThingState{Known: true, Well: n == 0, Number: n} }
	for _, tt := range []struct {
		what   string
		thing  configs.Thing
		weight int
		state  ThingState
		fault  string
		effect int
	}{
		{"well", thing, 0, well, "", 0},
		{"failed", thing, 0, failed, "process nginx: does not run", 0},
		{"failed without a reason", thing, 0, ThingState{Known: true}, "process nginx failed", 0},
		{"unknown", thing, 0, ThingState{Reason: "not allowed"}, "", 0},
		{"negative weight, well", thing, -60, well, "", 0},
		{"negative weight, failed", thing, -60, failed, "", -60},
		{"negative weight, unknown", thing, -60, ThingState{}, "", 0},
		{"positive weight, well", thing, 60, well, "", 60},
		{"positive weight, failed", thing, 60, failed, "", 0},
		{"positive weight, unknown", thing, 60, ThingState{}, "", 0},
		{"file with 0", file, 0, holds(0), "", 0},
		{"file with 1", file, 0, holds(1), "file /f failed", 0},
		{"file with -1", file, 0, holds(-1), "file /f failed", 0},
		{"file with 0 and a weight", file, -10, holds(0), "", 0},
		{"file with 3 and a weight", file, -10, holds(3), "", -30},
		{"file with -3 and a weight", file, -10, holds(-3), "", 30},
		{"file with more than counts", file, 2, holds(1 << 62), "", 510},
		{"file with less than counts", file, 2, holds(-1 << 62), "", -510},
		{"file, unknown", file, -10, ThingState{}, "", 0},
	} {
		got := Weigh([]configs.Track{{Thing: tt.thing, Weight: tt.weight}}, map[configs.Thing]ThingState{tt.thing: tt.state})
		if got.Fault != tt.fault || got.Weight != tt.effect || got.Things[0].Effect != tt.effect || got.Things[0].Fault != (tt.fault != "") {
			t.Errorf("%s: got %+v", tt.what, got)
		}
	}
	both := Weigh([]configs.Track{{Thing: thing}, {Thing: file, Weight: 5}, {Thing: configs.Thing{Kind: configs.TrackInterface, Interface: "eth1"}}},
		map[configs.Thing]ThingState{thing: failed, file: holds(2), {Kind: configs.TrackInterface, Interface: "eth1"}: {Known: true, Reason: "is down"}})
	wantText(t, "faults", both.Fault, "process nginx: does not run; interface eth1: is down")
	wantText(t, "weight", fmt.Sprint(both.Weight, len(both.Things)), "10 3")
}

func TestWeighed(t *testing.T) {
	for _, tt := range []struct {
		base   uint8
		weight int
		want   uint8
	}{{100, 0, 100}, {100, -60, 40}, {100, -100, 1}, {100, -400, 1}, {100, 154, 254}, {100, 155, 254}, {100, 9999, 254}, {1, -1, 1}, {254, 1, 254}, {255, -60, 255}} {
		if got := weighed(tt.base, tt.weight); got != tt.want {
			t.Errorf("%d and %d: got %d, want %d", tt.base, tt.weight, got, tt.want)
		}
	}
}

func TestServiceStates(t *testing.T) {
	cfg := config(t, routerWeb+`
[[virtual_router.track]]
service = "http"
quorum = 20
`+serviceWeb) // weights 10 and 20
	svc, track := cfg.Services[0], cfg.Routers[0].Track
	for _, tt := range []struct{ first, second, want string }{
		{"up", "up", "well"}, {"down", "up", "well"}, {"unknown", "up", "well"},
		{"up", "down", "failed"}, {"unknown", "down", "failed"}, {"down", "down", "failed"},
		{"up", "unknown", "unknown"}, {"unknown", "unknown", "unknown"},
	} {
		state := map[string]healthcheck.State{"up": healthcheck.Up, "down": healthcheck.Down}
		verdicts := map[healthcheck.Target]healthcheck.Verdict{
			TargetOf(svc, svc.Servers[0]): {State: state[tt.first]},
			TargetOf(svc, svc.Servers[1]): {State: state[tt.second]},
		}
		got := Weigh(track, serviceStates(track, cfg.Services, verdicts)).Things[0].State
		wantText(t, tt.first+" and "+tt.second, got, tt.want)
	}
}

// What is tracked is dated from when it began to be as it is.
func TestStandingSince(t *testing.T) {
	at := time.Unix(100, 0)
	one := Standing{Things: []TrackStatus{{Thing: "a", State: "well"}, {Thing: "b", State: "well"}}}.since(Standing{}, at)
	two := Standing{Things: []TrackStatus{{Thing: "b", State: "failed", Effect: -1}, {Thing: "a", State: "well", Reason: "other words"}}}.since(one, at.Add(5))
	three := Standing{Things: []TrackStatus{{Thing: "b", State: "failed", Effect: -2}}}.since(two, at.Add(9))
	wantList(t, "times", []time.Time{one.Things[0].Since, two.Things[0].Since, two.Things[1].Since, three.Things[0].Since},
		at, at.Add(5), at, at.Add(9))
}

const (
	weighing = "failback = \"delay\"\n"
	onEth9   = "[[virtual_router.track]]\ninterface = \"eth9\"\n"
	onNginx  = "[[virtual_router.track]]\nprocess = \"nginx\"\n"
	onHTTP   = "[[virtual_router.track]]\nservice = \"http\"\n"
)

var nginx = configs.Thing{Kind: configs.TrackProcess, Process: "nginx"}

// set changes a tracked thing and tells the director, as the edge does.
func (d *directing) set(thing configs.Thing, s ThingState) {
	d.w.edit(func() { d.w.things[thing] = s })
	d.ThingsChanged()
	synctest.Wait()
}

func (d *directing) router(t *testing.T) RouterStatus {
	t.Helper()
	return d.Snapshot(time.Now()).Routers[0]
}

func TestTrackedFault(t *testing.T) {
	bubble(t, "hands over, stays out, comes back", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb+onNginx)))
		wantList(t, "watched", w.watched, nginx)
		d.active(t, idWeb)
		wantText(t, "unknown", d.router(t).State, "active")
		d.set(nginx, ThingState{Known: true, Reason: "does not run"})
		role := d.election(t, idWeb).Status().Role
		if role.State != vrrp.Init || !role.Hold {
			t.Errorf("role %+v: the network is well, so the successor must be there first", role)
		}
		r := d.router(t)
		wantText(t, "fault", r.Fault, "process nginx: does not run")
		wantText(t, "track", fmt.Sprintf("%+v", r.Track[0]), fmt.Sprintf("%+v",
			TrackStatus{Thing: "process nginx", State: "failed", Fault: true, Reason: "does not run", Since: time.Now()}))
		d.election(t, idWeb).become(vrrp.Init, false)
		after(sec(30))
		wantText(t, "state", d.router(t).State, "init")
		d.set(nginx, ThingState{Known: true, Well: true})
		after(sec(0.3))
		wantText(t, "state", d.router(t).State+d.router(t).Fault, "backup")
	})
	bubble(t, "together with an own link drops at once", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb+onNginx)))
		d.active(t, idWeb)
		w.edit(func() {
			w.links["eth0"] = Link{}
			w.things[nginx] = ThingState{Known: true, Reason: "does not run"}
		})
		d.LinksChanged()
		synctest.Wait()
		if role := d.election(t, idWeb).Status().Role; role.State != vrrp.Init || role.Hold {
			t.Errorf("role %+v", role)
		}
		wantText(t, "fault", d.router(t).Fault, "interface eth0 is down or has no carrier; process nginx: does not run")
	})
	bubble(t, "from the start", func(t *testing.T, w *world) {
		w.things[nginx] = ThingState{Known: true}
		d := direct(t, w, w.options(config(t, routerWeb+onNginx)))
		after(sec(20))
		wantText(t, "state", d.router(t).State, "init")
		if slices.Contains(w.steps(), "startup web") {
			t.Error("took part in the election")
		}
	})
	bubble(t, "a change that nobody told", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb+onNginx)))
		w.edit(func() { w.things[nginx] = ThingState{Known: true} })
		after(gateResync)
		wantText(t, "state", d.router(t).State, "init")
	})
	bubble(t, "a reload that no longer tracks it", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb+onNginx)))
		d.set(nginx, ThingState{Known: true})
		wantText(t, "state", d.router(t).State, "init")
		if err := d.Reload(config(t, routerWeb)); err != nil {
			t.Fatal(err)
		}
		after(sec(0.3))
		wantList(t, "watched", w.watched)
		wantText(t, "state", d.router(t).State, "backup")
	})
}

func TestTrackedWeight(t *testing.T) {
	weighs := func(weight int, track string) string { return weighing + track + fmt.Sprintf("weight = %d\n", weight) }
	bubble(t, "an interface, without leaving the election", func(t *testing.T, w *world) {
		w.links["eth9"] = Link{Up: true}
		d := direct(t, w, w.options(config(t, routerWeb+weighs(-60, onEth9))))
		d.active(t, idWeb)
		w.steps()
		for _, step := range []struct {
			link     Link
			priority uint8
		}{{Link{}, 90}, {Link{}, 90}, {Link{Up: true}, 150}} {
			w.edit(func() { w.links["eth9"] = step.link })
			d.LinksChanged()
			synctest.Wait()
			if r := d.router(t); r.Priority != step.priority || r.Base != 150 || r.State != "active" || r.Fault != "" {
				t.Errorf("%+v: got %+v", step, r)
			}
		}
		wantList(t, "steps", without(w.steps(), "renew"), "reconfigure web", "reconfigure web")
		w.edit(func() { delete(w.links, "eth9") })
		d.LinksChanged()
		synctest.Wait()
		wantText(t, "reason", d.router(t).Track[0].Reason, "does not exist")
	})
	bubble(t, "known before the start", func(t *testing.T, w *world) {
		w.things[nginx] = ThingState{Known: true, Well: true}
		d := direct(t, w, w.options(config(t, routerWeb+weighs(30, onNginx))))
		wantList(t, "steps", without(w.steps(), "prepare", "elect", "probe", "set ", "start "), "reconfigure web", "startup web")
		wantText(t, "priority", fmt.Sprint(d.router(t).Priority), "180")
	})
	bubble(t, "survives a reload", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb+weighs(-60, onEth9))))
		wantText(t, "priority", fmt.Sprint(d.router(t).Priority), "90")
		w.steps()
		if err := d.Reload(config(t, routerWeb+"priority = { lb1 = 140 }\n"+weighs(-60, onEth9))); err != nil {
			t.Fatal(err)
		}
		after(sec(6))
		wantText(t, "priority", fmt.Sprint(d.router(t).Priority, d.router(t).Base), "80 140")
		wantList(t, "steps", without(w.steps(), "prepare", "probe", "set ", "renew"), "reconfigure web")
	})
	bubble(t, "links that cannot be read change nothing", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb+weighs(-60, onEth9))))
		w.fail("links", true)
		if err := d.Reload(config(t, routerWeb+"priority = { lb1 = 140 }\n"+weighs(-60, onEth9))); err != nil {
			t.Fatal(err)
		}
		after(sec(6))
		wantText(t, "priority", fmt.Sprint(d.router(t).Priority), "80")
	})
	bubble(t, "a service, as its servers come and go", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb+weighs(-60, onHTTP)+"quorum = 20\n"+serviceWeb)))
		after(sec(1))
		wantText(t, "all up", fmt.Sprint(d.router(t).Priority), "150")
		w.edit(func() { w.servers[port("10.0.0.12:80")] = healthcheck.ReasonRefused })
		after(sec(4))
		wantText(t, "weight 20 is down", fmt.Sprint(d.router(t).Priority), "90")
		wantText(t, "reason", d.router(t).Track[0].Reason, "servers with weight 10 of 20 are up")
		w.edit(func() { delete(w.servers, port("10.0.0.12:80")) })
		after(sec(4))
		wantText(t, "up again", fmt.Sprint(d.router(t).Priority), "150")
	})
}
