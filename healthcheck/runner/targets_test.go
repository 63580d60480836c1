package runner_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tandem/healthcheck"
	"tandem/healthcheck/runner"
)

// TestReloadKeeps: what is known of a server survives a change of how often it
// is asked and how it is judged, and the new target is told of at once.
func TestReloadKeeps(t *testing.T) {
	changes := map[string]func(*healthcheck.Target){
		"interval, shorter": func(t *healthcheck.Target) { t.Interval = 600 * time.Millisecond },
		"interval, longer":  func(t *healthcheck.Target) { t.Interval = 7 * time.Second },
		"timeout":           func(t *healthcheck.Target) { t.Timeout = 100 * time.Millisecond },
		"rise":              func(t *healthcheck.Target) { t.Rise = 5 },
		"fall":              func(t *healthcheck.Target) { t.Fall = 5 },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(runner.Options{})
				up, down := target(1), target(2)
				w.set(down, refuses)
				w.SetTargets([]healthcheck.Target{up, down})
				w.start(t)
				pass(10 * time.Second)
				before := w.Snapshot()
				newUp, newDown := up, down
				change(&newUp)
				change(&newDown)
				begin := time.Now()
				w.SetTargets([]healthcheck.Target{newDown, newUp})
				after := w.Snapshot()
				want := map[healthcheck.Target]healthcheck.Status{newUp: before[up], newDown: before[down]}
				if diff := cmp.Diff(want, after, cmp.Comparer(func(a, b healthcheck.Target) bool { return a == b })); diff != "" {
					t.Errorf("snapshot after the reload (-want +got):\n%s", diff)
				}
				synctest.Wait()
				if w.newest(newUp) != before[up].Verdict || w.newest(newDown) != before[down].Verdict {
					t.Errorf("told %+v and %+v, want the verdicts of before", w.newest(newUp), w.newest(newDown))
				}
				pass(2 * newUp.Interval)
				starts := append(w.started(up), w.started(newUp)...)
				last := starts[0]
				for _, at := range starts[1:] {
					if gap := at.Sub(last); gap > max(up.Interval, newUp.Interval) {
						t.Errorf("a gap of %v between probes", gap)
					}
					last = at
				}
				if since := last.Sub(begin); since < newUp.Interval {
					t.Errorf("the last probe was %v after the reload: probing stopped", since)
				}
			})
		})
	}
}

// TestReloadProbeInFlight: a probe that is on its way during a reload counts
// for the target that takes over.
func TestReloadProbeInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(runner.Options{})
		one := target(1)
		w.set(one, answers(200*time.Millisecond, healthcheck.ReasonOK))
		w.SetTargets([]healthcheck.Target{one})
		w.start(t)
		pass(100 * time.Millisecond)
		other := one
		other.Fall = 9
		w.SetTargets([]healthcheck.Target{other})
		pass(200 * time.Millisecond)
		if v := w.newest(other); v.State != healthcheck.Up {
			t.Errorf("%+v", v)
		}
		if n := len(w.started(other)); n > 1 {
			t.Errorf("%d probes of the new target while the old probe was out", n)
		}
	})
}

// TestReloadLeavesOthers: targets that stay keep their phase to the
// nanosecond while others come and go around them.
func TestReloadLeavesOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(runner.Options{})
		ts := targets(100)
		w.SetTargets(ts)
		begin := time.Now()
		w.start(t)
		for i := range 50 {
			pass(230 * time.Millisecond)
			w.SetTargets(append(targets(50), ts[50+i:]...))
		}
		for _, target := range ts[:50] {
			checkTiming(t, begin, target, w.started(target))
		}
		if n := len(w.Snapshot()); n != 51 {
			t.Errorf("%d targets are left, want 51", n)
		}
	})
}

// TestReloadAddsAndRemoves: new targets are probed at once, removed ones never
// again, and a probe that was out when its target went changes nothing.
func TestReloadAddsAndRemoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(runner.Options{})
		stays, goes, comes := target(1), target(2), target(3)
		w.set(goes, silent)
		w.SetTargets([]healthcheck.Target{stays, goes})
		w.start(t)
		pass(100 * time.Millisecond)
		w.SetTargets([]healthcheck.Target{comes, stays, comes}) // a duplicate counts once
		begin := time.Now()
		pass(60 * time.Millisecond)
		if s := w.Stats(); s.InFlight != 0 {
			t.Errorf("%+v, want the probe of the target that went cancelled", s)
		}
		pass(10 * time.Second)
		if first := w.started(comes)[0].Sub(begin); first > 50*time.Millisecond {
			t.Errorf("the new target was first probed after %v", first)
		}
		if n := len(w.started(comes)); n < 10 || n > 12 {
			t.Errorf("%d probes of the new target in 10 s", n)
		}
		if n := len(w.started(goes)); n != 1 {
			t.Errorf("%d probes of the target that went", n)
		}
		if v := w.newest(goes); v != (healthcheck.Verdict{}) {
			t.Errorf("a verdict on the target that went: %+v", v)
		}
		snapshot := w.Snapshot()
		if _, there := snapshot[goes]; there || len(snapshot) != 2 {
			t.Errorf("snapshot %v", snapshot)
		}
		if s := w.Stats(); s.InFlight != 0 || s.Stuck != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestReloadWaiting: a target that goes while its probe waits for a place is
