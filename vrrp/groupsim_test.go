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

var simRuns = flag.Uint64("sim-runs", 300, "how many seeds TestGroupWalk tries")

// groupSim is two or three directors, each with a group of two or three virtual
// routers, each of those on a segment of its own, in virtual time. Roles reach
// the groups, and orders the machines, after a time of their own.
type groupSim struct {
	t         *testing.T
	report    func(text string) // of what is broken; does not return
	rnd       *rand.Rand
	now       time.Time
	directors []*simDirector
	queue     []simEvent // in the order of making
	loss      float64
	// partSince is since when a director has been active in a part of its group, by
	// director; zero: it is not.
	partSince []time.Time
	worst     time.Duration
	log       []string
}

type simDirector struct {
	rank    int
	group   grouper
	again   time.Time
	apart   bool // nobody asks the group yet
	members []*simMember
}

// grouper is a Group, or one that was broken.
type grouper interface {
	Step(at time.Time, members []Member) (orders []Order, again time.Time)
}

type simMember struct {
	name  string
	m     *Machine
	addr  netip.Addr
	known Role // by the group
	down  bool // its interface
	cut   bool // its segment does not carry its packets, and nobody notices
}

type simEvent struct {
	at time.Time
	do func()
}

const simInterval = 100 * ms

// bound is the longest that a director may be active in a part of its group: the
// settling time, and what roles and orders are late.
const bound = 8*simInterval + 20*ms

func newGroupSim(t *testing.T, seed uint64, directors, members int, edit func(director, member int, c *Config)) *groupSim {
	s := &groupSim{t: t, rnd: rand.New(rand.NewPCG(seed, 7)), now: epoch, partSince: make([]time.Time, directors)}
	s.report = func(text string) { t.Helper(); t.Fatal(text) }
	for d := range directors {
		dir := &simDirector{rank: d, group: NewGroup(simInterval, d)}
		for i := range members {
			c := Config{VRID: uint8(51 + i), Priority: uint8(150 - 50*d), Addresses: vip, Interval: simInterval, Grouped: true}
			edit(d, i, &c)
			// On the second segment the addresses are the other way round, so that equal
			// priorities would be decided differently there.
			host := byte(1 + d)
			if i == 1 {
				host = byte(100 - d)
			}
			dir.members = append(dir.members, &simMember{name: string(rune('a' + i)), m: NewMachine(c), addr: netip.AddrFrom4([4]byte{10, byte(i), 0, host})})
		}
		s.directors = append(s.directors, dir)
	}
	return s
}

// after does something after a moment of at most most.
func (s *groupSim) after(most time.Duration, do func()) {
	s.queue = append(s.queue, simEvent{s.now.Add(time.Duration(1 + s.rnd.Int64N(int64(most)))), do})
}

func (s *groupSim) step(d *simDirector, i int, ev Event) {
	n := d.members[i]
	for _, a := range n.m.Step(s.now, ev) {
		switch a := a.(type) {
		case SendAdvert:
			s.broadcast(d, i, a.Priority)
		case SetRole:
			s.log = append(s.log, fmt.Sprintf("%v %d%s %T -> %v ready=%t hold=%t: %s", s.now.Sub(epoch), d.rank, n.name, ev, a.Role.State, a.Role.Ready, a.Role.Hold, a.Role.Cause))
			// Only the newest role counts, as with a slot that is overwritten.
			s.after(2*ms, func() {
				if a.Role.Number > n.known.Number {
					n.known = a.Role
				}
				s.decide(d)
			})
		}
	}
	s.check()
}

func (s *groupSim) decide(d *simDirector) {
	if d.apart {
		return
	}
	var members []Member
	for _, n := range d.members {
		members = append(members, Member{n.name, n.known})
	}
	orders, again := d.group.Step(s.now, members)
	d.again = again
	for _, o := range orders {
		i := int(o.Name[0] - 'a')
		s.log = append(s.log, fmt.Sprintf("%v %d%s ordered %T%v", s.now.Sub(epoch), d.rank, o.Name, o.Event, o.Event))
		s.after(2*ms, func() { s.step(d, i, o.Event) })
	}
}

