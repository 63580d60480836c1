// Package runnertest has a runner.Network in memory, for tests in virtual time and
// for those that have no sockets.
package runnertest

import (
	"sync"
	"time"

	"tandem/vrrp"
)

// Network is a runner.Network. What arrives and what leaves are functions, so that
// a test says what a packet does.
type Network struct {
	wake chan struct{} // one token: there is something to do

	mu     sync.Mutex
	in     []func(at time.Time)
	budget int
	out    []packet
}

// packet is an advertisement that waits for Flush.
type packet struct {
	send   func(vrrp.Advert) error
	adv    vrrp.Advert
	failed func(error)
}

// NewNetwork returns a Network on which nothing has arrived.
func NewNetwork() *Network { return &Network{wake: make(chan struct{}, 1)} }

// Arrive lets a packet arrive: Receive calls f with the time at which it reads it.
func (n *Network) Arrive(f func(at time.Time)) {
	n.mu.Lock()
	n.in = append(n.in, f)
	n.mu.Unlock()
	n.Wake()
}

// SetBudget sets how many packets a Receive takes; 0 is all.
func (n *Network) SetBudget(packets int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.budget = packets
}

// Queue returns a runner.Options.Queue: Flush calls send.
func (n *Network) Queue(send func(vrrp.Advert) error) func(vrrp.Advert, func(error)) error {
	return func(a vrrp.Advert, failed func(error)) error {
		n.out = append(n.out, packet{send, a, failed})
		return nil
	}
}

// Wait implements runner.Network.
func (n *Network) Wait(until time.Time) {
	n.mu.Lock()
	waiting := len(n.in) > 0
	n.mu.Unlock()
	if waiting {
		return
	}
	var due <-chan time.Time
	if !until.IsZero() {
		due = time.After(time.Until(until))
	}
	select {
	case <-n.wake:
	case <-due:
	}
}

// Wake implements runner.Network.
func (n *Network) Wake() {
	select {
	case n.wake <- struct{}{}:
	default: // the token is there already
	}
}

// Receive implements runner.Network.
func (n *Network) Receive() (more bool) {
	n.mu.Lock()
	take := len(n.in)
	if n.budget > 0 {
		take = min(take, n.budget)
	}
	batch := n.in[:take:take]
	n.in = n.in[take:]
	n.mu.Unlock()
	at := time.Now()
	for _, f := range batch {
		f(at)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.in) > 0
}

// Flush implements runner.Network.
func (n *Network) Flush() {
	out := n.out
	n.out = nil
	for _, p := range out {
		if err := p.send(p.adv); err != nil {
			p.failed(err)
		}
	}
}
