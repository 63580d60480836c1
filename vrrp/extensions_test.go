package vrrp

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// step steps m and fails the test if the actions are not the wanted ones.
func step(t *testing.T, m *Machine, at time.Duration, ev Event, want string) {
	t.Helper()
	if got := brief(m.Step(epoch.Add(at), ev)); got != want {
		t.Fatalf("at %v: actions %q, want %q", at, got, want)
	}
}

func wantDeadline(t *testing.T, m *Machine, want time.Duration) {
	t.Helper()
	if got := deadline(m); got != want {
		t.Fatalf("deadline %v, want %v", got, want)
	}
}

// incumbent lets a router with priority 50 advertise from one time to another
// and returns when m became active, -1 if it did not.
func incumbent(m *Machine, from, to time.Duration) time.Duration {
	for at := from; at <= to; at += 100 * ms {
		for d := deadline(m); d >= 0 && d < at; d = deadline(m) {
			m.Step(epoch.Add(d), Timeout{})
			if m.Role().State == Active {
				return d
			}
		}
		m.Step(epoch.Add(at), heard(lower, 50))
	}
	return -1
}

// TestFailback: how long a returning router leaves a lower priority in place.
func TestFailback(t *testing.T) {
	const down = 360937500
	tests := []struct {
		name     string
		cfg      Config
		priority uint8 // heard
		want     time.Duration
	}{
		{"immediate", config(nil), 50, down},
		{"never", config(failback(FailbackNever)), 50, -1},
		// Counted from the first advertisement, at 50 ms. The last one followed is that
		// of 1050 ms minus one interval.
		{"delayed", config(func(c *Config) { c.Failback, c.FailbackDelay = FailbackDelayed, time.Second }), 50, 950*ms + down},
		{"delayed by nothing", config(func(c *Config) { c.Failback = FailbackDelayed }), 50, down},
		{"the owner ignores never", config(func(c *Config) { c.Failback, c.Priority = FailbackNever, 255 }), 50, 50*ms + 300*ms + 390625},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, _ := run(tt.cfg, startup)
			if tt.cfg.Priority == PriorityOwner { // starts as active; a better owner pushes it back
				step(t, m, 49*ms, heard(higher, 255), "advert 255, backup hold")
				step(t, m, 50*ms, heard(higher, 0), "")
				step(t, m, 50*ms, heard(higher, 255), "")
			}
			if got := incumbent(m, 50*ms, 5*time.Second); got != tt.want {
				t.Errorf("active at %v, want %v", got, tt.want)
			}
		})
	}
}

// TestFailbackDelayRestarts: the delay counts while only lower priorities are
// heard.
func TestFailbackDelayRestarts(t *testing.T) {
	m, _ := run(config(func(c *Config) { c.Failback, c.FailbackDelay = FailbackDelayed, time.Second }), startup)
	incumbent(m, 50*ms, 900*ms)
	step(t, m, 940*ms, heard(lower, 200), "")
	if !m.Status().FailbackAt.IsZero() {
		t.Fatal("the delay runs while a higher priority is heard")
	}
	// From 1050 ms on it counts again: the advertisement of 1950 ms is the last one
	// that is followed.
	if got, want := incumbent(m, 1050*ms, 5*time.Second), 1950*ms+360937500; got != time.Duration(want) {
		t.Errorf("active at %v, want %v", got, time.Duration(want))
	}
}

// TestFailbackDelayForgets: what was heard before the router became backup does
// not count.
func TestFailbackDelayForgets(t *testing.T) {
	m, _ := run(config(func(c *Config) { c.Failback, c.FailbackDelay = FailbackDelayed, time.Second }),
		startup, input{50 * ms, heard(lower, 50)}, input{500 * ms, Timeout{}})
	step(t, m, 2*time.Second, heard(lower, 50), "backup") // paused
	if got, want := m.Status().FailbackAt, epoch.Add(3*time.Second); !got.Equal(want) {
		t.Errorf("fails back at %v, want %v", got, want)
	}
}

// TestUnlearn: the interval of an active router counts as long as it is the
// active one (RFC 9568, section 6.4.1 starts with the router's own).
func TestUnlearn(t *testing.T) {
	learned := []input{startup, {100 * ms, heardEvery(lower, 200, time.Second)}}
	for _, tt := range []struct {
		name  string
		after []input
		want  string
	}{
		{"shutdown", []input{{200 * ms, Shutdown{}}, {5 * time.Second, Startup{self}}}, "backup"},
		{"takeover and pause", []input{{4 * time.Second, Timeout{}}, {5 * time.Second, Timeout{}}}, "backup"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, actions := run(config(nil), append(learned[:2:2], tt.after...)...)
			if got := brief(actions); got != tt.want {
				t.Errorf("actions %q, want %q", got, tt.want)
			}
			wantDeadline(t, m, 5*time.Second+360937500)
		})
	}
}

