package runner_test

import (
	"context"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tandem/healthcheck"
	"tandem/healthcheck/runner"
)

// BenchmarkSchedule is what 10,000 targets, probed 10,000 times a second, cost
// apart from the probes. An operation is a probe; what counts is cpu-ns/op,
// the time per operation is merely the rate.
func BenchmarkSchedule(b *testing.B) {
	ts := make([]healthcheck.Target, 10_000)
	for i := range ts {
		ts[i] = target(i)
		ts[i].Address = netip.AddrPortFrom(ts[i].Address.Addr(), uint16(i))
	}
	var count, goal atomic.Int64
	reached := make(chan struct{}, 1)
	r := runner.New(runner.Options{Probe: func(context.Context, healthcheck.Target) healthcheck.Result {
		if count.Add(1) == goal.Load() {
			reached <- struct{}{}
		}
		return healthcheck.Result{Reason: healthcheck.ReasonOK}
	}})
	r.SetTargets(ts)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error)
	goal.Store(2 * int64(len(ts)))
	go func() { done <- r.Run(ctx) }()
	<-reached // the start's burst is over
	b.ReportAllocs()
	b.ResetTimer()
	goal.Store(count.Load() + int64(b.N))
	begin := cpu(b)
	<-reached
	used := cpu(b) - begin
	b.StopTimer()
	b.ReportMetric(float64(used)/float64(b.N), "cpu-ns/op")
	cancel()
	<-done
}

// BenchmarkSetTargets is a reload of 10,000 targets of which every tenth
// changes its interval.
func BenchmarkSetTargets(b *testing.B) {
	before, after := targets(10_000), targets(10_000)
	for i := range after {
		if i%10 == 0 {
			after[i].Interval *= 2
		}
	}
	r := runner.New(runner.Options{})
	r.SetTargets(before)
	b.ReportAllocs()
	for b.Loop() {
		r.SetTargets(after)
		before, after = after, before
	}
}

// cpu is the processor time of this process so far.
func cpu(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
