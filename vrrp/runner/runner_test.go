package runner

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tandem/vrrp"
	"tandem/vrrp/runner/runnertest"
)

var quiet = slog.DiscardHandler

// TestElection: the highest priority of three becomes active, alone and once.
func TestElection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &segment{t: t}
		all := []*member{s.add(1, config(100), quiet), s.add(2, config(200), quiet), s.add(3, config(150), quiet)}
		pass(5 * time.Second)
		wantStates(t, all, vrrp.Backup, vrrp.Active, vrrp.Backup)
		for i, m := range all {
			if got, want := m.Status().Counters.BecameActive, []uint64{0, 1, 0}[i]; got != want {
				t.Errorf("%v became active %d times", m.addr, got)
			}
		}
	})
}

// TestTakeover: a process that is gone says nothing, and the backup takes over
// Active_Down_Interval after the last advertisement, to the nanosecond.
func TestTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &segment{t: t}
		a, b := s.add(1, config(200), quiet), s.add(2, config(100), quiet)
		pass(2 * time.Second)
		wantStates(t, []*member{a, b}, vrrp.Active, vrrp.Backup)
		a.stop()
		last := a.lastSent()
		if last.adv.Priority != 200 {
			t.Fatalf("the end of Run sent priority %d", last.adv.Priority)
		}
		pass(time.Second)
		if got := b.Status().Role; got.State != vrrp.Active || got.Since.Sub(last.at) != down(100) {
			t.Errorf("%v %v after the last advertisement, want %v", got.State, got.Since.Sub(last.at), down(100))
		}
	})
}

// TestHandOver: on a planned stop the backup takes over after Skew_Time, and the
// stopped router lets go only after that.
func TestHandOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &segment{t: t}
		a, b := s.add(1, config(200), quiet), s.add(2, config(100), quiet)
		pass(2 * time.Second)
		stopped := time.Now()
		a.Shutdown("maintenance", true)
		pass(time.Second)
		wantStates(t, []*member{a, b}, vrrp.Init, vrrp.Active)

		took := b.Status().Role.Since
		if got := took.Sub(stopped); got != skew(100) {
			t.Errorf("took over after %v, want %v", got, skew(100))
		}
		r := a.Status().Role
		if r.Hold || r.Cause != "maintenance" {
			t.Errorf("role of the stopped router: %+v", r)
		}
		if got := a.sentSince(stopped.Add(-1)); len(got) != 1 || got[0].adv.Priority != 0 {
			t.Errorf("sent while stopping: %+v", got)
		}
		if len(a.roles) < 2 || !a.roles[len(a.roles)-2].Hold {
			t.Errorf("roles of the stopped router: %+v", a.roles)
		}
	})
}

// TestHandOverOverlap samples who holds the addresses all the while.
func TestHandOverOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &segment{t: t}
		a, b := s.add(1, config(200), quiet), s.add(2, config(100), quiet)
		pass(2 * time.Second)
		a.Shutdown("maintenance", true)
		both := 0
		for range 500 {
			pass(ms)
			ha, hb := a.Status().Role.Hold, b.Status().Role.Hold
			if !ha && !hb {
				t.Fatal("nobody holds the addresses")
			}
			if ha && hb {
				both++
			}
		}
		if both != 100 { // HandOverOverlap
			t.Errorf("both held the addresses for %d ms", both)
		}
	})
}

// TestPausedActive: the process of the active router stands still for 2 s. When
// it goes on, it neither speaks nor holds the addresses, although it has the
// higher priority: its failback mode decides.
func TestPausedActive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &segment{t: t}
		cfg := config(200)
		cfg.Failback = vrrp.FailbackNever
		a, b := s.add(1, cfg, quiet), s.add(2, config(100), quiet)
		pass(2 * time.Second)
		wantStates(t, []*member{a, b}, vrrp.Active, vrrp.Backup)
		a.set(func() {
			a.afterSend = func() {
				a.set(func() { a.afterSend = nil })
				time.Sleep(2 * time.Second)
			}
		})
		pass(time.Second) // in the middle of the pause
		wantStates(t, []*member{b}, vrrp.Active)
		paused := time.Now()
		pass(10 * time.Second)
		wantStates(t, []*member{a, b}, vrrp.Backup, vrrp.Active)
		if got := a.sentSince(paused); len(got) != 0 {
			t.Errorf("sent after the pause: %+v", got)
		}
		st := a.Status()
		if st.Role.Hold || st.Counters.Pauses != 1 {
			t.Errorf("status after the pause: %+v", st)
		}
	})
}