// TestFailbackAfterSilence: an active router that went silent is replaced in
// every mode.
func TestFailbackAfterSilence(t *testing.T) {
	for _, mode := range []Failback{FailbackImmediate, FailbackDelayed, FailbackNever} {
		t.Run(mode.String(), func(t *testing.T) {
			m, _ := run(config(func(c *Config) { c.Failback, c.FailbackDelay = mode, time.Hour }), startup, input{100 * ms, heard(lower, 200)})
			step(t, m, 100*ms+360937500, Timeout{}, "advert 100, active hold")
		})
	}
}

// TestHandOver: a planned stop holds the addresses until the successor is heard
// and a little longer.
func TestHandOver(t *testing.T) {
	m, _ := run(config(nil), startup, input{400 * ms, Timeout{}})
	step(t, m, 450*ms, Shutdown{Cause: "stop", HandOver: true}, "advert 0, init hold")
	wantDeadline(t, m, 950*ms)
	step(t, m, 460*ms, heard(higher, 0), "") // another one that stops is no successor
	wantDeadline(t, m, 950*ms)
	step(t, m, 470*ms, heard(lower, 50), "")
	wantDeadline(t, m, 570*ms)
	step(t, m, 560*ms, heard(lower, 50), "") // does not extend it
	wantDeadline(t, m, 570*ms)
	step(t, m, 570*ms, Timeout{}, "note, init")
	wantDeadline(t, m, -1)
	if m.Role().Cause != "stop" {
		t.Errorf("cause %q", m.Role().Cause)
	}
}

// TestHandOverToNobody: the wait is bounded by Active_Down_Interval, or 500 ms if
// that is less.
func TestHandOverToNobody(t *testing.T) {
	for _, tt := range []struct {
		interval, bound time.Duration
	}{{10 * ms, 500 * ms}, {time.Second, 3609375000}} {
		t.Run(tt.interval.String(), func(t *testing.T) {
			m, _ := run(config(func(c *Config) { c.Interval = tt.interval }), startup, input{10 * time.Second, Timeout{}})
			step(t, m, 10*time.Second, Shutdown{HandOver: true}, "advert 0, init hold")
			wantDeadline(t, m, 10*time.Second+tt.bound)
			step(t, m, 10*time.Second+tt.bound, Timeout{}, "note, init")
		})
	}
}

// TestFault drops the addresses at once, wherever they are held.
func TestFault(t *testing.T) {
	active := []input{startup, {400 * ms, Timeout{}}}
	for _, tt := range []struct {
		name   string
		before []input
		want   string
	}{
		{"active", active, "advert 0, init"},
		{"backup", []input{startup}, "init"},
		{"lost election", append(active[:2:2], input{410 * ms, heard(higher, 200)}), "init"},
		{"hand-over", append(active[:2:2], input{410 * ms, Shutdown{HandOver: true}}), "init"},
		{"stopped", []input{startup, {1, Shutdown{}}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, _ := run(config(nil), tt.before...)
			step(t, m, 420*ms, Shutdown{Cause: "carrier lost"}, tt.want)
			wantDeadline(t, m, -1)
		})
	}
}

// TestHandOverKeepsHold: a planned stop just after a lost election does not cut
// the overlap short, and is not an active router's.
func TestHandOverKeepsHold(t *testing.T) {
	m, _ := run(config(nil), startup, input{400 * ms, Timeout{}}, input{410 * ms, heard(higher, 200)})
	step(t, m, 420*ms, Shutdown{HandOver: true}, "init hold")
	wantDeadline(t, m, 510*ms)
	step(t, m, 430*ms, Startup{self}, "backup hold")
	wantDeadline(t, m, 510*ms)
	step(t, m, 510*ms, Timeout{}, "note, backup")
}

// TestYield: the loser holds on for the overlap.
func TestYield(t *testing.T) {
	m, _ := run(config(nil), startup, input{400 * ms, Timeout{}})
	step(t, m, 450*ms, heard(lower, 200), "advert 100, backup hold")
	wantDeadline(t, m, 550*ms)
	step(t, m, 550*ms, Timeout{}, "note, backup")
	wantDeadline(t, m, 450*ms+360937500)
}

