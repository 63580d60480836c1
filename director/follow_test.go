package director

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/configs"
	"tandem/vrrp"
)

// routerFollowed is active with a route, from its own address, and a rule.
const routerFollowed = `
[[virtual_router]]
name = "web"
vrid = 51
addresses = ["10.0.0.100"]
[[virtual_router.route]]
destination = "10.9.0.0/16"
via = "10.0.0.254"
source = "10.0.0.100"
[[virtual_router.rule]]
priority = 100
from = "10.0.0.100"
table = 7
`

const (
	routeText = "10.9.0.0/16 via 10.0.0.254 src 10.0.0.100"
	ruleText  = "100: from 10.0.0.100/32 lookup 7"
	bothText  = routeText + ", " + ruleText
)

func TestFollowing(t *testing.T) {
	bubble(t, "after the addresses, out before them", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, routerFollowed+syncOff))
		w.steps()
		saved := w.saved
		h.active(idWeb)
		wantList(t, "takeover", w.steps(), "add 10.0.0.100/32", "announce 10.0.0.100/32", "add route "+routeText, "add rule "+ruleText)
		if w.saved != saved || !w.ledger.Routes || !w.ledger.Rules || w.ledger.Firewall {
			t.Errorf("ledger %+v, saved %d times more", w.ledger, w.saved-saved)
		}
		h.become(idWeb, vrrp.Backup, true)
		after(sec(0.1))
		wantText(t, "held on", w.following(), bothText)
		w.steps()
		h.become(idWeb, vrrp.Backup, false)
		wantList(t, "given up", w.steps(), "remove rule "+ruleText, "remove route "+strings.Replace(routeText, " src", " dev eth0 src", 1), "remove 10.0.0.100/32")
		after(sec(10))
		if !w.ledger.Routes || !w.ledger.Rules {
			t.Error("struck off, and a takeover would not wait for the ledger")
		}
	})
	bubble(t, "repaired", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, routerFollowed))
		h.active(idWeb)
		w.edit(func() { clear(w.routes); clear(w.rules) })
		after(holderResync)
		wantText(t, "gone", w.following(), bothText)
		w.edit(func() {
			for k, r := range w.routes {
				r.Via = ip("10.0.0.253")
				w.routes[k] = r
			}
			for k, r := range w.rules {
				r.Table = 8
				w.rules[k] = r
			}
		})
		after(holderResync)
		wantText(t, "changed", w.following(), bothText)
		if a, b := h.routes.view().repairs, h.rules.view().repairs; a != 2 || b != 2 {
			t.Errorf("counted %d and %d repairs, want 2 each", a, b)
		}
	})
	bubble(t, "not put back while the election is stale", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, routerFollowed))
		h.active(idWeb)
		w.setStale(h, true)
		w.edit(func() { clear(w.routes); clear(w.rules) })
		after(sec(1.5))
		wantText(t, "stale", w.following(), "")
		w.setStale(h, false)
		after(retryAfter)
		wantText(t, "fresh", w.following(), bothText)
	})
	bubble(t, "somebody else's route is left alone", func(t *testing.T, w *world) {
		cfg := config(t, routerFollowed)
		other := cfg.Routers[0].Routes[0]
		other.Via, other.Source = ip("10.0.0.99"), netip.Addr{}
		w.routes[other.Key()] = fakeRoute{other, true}
		h := hold(t, w, cfg)
		h.active(idWeb)
		after(sec(2))
		w.wantHeld(vipWeb)
		wantText(t, "ours", w.following(), ruleText)
		if p := h.view().problem; !strings.Contains(p, "route "+routeText+": is there already, and not by tandem: left alone") {
			t.Errorf("problem: %q", p)
		}
		h.become(idWeb, vrrp.Backup, false)
		if w.routes[other.Key()].Route != other {
			t.Error("changed")
		}
		after(holderResync)
		wantText(t, "problem of a backup", h.view().problem, "")
	})
	for _, op := range []string{"routes", "rules", "add route ", "add rule ", "remove route ", "remove rule "} {
		bubble(t, "keeps no address from being held or dropped: "+op, func(t *testing.T, w *world) {
			h := hold(t, w, config(t, routerFollowed))
			w.fail(op, true)
			h.active(idWeb)
			w.wantHeld(vipWeb)
			after(sec(0.2))
			h.become(idWeb, vrrp.Backup, false)
			w.wantHeld()
			w.fail(op, false)
			after(holderResync)
			wantText(t, "left", w.following(), "")
			h.active(idWeb)
			wantText(t, "active again", w.following(), bothText)
		})
	}
	bubble(t, "a reload changes them without a gap", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, routerFollowed+syncOff))
		h.active(idWeb)
		w.steps()
		h.SetConfig(config(t, strings.NewReplacer("10.0.0.254", "10.0.0.253", "table = 7", "table = 8").Replace(routerFollowed)+syncOff))
		synctest.Wait()
		wantList(t, "steps", w.steps(), "add route 10.9.0.0/16 via 10.0.0.253 src 10.0.0.100", "add rule 100: from 10.0.0.100/32 lookup 8")
		if n := h.routes.view().repairs + h.rules.view().repairs; n != 0 {
			t.Errorf("%d repairs of what the configuration changed", n)
		}
	})
	bubble(t, "a reload takes them out", func(t *testing.T, w *world) {
		old, cfg := config(t, routerFollowed), config(t, routerWeb)
		h := hold(t, w, old)
		h.active(idWeb)
		w.fail("remove route ", true)
		if err := h.books.expect(old, cfg); err != nil {
			t.Fatal(err)
		}
		if err := h.books.expect(cfg); err != nil {
			t.Fatal(err)
		}
		h.SetConfig(cfg)
		after(sec(0.5))
		wantText(t, "left", w.following(), routeText)
		if !w.ledger.Routes || w.ledger.Rules {
			t.Errorf("ledger %+v", w.ledger)
		}
		w.fail("remove route ", false)
		after(holderResync)
		wantText(t, "left", w.following(), "")
		if w.ledger.Routes {
			t.Errorf("ledger %+v", w.ledger)
		}
	})
	bubble(t, "what an earlier run left", func(t *testing.T, w *world) {
		left := config(t, routerFollowed).Routers[0]
		w.addresses[vipWeb] = time.Time{}
		w.routes[left.Routes[0].Key()] = fakeRoute{Route: left.Routes[0]}
		w.rules[left.Rules[0].Key()] = left.Rules[0]
		w.ledger.Routes, w.ledger.Rules = true, true
		w.fails["routes"] = true
		hold(t, w, config(t, routerWeb))
		after(sec(1))
		if !w.ledger.Routes || w.ledger.Rules {
			t.Errorf("ledger while routes cannot be read: %+v", w.ledger)
		}
		w.fail("routes", false)
		after(holderResync)
		wantText(t, "left", w.following(), "")
		if w.ledger.Routes || w.ledger.Rules {
			t.Errorf("ledger %+v", w.ledger)
		}
	})
	bubble(t, "nobody is asked who has none", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, routerWeb))
		w.edit(func() { w.fails["routes"], w.fails["rules"], w.fails["deny "] = true, true, true })
		h.active(idWeb)
		after(sec(3))
		wantText(t, "problem", h.view().problem, "")
	})
	bubble(t, "release", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, routerFollowed))
		h.active(idWeb)
		h.become(idWeb, vrrp.Init, false)
		w.edit(func() {
			r := config(t, routerFollowed).Routers[0].Rules[0]
			w.rules[r.Key()] = r
		})
		if err := h.Release(); err != nil {
			t.Fatal(err)
		}
		wantText(t, "left", w.following(), "")
		if w.ledger.Routes || w.ledger.Rules {
			t.Errorf("ledger %+v", w.ledger)
		}
	})
}