// not probed.
func TestReloadWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(runner.Options{Concurrency: 1})
		ts := targets(3)
		for _, target := range ts {
			w.set(target, silent)
		}
		w.SetTargets(ts)
		w.start(t)
		pass(100 * time.Millisecond)
		if s := w.Stats(); s.InFlight != 1 || s.Waiting != 2 {
			t.Fatalf("%+v, want one probe out and two waiting", s)
		}
		w.SetTargets(nil)
		pass(10 * time.Second)
		if s := w.Stats(); s.Started != 1 || s.InFlight != 0 || s.Waiting != 0 {
			t.Errorf("%+v, want one probe started and none left", s)
		}
	})
}

// TestTwins: two targets that ask the same of one server in different rhythms
// are two probes, and the second one starts from what the first one knows.
func TestTwins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(runner.Options{})
		one := target(1)
		w.SetTargets([]healthcheck.Target{one})
		w.start(t)
		pass(3 * time.Second)
		twin := one
		twin.Interval = 2 * time.Second
		w.SetTargets([]healthcheck.Target{one, twin})
		snapshot := w.Snapshot()
		if snapshot[twin] != snapshot[one] {
			t.Errorf("the twin starts from %+v, not from %+v", snapshot[twin], snapshot[one])
		}
		// Both go, two others take over: one the probing, one the knowledge.
		a, b := one, one
		a.Fall, b.Fall = 7, 8
		w.SetTargets([]healthcheck.Target{a, b})
		snapshot = w.Snapshot()
		for _, target := range []healthcheck.Target{a, b} {
			if snapshot[target].Verdict.State != healthcheck.Up {
				t.Errorf("fall %d: %+v", target.Fall, snapshot[target])
			}
		}
		pass(10 * time.Second)
		for _, target := range []healthcheck.Target{a, b} {
			if n := len(w.started(target)); n < 9 {
				t.Errorf("fall %d: %d probes in 10 s", target.Fall, n)
			}
		}
	})
}

// TestTwinsBecomeOne: of two targets that ask the same of one server, their
// successor starts from the one that heard of it last.
func TestTwinsBecomeOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(runner.Options{})
		var before, after []healthcheck.Target
		for _, often := range targets(20) {
			seldom, next := often, often
			seldom.Interval, next.Interval = time.Hour, 2*time.Second
			before = append(before, often, seldom)
			after = append(after, next)
		}
		w.SetTargets(before)
		w.start(t)
		pass(time.Second)
		for _, target := range after {
			w.set(target, refuses)
		}
		pass(5 * time.Second)
		w.SetTargets(after)
		for target, s := range w.Snapshot() {
			if s.Verdict.State != healthcheck.Down {
				t.Errorf("%v: %+v, want what the frequent probe found", target.Address, s.Verdict)
			}
		}
	})
}

// TestReloadSooner: a shorter interval holds from the reload on, not from the
// end of the longer one.
func TestReloadSooner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(runner.Options{})
		slow := target(1)
		slow.Interval = time.Hour
		w.SetTargets([]healthcheck.Target{slow})
		w.start(t)
		pass(time.Minute)
		fast := slow
		fast.Interval = time.Second
		w.SetTargets([]healthcheck.Target{fast})
		pass(time.Second)
		if n := len(w.started(fast)); n != 1 {
			t.Errorf("%d probes within the new interval, want 1", n)
		}
	})
}

// TestOtherCheckIsNew: another path, host or port is another question.
func TestOtherCheckIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(runner.Options{})
		one := target(1)
		one.Kind = healthcheck.HTTP
		one.HTTP = healthcheck.HTTPSpec{Method: "GET", Path: "/a", StatusMin: 200, StatusMax: 299}
		w.SetTargets([]healthcheck.Target{one})
		w.start(t)
		pass(3 * time.Second)
		other := one
		other.HTTP.Path = "/b"
		w.SetTargets([]healthcheck.Target{other})
		if s := w.Snapshot()[other]; s != (healthcheck.Status{}) {
			t.Errorf("the answer on /a counts for /b: %+v", s)
		}
	})
}