// TestYieldSpeaksForTheWinner: the last advertisement of a router that yields
// reaches the other backups after the winner's. If it made them wait by the
// interval of the loser, they would take over before the winner's next one is due,
// yield, and do the same to others without end.
func TestYieldSpeaksForTheWinner(t *testing.T) {
	fast := func(c *Config) { c.Interval = 10 * ms }
	m, _ := run(config(fast), startup, input{40 * ms, Timeout{}})
	third, _ := run(config(func(c *Config) { c.Interval, c.Priority = 10*ms, 1 }), input{0, Startup{higher}}, input{41 * ms, heardEvery(lower, 200, 50*ms)})
	step(t, m, 41*ms, heardEvery(lower, 200, 50*ms), "note, advert 100, backup hold")
	last := m.Advert(100)
	if last.Interval != 50*ms {
		t.Errorf("the last advertisement says %v", last.Interval)
	}
	third.Step(epoch.Add(42*ms), Received{Advert: last, Src: self})
	if got, want := deadline(third), 42*ms+third.cfg.Version.activeDownInterval(1, 50*ms); got != want {
		t.Errorf("the third router takes over at %v, want %v", got, want)
	}
	// Once it is active again it speaks for itself.
	step(t, m, 141*ms, Timeout{}, "note, backup")
	step(t, m, 300*ms, Timeout{}, "advert 100, active hold")
	if got := m.Advert(100).Interval; got != 10*ms {
		t.Errorf("active again, it says %v", got)
	}
}

// TestActiveWhileHeld: the winner vanished before the overlap was over. Nobody
// would announce addresses that were never taken away.
func TestActiveWhileHeld(t *testing.T) {
	m, _ := run(config(func(c *Config) { c.Interval = 10 * ms }), startup, input{40 * ms, Timeout{}})
	step(t, m, 45*ms, heardEvery(lower, 200, 10*ms), "advert 100, backup hold")
	step(t, m, 45*ms+36093750, Timeout{}, "advert 100, active hold, announce")
	wantDeadline(t, m, 55*ms+36093750)
	if !m.Status().HoldUntil.IsZero() {
		t.Error("it is going to let go")
	}
}

// TestAssert: a rival makes the router advertise, but not faster than every 10 ms,
// and announce, but not faster than every second and not right after becoming
// active.
func TestAssert(t *testing.T) {
	m, _ := run(config(nil), startup, input{400 * ms, Timeout{}})
	step(t, m, 405*ms, heard(lower, 50), "")              // our advertisement is on its way
	step(t, m, 410*ms, heard(lower, 50), "advert 100")    // the first announcement is under way
	step(t, m, 499999999, heard(lower, 50), "advert 100") // still
	step(t, m, 500*ms, heard(lower, 50), "note, announce")
	step(t, m, 509999999, heard(lower, 50), "advert 100")
	step(t, m, 510*ms, heard(lower, 50), "")
	step(t, m, 550*ms, heard(lower, 50), "advert 100")
	for at := 650 * ms; at < 1500*ms; at += 100 * ms {
		step(t, m, at, Timeout{}, "advert 100")
	}
	step(t, m, 1499999999, heard(lower, 50), "advert 100")
	step(t, m, 1500*ms, heard(lower, 50), "note, announce")
	if got := m.Status().Counters.Rivals; got != 6 { // not the three of the first 100 ms
		t.Errorf("%d rivals counted", got)
	}
}

// TestAddressConfusion: two routers that compare an address they do not send
// from both believe to have won. They must not answer each other without end.
func TestAddressConfusion(t *testing.T) {
	a, b := NewMachine(config(nil)), NewMachine(config(nil))
	a.Step(epoch, Startup{netip.MustParseAddr("10.77.0.9")}) // sends from lower
	b.Step(epoch, Startup{self})                             // sends from self, less than .9
	a.Step(epoch.Add(400*ms), Timeout{})
	b.Step(epoch.Add(400*ms), Timeout{})
	sent := 0
	for at := 400 * ms; at < 500*ms; at += 100 * time.Microsecond {
		for range 2 {
			for _, action := range append(a.Step(epoch.Add(at), heard(self, 100)), b.Step(epoch.Add(at), heard(lower, 100))...) {
				if _, ok := action.(SendAdvert); ok {
					sent++
				}
			}
		}
	}
	if sent > 2*10 {
		t.Errorf("%d advertisements in 100 ms", sent)
	}
}