func TestAddressOptions(t *testing.T) {
	const labelled = `
[[virtual_router]]
name = "web"
vrid = 51
addresses = [{ address = "10.0.0.100", label = "eth0:web", scope = "link" }]
`
	options := configs.AddressOptions{Label: "eth0:web", Scope: 253}
	bubble(t, "set, and repaired", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, labelled))
		h.active(idWeb)
		if w.shapes[vipWeb] != options {
			t.Errorf("got %+v", w.shapes[vipWeb])
		}
		w.edit(func() { w.shapes[vipWeb] = configs.AddressOptions{Scope: 253} })
		w.steps()
		after(holderResync)
		if w.shapes[vipWeb] != options || h.view().repairs != 1 {
			t.Errorf("got %+v, %d repairs", w.shapes[vipWeb], h.view().repairs)
		}
		if s := w.steps(); slices.Index(s, "add 10.0.0.100/32") != slices.Index(s, "remove 10.0.0.100/32")+1 {
			t.Errorf("steps %v", s)
		}
	})
	bubble(t, "a reload changes them", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, labelled))
		h.active(idWeb)
		h.SetConfig(config(t, routerWeb))
		synctest.Wait()
		w.wantHeld(vipWeb)
		if w.shapes[vipWeb] != (configs.AddressOptions{}) || h.view().repairs != 0 {
			t.Errorf("got %+v, %d repairs", w.shapes[vipWeb], h.view().repairs)
		}
	})
	bubble(t, "not while the election is stale", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, labelled+`address_lease = "off"`))
		h.active(idWeb)
		w.setStale(h, true)
		w.edit(func() { w.shapes[vipWeb] = configs.AddressOptions{} })
		after(sec(3))
		w.wantHeld(vipWeb)
		w.setStale(h, false)
		after(holderResync)
		w.wantHeld(vipWeb)
		if w.shapes[vipWeb] != options {
			t.Errorf("got %+v", w.shapes[vipWeb])
		}
	})
	bubble(t, "an address that cannot be taken out stays", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, routerWeb))
		h.active(idWeb)
		w.fail("remove ", true)
		h.SetConfig(config(t, labelled))
		after(sec(5))
		w.wantHeld(vipWeb)
		if p := h.view().problem; !strings.Contains(p, "change the label or scope of 10.0.0.100/32 on eth0: remove : injected") {
			t.Errorf("problem: %q", p)
		}
	})
}

