package runner_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"tandem/healthcheck"
	"tandem/healthcheck/runner"
)

// TestTiming: the first probe at once, the second within an interval, and from
// there on exactly an interval from start to start, however long a probe takes.
func TestTiming(t *testing.T) {
	for name, behave := range map[string]behaviour{
		"quick": good, "slow": answers(400*time.Millisecond, healthcheck.ReasonOK), "silent": silent,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(runner.Options{})
				ts := targets(20)
				for _, target := range ts {
					w.set(target, behave)
				}
				begin := time.Now()
				w.SetTargets(ts)
				w.start(t)
				pass(10*time.Second + 500*time.Millisecond)
				for _, target := range ts {
					checkTiming(t, begin, target, w.started(target))
				}
			})
		})
	}
}

func checkTiming(t *testing.T, begin time.Time, target healthcheck.Target, starts []time.Time) {
	t.Helper()
	if len(starts) < 10 {
		t.Fatalf("%v: %d probes in 10.5 s, want 10 or more", target.Address, len(starts))
	}
	if first := starts[0].Sub(begin); first >= 50*time.Millisecond {
		t.Errorf("%v: first probe after %v", target.Address, first)
	}
	for i := 1; i < len(starts); i++ {
		gap := starts[i].Sub(starts[i-1])
		switch {
		case i == 1 && (gap <= 0 || gap > 2*target.Interval):
			t.Errorf("%v: second probe %v after the first", target.Address, gap)
		case i > 1 && gap != target.Interval:
			t.Errorf("%v: probe %d is %v after the one before, want %v", target.Address, i, gap, target.Interval)
		}
	}
}

// TestFirstSpread: a short interval narrows the spread of the first probes.
func TestFirstSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(runner.Options{})
		ts := targets(50)
		for i := range ts {
			ts[i].Interval = 100 * time.Millisecond
			ts[i].Timeout = 50 * time.Millisecond
		}
		begin := time.Now()
		w.SetTargets(ts)
		w.start(t)
		pass(time.Second)
		distinct := make(map[time.Time]bool)
		for _, target := range ts {
			first := w.started(target)[0]
			distinct[first] = true
			if after := first.Sub(begin); after >= 10*time.Millisecond {
				t.Errorf("%v: first probe after %v, want less than a tenth of the interval", target.Address, after)
			}
		}
		if len(distinct) < len(ts)/2 {
			t.Errorf("the first probes of %d targets share %d moments", len(ts), len(distinct))
		}
	})
}

// TestTenThousand: every one of 10,000 targets is probed every five seconds,
// and no tenth of a second gets more than twice its share.
func TestTenThousand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(runner.Options{})
		ts := targets(10_000)
		for i := range ts {
			ts[i].Interval = 5 * time.Second
		}
		w.SetTargets(ts)
		w.start(t)
		pass(15 * time.Second)
		load := make(map[int64]int)
		for _, target := range ts {
			starts := w.started(target)
			if len(starts) < 3 || len(starts) > 4 {
				t.Fatalf("%v: %d probes in 15 s, want 3 or 4", target.Address, len(starts))
			}
			for _, at := range starts[1:] {
				load[at.UnixMilli()/100]++
			}
		}
		share := 10_000 / 50
		for at, n := range load {
			if n > 2*share {
				t.Errorf("%d probes in the tenth of a second at %d, the even share is %d", n, at, share)
			}
		}
		if got := w.Snapshot(); len(got) != len(ts) {
			t.Errorf("the snapshot has %d targets", len(got))
		}
		if n := len(w.told()); n != len(ts) {
			t.Errorf("%d verdicts, want one for each target", n)
		}
		// A second probe may fall due while the first one is out, but seldom:
		// it takes 3 ms, the second is anywhere in 5 s.
		if s := w.Stats(); s.Skipped > 20 || s.Stuck != 0 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestDetection: a server that dies is down within fall × interval + timeout,
// one that comes back is up within rise × interval + its latency, whatever the
// moment.
func TestDetection(t *testing.T) {
	for name, dead := range map[string]behaviour{"silent": silent, "refuses": refuses} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(runner.Options{})
				one := target(1)
				w.SetTargets([]healthcheck.Target{one})
				w.start(t)
				pass(5 * time.Second)
				for i := range 100 {
					pass(time.Duration(i) * 17 * time.Millisecond) // each time at another phase
					checkFlip(t, w, one, dead, healthcheck.Down, 3*one.Interval+one.Timeout)
					pass(time.Duration(i) * 13 * time.Millisecond)
					checkFlip(t, w, one, good, healthcheck.Up, 2*one.Interval+3*time.Millisecond)
				}
			})
		})
	}
}