// TestSendFailed: an active router whose advertisements do not leave is as silent
// as one that stands still, and gives up its role when a backup takes it.
func TestSendFailed(t *testing.T) {
	m, _ := run(config(nil), startup, input{400 * ms, Timeout{}})
	step(t, m, 500*ms, Timeout{}, "advert 100") // the last that is heard
	for _, at := range []time.Duration{600 * ms, 700 * ms} {
		step(t, m, at, Timeout{}, "advert 100")
		step(t, m, at, SendFailed{}, "")
		if got := m.Status().LastSent; got != epoch.Add(500*ms) {
			t.Errorf("last sent %v", got.Sub(epoch))
		}
	}
	step(t, m, 800*ms, Timeout{}, "backup") // three intervals
	if r := m.Role(); r.Hold || r.Cause != "no advertisement could be sent for 300ms" {
		t.Errorf("role %+v", r)
	}
	if got := m.Status().Counters.Pauses; got != 0 {
		t.Errorf("%d pauses counted", got)
	}
	// Alone, it tries again, and has three intervals to be heard.
	step(t, m, 1200*ms, Timeout{}, "advert 100, active hold")
	step(t, m, 1200*ms, SendFailed{}, "")
	step(t, m, 1300*ms, Timeout{}, "advert 100")
	step(t, m, 1500*ms, Timeout{}, "advert 100")
}

// TestPauseGuard: an active router that was silent for 3 intervals is a backup
// before it judges anything, and says nothing.
func TestPauseGuard(t *testing.T) {
	const sent = 400 * ms // the latest advertisement
	resume := sent + 300*ms
	newDown := resume + 360937500
	tests := []struct {
		name     string
		mode     Failback
		ev       Event
		want     string
		deadline time.Duration
	}{
		{"timeout", FailbackImmediate, Timeout{}, "backup", newDown},
		{"the router that took over, preempt", FailbackImmediate, heard(lower, 50), "backup", newDown},
		{"the router that took over, no preempt", FailbackNever, heard(lower, 50), "backup", newDown},
		{"a better one", FailbackImmediate, heard(lower, 200), "backup", newDown},
		{"a release", FailbackImmediate, heard(lower, 0), "backup", resume + 60937500},
		{"hand-over", FailbackImmediate, Shutdown{HandOver: true}, "backup, init", -1},
		{"fault", FailbackImmediate, Shutdown{}, "backup, init", -1},
		{"startup", FailbackImmediate, Startup{self}, "backup", newDown},
		{"reconfigure", FailbackImmediate, Reconfigure{config(priority(200))}, "backup", resume + 321875000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, _ := run(config(failback(tt.mode)), startup, input{sent, Timeout{}})
			step(t, m, resume, tt.ev, tt.want)
			wantDeadline(t, m, tt.deadline)
			if got := m.Status().Counters.Pauses; got != 1 {
				t.Errorf("%d pauses counted", got)
			}
		})
	}
	t.Run("cause", func(t *testing.T) {
		m, _ := run(config(nil), startup, input{sent, Timeout{}}, input{sent + 2*time.Second, Timeout{}})
		if got := m.Role().Cause; got != "paused for 2s" {
			t.Errorf("cause %q", got)
		}
	})
	t.Run("a nanosecond less is only late", func(t *testing.T) {
		m, _ := run(config(nil), startup, input{sent, Timeout{}})
		step(t, m, resume-1, Timeout{}, "advert 100")
	})
	t.Run("a backup is not guarded", func(t *testing.T) {
		m, _ := run(config(nil), startup)
		step(t, m, time.Hour, Timeout{}, "advert 100, active hold")
	})
	t.Run("nobody took over", func(t *testing.T) {
		m, _ := run(config(failback(FailbackNever)), startup, input{sent, Timeout{}}, input{resume, Timeout{}})
		step(t, m, newDown, Timeout{}, "advert 100, active hold")
	})
}

// TestReconfigureActive: every change of the advertisement goes out at once.
func TestReconfigureActive(t *testing.T) {
	for _, tt := range []struct {
		name     string
		edit     func(*Config)
		want     string
		deadline time.Duration
	}{
		{"nothing", nil, "", 500 * ms},
		{"lower priority", priority(50), "advert 50", 510 * ms},
		{"higher priority", priority(200), "advert 200", 510 * ms},
		{"interval", func(c *Config) { c.Interval = time.Second }, "advert 100", 1410 * ms},
		{"addresses", func(c *Config) { c.Addresses = addrs("10.77.0.100", "10.77.0.101") }, "advert 100", 510 * ms},
		{"failback", failback(FailbackNever), "", 500 * ms},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, _ := run(config(nil), startup, input{400 * ms, Timeout{}})
			cfg := config(tt.edit)
			step(t, m, 410*ms, Reconfigure{cfg}, tt.want)
			wantDeadline(t, m, tt.deadline)
			if got := m.Advert(1); got.Interval != cfg.Interval || !sameAddresses(got.Addresses, cfg.Addresses) {
				t.Errorf("advertises %+v", got)
			}
		})
	}
}