func TestAcceptMode(t *testing.T) {
	const refusing = `
[[virtual_router]]
name = "web"
vrid = 51
addresses = ["10.0.0.100"]
accept = false
`
	denied := []netip.Addr{ip("10.0.0.100")}
	bubble(t, "before there is an address, and whatever the role", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, refusing+routerTwo+syncOff))
		wantList(t, "denied at the start", w.denied, denied...)
		if !w.ledger.Firewall {
			t.Error("not on the ledger")
		}
		w.steps()
		h.active(idWeb)
		wantList(t, "takeover", w.steps(), "add 10.0.0.100/32", "announce 10.0.0.100/32")
		h.become(idWeb, vrrp.Backup, false)
		wantList(t, "denied by a backup", w.denied, denied...)
	})
	bubble(t, "repaired", func(t *testing.T, w *world) {
		h := hold(t, w, config(t, refusing+syncOff))
		w.fail("deny ", true)
		w.edit(func() { w.denied = nil })
		after(holderResync)
		w.fail("deny ", false)
		w.steps()
		h.active(idWeb) // what is known not to be there comes before the address
		wantList(t, "takeover", w.steps(), "deny [10.0.0.100]", "add 10.0.0.100/32", "announce 10.0.0.100/32")
		w.edit(func() { w.denied = append(w.denied, ip("10.0.0.1")) })
		after(holderResync)
		wantList(t, "denied", w.denied, denied...)
		if n := h.guard.view().repairs; n != 2 {
			t.Errorf("%d repairs", n)
		}
	})
	bubble(t, "a firewall that fails does not keep the address", func(t *testing.T, w *world) {
		w.fails["deny "] = true
		h := hold(t, w, config(t, refusing))
		h.active(idWeb)
		w.wantHeld(vipWeb)
		if p := h.view().problem; !strings.Contains(p, "accept = false: deny : injected") {
			t.Errorf("problem: %q", p)
		}
	})
	bubble(t, "with reloads", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb)))
		w.fail("available", true)
		if err := d.Reload(config(t, refusing)); err == nil || !strings.Contains(err.Error(), "a virtual router has accept = false: available: injected") {
			t.Errorf("got %v", err)
		}
		if err := d.Reload(config(t, routerWeb)); err != nil {
			t.Errorf("one that does not need it: %v", err)
		}
		w.fail("available", false)
		if err := d.Reload(config(t, refusing)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantList(t, "denied", w.denied, denied...)
		if s := d.Snapshot(time.Now()); !s.Routers[0].Addresses[0].Denied {
			t.Errorf("status %+v", s.Routers[0].Addresses)
		}
		if err := d.Reload(config(t, routerWeb)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantList(t, "denied", w.denied)
		if w.ledger.Firewall || d.Snapshot(time.Now()).Repairs.Firewall != 0 {
			t.Errorf("ledger %+v", w.ledger)
		}
	})
	bubble(t, "refused at the start", func(t *testing.T, w *world) {
		w.fails["available"] = true
		if _, err := New(w.options(config(t, refusing))); err == nil || !strings.Contains(err.Error(), "injected") {
			t.Errorf("got %v", err)
		}
		if _, err := New(w.options(config(t, routerWeb))); err != nil {
			t.Errorf("one that does not need it: %v", err)
		}
	})
	bubble(t, "stop takes the table away last", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, refusing)))
		d.active(t, idWeb)
		succeed(d.election(t, idWeb), sec(0.2))
		if err := d.Stop(); err != nil {
			t.Fatal(err)
		}
		s := w.steps()
		if i, j := slices.Index(s, "remove 10.0.0.100/32"), slices.Index(s, "deny []"); i < 0 || j < i {
			t.Errorf("steps %v", s)
		}
		if w.ledger.Firewall {
			t.Error("still on the ledger")
		}
	})
	bubble(t, "what an earlier run left", func(t *testing.T, w *world) {
		w.denied, w.ledger.Firewall = denied, true
		hold(t, w, config(t, routerWeb))
		wantList(t, "denied", w.denied)
		if w.ledger.Firewall {
			t.Error("still on the ledger")
		}
	})
	bubble(t, "an address owner accepts", func(t *testing.T, w *world) {
		owner := strings.Replace(refusing, "accept", "priority = { lb1 = 255 }\naccept", 1)
		hold(t, w, config(t, owner))
		wantList(t, "denied", w.denied)
		wantList(t, "denied by lb2", Denied(config(t, owner), "lb2"), denied...)
	})
}