func TestAdopt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(runner.Options{})
		ts := targets(3)
		w.set(ts[0], refuses)
		w.set(ts[2], broken)
		w.SetTargets(ts)
		up := healthcheck.Verdict{State: healthcheck.Up, Detail: "in the kernel's table", Since: time.Now()}
		w.Adopt(map[healthcheck.Target]healthcheck.Verdict{ts[0]: up, ts[2]: up, target(9): up})
		w.start(t)
		synctest.Wait()
		if w.newest(ts[0]) != up || w.newest(ts[2]) != up {
			t.Errorf("told %+v and %+v, want what was adopted", w.newest(ts[0]), w.newest(ts[2]))
		}
		if v := w.newest(target(9)); v != (healthcheck.Verdict{}) {
			t.Errorf("told %+v of a target that is not in the set", v)
		}
		pass(100 * time.Millisecond)
		if s := w.Snapshot()[ts[0]]; s.Verdict != up || s.Failures != 1 {
			t.Errorf("after one failure: %+v, want the adopted verdict to hold", s)
		}
		pass(3 * time.Second)
		if v := w.newest(ts[0]); v.State != healthcheck.Down {
			t.Errorf("after fall failures: %+v", v)
		}
		w.Adopt(map[healthcheck.Target]healthcheck.Verdict{ts[0]: up, ts[1]: {State: healthcheck.Down}})
		synctest.Wait()
		if w.newest(ts[0]).State != healthcheck.Down || w.newest(ts[1]).State != healthcheck.Up {
			t.Error("an adopted verdict replaced that of the probes")
		}
	})
}

// TestLog: one line for each change of state, none for what was carried over.
func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log recorder
		w := newWorld(runner.Options{Log: log.logger()})
		one := target(1)
		w.SetTargets([]healthcheck.Target{one})
		w.start(t)
		pass(3 * time.Second)
		other := one
		other.Timeout = time.Second
		w.SetTargets([]healthcheck.Target{other})
		w.set(one, refuses)
		pass(5 * time.Second)
		w.set(one, good)
		pass(5 * time.Second)
		want := []string{
			"INFO server up server=10.0.0.1:80 check=tcp old=unknown new=up reason=ok detail=said so",
			"WARN server down server=10.0.0.1:80 check=tcp old=up new=down reason=refused detail=said so",
			"INFO server up server=10.0.0.1:80 check=tcp old=down new=up reason=ok detail=said so",
		}
		if diff := cmp.Diff(want, log.lines()); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}

// TestLogLocal: probes that cannot be made are counted, change no verdict, and
// are logged, but not each of them.
func TestLogLocal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log recorder
		w := newWorld(runner.Options{Log: log.logger()})
		ts := targets(100)
		for _, target := range ts {
			w.set(target, broken)
		}
		w.SetTargets(ts)
		w.start(t)
		pass(60 * time.Second)
		if n := len(w.told()); n != 0 {
			t.Errorf("%d verdicts from probes that could not be made", n)
		}
		if s := w.Stats(); s.Local < 5900 || s.Local > 6200 {
			t.Errorf("%+v, want some 6000 local results", s)
		}
		lines := log.lines()
		if len(lines) < 6 || len(lines) > 7 {
			t.Errorf("%d lines in a minute, want one every 10 s:\n%s", len(lines), strings.Join(lines, "\n"))
		}
		for _, line := range lines {
			if !strings.HasPrefix(line, "WARN health checks could not be made") || !strings.HasSuffix(line, "detail=said so") {
				t.Errorf("line %q", line)
			}
		}
	})
}

// TestCallback: OnVerdict may use the runner, even replace the targets.
func TestCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(runner.Options{})
		one, two := target(1), target(2)
		w.hook = func(got healthcheck.Target, v healthcheck.Verdict) {
			if got == one && w.Snapshot()[one].Verdict == v {
				w.SetTargets([]healthcheck.Target{one, two})
				w.Adopt(nil)
				w.Stats()
			}
		}
		w.SetTargets([]healthcheck.Target{one})
		w.start(t)
		pass(time.Second)
		if v := w.newest(two); v.State != healthcheck.Up {
			t.Errorf("the target that the callback added: %+v", v)
		}
	})
}

// TestSetTargetsBeforeRun: targets wait for Run, however long, and are then
// probed at once.
func TestSetTargetsBeforeRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(runner.Options{})
		w.SetTargets(targets(10))
		pass(time.Hour)
		if s := w.Stats(); s.Started != 0 {
			t.Fatalf("%d probes before Run", s.Started)
		}
		begin := time.Now()
		w.start(t)
		pass(10500 * time.Millisecond)
		for _, target := range targets(10) {
			checkTiming(t, begin, target, w.started(target))
		}
		if s := w.Stats(); s.Skipped > 1 {
			t.Errorf("%+v: the time before Run counts as skipped", s)
		}
	})
}

// TestSenselessTarget: a target without an interval is probed in moderation.
func TestSenselessTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(runner.Options{})
		one := target(1)
		one.Interval = 0
		w.SetTargets([]healthcheck.Target{one})
		w.start(t)
		pass(time.Second)
		if n := len(w.started(one)); n < 50 || n > 102 {
			t.Errorf("%d probes in a second, want about 100", n)
		}
	})
}

func TestDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := target(1)
		r := runner.New(runner.Options{Probe: func(ctx context.Context, _ healthcheck.Target) healthcheck.Result {
			return good(ctx)
		}})
		if r.String() != "health checks" {
			t.Errorf("String() = %q", r.String())
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		<-r.Ready()
		r.SetTargets([]healthcheck.Target{one})
		pass(time.Second)
		if v := r.Snapshot()[one].Verdict; v.State != healthcheck.Up {
			t.Errorf("%+v", v)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
