package track

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tandem/configs"
	"tandem/director"
)

var (
	here    = configs.Thing{Kind: configs.TrackAddress, Address: netip.MustParseAddr("10.0.0.5")}
	onEth1  = configs.Thing{Kind: configs.TrackAddress, Address: netip.MustParseAddr("10.0.0.5"), Interface: "eth1"}
	uplink  = configs.Thing{Kind: configs.TrackRoute, Route: netip.MustParsePrefix("0.0.0.0/0")}
	errFake = errors.New("injected")
)

// fakeNetwork has what its texts name.
type fakeNetwork struct {
	mu       sync.Mutex
	there    map[string]bool
	err      error
	looks    int
	watching map[netip.Prefix]func()
	ends     chan error // ends a WatchRoute
}

func (n *fakeNetwork) look(text string) (bool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.looks++
	return n.there[text], n.err
}

func (n *fakeNetwork) HasAddress(a netip.Addr, on string) (bool, error) {
	return n.look(fmt.Sprint(a, on))
}
func (n *fakeNetwork) HasRoute(p netip.Prefix, on string) (bool, error) {
	return n.look(fmt.Sprint(p, on))
}

func (n *fakeNetwork) WatchRoute(ctx context.Context, dst netip.Prefix, changed func()) error {
	n.edit(func() { n.watching[dst] = changed })
	defer n.edit(func() { delete(n.watching, dst) })
	select {
	case <-ctx.Done():
		return nil
	case err := <-n.ends:
		return err
	}
}

func (n *fakeNetwork) edit(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

// tracking is a Tracker that runs until the test ends.
type tracking struct {
	*Tracker
	net     *fakeNetwork
	mu      sync.Mutex
	changes int
}

func start(t *testing.T) *tracking {
	k := &tracking{net: &fakeNetwork{there: map[string]bool{}, watching: map[netip.Prefix]func(){}, ends: make(chan error)}}
	k.Tracker = New(Options{
		Network:  k.net,
		OnChange: func() { k.mu.Lock(); defer k.mu.Unlock(); k.changes++ },
		Log:      slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- k.Run(ctx) }()
	<-k.Ready()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return k
}

// want checks a state, and how often a change was reported since the last call.
func (k *tracking) want(t *testing.T, thing configs.Thing, changes int, want director.ThingState) {
	t.Helper()
	if got := k.States()[thing]; got != want {
		t.Errorf("%v: got %+v, want %+v", thing, got, want)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.changes != changes {
		t.Errorf("%v: %d changes were reported, want %d", thing, k.changes, changes)
	}
	k.changes = 0
}

var (
	well   = director.ThingState{Known: true, Well: true}
	absent = director.ThingState{Known: true, Reason: "is not there"}
)

func TestTracker(t *testing.T) {
	t.Run("levels, events and lost events", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			k := start(t)
			k.want(t, here, 0, director.ThingState{})
			k.net.there["10.0.0.5"] = true
			k.Watch([]configs.Thing{here, onEth1})
			synctest.Wait()
			k.want(t, here, 2, well)
			k.want(t, onEth1, 0, absent)

			k.net.edit(func() { k.net.there["10.0.0.5"] = false })
			k.NetworkChanged()
			synctest.Wait()
			k.want(t, here, 1, absent)

			k.net.edit(func() { k.net.there["10.0.0.5"] = true }) // and no event
			time.Sleep(networkResync)
			synctest.Wait()
			k.want(t, here, 1, well)
			time.Sleep(10 * networkResync)
			k.want(t, here, 0, well)
		})
	})
	t.Run("what cannot be told stays as it was", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			k := start(t)
			k.net.err = errFake
			k.Watch([]configs.Thing{here})
			synctest.Wait()
			k.want(t, here, 1, director.ThingState{Reason: "injected"})
			k.net.edit(func() { k.net.err, k.net.there["10.0.0.5"] = nil, true })
			time.Sleep(networkResync)
			synctest.Wait()
			k.want(t, here, 1, well)
			k.net.edit(func() { k.net.err = errFake })
			time.Sleep(3 * networkResync)
			synctest.Wait()
			k.want(t, here, 1, director.ThingState{Known: true, Well: true, Reason: "injected"})
		})
	})
	t.Run("what stays is not forgotten, what goes is let go", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			k := start(t)
			k.net.there["10.0.0.5"] = true
			k.Watch([]configs.Thing{here, uplink})
			synctest.Wait()
			looks := k.net.looks
			k.Watch([]configs.Thing{here, onEth1})
			synctest.Wait()
			if got := k.States(); got[here] != well || len(got) != 2 {
				t.Errorf("states %v", got)
			}
			if k.net.looks != looks+1 || len(k.net.watching) != 0 {
				t.Errorf("%d looks after %d; %d routes are watched", k.net.looks, looks, len(k.net.watching))
			}
		})
	})
	t.Run("a route, by its events", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			k := start(t)
			k.Watch([]configs.Thing{uplink})
			synctest.Wait()
			k.want(t, uplink, 1, absent)
			k.net.edit(func() { k.net.there["0.0.0.0/0"] = true; k.net.watching[uplink.Route]() })
			synctest.Wait()
			k.want(t, uplink, 1, well)
			k.net.ends <- errFake // the subscription breaks, and is made again
			time.Sleep(networkResync)
			synctest.Wait()
			k.net.edit(func() { k.net.there["0.0.0.0/0"] = false; k.net.watching[uplink.Route]() })
			synctest.Wait()
			k.want(t, uplink, 1, absent)
		})
	})
}

func TestStreak(t *testing.T) {
	for _, tt := range []struct {
		rise, fall int
		in, want   string
	}{
		{1, 1, "+-+-", "+-+-"},
		{3, 2, "-+++", "---+"},              // the first decides alone
		{3, 2, "+--", "++-"},                // two bad ones
		{3, 2, "+-+-+-", "++++++"},          // not in a row
		{3, 2, "--++-+++", "-------+"},      // the run begins anew
		{3, 2, "+--+++--", "++---++-"},      // there and back
		{2, 1, "+-+-++", "+----+"},          // slow up, quick down
		{1, 3, "+---+---", "+++-+++" + "-"}, // quick up, slow down
	} {
		var s streak
		var got []byte
		for _, c := range tt.in {
			mark := byte('-')
			if s.add(c == '+', tt.rise, tt.fall) {
				mark = '+'
			}
			got = append(got, mark)
		}
		if string(got) != tt.want {
			t.Errorf("rise %d, fall %d, %s: got %s, want %s", tt.rise, tt.fall, tt.in, got, tt.want)
		}
	}
}