// The rest of a test's roles is in the holder; here a whole director takes over.
func TestDirectorFollows(t *testing.T) {
	bubble(t, "status and stop", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerFollowed)))
		d.active(t, idWeb)
		r := d.Snapshot(time.Now()).Routers[0]
		wantList(t, "routes", r.Routes, FollowStatus{routeText, true})
		wantList(t, "rules", r.Rules, FollowStatus{ruleText, true})
		w.edit(func() {
			for k, rule := range w.rules {
				rule.Table = 9
				w.rules[k] = rule
			}
		})
		w.fail("add rule ", true)
		after(holderResync)
		wantList(t, "rules that somebody changed", d.Snapshot(time.Now()).Routers[0].Rules, FollowStatus{ruleText, false})
		w.fail("add rule ", false)
		succeed(d.election(t, idWeb), sec(0.2))
		if err := d.Stop(); err != nil {
			t.Fatal(err)
		}
		wantText(t, "left", w.following(), "")
		if w.ledger.Routes || w.ledger.Rules {
			t.Errorf("ledger %+v", w.ledger)
		}
	})
}

// A configuration that comes while the last entries of an older one are struck
// off stays on the ledger.
func TestLedgerOfFollowers(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		none, some := config(t, routerWeb), config(t, routerFollowed)
		w.ledger.Routes, w.ledger.Rules = true, true
		books, err := openBooks(fakeLedger{w})
		if err != nil {
			t.Fatal(err)
		}
		if err := books.expect(none); err != nil {
			t.Fatal(err)
		}
		h := newHolder(w.options(none), books, func(RouterID, vrrp.Role) bool { return true })
		if err := books.expect(none, some); err != nil { // a reload has begun
			t.Fatal(err)
		}
		if _, err := h.pass(time.Now()); err != nil {
			t.Fatal(err)
		}
		if !w.ledger.Routes || !w.ledger.Rules {
			t.Errorf("ledger %+v", w.ledger)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := h.Run(ctx); err != nil {
			t.Error(err)
		}
	})
}
