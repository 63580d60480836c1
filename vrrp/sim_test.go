package vrrp

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	simSeed = flag.Uint64("sim-seed", 1, "first seed of TestSimulation")
	simRuns = flag.Uint64("sim-runs", 300, "how many seeds TestSimulation tries")
)

// maxDelay is the longest a packet of the simulated network takes: less than the
// smallest distance of two skews below.
const maxDelay = 300 * time.Microsecond

// sim is a few machines on one network in virtual time. It is single-threaded
// and everything follows from the seed.
type sim struct {
	t     *testing.T
	rnd   *rand.Rand
	now   time.Time
	nodes []*node
	queue []packet // in the order of sending
	loss  float64
	calm  bool // no faults: strict invariants hold
	// When the invariants below began to be broken; zero if they are not.
	unheld, twoActive time.Time
	log               []string
}

type node struct {
	name   string
	addr   netip.Addr
	cfg    Config
	m      *Machine
	cut    bool // off the network
	frozen bool // the process stands still; its packets wait
	number uint64
}

type packet struct {
	at time.Time
	to *node
	r  Received
}

func newSim(t *testing.T, seed uint64) *sim {
	s := &sim{t: t, rnd: rand.New(rand.NewPCG(seed, 0)), now: epoch}
	modes := []Failback{FailbackImmediate, FailbackDelayed, FailbackNever}
	for i := range 2 + s.rnd.IntN(2) {
		// Some priorities are equal. Different ones are so far apart that the network
		// cannot change the order of the skews.
		cfg := Config{
			VRID: 51, Priority: uint8(50 * (1 + s.rnd.IntN(4))), Addresses: vip,
			Interval:      []time.Duration{50 * ms, 100 * ms, 200 * ms}[s.rnd.IntN(3)],
			Failback:      modes[s.rnd.IntN(3)],
			FailbackDelay: time.Duration(s.rnd.IntN(1000)) * ms,
		}
		s.nodes = append(s.nodes, &node{
			name: string(rune('a' + i)), addr: netip.AddrFrom4([4]byte{10, 77, 0, byte(1 + i)}), cfg: cfg, m: NewMachine(cfg),
		})
	}
	return s
}

func (s *sim) fail(format string, args ...any) {
	s.t.Helper()
	tail := s.log[max(0, len(s.log)-60):]
	s.t.Fatalf("at %v: %s\n%s", s.now.Sub(epoch), fmt.Sprintf(format, args...), strings.Join(tail, "\n"))
}

// step gives n an event and carries out what it wants.
func (s *sim) step(n *node, ev Event) {
	actions := n.m.Step(s.now, ev)
	for _, a := range actions {
		if _, periodic := a.(SendAdvert); !periodic || len(actions) > 1 {
			s.log = append(s.log, fmt.Sprintf("%v %s %T -> %s", s.now.Sub(epoch), n.name, ev, actionText(a)))
		}
		switch a := a.(type) {
		case SendAdvert:
			s.broadcast(n, a.Priority)
		case SetRole:
			if a.Role.Number != n.number+1 {
				s.fail("%s: role %d after %d", n.name, a.Role.Number, n.number)
			}
			n.number = a.Role.Number
		}
	}
	s.check()
}

func (s *sim) broadcast(from *node, priority uint8) {
	for _, to := range s.nodes {
		if to == from || from.cut || to.cut || s.rnd.Float64() < s.loss {
			continue
		}
		at := s.now.Add(time.Duration(1 + s.rnd.Int64N(int64(maxDelay))))
		for _, p := range s.queue { // a segment does not change the order
			if p.to == to && p.r.Src == from.addr && p.at.After(at) {
				at = p.at
			}
		}
		s.queue = append(s.queue, packet{at, to, Received{from.m.Advert(priority), from.addr}})
	}
}

// next returns the earliest packet or timer before end. A frozen node has none.
func (s *sim) next(end time.Time) (at time.Time, do func(), ok bool) {
	at = end
	for i, p := range s.queue {
		if !p.to.frozen && (p.at.Before(at) || !ok && p.at.Equal(at)) {
			at, ok = p.at, true
			do = func() {
				s.queue = slices.Delete(s.queue, i, i+1)
				s.step(p.to, p.r)
			}
		}
	}
	for _, n := range s.nodes {
		if d, running := n.m.Deadline(); running && !n.frozen && d.Before(at) {
			at, ok = d, true
			do = func() { s.step(n, Timeout{}) }
		}
	}
	return at, do, ok
}

// run lets virtual time pass.
func (s *sim) run(d time.Duration) {
	end := s.now.Add(d)
	for {
		at, do, ok := s.next(end)
		if !ok {
			break
		}
		if at.After(s.now) { // a thawed node catches up now
			s.now = at
		}
		do()
	}
	s.now = end
	s.check()
}

