package director

import (
	"errors"
	"maps"
	"testing"
	"time"

	"tandem/ipvsctl"
)

func TestPlanSysctls(t *testing.T) {
	w := newWorld(t)
	get := fakeSysctls{w}.Get
	profile := []ipvsctl.Sysctl{
		{Key: "net/a", Want: "2", Why: "because"},
		{Key: "net/b", Want: "new", Accept: []string{"old"}},
		{Key: "net/absent", Want: "1"},
	}
	got, err := PlanSysctls(get, profile)
	if err != nil {
		t.Fatal(err)
	}
	wantList(t, "plan", got, SysctlChange{Key: "net/a", Have: "1", Want: "2", Why: "because"})

	w.fail("get net/b", true)
	if got, err = PlanSysctls(get, profile); !errors.Is(err, errInjected) || len(got) != 1 {
		t.Errorf("a setting that cannot be read: %v, %v", got, err)
	}
}

func newTestTuner(t *testing.T, w *world) *tuner {
	books, err := openBooks(fakeLedger{w})
	if err != nil {
		t.Fatal(err)
	}
	return newTuner(Options{Sysctls: fakeSysctls{w}, Log: quietLog()}, books)
}

func (w *world) wantSysctls(a, b string, ledger map[string]string) {
	w.t.Helper()
	wantText(w.t, "net/a", w.sysctls["net/a"], a)
	wantText(w.t, "net/b", w.sysctls["net/b"], b)
	if !maps.Equal(w.ledger.Sysctls, ledger) {
		w.t.Errorf("ledger: got %v, want %v", w.ledger.Sysctls, ledger)
	}
}

func TestTuner(t *testing.T) {
	setA := ipvsctl.Sysctl{Key: "net/a", Want: "2"}
	setB := ipvsctl.Sysctl{Key: "net/b", Want: "new"}

	t.Run("apply and revert", func(t *testing.T) {
		w := newWorld(t)
		tu := newTestTuner(t, w)
		if err := tu.apply([]ipvsctl.Sysctl{setA, setB}); err != nil {
			t.Fatal(err)
		}
		w.wantSysctls("2", "new", map[string]string{"net/a": "1", "net/b": "old"})
		if err := tu.apply([]ipvsctl.Sysctl{setA}); err != nil {
			t.Fatal(err)
		}
		w.wantSysctls("2", "old", map[string]string{"net/a": "1"})
		if err := tu.revert(); err != nil {
			t.Fatal(err)
		}
		w.wantSysctls("1", "old", nil)
	})
	t.Run("what an earlier run changed", func(t *testing.T) {
		w := newWorld(t)
		w.ledger.Sysctls = map[string]string{"net/a": "0"}
		w.sysctls["net/a"] = "2"
		tu := newTestTuner(t, w)
		if err := errors.Join(tu.apply([]ipvsctl.Sysctl{setA}), tu.revert()); err != nil {
			t.Fatal(err)
		}
		w.wantSysctls("0", "old", nil)
	})
	t.Run("one fails, the others are set", func(t *testing.T) {
		w := newWorld(t)
		tu := newTestTuner(t, w)
		w.fail("set net/a", true)
		if err := tu.apply([]ipvsctl.Sysctl{setA, setB}); !errors.Is(err, errInjected) {
			t.Errorf("got %v", err)
		}
		w.wantSysctls("1", "new", map[string]string{"net/a": "1", "net/b": "old"})
	})
	t.Run("what cannot be restored stays on the ledger", func(t *testing.T) {
		w := newWorld(t)
		tu := newTestTuner(t, w)
		if err := tu.apply([]ipvsctl.Sysctl{setA, setB}); err != nil {
			t.Fatal(err)
		}
		w.fail("set net/a", true)
		if err := tu.revert(); !errors.Is(err, errInjected) {
			t.Errorf("got %v", err)
		}
		w.wantSysctls("2", "old", map[string]string{"net/a": "1"})
		w.fail("set net/a", false)
		if err := tu.revert(); err != nil {
			t.Fatal(err)
		}
		w.wantSysctls("1", "old", nil)
	})
	t.Run("what the kernel changes on the side is put back too", func(t *testing.T) {
		w := newWorld(t)
		const forward, redirects = "net/ipv4/ip_forward", "net/ipv4/conf/all/accept_redirects"
		w.sysctls[forward], w.sysctls[redirects] = "0", "0" // a hardened host
		tu := newTestTuner(t, w)
		for range 2 { // as at a reload
			if err := tu.apply([]ipvsctl.Sysctl{{Key: forward, Want: "1"}, setA}); err != nil {
				t.Fatal(err)
			}
		}
		if w.sysctls[forward] != "1" || w.sysctls[redirects] != "0" {
			t.Errorf("while it forwards: %v", w.sysctls)
		}
		if err := tu.revert(); err != nil {
			t.Fatal(err)
		}
		if w.sysctls[forward] != "0" || w.sysctls[redirects] != "0" || len(w.ledger.Sysctls) != 0 {
			t.Errorf("afterwards: %v, ledger %v", w.sysctls, w.ledger.Sysctls)
		}
	})
	t.Run("a setting that is gone with its interface", func(t *testing.T) {
		w := newWorld(t)
		tu := newTestTuner(t, w)
		if err := tu.apply([]ipvsctl.Sysctl{setA, setB}); err != nil {
			t.Fatal(err)
		}
		delete(w.sysctls, "net/a")
		if err := tu.revert(); err != nil {
			t.Error(err)
		}
		w.wantSysctls("", "old", nil)
	})
	t.Run("nothing is set that is not on the ledger", func(t *testing.T) {
		w := newWorld(t)
		tu := newTestTuner(t, w)
		w.fail("save", true)
		if err := tu.apply([]ipvsctl.Sysctl{setA}); !errors.Is(err, errInjected) {
			t.Errorf("got %v", err)
		}
		w.wantSysctls("1", "old", nil)
	})
}

func TestKeepTuned(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb)))
		w.edit(func() { w.sysctls["net/a"] = "7" })
		after(tuningResync)
		wantText(t, "after a while", w.sysctls["net/a"], "2")
		w.edit(func() { w.sysctls["net/a"] = "7" })
		d.LinksChanged()
		after(tuningDelay)
		wantText(t, "after a change of a link", w.sysctls["net/a"], "2")
		if got := d.Snapshot(time.Now()).Repairs.Sysctls; got != 2 {
			t.Errorf("%d repairs counted", got)
		}
		w.fail("set net/a", true)
		w.edit(func() { w.sysctls["net/a"] = "7" })
		after(tuningResync)
		if got := d.Snapshot(time.Now()).Problems; len(got) != 1 {
			t.Errorf("problems %q", got)
		}
		w.fail("set net/a", false)
		after(tuningResync)
		if err := d.Stop(); err != nil {
			t.Fatal(err)
		}
		wantText(t, "after the stop", w.sysctls["net/a"], "1")
		after(time.Hour)
		wantText(t, "long after", w.sysctls["net/a"], "1")
	})
}
