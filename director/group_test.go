package director

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/vrrp"
)

// site is routerWeb and routerTwo as one group: three interfaces' worth of
// trouble, for two has an address on eth1.
func site(web, two string) string {
	return routerWeb + "group = \"site\"\n" + web + routerTwo + "group = \"site\"\n" + two
}

// states is the states of both routers, and what they hold.
func (d *directing) states(t *testing.T) string {
	t.Helper()
	var out []string
	for _, id := range []RouterID{idWeb, idTwo} {
		role := d.election(t, id).Status().Role
		s := role.State.String()
		if role.Hold {
			s += "+"
		}
		if role.Ready {
			s += "?"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func (d *directing) ready(t *testing.T, id RouterID) {
	t.Helper()
	d.election(t, id).ready()
	synctest.Wait()
}

func (d *directing) setLink(name string, l Link) {
	d.w.edit(func() { d.w.links[name] = l })
	d.LinksChanged()
	synctest.Wait()
}

// letGo ends the holds of a hand-over, as elections do.
func (d *directing) letGo(t *testing.T) {
	t.Helper()
	for _, id := range []RouterID{idWeb, idTwo} {
		e := d.election(t, id)
		if role := e.Status().Role; role.Hold && role.State != vrrp.Active {
			e.become(role.State, false)
		}
	}
	synctest.Wait()
}

func TestGroupRoles(t *testing.T) {
	bubble(t, "active together, and not one before the other", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, site("", ""))))
		d.ready(t, idWeb)
		after(sec(60))
		wantText(t, "one is ready", d.states(t), "backup? backup")
		if r := d.router(t); r.Group != "site" || !r.Ready {
			t.Errorf("status: %+v", r)
		}
		w.steps()
		d.ready(t, idTwo)
		wantText(t, "both are", d.states(t), "active+ active+")
		wantList(t, "orders", slices.DeleteFunc(w.steps(), func(s string) bool { return !strings.HasPrefix(s, "take over") }), "take over two", "take over web")
		w.wantHeld(vipWeb, vipTwo, vipInside)
	})
	bubble(t, "one loses, all give up with a hand-over", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, site("", ""))))
		d.ready(t, idWeb)
		d.ready(t, idTwo)
		d.election(t, idTwo).become(vrrp.Backup, true)
		synctest.Wait()
		wantText(t, "states", d.states(t), "backup+ backup+")
		d.letGo(t)
		w.wantHeld()
		after(sec(60))
		wantText(t, "states", d.states(t), "backup backup")
	})
	bubble(t, "a router of its own is not asked", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb+routerTwo)))
		d.active(t, idWeb)
		after(sec(60))
		wantText(t, "states", d.states(t), "active+ backup")
	})
	bubble(t, "two groups do not mix", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb+"group = \"a\"\n"+routerTwo+"group = \"b\"\n")))
		d.ready(t, idWeb)
		wantText(t, "states", d.states(t), "active+ backup")
		d.setLink("eth1", Link{})
		wantText(t, "states", d.states(t), "active+ init")
	})
}

