//go:build lab

package integration

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"tandem/integration/drill"
	"tandem/integration/lab"
	"tandem/ipvsctl"
)

// removal is when a server that stopped answering must be out of the table:
// interval × fall + timeout + 200 ms, and what the clients' machine was late.
func removal(f time.Duration) time.Duration { return 3*500*time.Millisecond + 250*time.Millisecond + f }

// A server fails in every way that servers fail, and comes back.
func TestServerFailure(t *testing.T) {
	each(t, drill.Options{CheckInterval: 500 * time.Millisecond}, func(t *testing.T, ctx context.Context, p *drill.Pair) {
		for _, mode := range []string{"503", "hang", "refuse"} {
			f, err := p.Under(ctx, t.Name()+" "+mode, drill.LoadOptions{Timeout: patience}, time.Second,
				drill.Step{Name: mode, Wait: time.Second, Do: func() error {
					if err := p.SetServer(1, mode); err != nil {
						return err
					}
					// 200 ms are allowed; a second more is the emulated machine's.
					took := within(t, p, removal(1200*time.Millisecond), "both directors took the server out", inTable(p, 80, 1, false))
					t.Logf("%s: out of both tables after %v, expected within %v", mode, took.Round(time.Millisecond), removal(200*time.Millisecond))
					return nil
				}},
				drill.Step{Name: "ok", Do: func() error {
					if err := p.SetServer(1, "ok"); err != nil {
						return err
					}
					took := within(t, p, 3*time.Second, "both directors put the server back", inTable(p, 80, 1, true))
					t.Logf("%s: back in both tables after %v", mode, took.Round(time.Millisecond))
					return nil
				}},
			)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s\n%s", f, f.Timeline(78))
			if f.Lost > 0 && mode == "503" {
				t.Errorf("%s: %d long-lived connections were lost; the echo service was not touched", mode, f.Lost)
			}
		}
	})
}

// A server's host dies without a word and returns.
func TestServerDeath(t *testing.T) {
	each(t, drill.Options{CheckInterval: 500 * time.Millisecond}, func(t *testing.T, ctx context.Context, p *drill.Pair) {
		f := under(t, ctx, p, 2*time.Second,
			drill.Step{Name: "s2 dies", Wait: time.Second, Do: func() error {
				if err := p.Servers[1].Kill(); err != nil {
					return err
				}
				took := within(t, p, removal(1200*time.Millisecond), "both directors took the server out", inTable(p, 80, 1, false))
				t.Logf("out of both tables after %v, expected within %v", took.Round(time.Millisecond), removal(200*time.Millisecond))
				return nil
			}},
			drill.Step{Name: "s2 is back", Wait: time.Second, Do: func() error {
				if err := p.Servers[1].Reset(); err != nil {
					return err
				}
				if err := p.StartServer(1); err != nil {
					return err
				}
				within(t, p, 5*time.Second, "both directors put the server back", inTable(p, 80, 1, true))
				return nil
			}},
		)
		if f.Result.Connections.Servers["s1"] == 0 || f.Result.Connections.Servers["s2"] == 0 {
			t.Errorf("connections by server: %v", f.Result.Connections.Servers)
		}
	})
}

// The checks of the active go the same way as its clients' packets, and must
// not be mistaken for them: they keep passing.
func TestChecksKeepPassing(t *testing.T) {
	each(t, drill.Options{CheckInterval: 200 * time.Millisecond}, func(t *testing.T, ctx context.Context, p *drill.Pair) {
		time.Sleep(3 * time.Second)
		for i := range p.Directors {
			s, err := p.Status(i)
			if err != nil {
				t.Fatal(err)
			}
			for _, svc := range s.Services {
				for _, srv := range svc.Servers {
					if srv.Verdict != "up" || srv.LastReason != "ok" {
						t.Errorf("%s: server %s of %s is %s, last probe %q (%s)", s.Node, srv.Address, svc.Name, srv.Verdict, srv.LastReason, srv.Detail)
					}
				}
			}
		}
	})
}

