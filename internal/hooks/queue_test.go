package hooks

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"tandem/internal/events"
)

func callOf(name, word string, seq uint64) call {
	return call{object: object{"router", name}, word: word, event: events.Event{Seq: seq}}
}

// drained is what a queue still has, as text.
func (q *queue) drained() string {
	var out string
	for {
		c, ok := q.take()
		if !ok {
			return out
		}
		out += fmt.Sprint(c.name, c.event.Seq, " ")
	}
}

func TestQueue(t *testing.T) {
	var q queue
	for i, name := range []string{"a", "b", "a", "c", "b", "a"} {
		q.put(callOf(name, "active", uint64(i)))
	}
	if got := q.drained(); got != "a5 b4 c3 " {
		t.Errorf("got %s", got)
	}
	if q.merged != 3 || len(q.newest) != 0 {
		t.Errorf("queue %+v", q)
	}
	q.put(callOf("a", "active", 6))
	q.put(callOf("b", "active", 7))
	q.keep(func(c call) bool { return c.name == "b" })
	if got := q.drained(); got != "b7 " {
		t.Errorf("got %s", got)
	}
	q.put(callOf("a", "active", 8))
	q.put(call{object: object{kind: "director"}, word: "stopping", event: events.Event{Seq: 9}})
	q.put(callOf("a", "active", 10))
	if got := q.drained(); got != "9 " || q.merged != 4 {
		t.Errorf("got %s, %d merged", got, q.merged)
	}
}

// Whatever is put and taken: the last state of each object is told, states of one
// object come in order, nothing waits twice, and nobody waits for more than all
// others once.
func TestQueueWalk(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var q queue
		latest, told, waits := map[string]uint64{}, map[string]uint64{}, map[string]int{}
		objects := 1 + rng.IntN(5)
		take := func() {
			c, ok := q.take()
			if !ok {
				if len(waits) > 0 {
					t.Fatalf("seed %d: nothing comes, and %v wait", seed, waits)
				}
				return
			}
			if c.event.Seq != latest[c.name] || c.event.Seq <= told[c.name] {
				t.Fatalf("seed %d: %s is told %d, the latest is %d, told was %d", seed, c.name, c.event.Seq, latest[c.name], told[c.name])
			}
			told[c.name] = c.event.Seq
			delete(waits, c.name)
			for name := range waits {
				if waits[name]++; waits[name] >= objects {
					t.Fatalf("seed %d: %s waits and others are told twice", seed, name)
				}
			}
		}
		for seq := uint64(1); seq < 300; seq++ {
			if rng.IntN(3) == 0 {
				take()
				continue
			}
			name := fmt.Sprint("r", rng.IntN(objects))
			q.put(callOf(name, "active", seq))
			latest[name] = seq
			waits[name] += 0
			if len(q.order) != len(waits) || len(q.newest) != len(waits) {
				t.Fatalf("seed %d: %d in order, %d kept, %d wait", seed, len(q.order), len(q.newest), len(waits))
			}
		}
		for range objects {
			take()
		}
		for name, seq := range latest {
			if told[name] != seq {
				t.Errorf("seed %d: %s was told %d, the last is %d", seed, name, told[name], seq)
			}
		}
	}
}
