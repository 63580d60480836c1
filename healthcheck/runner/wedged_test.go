package runner_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"tandem/healthcheck"
	"tandem/healthcheck/runner"
)

// TestWedged: a probe that ignores its context costs its server the verdict in
// the same time as one that times out, and costs nobody else a thing.
func TestWedged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(runner.Options{Concurrency: 1})
		ts := targets(2)
		bad, other := ts[0], ts[1]
		w.SetTargets(ts)
		begin := time.Now()
		w.start(t)
		pass(5 * time.Second)

		release := make(chan struct{})
		w.set(bad, wedged(release))
		from := time.Now()
		pass(3*bad.Interval + bad.Timeout + grace)
		v := w.newest(bad)
		if v.State != healthcheck.Down || v.Reason != healthcheck.ReasonTimeout {
			t.Errorf("%v after its probe wedged: %+v", time.Since(from), v)
		}
		s := w.Stats()
		if s.Stuck != 1 || s.StuckNow != 1 {
			t.Errorf("%+v, want one stuck probe", s)
		}
		if n := w.Snapshot()[bad].Failures; n != 3 {
			t.Errorf("%d failures in a row, want one for each interval: 3", n)
		}

		pass(10 * time.Second)
		starts := w.started(other)
		if len(starts) < 18 || w.newest(other).State != healthcheck.Up {
			t.Errorf("the other server: %d probes in %v, %v", len(starts), time.Since(begin), w.newest(other).State)
		}

		// What a probe says after its time is not listened to.
		w.set(bad, refuses)
		successes := w.Snapshot()[bad].Successes
		close(release)
		synctest.Wait()
		if got := w.Snapshot()[bad].Successes; got != successes {
			t.Errorf("a success long after the deadline was counted")
		}
		if s := w.Stats(); s.StuckNow != 0 {
			t.Errorf("%+v, want no stuck probe any more", s)
		}
		pass(time.Second)
		if got := w.Snapshot()[bad].Last.Reason; got != healthcheck.ReasonRefused {
			t.Errorf("probing did not go on: the last result is %q", got)
		}
	})
}

// TestWedgedVerdict: the verdict on a wedged probe is given right after its
// deadline.
func TestWedgedVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(runner.Options{})
		one := target(1)
		release := make(chan struct{})
		w.set(one, wedged(release))
		w.SetTargets([]healthcheck.Target{one})
		w.start(t)
		pass(2 * time.Second)
		told := w.told()
		want := w.started(one)[0].Add(one.Timeout + grace)
		if len(told) != 1 || told[0].State != healthcheck.Down || !told[0].Since.Equal(want) || !told[0].at.Equal(want) {
			t.Errorf("told %+v, want down at %v", told, want)
		}
		close(release)
	})
}

// TestAllWedged: wedged probes give up their places, so that even one place is
// enough for all the other targets.
func TestAllWedged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(runner.Options{Concurrency: 2})
		ts := targets(20)
		release := make(chan struct{})
		for _, target := range ts[:19] {
			w.set(target, wedged(release))
		}
		w.SetTargets(ts)
		w.start(t)
		pass(30 * time.Second)
		if s := w.Stats(); s.Stuck != 19 || s.StuckNow != 19 || s.InFlight != 0 || s.Waiting != 0 {
			t.Errorf("%+v, want 19 stuck probes", s)
		}
		if n := w.Snapshot()[ts[19]].Successes; n < 20 {
			t.Errorf("the live server: %d probes in 30 s", n)
		}
		close(release)
		pass(5 * time.Second)
		if s := w.Stats(); s.StuckNow != 0 {
			t.Errorf("%+v, want no stuck probe after the release", s)
		}
	})
}

// TestRemoveWedged: a target can go, and come back, while its probe is stuck.
func TestRemoveWedged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(runner.Options{})
		one := target(1)
		release := make(chan struct{})
		w.set(one, wedged(release))
		w.SetTargets([]healthcheck.Target{one})
		w.start(t)
		pass(700 * time.Millisecond)
		w.SetTargets(nil)
		pass(time.Second)
		close(release)
		synctest.Wait()
		if s := w.Stats(); s.StuckNow != 0 || s.InFlight != 0 {
			t.Errorf("%+v after the release", s)
		}
		w.set(one, good)
		w.SetTargets([]healthcheck.Target{one})
		pass(100 * time.Millisecond)
		if v := w.newest(one); v.State != healthcheck.Up {
			t.Errorf("%+v after the target came back", v)
		}
	})
}

