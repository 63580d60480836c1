package sim

import (
	"flag"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	scenarios = flag.Uint64("scenarios", 25000, "how many scenarios TestScenarios plays")
	oneSeed   = flag.Uint64("seed", 0, "play only the scenario of this seed, and print its trace")
)

// players is how many scenarios are played at the same time, each of them by one
// goroutine.
const players = 2

// play plays the scenarios with the seeds from 1 to n until one fails.
func play(n uint64, o Options) (total Stats, first error) {
	var next atomic.Uint64
	var mu sync.Mutex
	var wg sync.WaitGroup
	total.Ops = make(map[string]int)
	for range players {
		wg.Go(func() {
			for seed := next.Add(1); seed <= n; seed = next.Add(1) {
				s, err := Run(seed, o)
				mu.Lock()
				if first == nil {
					first = err
				}
				total.add(s)
				stop := first != nil
				mu.Unlock()
				if stop {
					return
				}
			}
		})
	}
	wg.Wait()
	return total, first
}

func (s *Stats) add(o Stats) {
	s.Time += o.Time
	s.Events += o.Events
	s.Adverts += o.Adverts
	s.Takeovers += o.Takeovers
	s.Settled += o.Settled
	for op, n := range o.Ops {
		s.Ops[op] += n
	}
}

// traceOf plays a scenario once more and returns the end of its trace.
func traceOf(seed uint64, o Options, lines int) string {
	var trace []string
	o.Trace = func(line string) { trace = append(trace, line) }
	Run(seed, o)
	return strings.Join(trace[max(0, len(trace)-lines):], "\n")
}

// TestScenarios plays random scenarios. With -seed it plays one and prints it.
func TestScenarios(t *testing.T) {
	if *oneSeed != 0 {
		_, err := Run(*oneSeed, Options{Trace: func(line string) { fmt.Fprintln(t.Output(), line) }})
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	n := *scenarios
	if raceEnabled {
		n /= 10 // it has no goroutines of its own to find a race between
	}
	start := time.Now()
	total, err := play(n, Options{})
	if f, ok := err.(*Failure); ok {
		t.Fatalf("%v\nreplay with -seed %d; the end of its trace:\n%s", f, f.Seed, traceOf(f.Seed, Options{}, 80))
	}
	t.Logf("%d scenarios, %v of virtual time, in %v: %d events, %d advertisements, %d takeovers, %d settled networks judged",
		n, total.Time.Round(time.Second), time.Since(start).Round(time.Millisecond), total.Events, total.Adverts, total.Takeovers, total.Settled)
	for _, op := range slices.Sorted(maps.Keys(total.Ops)) {
		t.Logf("%8d %s", total.Ops[op], op)
	}
	wantVariety(t, int(n), total)
}

// wantVariety fails if the scenarios have become tame: a rule that judges nothing
// finds nothing.
func wantVariety(t *testing.T, n int, s Stats) {
	t.Helper()
	if s.Takeovers < 2*n || s.Settled < 2*n {
		t.Errorf("%d takeovers and %d settled networks in %d scenarios are too few", s.Takeovers, s.Settled, n)
	}
	for _, op := range []string{
		"freeze", "thaw", "stall", "kill", "kill and release", "host death", "link down", "link up", "start", "stop",
		"reconfigure", "weather", "partition", "one way", "heal",
		"work: stop", "work: start", "work: freeze", "work: link down",
	} {
		if s.Ops[op] < n/20 {
			t.Errorf("%q happened %d times in %d scenarios", op, s.Ops[op], n)
		}
	}
}

// TestReplay: a seed is always the same scenario, and being watched changes
// nothing.
func TestReplay(t *testing.T) {
	for seed := uint64(1); seed <= 50; seed++ {
		first, second := traceOf(seed, Options{}, 1<<30), traceOf(seed, Options{}, 1<<30)
		if first != second || first == "" {
			t.Fatalf("seed %d: two traces, of %d and %d bytes", seed, len(first), len(second))
		}
		unwatched, _ := Run(seed, Options{})
		watched, _ := Run(seed, Options{Trace: func(string) {}})
		if !reflect.DeepEqual(unwatched, watched) {
			t.Fatalf("seed %d: %+v unwatched, %+v watched", seed, unwatched, watched)
		}
	}
}
