//go:build lab

package integration

import (
	"context"
	"syscall"
	"testing"
	"time"

	"tandem/integration/drill"
	"tandem/integration/lab"
)

// takeover is generous: 3 adverts and the skew at 200 ms are 0.7 s, the clients'
// timeout is 150 ms.
const takeover = 2500 * time.Millisecond

// leaseEnd is when the kernel has dropped the addresses of a dead daemon.
const leaseEnd = 3500 * time.Millisecond

// quarter is how many long-lived connections a failure may break: without
// synchronisation it breaks all of them. Nearly every drill breaks none, but none
// is no promise: what the dead director had not sent yet, and a datagram that a
// machine that stood still has dropped, the survivor never learns.
func quarter(f drill.Figures) int { return f.Streams / 4 }

// A planned stop hands over before it lets go.
func TestTermination(t *testing.T) {
	each(t, drill.Options{}, func(t *testing.T, ctx context.Context, p *drill.Pair) {
		f := under(t, ctx, p, 5*time.Second, drill.Step{Name: "SIGTERM", Wait: 2 * time.Second, Do: func() error {
			return p.Daemon(0).Signal(syscall.SIGTERM)
		}})
		expect(t, f, time.Second, 5, 1)
		holder(t, ctx, p, 1)
		if err := p.Daemon(0).Wait(ctx); err != nil {
			t.Errorf("the stopped director ended with %v", err)
		}
		leftNothing(t, p, 0)
	})
}

// The daemon is killed and the service manager cleans up after it.
func TestCrashOfTheDaemon(t *testing.T) {
	each(t, drill.Options{}, func(t *testing.T, ctx context.Context, p *drill.Pair) {
		f := under(t, ctx, p, 5*time.Second, drill.Step{Name: "kill -9", Wait: 2 * time.Second, Do: func() error {
			if err := p.Crash(0); err != nil {
				return err
			}
			return p.Release(0)
		}})
		expect(t, f, takeover, 100, quarter(f))
		holder(t, ctx, p, 1)
	})
}

// Nobody cleans up after a daemon that was killed: its kernel does.
func TestCrashWithoutRelease(t *testing.T) {
	each(t, drill.Options{}, func(t *testing.T, ctx context.Context, p *drill.Pair) {
		f := under(t, ctx, p, 5*time.Second, drill.Step{Name: "kill -9", Wait: 2 * time.Second, Do: func() error {
			return p.Crash(0)
		}})
		expect(t, f, takeover, 100, quarter(f))
		holder(t, ctx, p, 1)
		if _, err := p.StartDirector(0); err != nil {
			t.Fatal(err)
		}
		if err := p.Settled(ctx); err != nil {
			t.Fatal(err)
		}
		holder(t, ctx, p, 1) // failback is "never"
	})
}

// The host dies: no process, no link.
func TestDeathOfTheHost(t *testing.T) {
	each(t, drill.Options{}, func(t *testing.T, ctx context.Context, p *drill.Pair) {
		f := under(t, ctx, p, 5*time.Second, drill.Step{Name: "host dies", Wait: 2 * time.Second, Do: p.Directors[0].Kill})
		expect(t, f, takeover, 100, quarter(f))
		if ok, err := p.Directors[1].Holds(lab.VIP); !ok || err != nil {
			t.Errorf("the survivor holds the VIP: %v, %v", ok, err)
		}
	})
}

// The active is frozen and thaws again: its addresses go by themselves, and it
// does not take them back.
func TestFreeze(t *testing.T) {
	each(t, drill.Options{}, func(t *testing.T, ctx context.Context, p *drill.Pair) {
		f := under(t, ctx, p, 3*time.Second,
			drill.Step{Name: "SIGSTOP", Wait: 2 * time.Second, Do: p.Daemon(0).Freeze},
			drill.Step{Name: "lease over", Wait: leaseEnd, Do: func() error {
				holder(t, ctx, p, 1)
				return nil
			}},
			drill.Step{Name: "SIGCONT", Wait: time.Second, Do: p.Daemon(0).Thaw},
		)
		expect(t, f, takeover, 100, quarter(f))
		holder(t, ctx, p, 1)
		thawed := f.Marks[2].At
		for i, b := range f.Result.Timeline.Buckets {
			if at := time.Duration(i) * f.Result.Timeline.Bucket.Duration(); at > thawed+100*time.Millisecond && b.Failed > 0 && f.Lateness < 150*time.Millisecond {
				t.Errorf("a second outage after SIGCONT, at %v: %d connections failed", at, b.Failed)
			}
		}
		s, err := p.Status(0)
		if err != nil {
			t.Fatal(err)
		}
		if r := s.Routers[0]; r.State != "backup" || r.Adverts.Pauses == 0 {
			t.Errorf("the thawed director is %s with %d pauses counted, want backup and at least one", r.State, r.Adverts.Pauses)
		}
	})
}

// The active loses its link and gets it back.
func TestLossOfTheLink(t *testing.T) {
	each(t, drill.Options{}, func(t *testing.T, ctx context.Context, p *drill.Pair) {
		f := under(t, ctx, p, 3*time.Second,
			drill.Step{Name: "link down", Wait: 2 * time.Second, Do: func() error { return p.Directors[0].LinkDown(lab.LAN) }},
			drill.Step{Name: "link up", Wait: 3 * time.Second, Do: func() error {
				holder(t, ctx, p, 1)
				return p.Directors[0].LinkUp(lab.LAN)
			}},
		)
		expect(t, f, takeover, 100, quarter(f))
		holder(t, ctx, p, 1)
		if err := p.Settled(ctx); err != nil {
			t.Fatal(err)
		}
	})
}

