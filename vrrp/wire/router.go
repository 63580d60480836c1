package wire

import (
	"net/netip"
	"sync"
	"time"

	"tandem/vrrp"
)

// Router is how the advertisements of one virtual router travel. Its methods may
// be called by several goroutines at once: one sends, another receives.
type Router struct {
	mu    sync.Mutex
	codec *vrrp.Codec
}

// NewRouter returns a Router. It panics if f is not valid, as vrrp.NewCodec does.
func NewRouter(f vrrp.Format) *Router { return &Router{codec: vrrp.NewCodec(f)} }

// Set changes the format; what protects from replays is kept. It panics if f is
// not valid.
func (r *Router) Set(f vrrp.Format) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.codec.SetFormat(f)
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
	return r.codec.Accept(at, payload, h, a)
}