// check has the invariants of every moment. When all is well there are never two
// active routers for longer than their advertisements need to reach each other,
// and while somebody is up the addresses are always held.
func (s *sim) check() {
	actives, held := 0, false
	for _, n := range s.nodes {
		r := n.m.Role()
		if r.State == Active {
			actives++
		}
		if (r.State == Active) != n.m.adver.running() || (r.State == Backup) != n.m.down.running() {
			s.fail("%s: timers of %v: %+v", n.name, r.State, n.m.Status())
		}
		held = held || r.Hold
	}
	since := func(broken bool, mark *time.Time, limit time.Duration, what string) {
		switch {
		case !broken || !s.calm:
			*mark = time.Time{}
		case mark.IsZero():
			*mark = s.now
		case s.now.Sub(*mark) > limit:
			s.fail("%s for %v", what, s.now.Sub(*mark))
		}
	}
	since(actives > 1, &s.twoActive, 2*maxDelay, "two are active")
	since(!held, &s.unheld, 0, "nobody holds the addresses")
}

// chaos does something bad, or undoes it.
func (s *sim) chaos() {
	n := s.nodes[s.rnd.IntN(len(s.nodes))]
	switch s.rnd.IntN(7) {
	case 0:
		s.start(n)
	case 1:
		s.stop(n, true)
	case 2:
		s.stop(n, false)
	case 3:
		n.cut = !n.cut
	case 4:
		n.frozen = !n.frozen
	case 5:
		s.loss = []float64{0, 0.1, 0.5}[s.rnd.IntN(3)]
	case 6:
		if !n.frozen {
			n.cfg.Interval = []time.Duration{50 * ms, 100 * ms, 200 * ms}[s.rnd.IntN(3)]
			n.cfg.Priority = uint8(50 * (1 + s.rnd.IntN(4)))
			s.step(n, Reconfigure{n.cfg})
		}
	}
}

func (s *sim) start(n *node) {
	if !n.frozen {
		s.step(n, Startup{n.addr})
	}
}

func (s *sim) stop(n *node, handOver bool) {
	if !n.frozen {
		s.step(n, Shutdown{Cause: "stop", HandOver: handOver})
	}
}

// settle repairs everything and waits as long as an election may take: two
// Active_Down_Intervals and the longest failback delay.
func (s *sim) settle() {
	s.loss = 0
	for _, n := range s.nodes {
		n.cut, n.frozen = false, false
		s.start(n)
	}
	s.run(4 * time.Second)
}

// active returns the only active router.
func (s *sim) active() *node {
	var out *node
	for _, n := range s.nodes {
		if n.m.Role().State == Active {
			if out != nil {
				s.fail("%s and %s are active", out.name, n.name)
			}
			out = n
		}
	}
	if out == nil {
		s.fail("nobody is active")
	}
	return out
}

// TestSimulation throws faults at two or three routers with random priorities,
// intervals and failback modes. When the faults end, exactly one is active, and
// from then on a model that needs no timers says which one.
func TestSimulation(t *testing.T) {
	for seed := *simSeed; seed < *simSeed+*simRuns; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			s := newSim(t, seed)
			for range 15 {
				s.chaos()
				s.run(time.Duration(s.rnd.Int64N(int64(time.Second))))
			}
			s.settle()
			s.active()
			s.calm = true
			for range 4 {
				s.restart(s.nodes[s.rnd.IntN(len(s.nodes))])
			}
		})
	}
}

// restart stops n as an operator does and starts it again, and checks both times
// who is active against the model.
func (s *sim) restart(n *node) {
	want := s.active()
	s.checkFailback(want)
	s.stop(n, true)
	s.run(4 * time.Second)
	got := s.active()
	if n == want {
		// The highest priority that is left. Which of equals is the first does not
		// matter: Backup has no tie-break.
		if got.cfg.Priority != s.highest(n) {
			s.fail("after the stop of %s %s is active with priority %d", n.name, got.name, got.cfg.Priority)
		}
		want = got
	}
	if got != want {
		s.fail("the stop of %s moved the role from %s to %s", n.name, want.name, got.name)
	}
	s.start(n)
	s.run(4 * time.Second)
	if n.cfg.Failback != FailbackNever && n.cfg.Priority > want.cfg.Priority {
		want = n
	}
	if got := s.active(); got != want {
		s.fail("after the start of %s %s is active, want %s", n.name, got.name, want.name)
	}
}

// checkFailback fails if somebody leaves the role to active although its failback
// mode makes it take the role back.
func (s *sim) checkFailback(active *node) {
	for _, n := range s.nodes {
		if n.cfg.Priority > active.cfg.Priority && n.cfg.Failback != FailbackNever {
			s.fail("%s is active and %s does not fail back", active.name, n.name)
		}
	}
}

// highest is the highest priority of all but one.
func (s *sim) highest(without *node) uint8 {
	var p uint8
	for _, n := range s.nodes {
		if n != without {
			p = max(p, n.cfg.Priority)
		}
	}
	return p
}