// TestPausedBackup: the process of a backup stands still while packets go on to
// arrive. It reads them before it takes the silence for one; a flood only delays
// it.
func TestPausedBackup(t *testing.T) {
	adv := vrrp.Received{Src: vip[0], Advert: vrrp.Advert{VRID: 51, Priority: 200, Interval: 100 * ms, Addresses: vip}}
	loser := adv
	loser.Advert.Priority = 50
	flood := func(n int) []vrrp.Received { return slices.Repeat([]vrrp.Received{loser}, n) }
	for name, tt := range map[string]struct {
		arrived []vrrp.Received // meanwhile; read one by one
		soon    vrrp.State
	}{
		"nothing has arrived":                 {nil, vrrp.Active},
		"the active router has spoken":        {[]vrrp.Received{adv}, vrrp.Backup},
		"the active router among others":      {append(flood(9), adv), vrrp.Backup},
		"only a router that is to be ignored": {flood(10), vrrp.Active},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := pausedBackup(t)
				for _, r := range tt.arrived {
					m.hear(r)
				}
				pass(2 * time.Second)
				if got := m.state(); got != tt.soon {
					t.Errorf("it is %v", got)
				}
				if got := m.Status().Counters; tt.soon == vrrp.Backup && got.BecameActive != 0 {
					t.Error("it took over before it had listened")
				}
			})
		})
	}
	t.Run("a flood", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := pausedBackup(t)
			// Each packet takes a tenth of a millisecond, and brings another.
			var again func(at time.Time)
			again = func(at time.Time) {
				m.Receive(at, loser)
				time.Sleep(ms / 10)
				m.net.Arrive(again)
			}
			m.net.Arrive(again)
			began := time.Now().Add(2 * time.Second)
			time.Sleep(2*time.Second + 20*ms)
			r := m.Status().Role
			if waited := r.Since.Sub(began); r.State != vrrp.Active || waited < settle || waited > settle+ms {
				t.Errorf("it is %v since %v after it went on, want about %v", r.State, waited, settle)
			}
		})
	})
}

// pausedBackup is a backup whose loop stands still from now on for 2 s. It reads
// packets one by one.
func pausedBackup(t *testing.T) *member {
	s := &segment{t: t}
	m := s.add(1, config(100), quiet)
	pass(0) // the first role must not meet the hook
	m.net.SetBudget(1)
	m.set(func() {
		m.afterRole = func(r vrrp.Role) {
			if r.State == vrrp.Backup {
				m.set(func() { m.afterRole = nil })
				time.Sleep(2 * time.Second)
			}
		}
	})
	m.Shutdown("again", false)
	m.Startup(m.addr)
	synctest.Wait()
	return m
}

// TestFlood: 2000 packets at once, every 5 ms, do not delay an advertisement and do
// not push a command out.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &segment{t: t}
		m := s.add(1, config(100), quiet)
		pass(time.Second)
		start := m.lastSent().at
		looped := vrrp.Received{Src: m.addr, Advert: vrrp.Advert{VRID: 51, Priority: 100, Interval: 100 * ms, Addresses: vip}}
		m.net.SetBudget(300)
		for range 200 {
			for range 2000 {
				m.hear(looped)
			}
			pass(5 * ms)
		}
		got := m.sentSince(start)
		if len(got) != 10 {
			t.Errorf("%d advertisements in a second", len(got))
		}
		for i, a := range got {
			if late := a.at.Sub(start.Add(time.Duration(i+1) * 100 * ms)); late > 0 || late < -early {
				t.Errorf("advertisement %d was sent %v late", i, late)
			}
		}
		if n := m.Status().Counters.OwnSource; n != 200*2000 {
			t.Errorf("%d judged", n)
		}
		for range 2000 {
			m.hear(looped)
		}
		m.Shutdown("stop", false)
		pass(0)
		wantStates(t, []*member{m}, vrrp.Init)
	})
}