func TestGroupFaults(t *testing.T) {
	bubble(t, "one interface takes all out, those that can with a hand-over", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, site("", ""))))
		d.ready(t, idWeb)
		d.ready(t, idTwo)
		d.setLink("eth1", Link{})
		wantText(t, "states", d.states(t), "init+ init")
		w.wantHeld(vipWeb)
		wantText(t, "fault", d.router(t).Fault, "two of the group site: interface eth1 is down or has no carrier")
		d.letGo(t)
		after(sec(60))
		wantText(t, "states", d.states(t), "init init")
		d.setLink("eth1", Link{Up: true})
		after(sec(0.3))
		wantText(t, "states", d.states(t), "backup backup")
		wantText(t, "fault", d.router(t).Fault, "")
	})
	bubble(t, "a tracked thing of one", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, site("", onNginx))))
		d.ready(t, idWeb)
		d.ready(t, idTwo)
		d.set(nginx, ThingState{Known: true, Reason: "does not run"})
		wantText(t, "states", d.states(t), "init+ init+")
		d.letGo(t)
		d.set(nginx, ThingState{Known: true, Well: true})
		after(sec(0.3))
		wantText(t, "states", d.states(t), "backup backup")
	})
	bubble(t, "two faults do not keep each other", func(t *testing.T, w *world) {
		w.occupied[ip("10.0.0.100")], w.occupied[ip("10.1.0.254")] = "02:00:00:00:00:66", "02:00:00:00:00:67"
		d := direct(t, w, w.options(config(t, site("", ""))))
		after(sec(10))
		wantText(t, "states", d.states(t), "init init")
		w.edit(func() { delete(w.occupied, ip("10.0.0.100")) })
		after(sec(10))
		wantText(t, "states", d.states(t), "init init")
		w.edit(func() { delete(w.occupied, ip("10.1.0.254")) })
		after(sec(10))
		wantText(t, "states", d.states(t), "backup backup")
	})
}

func TestGroupWeights(t *testing.T) {
	bubble(t, "one router's count for all", func(t *testing.T, w *world) {
		w.links["eth9"] = Link{Up: true}
		d := direct(t, w, w.options(config(t, site(weighing+onEth9+"weight = -60\n", weighing+onNginx+"weight = -30\n"))))
		priorities := func() string {
			s := d.Snapshot(time.Now()).Routers
			return fmt.Sprint(s[0].Priority, s[1].Priority, s[0].GroupWeight, s[1].GroupWeight)
		}
		wantText(t, "well", priorities(), "150 150 0 0")
		d.setLink("eth9", Link{})
		wantText(t, "one", priorities(), "90 90 -60 -60")
		d.set(nginx, ThingState{Known: true})
		wantText(t, "two", priorities(), "60 60 -90 -90")
		d.setLink("eth9", Link{Up: true})
		d.set(nginx, ThingState{Known: true, Well: true})
		wantText(t, "well", priorities(), "150 150 0 0")
	})
}

func TestGroupReload(t *testing.T) {
	bubble(t, "the rest of the group stays when one is taken out", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, site("", ""))))
		d.ready(t, idWeb)
		d.ready(t, idTwo)
		succeed(d.election(t, idTwo), sec(0.3))
		w.steps()
		if err := d.Reload(config(t, routerWeb+"group = \"site\"\n")); err != nil {
			t.Fatal(err)
		}
		after(sec(60))
		wantText(t, "web", d.router(t).State, "active")
		if steps := w.steps(); slices.Contains(steps, "resign web") || slices.Contains(steps, "shutdown web") {
			t.Errorf("steps: %v", steps)
		}
		// And comes back, as a new election that begins to count anew.
		if err := d.Reload(config(t, site("", ""))); err != nil {
			t.Fatal(err)
		}
		after(sec(0.3))
		wantText(t, "joined", d.states(t), "active+ backup")
		d.ready(t, idTwo)
		wantText(t, "ready", d.states(t), "active+ active+")
	})
	bubble(t, "elections that were apart start again together", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb+routerTwo)))
		d.active(t, idWeb)
		if err := d.Reload(config(t, site("", ""))); err != nil {
			t.Fatal(err)
		}
		after(sec(0.7))
		wantText(t, "settling", d.states(t), "active+ backup")
		after(sec(0.2))
		wantText(t, "settled", d.states(t), "backup+ backup")
	})
	bubble(t, "a stop is no reason to resign", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, site("", ""))))
		d.ready(t, idWeb)
		d.ready(t, idTwo)
		for _, id := range []RouterID{idWeb, idTwo} {
			succeed(d.election(t, id), sec(0.2))
		}
		w.steps()
		if err := d.Stop(); err != nil {
			t.Fatal(err)
		}
		if steps := w.steps(); slices.Contains(steps, "resign web") || slices.Contains(steps, "resign two") {
			t.Errorf("steps: %v", steps)
		}
	})
}