func checkFlip(t *testing.T, w *world, one healthcheck.Target, b behaviour, want healthcheck.State, bound time.Duration) {
	t.Helper()
	w.set(one, b)
	from := time.Now()
	pass(bound)
	v := w.newest(one)
	if v.State != want {
		t.Fatalf("%v after %v, want %v", v.State, bound, want)
	}
	if after := v.Since.Sub(from); after <= 0 || after > bound {
		t.Fatalf("%v since %v after the change, the bound is %v", v.State, after, bound)
	}
}

// TestSlowDoNotDelayOthers: half of the servers hold their probes for the
// whole timeout; the others are probed as if they were alone.
func TestSlowDoNotDelayOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(runner.Options{Concurrency: 600})
		ts := targets(1000)
		for _, target := range ts[:500] {
			w.set(target, silent)
		}
		begin := time.Now()
		w.SetTargets(ts)
		w.start(t)
		pass(10*time.Second + 500*time.Millisecond)
		for _, target := range ts[500:] {
			checkTiming(t, begin, target, w.started(target))
			if v := w.newest(target); v.State != healthcheck.Up {
				t.Errorf("%v is %v", target.Address, v.State)
			}
		}
	})
}

// TestConcurrency: no more probes than there are places, and those that wait
// have their turn in order.
func TestConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const places, silentOnes = 4, 12
		w := newWorld(runner.Options{Concurrency: places})
		ts := targets(silentOnes + 1)
		for i := range ts {
			ts[i].Interval = 4 * time.Second
			if i < silentOnes {
				w.set(ts[i], silent)
			}
		}
		begin := time.Now()
		w.SetTargets(ts)
		w.start(t)
		pass(time.Minute)
		if w.most != places {
			t.Errorf("%d probes at a time, want %d", w.most, places)
		}
		// At worst all the silent ones are before it, four at a time.
		bound := 50*time.Millisecond + silentOnes/places*ts[0].Timeout
		if first := w.started(ts[silentOnes])[0].Sub(begin); first > bound {
			t.Errorf("the live server waited %v for its first probe, more than %v", first, bound)
		}
		for _, target := range ts {
			if n := len(w.started(target)); n < 14 {
				t.Errorf("%v: %d probes in a minute", target.Address, n)
			}
		}
	})
}

// TestSkippedTicks: a probe that outlives its interval delays the next one to
// a later tick and never overlaps it.
func TestSkippedTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(runner.Options{})
		one := target(1)
		one.Timeout = 2500 * time.Millisecond
		w.set(one, silent)
		w.SetTargets([]healthcheck.Target{one})
		w.start(t)
		pass(31 * time.Second)
		starts := w.started(one)
		for i := 2; i < len(starts); i++ {
			if gap := starts[i].Sub(starts[i-1]); gap != 3*one.Interval {
				t.Errorf("probe %d started %v after the one before, want %v", i, gap, 3*one.Interval)
			}
		}
		s := w.Stats()
		if s.Stuck != 0 || s.Skipped < 18 || s.Skipped > 22 {
			t.Errorf("in 31 s: %+v; want about 20 ticks skipped and no probe stuck", s)
		}
	})
}

// TestStop: the end of Run cancels the probes in flight, drops what they say
// and leaves no goroutine.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(runner.Options{})
		ts := targets(100)
		for _, target := range ts {
			w.set(target, silent)
		}
		w.SetTargets(ts)
		stop := w.start(t)
		pass(100 * time.Millisecond) // all are on their way
		if n := w.Stats().InFlight; n != len(ts) {
			t.Fatalf("%d probes in flight, want %d", n, len(ts))
		}
		begin := time.Now()
		stop()
		if took := time.Since(begin); took != 0 {
			t.Errorf("Run took %v to end", took)
		}
		if s := w.Stats(); s.InFlight != 0 {
			t.Errorf("%d probes in flight after Run", s.InFlight)
		}
		synctest.Wait()
		for target, s := range w.Snapshot() {
			if s != (healthcheck.Status{}) {
				t.Errorf("%v: a cancelled probe counted: %+v", target.Address, s)
			}
		}
		if told := w.told(); len(told) != 0 {
			t.Errorf("verdicts %v", told)
		}
	})
}

// TestStopWithWedgedProbe: Run does not wait for a probe that ignores its
// context.
func TestStopWithWedgedProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(runner.Options{})
		release := make(chan struct{})
		w.set(target(1), wedged(release))
		w.SetTargets(targets(3))
		stop := w.start(t)
		pass(100 * time.Millisecond)
		begin := time.Now()
		stop()
		if took := time.Since(begin); took > grace {
			t.Errorf("Run took %v to end, want at most %v", took, grace)
		}
		close(release)
	})
}

// wedged ignores its context until released, and then claims success.
func wedged(release <-chan struct{}) behaviour {
	return func(context.Context) healthcheck.Result {
		<-release
		return healthcheck.Result{Reason: healthcheck.ReasonOK}
	}
}