// Behind a director with masquerading the inside link is as vital as the
// outside one: the router has an address on it.
func TestLossOfTheInsideLink(t *testing.T) {
	ctx, p := start(t, drill.Options{Forwarding: "masquerade"})
	f := under(t, ctx, p, 4*time.Second, drill.Step{Name: "inside link down", Wait: 2 * time.Second, Do: func() error {
		return p.Directors[0].LinkDown(lab.Inside)
	}})
	expect(t, f, takeover, 100, quarter(f))
	holder(t, ctx, p, 1)
	if ok, err := p.Directors[1].Holds(lab.GatewayVIP); !ok || err != nil {
		t.Errorf("the gateway address moved with the VIP: %v, %v", ok, err)
	}
}

// The directors lose sight of one another while clients see both, and then see
// each other again.
func TestPartition(t *testing.T) {
	each(t, drill.Options{}, func(t *testing.T, ctx context.Context, p *drill.Pair) {
		var healed time.Duration
		f := under(t, ctx, p, 2*time.Second,
			drill.Step{Name: "partition", Wait: 2 * time.Second, Do: func() error { return p.Isolate(lab.LAN, p.Directors...) }},
			drill.Step{Name: "both active", Wait: 2 * time.Second, Do: func() error {
				return p.Eventually(ctx, "both are active", func() (bool, error) {
					h, err := p.Holders()
					return len(h) == 2, err
				})
			}},
			drill.Step{Name: "heal", Do: func() error {
				if err := p.Heal(); err != nil {
					return err
				}
				healed = within(t, p, 2*time.Second, "one active, and clients know which", func() (bool, error) {
					h, err := p.Holders()
					if err != nil || len(h) != 1 || h[0] != 0 {
						return false, err
					}
					return pointsAt(p, 0)()
				})
				return nil
			}},
		)
		t.Logf("settled %v after the partition healed", healed.Round(time.Millisecond))
		if healed > time.Second+f.Lateness {
			t.Errorf("clients' ARP pointed at the winner %v after the heal, want 1s", healed)
		}
		holder(t, ctx, p, 0)
		if r, err := p.Status(0); err != nil || r.Routers[0].Adverts.Rivals == 0 {
			t.Errorf("the winner counted no rival (%v)", err)
		}
	})
}

// Both start at the same moment: one becomes active, once.
func TestBothStart(t *testing.T) {
	for _, way := range forwardings {
		t.Run(way, func(t *testing.T) {
			ctx, p := prepare(t, drill.Options{Forwarding: way})
			begin := time.Now()
			for i := range p.Directors {
				if _, err := p.StartDirector(i); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.Settled(ctx); err != nil {
				t.Fatal(err)
			}
			t.Logf("settled %v after both were started", time.Since(begin).Round(time.Millisecond))
			var active int
			for i := range p.Directors {
				s, err := p.Status(i)
				if err != nil {
					t.Fatal(err)
				}
				active += int(s.Routers[0].Transitions)
			}
			if active > 2 {
				t.Errorf("the directors became active %d times in all", active)
			}
		})
	}
}

// syncRefresh is how long a director that came back waits before it takes its
// role: by then the kernel of the active has sent every connection again
// (sync_refresh_period is 10 s), so it knows them.
const syncRefresh = 13 * time.Second

// A director with the higher priority takes its role back without a gap, and
// with the connections that began while it was away.
func TestFailback(t *testing.T) {
	each(t, drill.Options{Failback: "delay", Delay: syncRefresh}, func(t *testing.T, ctx context.Context, p *drill.Pair) {
		if err := p.Daemon(0).Stop(ctx); err != nil {
			t.Fatal(err)
		}
		holder(t, ctx, p, 1)
		f := under(t, ctx, p, syncRefresh+5*time.Second, drill.Step{Name: "lb1 is back", Wait: time.Second, Do: func() error {
			_, err := p.StartDirector(0)
			return err
		}})
		expect(t, f, time.Second, 5, 2)
		holder(t, ctx, p, 0)
	})
}

// Three directors survive two failures.
func TestThreeDirectors(t *testing.T) {
	ctx, p := start(t, drill.Options{Directors: 3})
	f := under(t, ctx, p, 3*time.Second,
		drill.Step{Name: "first dies", Wait: time.Second, Do: p.Directors[0].Kill},
		drill.Step{Name: "second dies", Wait: 3 * time.Second, Do: p.Directors[1].Kill},
	)
	expect(t, f, takeover, 150, quarter(f))
	if ok, err := p.Directors[2].Holds(lab.VIP); !ok || err != nil {
		t.Errorf("the last director holds the VIP: %v, %v", ok, err)
	}
}

// leftNothing checks that a stopped director took everything back.
func leftNothing(t *testing.T, p *drill.Pair, i int) {
	t.Helper()
	if ok, err := p.Directors[i].Holds(lab.VIP); ok || err != nil {
		t.Errorf("the VIP is left: %v, %v", ok, err)
	}
	table, _, err := p.Table(i)
	if err != nil || len(table) != 0 {
		t.Errorf("services are left: %v, %v", table, err)
	}
	for key, before := range map[string]string{"net/ipv4/vs/sync_threshold": "3\t50", "net/ipv4/vs/expire_nodest_conn": "0", "net/ipv4/conf/eth0/send_redirects": "1", "net/ipv4/conf/eth0/arp_ignore": "0"} {
		if now, err := p.Directors[i].Sysctl(key); err != nil || now != before {
			t.Errorf("%s is left at %q (%v), it was %q", key, now, err, before)
		}
	}
}
