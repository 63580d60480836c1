package wire

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"tandem/vrrp"
)

// RouterConfig is how the advertisements of one virtual router travel. The zero
// value is version 3 by multicast.
type RouterConfig struct {
	Format vrrp.Format
	// Peers are the other routers. With none, advertisements go to the group and
	// come from anybody; with some, they go to each of them, and those of anybody
	// else are dropped.
	//
	// Where a packet was sent to is not asked: a router with peers also accepts
	// what they send to the group, and the other way round, so that a pair changes
	// its transport one router after the other.
	Peers []netip.Addr
	// Outlet is where advertisements to the group leave while it is in use; nil:
	// nowhere else than from the interface of the Conn. Those to peers always leave
	// there: a switch need not see them, and routers between may look at the source.
	Outlet *Outlet
}

// Router sends and judges the advertisements of one virtual router. Its methods
// may be called by several goroutines at once: one sends, another receives.
type Router struct {
	mu     sync.Mutex
	codec  *vrrp.Codec
	peers  []netip.Addr
	outlet *Outlet
}

// NewRouter returns a Router. It panics if c.Format is not valid, as
// vrrp.NewCodec does.
func NewRouter(c RouterConfig) *Router {
	return &Router{codec: vrrp.NewCodec(c.Format), peers: slices.Clone(c.Peers), outlet: c.Outlet}
}

// Set changes the configuration; what protects from replays is kept. It panics
// if c.Format is not valid.
func (r *Router) Set(c RouterConfig) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.codec.SetFormat(c.Format)
	r.peers, r.outlet = slices.Clone(c.Peers), c.Outlet
}

// destinations is where an advertisement is to be sent, and by which outlet; nil: by
// none.
func (r *Router) destinations(f *family) ([]netip.Addr, *Outlet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.peers) == 0 {
		return f.toGroup, r.outlet
	}
	return r.peers, nil // Set makes a new slice
}

// append appends the packet of an advertisement that leaves now.
func (r *Router) append(b []byte, a vrrp.Advert, src, dst netip.Addr) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.codec.Append(b, time.Now(), a, src, dst)
}

// accept judges a packet of this virtual router. The error is a vrrp.DropReason.
func (r *Router) accept(at time.Time, payload []byte, h vrrp.Header, a vrrp.Advert) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.peers) > 0 && !slices.Contains(r.peers, h.Src) {
		return vrrp.DropUnknownSender
	}
	return r.codec.Accept(at, payload, h, a)
}
