package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"tandem/director"
	"tandem/internal/netif"
	vrrprunner "tandem/vrrp/runner"
	"tandem/vrrp/wire"
)

// network is the director's interfaces: one segment for each that carries
// advertisements or virtual IPs. Segments are opened when first needed, before
// or after a reload, and stay until the end.
type network struct {
	ctx    context.Context // of everything that runs on the segments
	cancel context.CancelFunc
	node   string // which director this is
	links  *netif.Handle
	log    *slog.Logger
	record string // directory for what elections go through; empty: not recorded
	// changed is told of link and address events, beside the director.
	changed func()
	wg      sync.WaitGroup

	poller *wire.Poller
	loop   *vrrprunner.Loop // of all elections, on all segments
	ready  chan struct{}
	failed chan error // the first part of a segment that ended before its time

	mu       sync.Mutex
	director *director.Director
	segments map[string]*segment
	devices  map[string]*device // the segments of virtual MACs

	// routers are how the advertisements of the configuration in force travel, and
	// prepared those of the one that was prepared last. The keys are in them. generation
	// counts the configurations in force, from 1.
	routers, prepared map[director.RouterID]wire.RouterConfig
	generation        uint64

	view view
	// virtual is every virtual IP of the configurations in force. It has no lock: segments ask
	// for it while they are opened.
	virtual atomic.Pointer[map[netip.Addr]bool]
}

// newNetwork starts the thread of the elections: onThread runs a function on the
// thread that is to be theirs, and returns when it has returned.
func newNetwork(node string, links *netif.Handle, changed func(), onThread func(func()), log *slog.Logger) (*network, error) {
	poller, err := wire.NewPoller()
	if err != nil {
		return nil, err
	}
	n := &network{
		node:     node,
		links:    links,
		changed:  changed,
		log:      log.With("part", "network"),
		poller:   poller,
		ready:    make(chan struct{}),
		failed:   make(chan error, 1),
		segments: make(map[string]*segment),
		devices:  make(map[string]*device),
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.virtual.Store(&map[netip.Addr]bool{})
	elections := log.With("part", "election")
	n.loop = vrrprunner.NewLoop(vrrprunner.LoopOptions{
		Network: poller,
		Thread:  func() { preferElections(elections) },
		Log:     elections,
	})
	n.goRun("elections", func(ctx context.Context) (err error) {
		onThread(func() { err = n.loop.Run(ctx) })
		return err
	})
	return n, nil
}

// attach says who is told of link changes and conflicts.
func (n *network) attach(d *director.Director) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.director = d
}

func (n *network) tell(f func(*director.Director)) {
	n.mu.Lock()
	d := n.director
	n.mu.Unlock()
	if d != nil {
		f(d)
	}
}

func (n *network) String() string { return "network" }

// Ready is closed when link events are received.
func (n *network) Ready() <-chan struct{} { return n.ready }

// Run receives link and address events until ctx is done, or until a segment
// cannot be used any more: a director that is deaf must not go on.
func (n *network) Run(ctx context.Context) error {
	sub, err := n.links.Subscribe()
	if err != nil {
		return err
	}
	close(n.ready)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return sub.Run(ctx, func(ev netif.Event) {
			if n.ofVirtual(ev) {
				n.tell((*director.Director).AddressesChanged)
			} else {
				n.view.invalidate()
				n.tell((*director.Director).LinksChanged)
			}
			n.changed()
		})
	})
	g.Go(func() error {
		select {
		case err := <-n.failed:
			return err
		case <-ctx.Done():
			return nil
		}
	})
	return g.Wait()
}

// close ends what runs on the segments and closes them.
func (n *network) close() {
	n.cancel()
	n.wg.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.segments {
		for _, a := range s.adverts {
			a.conn.Close()
		}
		s.announcer.Close()
	}
	for _, dev := range n.devices {
		dev.cancel()
		dev.outlet.Close()
	}
	n.poller.Close()
}

// goRun runs a part of a segment until the end.
func (n *network) goRun(what string, run func(context.Context) error) {
	n.wg.Go(func() {
		if err := run(n.ctx); err != nil && n.ctx.Err() == nil {
			select {
			case n.failed <- fmt.Errorf("%s: %w", what, err):
			default: // one is enough
			}
		}
	})
}