// TestTogether: routers that became active at different moments advertise
// together, never late and only a little early.
func TestTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := runnertest.NewNetwork()
		var mu sync.Mutex
		flushes := map[time.Time]int{}
		last := map[uint8]time.Time{}
		loop := NewLoop(LoopOptions{Network: net, Log: slog.New(quiet)})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- loop.Run(ctx) }()
		const routers = 100
		for i := range routers {
			cfg := config(255)
			cfg.VRID, cfg.Interval = uint8(i+1), 10*ms
			r := loop.Add("test", cfg, Options{
				Queue: net.Queue(func(a vrrp.Advert) error {
					now := time.Now()
					mu.Lock()
					defer mu.Unlock()
					if gap := now.Sub(last[a.VRID]); !last[a.VRID].IsZero() && (gap < 10*ms-early || gap > 10*ms+early) {
						t.Errorf("VRID %d after %v", a.VRID, gap)
					}
					last[a.VRID] = now
					flushes[now]++
					return nil
				}),
				OnRole: func(vrrp.Role) {}, OnAnnounce: func(string) {},
			})
			r.Startup(vip[0])
			pass(100 * time.Microsecond)
			defer func() {
				if l := r.Status().Lateness; l.Max != 0 || l.Count() < 90 || l.Count() != l.Buckets[0] {
					t.Errorf("%v: lateness %+v", r, l)
				}
			}()
		}
		mu.Lock()
		clear(flushes)
		mu.Unlock()
		pass(time.Second)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		sent := 0
		for _, n := range flushes {
			sent += n
		}
		if sent < 99*routers || sent > 101*routers {
			t.Errorf("%d advertisements", sent)
		}
		if n := len(flushes); n > 100*int(10*ms/early+1) {
			t.Errorf("the thread woke up %d times in a second, for 100 intervals", n)
		}
	})
}

// TestClose: no function is called after it, whatever had arrived; the others go
// on.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := runnertest.NewNetwork()
		loop := NewLoop(LoopOptions{Network: net, Log: slog.New(quiet)})
		closed := false
		check := func(string) {
			if closed {
				t.Error("called after Close")
			}
		}
		options := func(check func(string)) Options {
			return Options{
				Queue:  func(vrrp.Advert, func(error)) error { check(""); return errors.New("network is down") },
				OnRole: func(vrrp.Role) { check("") }, OnAnnounce: check,
			}
		}
		r := loop.Add("closed", config(255), options(check))
		other := loop.Add("other", config(255), options(func(string) {}))
		early := loop.Add("early", config(255), options(func(string) { t.Error("closed before Run") }))
		early.Startup(vip[0])
		early.Close()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- loop.Run(ctx) }()
		r.Startup(vip[0])
		other.Startup(vip[0])
		pass(150 * ms)
		net.Arrive(func(at time.Time) {
			r.Receive(at, vrrp.Received{Src: vip[0].Next(), Advert: vrrp.Advert{VRID: 51, Interval: 100 * ms, Addresses: vip}})
		})
		r.Close()
		closed = true
		r.Shutdown("after the end", false)
		pass(time.Second)
		if n := other.Status().SendErrors; n < 3 {
			t.Errorf("%d advertisements of the other", n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		other.Close() // the loop has ended
	})
}

