package sim

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"tandem/vrrp"
)

const maxDirectors = 5

// Options changes what a scenario is run with.
type Options struct {
	New   func(vrrp.Config) Node // nil: Machine
	Trace func(line string)      // nil: none
	// OutcomesOnly leaves out the rules of speech.go: what remains judges what
	// becomes of the network, and not the words.
	OutcomesOnly bool
	// NoSettle breaks the loop: a backup whose time has come does not let its reader
	// catch up.
	NoSettle bool
}

// ofSpeech are the rules that Options.OutcomesOnly leaves out.
var ofSpeech = map[string]bool{
	"fault": true, "pause": true, "priority": true, "role numbers": true, "speech": true, "state": true, "timer": true,
}

// Stats says what happened in a scenario.
type Stats struct {
	Time      time.Duration  // of the virtual clock
	Events    int            // packets read, timers, commands, passes
	Adverts   int            // sent
	Takeovers int            // transitions to Active
	Settled   int            // times that a settled network was judged
	Ops       map[string]int // disturbances and works, by name
}

// Failure is a rule that was broken.
type Failure struct {
	Seed uint64
	At   time.Duration
	Rule string // a short stable name
	Text string
}

func (f *Failure) Error() string {
	return fmt.Sprintf("seed %d at %v: %s: %s", f.Seed, f.At, f.Rule, f.Text)
}

// World is a scenario on its way.
type World struct {
	rand      *rand.Rand
	seed      uint64
	new       func(vrrp.Config) Node
	trace     func(string)
	outcomes  bool // Options.OutcomesOnly
	noSettle  bool // Options.NoSettle
	now       time.Duration
	net       *network
	directors []*director
	topology  topology
	stats     Stats
	failure   *Failure
	over      bool // nothing more is traced

	sameInterval      bool          // all directors, all the time
	shortest, longest time.Duration // intervals of the scenario
	longestDelay      time.Duration // of failing back

	settled   time.Duration // when its settling time is over
	changed   bool          // a role or an address, since a settled network was judged
	bothSince [maxDirectors][maxDirectors]time.Duration
	calm      calm

	instant int // events at the present instant
}

// Run plays the scenario of a seed. The error is a *Failure.
func Run(seed uint64, o Options) (Stats, error) {
	w := newWorld(seed, o)
	w.play()
	w.stats.Time = w.now
	if w.failure != nil {
		return w.stats, w.failure
	}
	return w.stats, nil
}

func newWorld(seed uint64, o Options) *World {
	w := &World{
		rand: rand.New(rand.NewPCG(seed, 0)), seed: seed, new: o.New, trace: o.Trace, outcomes: o.OutcomesOnly, noSettle: o.NoSettle,
		stats: Stats{Ops: make(map[string]int)},
	}
	if w.new == nil {
		w.new = Machine
	}
	w.net = newNetwork(2+w.pick(40, 30, 15, 15), rand.New(rand.NewPCG(seed, 1)))
	w.drawConfigs()
	w.disturb()
	return w
}

func newDirector(id int, cfg vrrp.Config) *director {
	d := &director{
		id: id, name: string(rune('a' + id)), cfg: cfg, linkUp: true,
		addr:   netip.AddrFrom4([4]byte{10, 77, 0, byte(1 + id)}),
		kernel: kernel{leaseEnd: never},
	}
	d.halt()
	return d
}

// fail records the first broken rule; the scenario ends there.
func (w *World) fail(rule string, d *director, format string, args ...any) {
	if w.failure != nil || w.outcomes && ofSpeech[rule] {
		return
	}
	text := d.name + " " + fmt.Sprintf(format, args...)
	w.failure = &Failure{Seed: w.seed, At: w.now, Rule: rule, Text: text}
	w.tracef("BROKEN %s: %s", rule, text)
	w.over = true
}

// soon draws a duration up to a bound.
func (w *World) soon(longest time.Duration) time.Duration {
	return time.Duration(w.rand.Int64N(int64(longest)))
}

// pick draws an index with the given weights.
func (w *World) pick(weights ...int) int {
	sum := 0
	for _, n := range weights {
		sum += n
	}
	r := w.rand.IntN(sum)
	for i, n := range weights {
		if r -= n; r < 0 {
			return i
		}
	}
	return len(weights) - 1
}

// event is what happens next to a director, or a packet that arrives.
type event struct {
	at time.Duration
	do func(*World, *director) // nil: a packet
	d  *director
}

// next finds the earliest event. What a process that stands still would do is
// none.
func (w *World) next() event {
	e := event{at: w.net.next()}
	for _, d := range w.directors {
		consider := func(at time.Duration, do func(*World, *director)) {
			if at < e.at {
				e = event{at, do, d}
			}
		}
		if d.running() {
			consider(d.joinAt, (*World).join)
			consider(d.loopAt, (*World).loop)
			consider(d.passAt, (*World).pass)
		}
		if d.held {
			consider(d.leaseEnd, (*World).expire)
		}
	}
	return e
}

// run lets virtual time pass.
func (w *World) run(d time.Duration) {
	end := w.now + d
	for w.failure == nil {
		e := w.next()
		if e.at > end {
			break
		}
		w.advance(e.at)
		if e.do == nil {
			w.arrive(w.net.pop())
		} else {
			e.do(w, e.d)
		}
		w.stats.Events++
		w.check()
	}
	if w.failure == nil {
		w.advance(end)
		w.check()
	}
}

// advance moves the clock, and judges what lasted until then.
func (w *World) advance(to time.Duration) {
	if to <= w.now {
		if w.instant++; w.instant > 5000 {
			w.fail("livelock", w.directors[0], "and the others go on and on at the same instant")
		}
		return
	}
	w.instant = 0
	w.checkCalmUntil(to)
	w.now = to
	w.checkHolding()
}

// check judges the present.
func (w *World) check() {
	w.checkCalm()
	if w.changed {
		w.checkHolding()
	}
	if w.now > w.settled && w.changed {
		w.changed = false
		w.stats.Settled++
		w.checkSettled()
	}
}