// TestReconfigureBackup: the timer that is running moves by the difference.
func TestReconfigureBackup(t *testing.T) {
	learned := []input{startup, {10 * ms, heard(lower, 220)}}
	for _, tt := range []struct {
		name     string
		before   []input
		edit     func(*Config)
		deadline time.Duration
	}{
		{"priority", learned, priority(200), 10*ms + 300*ms + 21875000},
		{"priority while a release counts", append(learned[:2:2], input{15 * ms, heard(lower, 0)}), priority(200), 15*ms + 21875000},
		// What the active router really does counts, not what it will be told to do.
		{"interval, another one learned", learned, func(c *Config) { c.Interval = 10 * ms }, 10*ms + 360937500},
		{"interval, nothing learned", []input{startup}, func(c *Config) { c.Interval = time.Second }, 3609375000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, _ := run(config(nil), tt.before...)
			step(t, m, 20*ms, Reconfigure{config(tt.edit)}, "")
			wantDeadline(t, m, tt.deadline)
		})
	}
	t.Run("failback", func(t *testing.T) {
		m, _ := run(config(failback(FailbackNever)), startup)
		if at := incumbent(m, 50*ms, 2050*ms); at != -1 {
			t.Fatalf("active at %v", at)
		}
		step(t, m, 2060*ms, Reconfigure{config(nil)}, "")
		if got, want := incumbent(m, 2150*ms, 5*time.Second), 2050*ms+360937500; got != time.Duration(want) {
			t.Errorf("active at %v, want %v", got, time.Duration(want))
		}
	})
	t.Run("init", func(t *testing.T) {
		m := NewMachine(config(nil))
		step(t, m, 0, Reconfigure{config(func(c *Config) { c.Interval = time.Second })}, "")
		wantDeadline(t, m, -1)
		step(t, m, 0, Startup{self}, "backup")
		wantDeadline(t, m, 3609375000)
	})
}

// TestReconfigurePanics: a wrong configuration is a mistake of the caller.
func TestReconfigurePanics(t *testing.T) {
	for _, edit := range []func(*Config){func(c *Config) { c.VRID++ }, priority(0)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			NewMachine(config(nil)).Step(epoch, Reconfigure{config(edit)})
		}()
	}
}

// TestConfigIsCopied: the caller may reuse the slice.
func TestConfigIsCopied(t *testing.T) {
	cfg := config(func(c *Config) { c.Addresses = addrs("10.77.0.100") })
	m := NewMachine(cfg)
	cfg.Addresses[0] = self
	if got := m.Advert(100).Addresses[0]; got != vip[0] {
		t.Errorf("advertises %v", got)
	}
}

// TestStartupAgain replaces the primary address and nothing else.
func TestStartupAgain(t *testing.T) {
	m, _ := run(config(nil), startup, input{400 * ms, Timeout{}})
	step(t, m, 410*ms, Startup{netip.MustParseAddr("10.77.0.20")}, "")
	step(t, m, 420*ms, heard(higher, 100), "advert 100") // would have won against self
	step(t, m, 430*ms, Startup{netip.MustParseAddr("fe80::1")}, "note")
	if got := m.Status().PrimaryAddr.String(); got != "10.77.0.20" {
		t.Errorf("primary address %v", got)
	}
}

// TestTakeoverCause: an operator reads why the role was taken.
func TestTakeoverCause(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before []input
		at     time.Duration
		want   string
	}{
		{"nothing heard", []input{startup}, 361 * ms, "no advertisement heard for 361ms"},
		{"release before the stop", []input{startup, {1 * ms, heard(lower, 0)}, {2 * ms, Shutdown{}}, {10 * ms, Startup{self}}}, 371 * ms, "no advertisement heard for 361ms"},
		{"silence", []input{startup, {100 * ms, heard(lower, 200)}}, 461 * ms, "10.77.0.1 was silent for 361ms"},
		{"release", []input{startup, {100 * ms, heard(lower, 200)}, {150 * ms, heard(lower, 0)}}, 211 * ms, "10.77.0.1 released the role"},
		{"preemption", []input{startup, {100 * ms, heard(lower, 50)}}, 361 * ms, "10.77.0.1 has the lower priority 50"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, _ := run(config(nil), append(tt.before, input{tt.at, Timeout{}})...)
			if r := m.Role(); r.State != Active || !strings.Contains(r.Cause, tt.want) {
				t.Errorf("%v because %q, want %q", r.State, r.Cause, tt.want)
			}
		})
	}
}
