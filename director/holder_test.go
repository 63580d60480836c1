package director

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/configs"
	"tandem/vrrp"
)

// holding is a holder that runs against a world, without elections: the test
// says which roles there are and whether they are fresh.
type holding struct {
	*holder
	w     *world
	stale bool
	seq   uint64
}

// hold runs a holder until the test ends.
func hold(t *testing.T, w *world, cfg *configs.Config) *holding {
	t.Helper()
	h := &holding{w: w}
	books, err := openBooks(fakeLedger{w})
	if err != nil {
		t.Fatal(err)
	}
	if err := books.expect(cfg); err != nil {
		t.Fatal(err)
	}
	h.holder = newHolder(w.options(cfg), books, func(RouterID, vrrp.Role) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return !h.stale
	})
	w.holding = h.Holding
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	after(0)
	return h
}

// become reports a role and lets the loop act on it.
func (h *holding) become(id RouterID, s vrrp.State, hold bool) {
	h.seq++
	h.SetRole(id, vrrp.Role{State: s, Hold: hold, Number: h.seq, Since: time.Now()})
	synctest.Wait()
}

func (h *holding) active(id RouterID) { h.become(id, vrrp.Active, true) }

// wantHeld waits for no time at all.
func (w *world) wantHeld(list ...configs.VirtualAddress) {
	w.t.Helper()
	wantList(w.t, "held", w.held(), list...)
}

func (w *world) setStale(h *holding, stale bool) { w.edit(func() { h.stale = stale }) }

func TestHolderRoles(t *testing.T) {
	bubble(t, "a takeover in order", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, routerWeb+routerTwo))
		h.become(idTwo, vrrp.Backup, false)
		w.wantHeld()
		w.steps()
		saved := w.saved
		h.active(idTwo)
		wantList(t, "steps", w.steps(), "add 10.0.0.102/32", "add 10.1.0.254/24",
			"announce 10.0.0.102/32", "announce 10.1.0.254/24", "start master")
		if w.saved != saved {
			t.Error("a takeover waited for the ledger")
		}
		w.wantHeld(vipTwo, vipInside)
	})
	bubble(t, "hold after the role, then drop", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, routerWeb))
		h.active(idWeb)
		h.become(idWeb, vrrp.Init, true)
		after(sec(0.4))
		w.wantHeld(vipWeb)
		if _, _, ok := h.Holding(vipWeb.Prefix.Addr(), "eth0"); ok {
			t.Error("an address is announced after its role was lost")
		}
		h.become(idWeb, vrrp.Init, false)
		w.wantHeld()
		if len(w.repeating) != 0 {
			t.Error("announcements go on")
		}
	})
	bubble(t, "nothing prolongs the hold", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, routerWeb))
		h.active(idWeb)
		after(sec(0.1))
		h.become(idWeb, vrrp.Backup, true)
		after(sec(2))
		w.wantHeld()
	})
	bubble(t, "active again while held is announced again", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, routerWeb))
		h.active(idWeb)
		h.become(idWeb, vrrp.Backup, true)
		w.steps()
		h.active(idWeb)
		wantList(t, "steps", w.steps(), "announce 10.0.0.100/32")
		h.Announce(idWeb)
		synctest.Wait()
		wantList(t, "steps", w.steps(), "announce 10.0.0.100/32")
		after(sec(5))
		if slices.Contains(w.steps(), "announce 10.0.0.100/32") {
			t.Error("announced without a cause")
		}
	})
}

func TestHolderLease(t *testing.T) {
	bubble(t, "renewed for as long as the role lasts", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, routerWeb))
		h.active(idWeb)
		for range 100 {
			after(sec(0.3))
			w.wantHeld(vipWeb)
		}
		if n := len(slices.DeleteFunc(w.steps(), func(s string) bool { return !strings.HasPrefix(s, "renew") })); n != 60 {
			t.Errorf("renewed %d times in 30 s, want each quarter of 2 s", n)
		}
	})
	bubble(t, "not renewed while the election is stale", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, routerWeb))
		h.active(idWeb)
		w.setStale(h, true)
		if _, _, ok := h.Holding(vipWeb.Prefix.Addr(), "eth0"); ok {
			t.Error("announced while the election is stale")
		}
		after(sec(1.9))
		w.wantHeld(vipWeb)
		after(sec(0.1))
		w.wantHeld()
		after(sec(10))
		w.wantHeld()
		w.setStale(h, false)
		after(holderResync)
		w.wantHeld(vipWeb)
	})
	bubble(t, "not added while the election is stale", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, routerWeb))
		w.setStale(h, true)
		h.active(idWeb)
		after(sec(5))
		w.wantHeld()
	})
	bubble(t, "a reload changes the lease", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, routerWeb))
		h.active(idWeb)
		off := config(t, routerWeb+`address_lease = "off"`)
		h.SetConfig(off)
		after(sec(60))
		w.wantHeld(vipWeb)
		if n := h.view().repairs; n != 0 {
			t.Errorf("%d repairs of what only expired", n)
		}
		h.SetConfig(config(t, routerWeb+`address_lease = "3s"`))
		after(0)
		w.setStale(h, true)
		after(sec(3))
		w.wantHeld()
	})
}