// TestReconfigure changes the configuration of an active router.
func TestReconfigure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &segment{t: t}
		a, b := s.add(1, config(200), quiet), s.add(2, config(100), quiet)
		pass(2 * time.Second)

		cfg := config(200)
		cfg.Interval = time.Second
		before := time.Now()
		a.Reconfigure(cfg)
		pass(3 * time.Second)
		wantStates(t, []*member{a, b}, vrrp.Active, vrrp.Backup)
		if got := a.sentSince(before.Add(-1)); len(got) != 4 || !got[0].at.Equal(before) || got[1].at.Sub(before) != time.Second {
			t.Errorf("sent with the new interval: %+v", got)
		}
		if got := b.Status().ActiveInterval; got != time.Second {
			t.Errorf("the backup learned %v", got)
		}

		cfg.Priority = 50
		a.Reconfigure(cfg)
		pass(5 * time.Second)
		wantStates(t, []*member{a, b}, vrrp.Backup, vrrp.Active)
		if n := a.Status().Counters.BecameActive; n != 1 {
			t.Errorf("became active %d times", n)
		}
		if n := b.Status().Counters.Rivals; n != 0 {
			t.Errorf("the predecessor counts as a rival, %d times", n)
		}
	})
}

// TestReconfigurePanics in the caller, not in the loop.
func TestReconfigurePanics(t *testing.T) {
	r := NewLoop(LoopOptions{Network: runnertest.NewNetwork(), Log: slog.New(quiet)}).Add("test", config(100), Options{})
	other := config(100)
	other.VRID++
	for _, cfg := range []vrrp.Config{other, config(0)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("no panic with %+v", cfg)
				}
			}()
			r.Reconfigure(cfg)
		}()
	}
}

// TestSplit: two active routers meet again. Whoever of them speaks first, the
// winner announces its addresses again.
func TestSplit(t *testing.T) {
	for _, first := range []uint8{100, 200} { // who takes over first speaks first
		t.Run(map[uint8]string{100: "the loser speaks first", 200: "the winner speaks first"}[first], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &segment{t: t}
				a := s.add(1, config(first), quiet)
				a.set(func() { a.cut = true })
				pass(30 * ms)
				b := s.add(2, config(uint8(300-int(first))), quiet)
				pass(980 * ms)
				wantStates(t, []*member{a, b}, vrrp.Active, vrrp.Active)
				a.set(func() { a.cut = false })
				pass(time.Second)
				winner, loser := a, b
				if first == 100 {
					winner, loser = b, a
				}
				wantStates(t, []*member{winner, loser}, vrrp.Active, vrrp.Backup)
				if winner.announced != 1 || loser.announced != 0 {
					t.Errorf("the winner announced %d times, the loser %d", winner.announced, loser.announced)
				}
			})
		})
	}
}

// TestSendError: a network that does not take advertisements ends nothing.
func TestSendError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &segment{t: t}
		log := &recorder{}
		m := s.add(1, config(100), log)
		pass(down(100) + time.Second)
		m.set(func() { m.sendErr = errors.New("network is down") })
		pass(300 * ms)
		st := m.Status()
		if st.SendErrors != 2 || st.LastSendError != "network is down" || st.Role.State != vrrp.Backup || st.Role.Hold {
			t.Errorf("after three silent intervals: status %+v", st)
		}
		pass(20 * time.Second)
		if got := log.count("advertisement not sent"); got > 3*limitBurst {
			t.Errorf("%d log lines", got)
		}
		m.set(func() { m.sendErr = nil })
		pass(time.Second)
		wantStates(t, []*member{m}, vrrp.Active)
	})
}

// TestSlowLog: a log that hangs delays nothing, and the lines that do not fit are
// counted in the next one that does.
func TestSlowLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &segment{t: t}
		log := &recorder{hang: make(chan struct{})}
		m := s.add(1, config(100), log)
		pass(down(100))
		start := time.Now()
		for range 1000 { // 2000 roles
			m.Shutdown("down", false)
			m.Startup(m.addr)
		}
		pass(down(100) + time.Second)
		if got := m.Status(); got.Role.State != vrrp.Active || got.Lateness.Max != 0 {
			t.Errorf("status %+v", got)
		}
		if got := len(m.sentSince(start)); got != 1+10 {
			t.Errorf("%d advertisements", got)
		}
		close(log.hang)
		synctest.Wait()
		m.Shutdown("the end", false)
		synctest.Wait()
		if got := log.lost(); got == 0 || got+log.lines() != 2004 {
			t.Errorf("%d lines lost, %d written", got, log.lines())
		}
	})
}