func (s *groupSim) broadcast(from *simDirector, i int, priority uint8) {
	n := from.members[i]
	for _, to := range s.directors {
		if to == from || n.down || n.cut || to.members[i].down || to.members[i].cut || s.rnd.Float64() < s.loss {
			continue
		}
		adv := n.m.Advert(priority)
		s.after(300*time.Microsecond, func() {
			if !to.members[i].down {
				s.step(to, i, Received{adv, n.addr})
			}
		})
	}
}

// check holds the bound at every moment.
func (s *groupSim) check() {
	for d, dir := range s.directors {
		active := 0
		for _, n := range dir.members {
			if n.m.Role().State == Active {
				active++
			}
		}
		if active == 0 || active == len(dir.members) || dir.apart {
			s.partSince[d] = time.Time{}
		} else if s.partSince[d].IsZero() {
			s.partSince[d] = s.now
		}
		if since := s.partSince[d]; !since.IsZero() {
			s.worst = max(s.worst, s.now.Sub(since))
			if s.now.Sub(since) > bound {
				s.fail("director %d is active in a part of its group for %v", d, s.now.Sub(since))
			}
		}
	}
}

func (s *groupSim) fail(format string, args ...any) {
	s.t.Helper()
	s.report(fmt.Sprintf("at %v: %s\n%s", s.now.Sub(epoch), fmt.Sprintf(format, args...), strings.Join(s.log[max(0, len(s.log)-80):], "\n")))
}

// run lets virtual time pass.
func (s *groupSim) run(d time.Duration) {
	end := s.now.Add(d)
	for {
		next, do := end, func() {}
		found := -1
		for i, e := range s.queue {
			if e.at.Before(next) {
				next, do, found = e.at, e.do, i
			}
		}
		for _, dir := range s.directors {
			if !dir.again.IsZero() && dir.again.Before(next) {
				next, do, found = dir.again, func() { dir.again = time.Time{}; s.decide(dir) }, -1
			}
			for i, n := range dir.members {
				if at, ok := n.m.Deadline(); ok && at.Before(next) {
					next, do, found = at, func() { s.step(dir, i, Timeout{}) }, -1
				}
			}
		}
		if found >= 0 {
			s.queue = append(s.queue[:found], s.queue[found+1:]...)
		}
		if next.After(s.now) {
			s.now = next
		}
		do()
		if !next.Before(end) {
			s.check()
			return
		}
	}
}

// fault takes a director's whole group out or back in, as the gates do: the
// member whose interface is lost drops its addresses at once.
func (s *groupSim) fault(d *simDirector, i int, down bool) {
	d.members[i].down = down
	for j, n := range d.members {
		s.after(5*ms, func() { // by what is so then
			faulty := false
			for _, other := range d.members {
				faulty = faulty || other.down
			}
			joined := n.m.Role().State != Init
			switch {
			case faulty && joined:
				s.step(d, j, Shutdown{Cause: "fault", HandOver: !n.down})
			case !faulty && !joined:
				s.step(d, j, Startup{n.addr})
			}
		})
	}
}

// shut takes one member out by itself, as its Machine may be told before those of the
// others are, and lets it back in some time later.
func (s *groupSim) shut(d *simDirector, i int) {
	n := d.members[i]
	if n.m.Role().State == Init {
		return
	}
	s.step(d, i, Shutdown{Cause: "shut", HandOver: true})
	s.after(2*time.Second, func() {
		faulty := slices.ContainsFunc(d.members, func(n *simMember) bool { return n.down })
		if !faulty && n.m.Role().State == Init {
			s.step(d, i, Startup{n.addr})
		}
	})
}

