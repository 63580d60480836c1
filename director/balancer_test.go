package director

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/configs"
	"tandem/healthcheck"
	"tandem/ipvsctl"
)

// balancing is a balancer that runs against a world, with the verdicts of the
// test.
type balancing struct {
	*balancer
	w    *world
	says map[healthcheck.Target]healthcheck.Verdict
}

func balance(t *testing.T, w *world, cfg *configs.Config) *balancing {
	t.Helper()
	b := &balancing{w: w, says: map[healthcheck.Target]healthcheck.Verdict{}}
	books, err := openBooks(fakeLedger{w})
	if err != nil {
		t.Fatal(err)
	}
	b.balancer = newBalancer(w.options(cfg), books)
	b.verdicts = func() map[healthcheck.Target]healthcheck.Verdict {
		w.mu.Lock()
		defer w.mu.Unlock()
		return b.says
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	after(0)
	return b
}

// judge replaces the verdicts on a service's servers.
func (b *balancing) judge(svc configs.Service, states ...healthcheck.State) {
	says := verdicts(svc, states...)
	b.w.edit(func() { b.says = says })
	b.Wake()
	synctest.Wait()
}

const both = "map[10.0.0.11:80:10 10.0.0.12:80:20]"

func TestBalancerVerdicts(t *testing.T) {
	bubble(t, "the table follows", func(t *testing.T, w *world) {
		cfg := config(t, routerWeb+serviceWeb)
		b := balance(t, w, cfg)
		wantText(t, "start", w.weights("10.0.0.100:80"), "map[]")
		b.judge(cfg.Services[0], healthcheck.Up, healthcheck.Up)
		wantText(t, "up", w.weights("10.0.0.100:80"), both)
		b.judge(cfg.Services[0], healthcheck.Down, healthcheck.Up)
		wantText(t, "one down", w.weights("10.0.0.100:80"), "map[10.0.0.12:80:20]")
		if b.view().repairs != 0 {
			t.Error("own changes are counted as those of others")
		}
	})
	bubble(t, "a restart keeps what carries traffic", func(t *testing.T, w *world) {
		cfg := config(t, routerWeb+serviceWeb)
		w.table[key("10.0.0.100:80")] = ipvsctl.Entry{Service: Specs(cfg.Services[0])[0],
			Servers: entryServers(map[string]int32{"10.0.0.11:80": 10, "10.0.0.12:80": 0, "10.0.0.99:80": 5})}
		b := balance(t, w, cfg)
		wantText(t, "no verdict yet", w.weights("10.0.0.100:80"), "map[10.0.0.11:80:10 10.0.0.12:80:0]")
		b.judge(cfg.Services[0], healthcheck.Down, healthcheck.Up)
		wantText(t, "verdicts", w.weights("10.0.0.100:80"), "map[10.0.0.12:80:20]")
	})
	bubble(t, "a new check keeps what carries traffic", func(t *testing.T, w *world) {
		cfg := config(t, routerWeb+serviceWeb)
		b := balance(t, w, cfg)
		b.judge(cfg.Services[0], healthcheck.Up, healthcheck.Down)
		b.SetConfig(config(t, routerWeb+strings.Replace(serviceWeb, "[[service.server]]", "[service.check]\ntype = \"http\"\n[[service.server]]", 1)))
		synctest.Wait()
		wantText(t, "no verdict yet", w.weights("10.0.0.100:80"), "map[10.0.0.11:80:10]")
		w.edit(func() { delete(w.table[key("10.0.0.100:80")].Servers, port("10.0.0.11:80")) })
		after(balancerResync)
		wantText(t, "repaired without a verdict", w.weights("10.0.0.100:80"), "map[10.0.0.11:80:10]")
	})
}

func TestBalancerRepairs(t *testing.T) {
	for name, harm := range map[string]func(*world){
		"service removed": func(w *world) { delete(w.table, key("10.0.0.100:80")) },
		"server removed":  func(w *world) { delete(w.table[key("10.0.0.100:80")].Servers, port("10.0.0.11:80")) },
		"server added": func(w *world) {
			w.table[key("10.0.0.100:80")].Servers[port("10.0.0.66:80")] = ipvsctl.Server{Address: port("10.0.0.66:80")}
		},
		"scheduler changed": func(w *world) {
			e := w.table[key("10.0.0.100:80")]
			e.Service.Scheduler = "rr"
			w.table[key("10.0.0.100:80")] = e
		},
	} {
		bubble(t, name, func(t *testing.T, w *world) {
			cfg := config(t, routerWeb+serviceWeb)
			b := balance(t, w, cfg)
			b.judge(cfg.Services[0], healthcheck.Up, healthcheck.Up)
			w.edit(func() { harm(w) })
			after(balancerResync)
			wantText(t, "repaired", w.weights("10.0.0.100:80"), both)
			wantText(t, "scheduler", w.table[key("10.0.0.100:80")].Service.Scheduler, cfg.Services[0].Scheduler)
			after(sec(10))
			if n := b.view().repairs; n != 1 {
				t.Errorf("counted %d times", n)
			}
		})
	}
	bubble(t, "a repair that fails is counted when it succeeds", func(t *testing.T, w *world) {
		cfg := config(t, routerWeb+serviceWeb)
		b := balance(t, w, cfg)
		b.judge(cfg.Services[0], healthcheck.Up, healthcheck.Up)
		w.fail("add server ", true)
		w.edit(func() { delete(w.table[key("10.0.0.100:80")].Servers, port("10.0.0.11:80")) })
		after(sec(5))
		if n := b.view().repairs; n != 0 {
			t.Errorf("counted %d times, nothing is repaired", n)
		}
		w.fail("add server ", false)
		after(sec(5))
		if n := b.view().repairs; n != 1 {
			t.Errorf("counted %d times", n)
		}
	})
	bubble(t, "services of others are left alone", func(t *testing.T, w *world) {
		other := ipvsctl.Entry{Service: ipvsctl.Service{ServiceKey: key("10.0.0.7:25"), Scheduler: "rr"}}
		w.table[other.Service.ServiceKey] = other
		b := balance(t, w, config(t, routerWeb+serviceWeb))
		after(sec(5))
		wantText(t, "other", w.weights("10.0.0.7:25"), "map[]")
		if err := b.Release(); err != nil {
			t.Error(err)
		}
		wantText(t, "other", w.weights("10.0.0.7:25"), "map[]")
		wantText(t, "ours", w.weights("10.0.0.100:80"), "absent")
	})
}

func TestBalancerOwnership(t *testing.T) {
	bubble(t, "entered before it is made", func(t *testing.T, w *world) {
		balance(t, w, config(t, routerWeb+serviceWeb))
		wantList(t, "ledger", w.ledger.Services, key("10.0.0.100:80"))
	})
	bubble(t, "a service that the configuration dropped", func(t *testing.T, w *world) {
		b := balance(t, w, config(t, routerWeb+serviceWeb))
		b.SetConfig(config(t, routerWeb))
		synctest.Wait()
		wantText(t, "service", w.weights("10.0.0.100:80"), "absent")
		wantList(t, "ledger", w.ledger.Services)
		// From now on it is whoever's makes it.
		w.edit(func() {
			w.table[key("10.0.0.100:80")] = ipvsctl.Entry{Service: ipvsctl.Service{ServiceKey: key("10.0.0.100:80")}}
		})
		after(2 * balancerResync)
		wantText(t, "made by hand", w.weights("10.0.0.100:80"), "map[]")
	})
	bubble(t, "a service of an earlier run", func(t *testing.T, w *world) {
		w.ledger.Services = []ipvsctl.ServiceKey{key("10.0.0.7:25")}
		w.table[key("10.0.0.7:25")] = ipvsctl.Entry{Service: ipvsctl.Service{ServiceKey: key("10.0.0.7:25")}}
		balance(t, w, config(t, routerWeb+serviceWeb))
		wantText(t, "service", w.weights("10.0.0.7:25"), "absent")
	})
	bubble(t, "a ledger that cannot be written", func(t *testing.T, w *world) {
		cfg := config(t, routerWeb+serviceWeb)
		w.fails["save"] = true
		b := balance(t, w, cfg)
		b.judge(cfg.Services[0], healthcheck.Up, healthcheck.Up)
		wantText(t, "served all the same", w.weights("10.0.0.100:80"), both)
		wantText(t, "problem", b.view().problem, "write the ledger: injected")
		w.fail("save", false)
		after(balancerResync)
		wantList(t, "ledger", w.ledger.Services, key("10.0.0.100:80"))
		wantText(t, "problem", b.view().problem, "")
	})
	bubble(t, "what cannot be released stays on the ledger", func(t *testing.T, w *world) {
		b := balance(t, w, config(t, routerWeb+serviceWeb))
		w.fail("delete service ", true)
		if err := b.Release(); !errors.Is(err, errInjected) {
			t.Errorf("got %v", err)
		}
		wantList(t, "ledger", w.ledger.Services, key("10.0.0.100:80"))
		w.fail("delete service ", false)
		if err := b.Release(); err != nil {
			t.Error(err)
		}
		wantList(t, "ledger", w.ledger.Services)
	})
}

func TestBalancerErrors(t *testing.T) {
	for _, op := range []string{"table", "add service ", "add server "} {
		bubble(t, "retried: "+op, func(t *testing.T, w *world) {
			cfg := config(t, routerWeb+serviceWeb)
			w.fails[op] = true
			b := balance(t, w, cfg)
			b.judge(cfg.Services[0], healthcheck.Up, healthcheck.Up)
			after(sec(3))
			if p := b.view().problem; !strings.Contains(p, "injected") {
				t.Errorf("problem: %q", p)
			}
			w.edit(func() { clear(w.fails) })
			after(balancerResync)
			wantText(t, "table", w.weights("10.0.0.100:80"), both)
			wantText(t, "problem", b.view().problem, "")
		})
	}
	bubble(t, "the same failure is logged once", func(t *testing.T, w *world) {
		w.fails["add service "] = true
		var lines strings.Builder
		o := w.options(config(t, routerWeb+serviceWeb))
		o.Log = textLog(&lines)
		books, err := openBooks(fakeLedger{w})
		if err != nil {
			t.Fatal(err)
		}
		b := newBalancer(o, books)
		for range 5 {
			b.passes.note(b.log, time.Now(), b.pass())
		}
		if n := strings.Count(lines.String(), "\n"); n != 2 {
			t.Errorf("%d lines:\n%s", n, lines.String())
		}
	})
	bubble(t, "a slow table is read more seldom, within bounds", func(t *testing.T, w *world) {
		block := make(chan struct{})
		w.block = block
		b := balance(t, w, config(t, routerWeb+serviceWeb))
		after(sec(4))
		w.edit(func() { w.block = nil })
		close(block)
		synctest.Wait()
		w.edit(func() { delete(w.table, key("10.0.0.100:80")) })
		after(sec(9.9))
		wantText(t, "before the pause is over", w.weights("10.0.0.100:80"), "absent")
		after(sec(0.1))
		wantText(t, "after it", w.weights("10.0.0.100:80"), "map[]")
		if !b.passes.within(sec(20), time.Now()) {
			t.Error("the watchdog would bite")
		}
	})
}

func TestBalancerReportsInBounds(t *testing.T) {
	var lines strings.Builder
	b := &balancer{log: textLog(&lines)}
	b.report(slices.Repeat([]ipvsctl.Op{{Verb: ipvsctl.DelService}}, 25), true)
	if n := strings.Count(lines.String(), "\n"); n != 21 || !strings.Contains(lines.String(), "further_ops=5") {
		t.Errorf("%d lines:\n%s", n, lines.String())
	}
	if !strings.Contains(lines.String(), "changed by someone else") {
		t.Error("the cause is missing")
	}
}