// A reload under load changes what differs and nothing else; a bad file changes
// nothing and is visible.
func TestReload(t *testing.T) {
	each(t, drill.Options{}, func(t *testing.T, ctx context.Context, p *drill.Pair) {
		good := p.TOML()
		f := under(t, ctx, p, time.Second,
			drill.Step{Name: "weights", Wait: time.Second, Do: func() error {
				reload(t, p, strings.ReplaceAll(good, "weight = 100", "weight = 7"))
				within(t, p, 5*time.Second, "the new weights are in the kernel", func() (bool, error) { return everyWeight(p, 7) })
				return nil
			}},
			drill.Step{Name: "bad file", Wait: time.Second, Do: func() error {
				reload(t, p, strings.ReplaceAll(good, "wrr", "fastest"))
				within(t, p, 5*time.Second, "the refusal is in the status", func() (bool, error) {
					s, err := p.Status(0)
					return err == nil && strings.Contains(s.Config.Error, "fastest"), err
				})
				if ok, err := everyWeight(p, 7); !ok || err != nil {
					t.Errorf("the refused file changed the table (%v)", err)
				}
				return nil
			}},
			drill.Step{Name: "slower adverts", Wait: time.Second, Do: func() error {
				reload(t, p, strings.ReplaceAll(good, `advert_interval = "200ms"`, `advert_interval = "300ms"`))
				within(t, p, 5*time.Second, "the refusal is gone", func() (bool, error) {
					s, err := p.Status(0)
					return err == nil && s.Config.Error == "" && s.Routers[0].Adverts.IntervalMS == 300, err
				})
				return nil
			}},
		)
		expect(t, f, time.Second, 3, 0)
		holder(t, ctx, p, 0)
		if s, err := p.Status(0); err != nil || s.Routers[0].Transitions != 1 {
			t.Errorf("the active became so %d times (%v), reloads must not touch the election", s.Routers[0].Transitions, err)
		}
	})
}

// Somebody deletes a service and the VIP by hand; both are back within 2 s.
func TestThirdParty(t *testing.T) {
	each(t, drill.Options{}, func(t *testing.T, ctx context.Context, p *drill.Pair) {
		under(t, ctx, p, 2*time.Second,
			drill.Step{Name: "service deleted", Wait: time.Second, Do: func() error {
				err := p.Edit(0, func(e *drill.Editor) error {
					return e.Table.Apply([]ipvsctl.Op{{Verb: ipvsctl.DelService, Service: ipvsctl.Service{ServiceKey: key(80)}}})
				})
				if err != nil {
					return err
				}
				took := within(t, p, 3*time.Second, "the service is back", func() (bool, error) {
					table, _, err := p.Table(0)
					return len(table[key(80)].Servers) == len(p.Servers), err
				})
				t.Logf("service repaired after %v", took.Round(time.Millisecond))
				if took > 2*time.Second {
					t.Error("that is more than 2s")
				}
				return nil
			}},
			drill.Step{Name: "VIP deleted", Wait: time.Second, Do: func() error {
				if err := p.Edit(0, func(e *drill.Editor) error { return e.RemoveAddress(lab.VIP, lab.LAN) }); err != nil {
					return err
				}
				took := within(t, p, 3*time.Second, "the VIP is back", func() (bool, error) { return p.Directors[0].Holds(lab.VIP) })
				t.Logf("VIP repaired after %v", took.Round(time.Millisecond))
				return nil
			}},
		)
		s, err := p.Status(0)
		if err != nil || s.Repairs.Addresses != 1 || s.Repairs.Table == 0 {
			t.Errorf("repairs counted: %+v (%v)", s.Repairs, err)
		}
	})
}