func (s *groupSim) start() {
	for _, d := range s.directors {
		for i, n := range d.members {
			s.after(200*ms, func() { s.step(d, i, Startup{n.addr}) })
		}
	}
}

// want checks that one director is active in all members and the others in none.
func (s *groupSim) want(director int) {
	s.t.Helper()
	for d, dir := range s.directors {
		for _, n := range dir.members {
			if r := n.m.Role(); (r.State == Active) != (d == director) || r.Hold != (d == director) {
				s.fail("director %d, member %s is %v, hold %t; %d should be active alone", d, n.name, r.State, r.Hold, director)
			}
		}
	}
}

// activeDirector is the one that is active in every member; -1: there is none.
func (s *groupSim) activeDirector() int {
	found := -1
	for d, dir := range s.directors {
		active := 0
		for _, n := range dir.members {
			if n.m.Role().State == Active {
				active++
			}
		}
		if active == len(dir.members) {
			found = d
		}
	}
	return found
}

func plain(int, int, *Config) {}

func never(_, _ int, c *Config) { c.Failback = FailbackNever }

func TestGroupMoves(t *testing.T) {
	t.Run("start, fault of one member, return", func(t *testing.T) {
		s := newGroupSim(t, 1, 2, 3, never)
		s.start()
		s.run(2 * time.Second)
		s.want(0)
		s.fault(s.directors[0], 1, true)
		s.run(500 * ms) // two members release; the third is silent for 300 ms and the skew
		if s.activeDirector() != 1 {
			s.fail("the other has not taken over in 500 ms")
		}
		s.run(time.Second)
		s.want(1)
		s.fault(s.directors[0], 1, false)
		s.run(10 * time.Second)
		s.want(1) // never
	})
	t.Run("failback waits for the last member", func(t *testing.T) {
		s := newGroupSim(t, 2, 2, 2, func(_, i int, c *Config) {
			c.Failback, c.FailbackDelay = FailbackDelayed, time.Duration(1+4*i)*time.Second
		})
		s.start()
		s.run(2 * time.Second)
		s.fault(s.directors[0], 0, true)
		s.run(2 * time.Second)
		s.want(1)
		s.fault(s.directors[0], 0, false)
		s.run(4800 * ms)
		s.want(1)
		s.run(2 * time.Second)
		s.want(0)
	})
	t.Run("silence on one segment moves nothing", func(t *testing.T) {
		s := newGroupSim(t, 3, 2, 2, plain)
		s.start()
		s.run(2 * time.Second)
		s.directors[1].members[1].cut = true // and it does not know
		s.run(time.Minute)
		s.want(0)
		s.directors[1].members[1].cut = false
		s.run(time.Minute)
		s.want(0)
	})
	t.Run("a better priority takes all", func(t *testing.T) {
		s := newGroupSim(t, 4, 2, 2, plain)
		s.start()
		s.run(2 * time.Second)
		for i := range 2 { // a weight of the whole group
			c := Config{VRID: uint8(51 + i), Priority: 90, Addresses: vip, Interval: simInterval, Grouped: true}
			s.step(s.directors[0], i, Reconfigure{c})
		}
		s.run(time.Second)
		s.want(1)
	})
	t.Run("equal priorities, addresses the other way round", func(t *testing.T) {
		for seed := range uint64(200) {
			s := newGroupSim(t, seed, 2, 2, func(_, _ int, c *Config) { c.Priority, c.Failback = 100, FailbackNever })
			for _, d := range s.directors {
				for i, n := range d.members { // all at the same moment: the worst case
					s.step(d, i, Startup{n.addr})
				}
			}
			s.run(3 * time.Second)
			if s.activeDirector() < 0 {
				s.fail("nobody is active")
			}
			s.want(s.activeDirector())
		}
	})
	t.Run("elections that were apart become a group", func(t *testing.T) {
		for seed := range uint64(100) {
			s := newGroupSim(t, seed, 2, 2, func(d, i int, c *Config) {
				c.Grouped, c.Priority = false, uint8(100+50*((d+i)%2))
			})
			for _, d := range s.directors {
				d.apart = true
			}
			s.start()
			s.run(2 * time.Second)
			if s.activeDirector() >= 0 {
				s.fail("the elections are not apart")
			}
			for _, d := range s.directors { // each is reloaded at its own time
				reloaded := time.Duration(s.rnd.IntN(400)+1) * ms
				for i := range d.members {
					c := Config{VRID: uint8(51 + i), Priority: uint8(150 - 50*d.rank), Addresses: vip, Interval: simInterval, Grouped: true, Failback: FailbackNever}
					s.queue = append(s.queue, simEvent{s.now.Add(reloaded), func() { s.step(d, i, Reconfigure{c}) }})
				}
				s.queue = append(s.queue, simEvent{s.now.Add(reloaded), func() { d.apart = false; s.decide(d) }})
			}
			s.run(4 * time.Second)
			if s.activeDirector() < 0 {
				s.fail("nobody is active")
			}
			s.want(s.activeDirector())
		}
	})
}

