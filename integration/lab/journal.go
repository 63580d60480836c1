package lab

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// ErrEnded is the error of a wait for something that can no longer come: the
// process has exited or the capture has ended.
var ErrEnded = errors.New("ended before it came")

// A journal is a list that grows at its end while others read it and wait for
// entries. It keeps between limit and twice limit of the newest.
type journal[T any] struct {
	limit int

	mu      sync.Mutex
	entries []T           // never changed in place, so a copied header stays valid
	first   int           // how many were thrown away before entries[0]
	changed chan struct{} // closed and replaced at each change
	ended   bool
}

func newJournal[T any](limit int) *journal[T] {
	return &journal[T]{limit: limit, changed: make(chan struct{})}
}

func (j *journal[T]) add(e T) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.entries) == 2*j.limit {
		j.entries = slices.Clone(j.entries[j.limit:])
		j.first += j.limit
	}
	j.entries = append(j.entries, e)
	j.signal()
}

// end says that nothing more will come.
func (j *journal[T]) end() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ended = true
	j.signal()
}

// clear forgets all entries.
func (j *journal[T]) clear() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.first += len(j.entries)
	j.entries = nil
}

func (j *journal[T]) signal() {
	close(j.changed)
	j.changed = make(chan struct{})
}

// all returns a copy of the entries.
func (j *journal[T]) all() []T {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.entries)
}

// wait returns the first entry that match accepts, of those that are there and
// then of those that come.
func (j *journal[T]) wait(ctx context.Context, match func(T) bool) (T, error) {
	var none T
	for seen := 0; ; {
		j.mu.Lock()
		entries, first, changed, ended := j.entries, j.first, j.changed, j.ended
		j.mu.Unlock()
		for i := max(seen-first, 0); i < len(entries); i++ {
			if match(entries[i]) {
				return entries[i], nil
			}
		}
		seen = first + len(entries)
		if ended {
			return none, ErrEnded
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return none, context.Cause(ctx)
		}
	}
}