// TestStandstill: when this process does not run for a while, the probes that
// were on their way say nothing about their servers. The schedule is held up
// here by a consumer of verdicts that blocks, as a stop signal would.
func TestStandstill(t *testing.T) {
	hold := func(w *world, trigger healthcheck.Target, d time.Duration) {
		w.hook = func(got healthcheck.Target, _ healthcheck.Verdict) {
			if got == trigger {
				time.Sleep(d)
			}
		}
	}
	t.Run("late answer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(runner.Options{})
			trigger, one := target(1), target(2)
			one.Fall = 1
			trigger.Interval = time.Minute
			// It notices its deadline 300 ms late, which nobody was there to see.
			w.set(one, func(ctx context.Context) healthcheck.Result {
				time.Sleep(one.Timeout + 300*time.Millisecond)
				return healthcheck.Result{Reason: healthcheck.ReasonTimeout, Detail: "no answer in time"}
			})
			w.set(trigger, answers(100*time.Millisecond, healthcheck.ReasonOK))
			hold(w, trigger, 5*time.Second)
			w.SetTargets([]healthcheck.Target{trigger, one})
			w.start(t)
			pass(4 * time.Second)
			s := w.Snapshot()[one]
			if s.Verdict.State != healthcheck.Unknown || s.Last.Reason != healthcheck.ReasonLocal {
				t.Errorf("%+v, want no verdict and a local result", s)
			}
		})
	})
	t.Run("the schedule wakes first", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(runner.Options{})
			trigger, one := target(1), target(2)
			trigger.Interval, one.Interval = time.Minute, time.Minute
			w.set(trigger, answers(100*time.Millisecond, healthcheck.ReasonOK))
			hold(w, trigger, 5*time.Second)
			release := make(chan struct{})
			w.set(one, wedged(release))
			w.SetTargets([]healthcheck.Target{trigger, one})
			w.start(t)
			pass(time.Second)
			woken := w.started(trigger)[0].Add(100*time.Millisecond + 5*time.Second)
			pass(time.Until(woken) + time.Millisecond)
			if s := w.Stats(); s.Stuck != 0 {
				t.Errorf("%+v: the probe got no chance to return", s)
			}
			close(release)
			synctest.Wait()
			if v := w.Snapshot()[one].Verdict; v.State != healthcheck.Up {
				t.Errorf("%+v, want up: its answer had been waiting", v)
			}
		})
	})
	t.Run("on time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(runner.Options{})
			trigger, one := target(1), target(2)
			trigger.Interval = time.Minute
			w.set(trigger, answers(100*time.Millisecond, healthcheck.ReasonOK))
			w.set(one, silent)
			hold(w, trigger, 5*time.Second)
			w.SetTargets([]healthcheck.Target{trigger, one})
			w.start(t)
			pass(4 * time.Second)
			if v := w.Snapshot()[one].Verdict; v.State != healthcheck.Down || v.Reason != healthcheck.ReasonTimeout {
				t.Errorf("%+v, want down: the probe itself was on time", v)
			}
		})
	})
	t.Run("a day", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			const day = 24 * time.Hour
			w := newWorld(runner.Options{})
			trigger, one := target(1), target(2)
			trigger.Interval = 100 * day
			// Its verdict comes when the other one keeps its phase.
			trigger.Timeout = 4 * time.Second
			w.set(trigger, answers(3*time.Second, healthcheck.ReasonOK))
			hold(w, trigger, day)
			w.SetTargets([]healthcheck.Target{trigger, one})
			w.start(t)
			pass(day + 10*time.Second)
			starts := w.started(one)
			var asleep time.Duration
			for i := 2; i < len(starts); i++ {
				asleep = max(asleep, starts[i].Sub(starts[i-1]))
			}
			if last := starts[len(starts)-1]; last.Sub(starts[1])%one.Interval != 0 {
				t.Errorf("the phase is lost: the last probe is %v after the second", last.Sub(starts[1]))
			}
			// One probe stands for all the ticks of that day.
			if want, got := uint64(day/one.Interval)-1, w.Stats().Skipped; got != want || asleep < day-time.Second {
				t.Errorf("%d ticks skipped, want %d; longest gap %v", got, want, asleep)
			}
		})
	})
}
