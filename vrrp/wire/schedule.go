package wire

import (
	"container/heap"
	"net/netip"
	"time"
)

// repeats are the times of the announcements after a takeover. Linux ignores a
// change of a neighbour that comes within a second of another one (locktime,
// arp(7)), and packets get lost, hence some more than a second apart. The second
// one, early, is for a switch that had just begun to forward.
var repeats = [...]time.Duration{
	0,
	100 * time.Millisecond,
	1100 * time.Millisecond,
	2200 * time.Millisecond,
	5 * time.Second,
}

const (
	// refreshInterval is when an address is announced again for as long as it is
	// held: switches forget a MAC after 300 s, usually, and routers keep an ARP
	// entry for longer than that and never ask.
	refreshInterval = time.Minute
	// minGap is the least time between two announcements of one address, however
	// often they are asked for.
	minGap = 100 * time.Millisecond
)

// schedule knows when which address is to be announced. It is pure: the time is
// an argument.
type schedule struct {
	entries map[netip.Addr]*entry
	queue   queue // the same entries, the next one first
}

// entry is an address on its way through repeats.
type entry struct {
	addr  netip.Addr
	start time.Time // of repeats
	step  int       // the next one; beyond the last it is the refresh
	round uint64    // counts the restarts
	due   time.Time
	last  time.Time // when it was last announced; zero for never
	pos   int       // in the queue
}

func newSchedule() *schedule { return &schedule{entries: map[netip.Addr]*entry{}} }

// restart begins the repeats of an address, again if they are under way.
func (s *schedule) restart(now time.Time, addr netip.Addr) {
	e := s.entries[addr]
	if e == nil {
		e = &entry{addr: addr}
		s.entries[addr] = e
		heap.Push(&s.queue, e)
	}
	e.start, e.step, e.due = now, 0, now
	e.round++
	if soonest := e.last.Add(minGap); e.due.Before(soonest) {
		e.due = soonest
	}
	heap.Fix(&s.queue, e.pos)
}

// remove ends the repeats of an address.
func (s *schedule) remove(addr netip.Addr) {
	if e := s.entries[addr]; e != nil {
		heap.Remove(&s.queue, e.pos)
		delete(s.entries, addr)
	}
}

// turn is one announcement that is due.
type turn struct {
	addr  netip.Addr
	round uint64
}

// abandon ends the repeats that a turn belongs to. If the address was restarted
// since, those are others, and go on.
func (s *schedule) abandon(t turn) {
	if e := s.entries[t.addr]; e != nil && e.round == t.round {
		s.remove(t.addr)
	}
}

// next returns when the next announcement is due; false if there is none.
func (s *schedule) next() (time.Time, bool) {
	if len(s.queue) == 0 {
		return time.Time{}, false
	}
	return s.queue[0].due, true
}

// pop returns an address that is due and puts it down for its next time. Steps
// that were missed, because the machine was busy or suspended, are left out.
func (s *schedule) pop(now time.Time) (turn, bool) {
	if len(s.queue) == 0 || s.queue[0].due.After(now) {
		return turn{}, false
	}
	e := s.queue[0]
	e.last = now
	for e.step < len(repeats) && !e.start.Add(repeats[e.step]).After(now) {
		e.step++
	}
	if e.step < len(repeats) {
		e.due = e.start.Add(repeats[e.step])
	} else {
		e.due = now.Add(refreshInterval)
	}
	if soonest := now.Add(minGap); e.due.Before(soonest) {
		e.due = soonest
	}
	heap.Fix(&s.queue, e.pos)
	return turn{addr: e.addr, round: e.round}, true
}

// queue is a heap.Interface of entries by due time.
type queue []*entry

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].pos, q[j].pos = i, j
}

func (q *queue) Push(x any) {
	e := x.(*entry)
	e.pos = len(*q)
	*q = append(*q, e)
}

func (q *queue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return e
}
