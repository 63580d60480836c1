package events

import (
	"context"
	"strings"
	"sync"
	"time"
)

// Kept is how many events a Log keeps.
const Kept = 1000

// maxCause is how many bytes of a cause are kept: the mistakes in a configuration
// can be thousands.
const maxCause = 2000

// Log numbers events and keeps the latest Kept. Those who read it keep their own
// place: a reader that is slow, or gone, costs nothing and delays nobody.
type Log struct {
	node string
	tap  func(Event)

	mu   sync.Mutex
	last uint64        // number of the latest event; 0: none yet
	ring [Kept]Event   // event n is at n % Kept
	news chan struct{} // closed by the next event; nil: nobody waits
}

// New returns the empty Log of a director. tap, unless nil, is for the one reader
// that must not lose any: it is called with each event, in order and with the Log
// locked, so it must return at once and not use the Log.
func New(node string, tap func(Event)) *Log {
	return &Log{node: node, tap: tap}
}

// Publish numbers and keeps an event. It takes the time from the clock unless the
// event has one, and waits for nobody but another Publish or the copying of a
// batch, which take microseconds.
func (l *Log) Publish(e Event) {
	if e.At.IsZero() {
		e.At = time.Now()
	}
	e.At, e.Node = e.At.Round(0), l.node
	if len(e.Cause) > maxCause {
		e.Cause = strings.ToValidUTF8(e.Cause[:maxCause], "") + "…"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	e.Seq = l.last
	l.ring[e.Seq%Kept] = e
	if l.news != nil {
		close(l.news)
		l.news = nil
	}
	if l.tap != nil {
		l.tap(e)
	}
}

// batch is how many events are copied at a time, so that the lock is short.
const batch = 64

// After returns events that came after number n, in order and at most batch of
// them; none if there is none yet. Those that are not kept any more are summed up
// in one of kind Lost. Nobody was told a number above the latest by this run, so
// then n is of an earlier one, and everything is after it.
func (l *Log) After(n uint64) []Event {
	list, _ := l.after(n)
	return list
}

// after also returns what the next event closes, if there is none yet.
func (l *Log) after(n uint64) ([]Event, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n > l.last {
		n = 0
	}
	if n == l.last {
		if l.news == nil {
			l.news = make(chan struct{})
		}
		return nil, l.news
	}
	var out []Event
	if l.last > Kept && n < l.last-Kept {
		gone := l.last - Kept
		out = append(out, Event{Seq: gone, At: time.Now().Round(0), Node: l.node, Kind: Lost, Count: gone - n})
		n = gone
	}
	for len(out) < batch && n < l.last {
		n++
		out = append(out, l.ring[n%Kept])
	}
	return out, nil
}

// Wait is After, but waits until there is an event or ctx is done; then it
// returns none.
func (l *Log) Wait(ctx context.Context, n uint64) []Event {
	for {
		list, news := l.after(n)
		if len(list) > 0 {
			return list
		}
		select {
		case <-news:
		case <-ctx.Done():
			return nil
		}
	}
}
