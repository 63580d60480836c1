package main

import (
	"sync"
	"time"

	"github.com/vishvananda/netlink"

	"tandem/integration/lab"
)

// A holding follows the virtual addresses of a node as the kernel tells of them.
type holding struct {
	all  int // how many there are
	done chan struct{}

	mu    sync.Mutex
	have  map[string]bool
	taken int       // how often one was added that was not there
	full  time.Time // since when all are there; zero: they are not
}

// followHolding begins with a node that has none. Close it.
func followHolding(n *lab.Node, all int) (*holding, error) {
	h := &holding{all: all, done: make(chan struct{}), have: make(map[string]bool)}
	changes := make(chan netlink.AddrUpdate, all)
	// The socket is made in here; the goroutine that reads it may be anywhere.
	if err := n.Do(func() error { return netlink.AddrSubscribe(changes, h.done) }); err != nil {
		return nil, err
	}
	go func() {
		for a := range changes {
			h.change(a.LinkAddress.IP.String(), a.NewAddr)
		}
	}()
	return h, nil
}

// change notes one address. A lease that is renewed comes as an addition, too.
func (h *holding) change(ip string, added bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case !added:
		delete(h.have, ip)
		h.full = time.Time{}
	case !h.have[ip]:
		h.have[ip] = true
		h.taken++
		if len(h.have) == h.all {
			h.full = time.Now()
		}
	}
}

// state is how often an address was taken so far, and since when all are there.
func (h *holding) state() (taken int, full time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.taken, h.full
}

func (h *holding) close() { close(h.done) }