func TestHolderRepairs(t *testing.T) {
	bubble(t, "a VIP that a third party removes", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, routerWeb))
		h.active(idWeb)
		after(sec(0.2))
		w.steps()
		w.edit(func() { delete(w.addresses, vipWeb) })
		after(holderResync)
		w.wantHeld(vipWeb)
		after(sec(10))
		if n := h.view().repairs; n != 1 {
			t.Errorf("counted %d times", n)
		}
		if !slices.Contains(w.steps(), "announce 10.0.0.100/32") {
			t.Error("not announced again")
		}
	})
	bubble(t, "a VIP that a third party adds", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, routerWeb))
		h.become(idWeb, vrrp.Backup, false)
		w.edit(func() { w.addresses[vipWeb] = time.Time{} })
		after(holderResync)
		w.wantHeld()
	})
	bubble(t, "another prefix length", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, routerWeb))
		h.active(idWeb)
		h.SetConfig(config(t, strings.Replace(routerWeb, "10.0.0.100", "10.0.0.100/24", 1)))
		after(sec(1))
		w.wantHeld(vip("10.0.0.100/24", "eth0"))
		if !w.repeating[vip("10.0.0.100/24", "eth0")] {
			t.Error("not announced any more")
		}
	})
	bubble(t, "an address event is acted on at once", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, routerWeb))
		h.active(idWeb)
		w.edit(func() { delete(w.addresses, vipWeb) })
		h.Wake()
		synctest.Wait()
		w.wantHeld(vipWeb)
	})
	bubble(t, "addresses of others are left alone", func(t *testing.T, w *world) {
		other := vip("10.0.0.1/24", "eth0")
		w.addresses[other] = time.Time{}
		h := hold(t, w, config(t, routerWeb))
		h.active(idWeb)
		h.become(idWeb, vrrp.Backup, false)
		after(sec(5))
		w.wantHeld(other)
	})
}

func TestHolderErrors(t *testing.T) {
	for _, op := range []string{"add ", "list", "start ", "running"} {
		bubble(t, "retried: "+op, func(t *testing.T, w *world) {
			h := hold(t, w, config(t, routerWeb))
			w.edit(func() { w.daemons = map[SyncRole]SyncDaemon{} })
			w.fail(op, true)
			h.active(idWeb)
			after(sec(1))
			if p := h.view().problem; !strings.Contains(p, "injected") {
				t.Errorf("problem: %q", p)
			}
			w.fail(op, false)
			after(holderResync)
			w.wantHeld(vipWeb)
			wantText(t, "daemons", w.syncs(), "[backup master]")
			wantText(t, "problem", h.view().problem, "")
			if !slices.Contains(w.steps(), "announce 10.0.0.100/32") {
				t.Error("never announced")
			}
		})
	}
	bubble(t, "a daemon that fails does not keep the address", func(t *testing.T, w *world) {
		w.fails["start "] = true
		h := hold(t, w, config(t, routerWeb))
		h.active(idWeb)
		w.wantHeld(vipWeb)
		if v := h.view(); len(v.running) != 0 {
			t.Errorf("status shows %v, nothing runs", v.running)
		}
	})
	bubble(t, "one address fails, the others are held", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, routerTwo))
		w.edit(func() { w.addresses[vipInside] = time.Time{} })
		w.fail("add ", true) // and not "renew "
		h.active(idTwo)
		w.wantHeld(vipInside)
	})
	bubble(t, "a removal is retried", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, routerWeb+`address_lease = "off"`))
		h.active(idWeb)
		w.fail("remove ", true)
		h.become(idWeb, vrrp.Backup, false)
		after(sec(1))
		w.wantHeld(vipWeb)
		if len(w.repeating) != 0 {
			t.Error("an address that is to go is still announced")
		}
		w.fail("remove ", false)
		after(holderResync)
		w.wantHeld()
	})
	bubble(t, "the request to announce outlives a failed pass", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, routerWeb))
		h.active(idWeb)
		w.steps()
		w.fail("list", true)
		h.Announce(idWeb)
		after(sec(0.2))
		w.fail("list", false)
		after(holderResync)
		if !slices.Contains(w.steps(), "announce 10.0.0.100/32") {
			t.Error("forgotten")
		}
	})
}

