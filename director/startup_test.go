package director

import (
	"strings"
	"testing"
	"time"
)

// delayed is a router with a startup_delay.
func delayed(router, delay string) string {
	return strings.Replace(router, "addresses = ", "startup_delay = \""+delay+"\"\naddresses = ", 1)
}

func (d *directing) state(id RouterID) string {
	return d.routers[id].election.Status().Role.State.String()
}

func (d *directing) status(i int) RouterStatus { return d.Snapshot(time.Now()).Routers[i] }

func TestStartupDelay(t *testing.T) {
	bubble(t, "it listens and does not take part", func(t *testing.T, w *world) {
		begin := time.Now()
		d := loaded(t, w, config(t, delayed(routerWeb, "30s")+routerTwo))
		after(sec(1))
		wantText(t, "the one without", d.state(idTwo), "backup")
		wantText(t, "the one with", d.state(idWeb), "init")
		if s := d.status(0); !s.Waits.Equal(begin.Add(30*time.Second)) || s.Fault != "" {
			t.Errorf("status %+v", s)
		}
		if s := d.status(1); !s.Waits.IsZero() {
			t.Errorf("status %+v", s)
		}
		d.LinksChanged() // does not cut it short
		after(sec(28.9))
		wantText(t, "just before", d.state(idWeb), "init")
		after(sec(0.4)) // it probes first
		wantText(t, "after", d.state(idWeb), "backup")
		if s := d.status(0); !s.Waits.IsZero() {
			t.Errorf("status %+v", s)
		}
	})
	bubble(t, "it is no delay of a reload", func(t *testing.T, w *world) {
		d := loaded(t, w, config(t, routerWeb))
		after(sec(60))
		if err := d.Reload(config(t, delayed(routerWeb, "10m")+delayed(routerTwo, "59s"))); err != nil {
			t.Fatal(err)
		}
		after(sec(1))
		wantText(t, "one that takes part", d.state(idWeb), "backup")
		wantText(t, "one that comes", d.state(idTwo), "backup")
	})
	bubble(t, "a reload changes it", func(t *testing.T, w *world) {
		d := loaded(t, w, config(t, delayed(routerWeb, "10m")))
		after(sec(10))
		if err := d.Reload(config(t, delayed(routerWeb, "20s"))); err != nil {
			t.Fatal(err)
		}
		after(sec(9))
		wantText(t, "before", d.state(idWeb), "init")
		after(sec(2))
		wantText(t, "after", d.state(idWeb), "backup")
	})
	bubble(t, "a fault is a fault all the same", func(t *testing.T, w *world) {
		d := loaded(t, w, config(t, delayed(routerWeb, "30s")))
		after(sec(1))
		w.edit(func() { w.links["eth0"] = Link{} })
		d.LinksChanged()
		after(sec(1))
		if s := d.status(0); s.Fault != "interface eth0 is down or has no carrier" || !s.Waits.IsZero() {
			t.Errorf("status %+v", s)
		}
		w.edit(func() { w.links["eth0"] = Link{Up: true, Primary: ip("10.0.0.1")} })
		d.LinksChanged()
		after(sec(1))
		if s := d.status(0); s.Fault != "" || s.Waits.IsZero() {
			t.Errorf("status %+v", s)
		}
		after(sec(60))
		wantText(t, "after", d.state(idWeb), "backup")
		w.edit(func() { w.links["eth0"] = Link{} })
		d.LinksChanged()
		after(sec(1))
		w.edit(func() { w.links["eth0"] = Link{Up: true, Primary: ip("10.0.0.1")} })
		d.LinksChanged()
		after(sec(1))
		wantText(t, "back from a fault", d.state(idWeb), "backup")
	})
	bubble(t, "a group waits for its slowest", func(t *testing.T, w *world) {
		grouped := func(s string) string { return strings.Replace(s, "vrid = ", "group = \"site\"\nvrid = ", 1) }
		d := loaded(t, w, config(t, grouped(delayed(routerWeb, "30s"))+grouped(routerTwo)))
		after(sec(1))
		w.elections[idTwo].ready()
		after(sec(20))
		wantText(t, "the one without", d.state(idTwo), "backup")
		after(sec(20))
		w.elections[idWeb].ready()
		after(sec(1))
		wantText(t, "together", d.state(idWeb)+d.state(idTwo), "activeactive")
	})
	bubble(t, "a stop does not wait for it", func(t *testing.T, w *world) {
		d := loaded(t, w, config(t, delayed(routerWeb, "10m")+"[connection_sync]\nmode = \"off\"\n"))
		after(sec(1))
		begin := time.Now()
		if err := d.Stop(); err != nil || time.Since(begin) > time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}