// TestGroupWalk breaks groups in random ways. At no moment is a director active
// in a part of its group for longer than the bound, whatever happens; and when
// the trouble ends, one director is active in all, within seconds.
func TestGroupWalk(t *testing.T) {
	for seed := range *simRuns {
		if text := newGroupWalk(t, seed).broken(); text != "" {
			t.Fatalf("seed %d: %s", seed, text)
		}
	}
}

// groupWalk is one of the walks of TestGroupWalk.
type groupWalk struct {
	*groupSim
	course *rand.Rand // what happens; the rest is of groupSim.rnd
}

func newGroupWalk(t *testing.T, seed uint64) groupWalk {
	rnd := rand.New(rand.NewPCG(seed, 1))
	failback, equal := Failback(rnd.IntN(3)), rnd.IntN(4) == 0
	s := newGroupSim(t, seed, 2+rnd.IntN(2), 2+rnd.IntN(2), func(_, _ int, c *Config) {
		c.Failback = failback
		if failback == FailbackDelayed {
			c.FailbackDelay = time.Second
		}
		if equal {
			c.Priority = 100
		}
	})
	s.loss = []float64{0, 0.01, 0.1, 0.3}[rnd.IntN(4)]
	return groupWalk{s, rnd}
}

// broken walks, and says what was broken; empty: nothing.
func (s groupWalk) broken() (text string) {
	type broken string
	s.report = func(text string) { panic(broken(text)) }
	defer func() {
		switch r := recover().(type) {
		case nil:
		case broken:
			text = string(r)
		default:
			panic(r)
		}
	}()
	s.walk()
	return ""
}

func (s groupWalk) walk() {
	s.start()
	s.run(time.Second)
	for range 40 {
		d := s.directors[s.course.IntN(len(s.directors))]
		i := s.course.IntN(len(d.members))
		switch s.course.IntN(5) {
		case 0, 1:
			s.fault(d, i, !d.members[i].down)
		case 2:
			d.members[i].cut = !d.members[i].cut
		case 3: // a weight, of the whole group
			priority := uint8(50 + 10*s.course.IntN(15))
			for j, n := range d.members {
				c := n.m.cfg
				c.Priority = priority
				s.step(d, j, Reconfigure{c})
			}
		case 4:
			s.shut(d, i)
		}
		s.run(time.Duration(1+s.course.IntN(1500)) * ms)
	}
	s.loss = 0
	for _, d := range s.directors {
		for i, n := range d.members {
			n.cut = false
			s.fault(d, i, false)
		}
	}
	s.run(8 * time.Second)
	active := s.activeDirector()
	if active < 0 {
		s.fail("nobody is active")
	}
	s.want(active)
	s.run(5 * time.Second)
	if s.activeDirector() != active {
		s.fail("the role moves without a cause")
	}
}
