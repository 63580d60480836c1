package track

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"tandem/configs"
	"tandem/director"
)

// eye knows how to look at one thing.
type eye struct {
	every time.Duration // from the start of one look to the next
	// see finds out what is now. An error means that it cannot be told; then the
	// thing stays as it was.
	see func(context.Context) (director.ThingState, error)
	// notify calls changed when it is worth while to look, until ctx is done; nil:
	// nothing tells. It is started again when it returns early.
	notify func(ctx context.Context, changed func()) error
}

// look keeps looking at one thing.
type look struct {
	thing    configs.Thing
	eye      eye
	onChange func()
	log      *slog.Logger
	again    chan struct{}
	cancel   context.CancelFunc // set before run

	mu    sync.Mutex
	state director.ThingState
}

func newLook(thing configs.Thing, e eye, o Options) *look {
	return &look{thing: thing, eye: e, onChange: o.OnChange, log: o.Log, again: make(chan struct{}, 1)}
}

// State is what is known.
func (l *look) State() director.ThingState {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// kick asks for a look now. It never blocks.
func (l *look) kick() {
	select {
	case l.again <- struct{}{}:
	default:
	}
}

func (l *look) run(ctx context.Context) {
	var notifying sync.WaitGroup
	defer notifying.Wait()
	if l.eye.notify != nil {
		notifying.Go(func() { l.listen(ctx) })
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.again:
		case <-timer.C:
		}
		start := time.Now()
		state, err := l.eye.see(ctx)
		if ctx.Err() != nil {
			return
		}
		l.note(state, err)
		timer.Reset(l.eye.every - time.Since(start))
	}
}

// listen keeps notify running. What happened while it did not is found by the
// look that follows.
func (l *look) listen(ctx context.Context) {
	for ctx.Err() == nil {
		if err := l.eye.notify(ctx, l.kick); err != nil {
			l.log.Debug("changes are found by looking only", "thing", l.thing.String(), "every", l.eye.every, "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(l.eye.every):
			l.kick()
		}
	}
}

// note takes a look's result down. What cannot be told leaves the thing as it
// was, and says so.
func (l *look) note(state director.ThingState, err error) {
	l.mu.Lock()
	old := l.state
	if err != nil {
		state = old
		state.Reason = err.Error()
	}
	l.state = state
	l.mu.Unlock()
	switch {
	case err != nil && state.Reason != old.Reason:
		l.log.Warn("a tracked thing cannot be looked at; it counts as it did before", "thing", l.thing.String(), "err", err)
	case state.Known != old.Known || state.Well != old.Well || state.Number != old.Number:
		l.log.Info("tracked", "thing", l.thing.String(), "well", state.Well, "reason", state.Reason)
	}
	if state != old {
		l.onChange()
	}
}