// TestCommandsInOrder: none is lost, the last one wins.
func TestCommandsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &segment{t: t}
		m := s.add(1, config(100), quiet)
		pass(0)
		for range 1000 {
			m.Shutdown("down", false)
			m.Startup(m.addr)
		}
		m.Shutdown("the last", false)
		pass(0)
		if r := m.Status().Role; r.State != vrrp.Init || r.Cause != "the last" || r.Number != 2002 {
			t.Errorf("role %+v", r)
		}
		for i, r := range m.roles {
			if r.Number != uint64(i+1) {
				t.Fatalf("role %d has the number %d", i, r.Number)
			}
		}
	})
}

// TestLateness is how late an advertisement was because a function of the caller
// took its time.
func TestLateness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &segment{t: t}
		m := s.add(1, config(100), quiet)
		pass(time.Second)
		m.set(func() { m.afterSend = func() { m.set(func() { m.afterSend = nil }); time.Sleep(130 * ms) } })
		pass(time.Second)
		// The one that took 130 ms itself; the next was 30 ms late.
		if got := m.Status().Lateness.Max; got != 130*ms {
			t.Errorf("lateness %v", got)
		}
	})
}

// TestNoGoodbye: the end of ctx is a restart, nobody is told.
func TestNoGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := runnertest.NewNetwork()
		loop := NewLoop(LoopOptions{Network: net, Log: slog.New(quiet)})
		r := loop.Add("web", config(255), Options{
			Queue: net.Queue(func(a vrrp.Advert) error {
				if a.Priority == 0 {
					t.Error("sent a release")
				}
				return nil
			}),
			OnRole: func(vrrp.Role) {}, OnAnnounce: func(string) {},
		})
		select {
		case <-loop.Ready():
			t.Error("ready before Run")
		default:
		}
		ctx, cancel := context.WithTimeout(t.Context(), 950*ms)
		defer cancel()
		r.Startup(vip[0]) // before Run: not lost
		if err := loop.Run(ctx); err != nil {
			t.Error(err)
		}
		<-loop.Ready()
		if got := r.Status(); got.Role.State != vrrp.Active || got.Counters.AdvertsSent != 10 {
			t.Errorf("status %+v", got)
		}
		if r.String() != "virtual router web" {
			t.Errorf("String %q", r)
		}
	})
}

// BenchmarkReceive floods a router that advertises every 10 ms, in real time, and
// reports how late its advertisements were.
func BenchmarkReceive(b *testing.B) {
	cfg := config(255)
	cfg.Interval = vrrp.MinInterval
	net := runnertest.NewNetwork()
	loop := NewLoop(LoopOptions{Network: net, Log: slog.New(quiet)})
	r := loop.Add("bench", cfg, Options{
		Queue:  net.Queue(func(vrrp.Advert) error { return nil }),
		OnRole: func(vrrp.Role) {}, OnAnnounce: func(string) {},
	})
	go loop.Run(b.Context())
	r.Startup(vip[0])
	net.SetBudget(512)
	rival := vrrp.Received{Src: vip[0].Next(), Advert: vrrp.Advert{VRID: 51, Priority: 100, Interval: cfg.Interval, Addresses: vip}}
	hear := func(at time.Time) { r.Receive(at, rival) }
	for b.Loop() {
		net.Arrive(hear)
	}
	b.ReportMetric(float64(r.Status().Lateness.Max)/float64(ms), "late-ms")
}

// BenchmarkAdvertise is one interval of 255 active routers.
func BenchmarkAdvertise(b *testing.B) {
	net := runnertest.NewNetwork()
	loop := NewLoop(LoopOptions{Network: net, Log: slog.New(quiet)})
	queue := func(vrrp.Advert, func(error)) error { return nil }
	at := time.Now()
	for i := range 255 {
		cfg := config(255)
		cfg.VRID = uint8(i + 1)
		loop.Add("bench", cfg, Options{Queue: queue, OnRole: func(vrrp.Role) {}, OnAnnounce: func(string) {}}).Startup(vip[0])
	}
	loop.pass()
	b.ReportAllocs()
	for b.Loop() {
		at = at.Add(100 * ms)
		for _, r := range loop.runners {
			r.fire(at, false)
		}
		loop.flush()
	}
}