// What others put into the table is reported and left alone, also by a stop.
func TestForeignService(t *testing.T) {
	ctx, p := start(t, drill.Options{})
	foreign := key(4242)
	err := p.Edit(0, func(e *drill.Editor) error {
		return e.Table.Apply([]ipvsctl.Op{{Verb: ipvsctl.AddService, Service: ipvsctl.Service{ServiceKey: foreign, Scheduler: "rr", Netmask: 32}}})
	})
	if err != nil {
		t.Fatal(err)
	}
	within(t, p, 5*time.Second, "the foreign service is reported", func() (bool, error) {
		s, err := p.Status(0)
		return err == nil && len(s.Foreign) == 1, err
	})
	if err := p.Daemon(0).Stop(ctx); err != nil {
		t.Fatal(err)
	}
	table, _, err := p.Table(0)
	if _, ok := table[foreign]; !ok || len(table) != 1 || err != nil {
		t.Errorf("after the stop the table is %v (%v)", table, err)
	}
}

// Plan shows what a start would change, changes nothing, and has nothing to show
// when the directors run.
func TestPlan(t *testing.T) {
	each(t, drill.Options{}, func(t *testing.T, ctx context.Context, p *drill.Pair) {
		plan := func(i int) (string, int) {
			out, status, err := p.Tandem(p.Directors[i], "plan", "--config", p.ConfigPath(i), "--node", p.Directors[i].Name)
			if err != nil {
				t.Fatal(err)
			}
			return out, status
		}
		if out, status := plan(0); status != 0 || !strings.Contains(out, "nothing would change") {
			t.Errorf("beside a running director: exit status %d\n%s", status, out)
		}
		if err := p.Daemon(0).Stop(ctx); err != nil {
			t.Fatal(err)
		}
		out, status := plan(0)
		for _, s := range []string{"net/ipv4/vs/sync_threshold: 3 50 -> 0 0", "add service tcp 10.77.0.100:80 scheduler wrr", "weight 100 " + p.Forwarding()} {
			if !strings.Contains(out, s) {
				t.Errorf("the plan of a start does not say %q", s)
			}
		}
		if status != 2 {
			t.Errorf("exit status %d, want 2", status)
		}
		leftNothing(t, p, 0)
		if t.Failed() {
			t.Log(out)
		}
	})
}

// After a crash a restart takes up the table that is there, and the ledger lets
// release take everything back.
func TestReleaseAll(t *testing.T) {
	ctx, p := start(t, drill.Options{})
	if err := p.Crash(0); err != nil {
		t.Fatal(err)
	}
	if err := p.Release(0); err != nil {
		t.Fatal(err)
	}
	if ok, err := p.Directors[0].Holds(lab.VIP); ok || err != nil {
		t.Errorf("release left the VIP (%v)", err)
	}
	if n, err := p.TableServers(0); n != 2*len(p.Servers) || err != nil {
		t.Errorf("release left %d servers in the table (%v), want all: a restart takes them up", n, err)
	}
	if err := p.Release(0, "--all"); err != nil {
		t.Fatal(err)
	}
	leftNothing(t, p, 0)
	holder(t, ctx, p, 1)
}

func key(port uint16) ipvsctl.ServiceKey { return drill.VirtualService(port) }

// inTable asks whether all directors have a server in a service, or none has.
func inTable(p *drill.Pair, port uint16, server int, want bool) func() (bool, error) {
	return func() (bool, error) {
		for i := range p.Directors {
			table, _, err := p.Table(i)
			if err != nil {
				return false, err
			}
			if _, ok := table[key(port)].Servers[p.ServerAddr(server, port)]; ok != want {
				return false, nil
			}
		}
		return true, nil
	}
}

func everyWeight(p *drill.Pair, want int32) (bool, error) {
	for i := range p.Directors {
		table, _, err := p.Table(i)
		if err != nil {
			return false, err
		}
		for _, e := range table {
			for _, s := range e.Servers {
				if s.Weight != want {
					return false, nil
				}
			}
		}
	}
	return true, nil
}

// reload gives every director a new file and tells it.
func reload(t *testing.T, p *drill.Pair, text string) {
	t.Helper()
	for i := range p.Directors {
		if err := os.WriteFile(p.ConfigPath(i), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := p.Daemon(i).Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
}
