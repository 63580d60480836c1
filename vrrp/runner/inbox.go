package runner

import (
	"sync"
	"time"

	"tandem/vrrp"
)

// inboxPackets is how many packets wait at most. A full inbox takes
// microseconds to judge, so that a flood cannot delay an advertisement, and holds
// far more than a segment sends in the shortest interval.
const inboxPackets = 256

// stamped is an event and when it happened.
type stamped struct {
	at time.Time
	ev vrrp.Event
}

// inbox is a queue in order of arrival. Packets are bounded, the newest is
// dropped; commands are few and never dropped.
type inbox struct {
	wake chan struct{} // one token: there is something to take

	mu      sync.Mutex
	queue   []stamped
	spare   []stamped // the memory of the batch before
	packets int
	dropped uint64
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

// packet queues a received advertisement, or counts it as dropped.
func (b *inbox) packet(at time.Time, r vrrp.Received) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.packets == inboxPackets {
		b.dropped++
		return
	}
	b.packets++
	b.push(at, r)
}

// command queues anything else.
func (b *inbox) command(at time.Time, ev vrrp.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.push(at, ev)
}

func (b *inbox) push(at time.Time, ev vrrp.Event) {
	b.queue = append(b.queue, stamped{at, ev})
	select {
	case b.wake <- struct{}{}:
	default: // the token is there already
	}
}

// take empties the inbox. The result is valid until the next take.
func (b *inbox) take() []stamped {
	b.mu.Lock()
	defer b.mu.Unlock()
	batch := b.queue
	clear(b.spare)
	b.queue, b.spare = b.spare[:0], batch
	b.packets = 0
	return batch
}

// drops returns how many packets found the inbox full.
func (b *inbox) drops() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dropped
}
