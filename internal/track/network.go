package track

import (
	"context"
	"time"

	"tandem/configs"
	"tandem/director"
)

// networkResync is how often addresses and routes are looked at without an
// event; for events that were lost.
const networkResync = 5 * time.Second

func addressEye(n Network, t configs.Thing) eye {
	return eye{every: networkResync, see: func(context.Context) (director.ThingState, error) {
		return present(n.HasAddress(t.Address, t.Interface))
	}}
}

func routeEye(n Network, t configs.Thing) eye {
	return eye{
		every: networkResync,
		see: func(context.Context) (director.ThingState, error) {
			return present(n.HasRoute(t.Route, t.Interface))
		},
		notify: func(ctx context.Context, changed func()) error {
			return n.WatchRoute(ctx, t.Route, changed)
		},
	}
}

func present(there bool, err error) (director.ThingState, error) {
	s := director.ThingState{Known: true, Well: there}
	if !there {
		s.Reason = "is not there"
	}
	return s, err
}