func TestHolderOrphans(t *testing.T) {
	left := vip("10.0.0.200/32", "eth0")
	bubble(t, "of an earlier run", func(t *testing.T, w *world) {
		w.ledger.Addresses = []configs.VirtualAddress{left, vipWeb}
		w.addresses[left], w.addresses[vipWeb] = time.Time{}, time.Time{}
		w.fails["remove "] = true
		hold(t, w, config(t, routerWeb))
		after(sec(1))
		wantList(t, "ledger while it is there", w.ledger.Addresses, vipWeb, left)
		w.fail("remove ", false)
		after(holderResync)
		w.wantHeld()
		wantList(t, "ledger after", w.ledger.Addresses, vipWeb)
	})
	bubble(t, "of an earlier configuration", func(t *testing.T, w *world) {
		both, one := config(t, routerTwo), config(t, strings.Replace(routerTwo, `, { address = "10.1.0.254/24", interface = "eth1" }`, "", 1))
		h := hold(t, w, both)
		h.active(idTwo)
		if err := h.books.expect(both, one); err != nil {
			t.Fatal(err)
		}
		w.fail("remove ", true)
		h.SetConfig(one)
		after(sec(0.5))
		w.wantHeld(vipTwo, vipInside)
		w.fail("remove ", false)
		after(holderResync)
		w.wantHeld(vipTwo)
		// The older configuration is still one that a reload may fall back to.
		wantList(t, "ledger", w.ledger.Addresses, vipTwo, vipInside)
	})
	bubble(t, "named again in time", func(t *testing.T, w *world) {
		both, one := config(t, routerWeb+routerTwo), config(t, routerWeb)
		h := hold(t, w, both)
		h.active(idWeb)
		h.active(idTwo)
		w.fail("remove ", true)
		h.SetConfig(one)
		after(0)
		h.SetConfig(both)
		w.fail("remove ", false)
		after(sec(1))
		w.wantHeld(vipWeb, vipTwo, vipInside)
	})
}

func TestHolderDaemons(t *testing.T) {
	bubble(t, "with the roles, and 3 s longer", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, routerWeb))
		wantText(t, "start", w.syncs(), "[backup]")
		h.active(idWeb)
		wantText(t, "active", w.syncs(), "[backup master]")
		after(sec(2.9))
		wantText(t, "active, 2.9 s", w.syncs(), "[backup master]")
		after(sec(0.1))
		wantText(t, "active, 3 s", w.syncs(), "[master]")
		h.become(idWeb, vrrp.Init, true)
		after(sec(30))
		wantText(t, "handing over", w.syncs(), "[backup master]")
		h.become(idWeb, vrrp.Init, false)
		after(sec(2.9))
		wantText(t, "gone, 2.9 s", w.syncs(), "[backup master]")
		after(sec(0.1))
		wantText(t, "gone, 3 s", w.syncs(), "[backup]")
	})
	bubble(t, "a third party stops one", func(t *testing.T, w *world) {
		hold(t, w, config(t, routerWeb))
		w.edit(func() { w.daemons = map[SyncRole]SyncDaemon{} })
		after(holderResync)
		wantText(t, "daemons", w.syncs(), "[backup]")
	})
	bubble(t, "a reload changes the interface and the id", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, routerWeb))
		h.active(idWeb)
		h.SetConfig(config(t, routerWeb+"[connection_sync]\ninterface = \"eth1\"\nid = 9\n"))
		synctest.Wait()
		want := SyncDaemon{Interface: "eth1", ID: 9}
		if got := w.daemons; got[SyncMaster] != want || got[SyncBackup] != want {
			t.Errorf("got %v", got)
		}
	})
	bubble(t, "a reload turns sync off", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, routerWeb))
		h.active(idWeb)
		h.SetConfig(config(t, routerWeb+syncOff))
		synctest.Wait()
		wantText(t, "daemons", w.syncs(), "[]")
		start := time.Now()
		h.drain()
		if !time.Now().Equal(start) {
			t.Error("waited for a sync that is off")
		}
	})
	bubble(t, "those of others are left alone", func(t *testing.T, w *world) {
		w.daemons[SyncMaster] = SyncDaemon{Interface: "eth7", ID: 1}
		h := hold(t, w, config(t, routerWeb+syncOff))
		h.active(idWeb)
		after(sec(10))
		wantText(t, "daemons", w.syncs(), "[master]")
		if err := h.Release(); err != nil {
			t.Error(err)
		}
		wantText(t, "daemons", w.syncs(), "[master]")
	})
	bubble(t, "those of an earlier run are not", func(t *testing.T, w *world) {
		w.daemons[SyncMaster] = SyncDaemon{Interface: "eth0", ID: 1}
		w.ledger.Sync = true
		hold(t, w, config(t, routerWeb+syncOff))
		wantText(t, "daemons", w.syncs(), "[]")
	})
}

func TestPassesLogOnce(t *testing.T) {
	var lines strings.Builder
	log := textLog(&lines)
	p := passes{complaint: "it is bad"}
	at := time.Now()
	for _, err := range []error{nil, errInjected, errInjected, errors.Join(errInjected, fmt.Errorf("other")), nil, nil} {
		p.note(log, at, err)
	}
	want := `level=ERROR msg="it is bad; trying again" err=injected
level=ERROR msg="it is bad; trying again" err="injected; other"
level=INFO msg="everything is as it should be again"
`
	wantText(t, "log", lines.String(), want)
	if !p.within(sec(1), at) || p.within(sec(1), at.Add(sec(1))) {
		t.Error("within is wrong")
	}
}
