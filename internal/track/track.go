// Package track watches what virtual routers depend on and the director does not
// see by itself: addresses, routes, scripts, files and processes.
//
// Each thing has a goroutine that looks at it at its interval, and at once when
// something says that it may have changed. A look finds out what is, never what
// happened, so that a lost event delays an answer and does not falsify it.
package track

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"tandem/configs"
	"tandem/director"
)

// Network is what is asked of the kernel's network.
type Network interface {
	// HasAddress says whether an address is there, on the named interface unless
	// the name is empty.
	HasAddress(a netip.Addr, interfaceName string) (bool, error)
	// HasRoute says whether the main table has a usable route to exactly this
	// destination, through the named interface unless the name is empty.
	HasRoute(dst netip.Prefix, interfaceName string) (bool, error)
	// WatchRoute calls changed when a route to the destination may have come or
	// gone, until ctx is done.
	WatchRoute(ctx context.Context, dst netip.Prefix, changed func()) error
}

// Options is what a Tracker needs. All are required.
type Options struct {
	Network Network
	// OnChange is called when the state of a thing has changed. It must not block.
	OnChange func()
	Log      *slog.Logger
}

// Tracker watches things. Its methods may be called from any goroutine.
type Tracker struct {
	o     Options
	wake  chan struct{} // one token: want has changed
	ready chan struct{}

	mu    sync.Mutex
	want  []configs.Thing
	looks map[configs.Thing]*look
}

// New returns a Tracker that watches nothing yet.
func New(o Options) *Tracker {
	return &Tracker{
		o:     o,
		wake:  make(chan struct{}, 1),
		ready: make(chan struct{}),
		looks: make(map[configs.Thing]*look),
	}
}

// Watch replaces what is watched. A thing that stays keeps its state.
func (t *Tracker) Watch(things []configs.Thing) {
	t.mu.Lock()
	t.want = slices.Clone(things)
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// States is what is known of each thing that is watched.
func (t *Tracker) States() map[configs.Thing]director.ThingState {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make(map[configs.Thing]director.ThingState, len(t.looks))
	for thing, l := range t.looks {
		out[thing] = l.State()
	}
	return out
}

// NetworkChanged says that addresses or links have changed. Routes may go
// without an event of their own when a link does.
func (t *Tracker) NetworkChanged() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for thing, l := range t.looks {
		if thing.Kind == configs.TrackAddress || thing.Kind == configs.TrackRoute {
			l.kick()
		}
	}
}

func (t *Tracker) String() string { return "tracked things" }

// Ready is closed when things are watched.
func (t *Tracker) Ready() <-chan struct{} { return t.ready }

// Run watches until ctx is done. When it returns no script runs any more.
func (t *Tracker) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	close(t.ready)
	for {
		t.follow(ctx, &all)
		select {
		case <-ctx.Done():
			return nil
		case <-t.wake:
		}
	}
}

// follow starts to look at what is new and ends what is no longer wanted.
func (t *Tracker) follow(ctx context.Context, all *sync.WaitGroup) {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.looks, func(thing configs.Thing, l *look) bool {
		gone := !slices.Contains(t.want, thing)
		if gone {
			l.cancel()
		}
		return gone
	})
	for _, thing := range t.want {
		if t.looks[thing] != nil {
			continue
		}
		l := newLook(thing, t.eye(thing), t.o)
		lookCtx, cancel := context.WithCancel(ctx)
		l.cancel = cancel
		t.looks[thing] = l
		all.Go(func() { l.run(lookCtx) })
	}
}

// eye is what looks at a thing.
func (t *Tracker) eye(thing configs.Thing) eye {
	switch thing.Kind {
	case configs.TrackAddress:
		return addressEye(t.o.Network, thing)
	case configs.TrackRoute:
		return routeEye(t.o.Network, thing)
	case configs.TrackScript:
		return scriptEye(thing)
	case configs.TrackFile:
		return fileEye(thing.File)
	case configs.TrackProcess:
		return processEye("/proc", thing.Process)
	}
	panic("track: " + thing.String() + " is not watched here")
}
