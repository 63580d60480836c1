package lab

import (
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Options choose a topology; the package comment draws them.
type Options struct {
	Directors int  // 1 to 10; 0 means 2
	Servers   int  // real servers, 0 to 89
	Inside    bool // real servers on a second segment behind the directors
	Router    bool // client on a third segment behind a router
	IPv6      bool // IPv6 addresses on every segment; without it eth devices have no IPv6 at all
}

// A Lab is a running network. Its fields are set by New and do not change. The
// methods may be called from several goroutines.
type Lab struct {
	Client    *Node
	Directors []*Node // lb1, lb2, …
	Servers   []*Node // s1, s2, …
	Router    *Node   // nil without Options.Router

	ipv6     bool
	switches map[string]*bridge // by segment

	closing  sync.Once
	closeErr error
}

// New builds the network and returns when every link has its carrier.
func New(o Options) (*Lab, error) {
	if o.Directors == 0 {
		o.Directors = 2
	}
	p, err := newPlan(o)
	if err != nil {
		return nil, err
	}
	l := &Lab{ipv6: o.IPv6, switches: make(map[string]*bridge)}
	if err := l.build(p); err != nil {
		return nil, errors.Join(fmt.Errorf("lab: %w", err), l.Close())
	}
	return l, nil
}

func (l *Lab) build(p plan) (err error) {
	for _, dev := range p.segments {
		if l.switches[dev], err = newBridge(dev); err != nil {
			delete(l.switches, dev)
			return fmt.Errorf("build the switch of segment %s: %w", dev, err)
		}
	}
	if l.Client, err = l.newNode(p.client); err != nil {
		return err
	}
	if p.router != nil {
		if l.Router, err = l.newNode(*p.router); err != nil {
			return err
		}
	}
	for _, s := range p.directors {
		n, err := l.newNode(s)
		if err != nil {
			return err
		}
		l.Directors = append(l.Directors, n)
	}
	for _, s := range p.servers {
		n, err := l.newNode(s)
		if err != nil {
			return err
		}
		l.Servers = append(l.Servers, n)
	}
	return nil
}

// Nodes returns all nodes: client, router if there is one, directors, servers.
func (l *Lab) Nodes() []*Node {
	nodes := slices.Concat([]*Node{l.Client, l.Router}, l.Directors, l.Servers)
	return slices.DeleteFunc(nodes, func(n *Node) bool { return n == nil })
}

// Node returns the node of that name, nil if there is none.
func (l *Lab) Node(name string) *Node {
	for _, n := range l.Nodes() {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// Switch returns the namespace of a segment's bridge, to capture there what is
// on the cable of a node: its ports are named after the nodes. It is nil if
// the topology has no such segment.
func (l *Lab) Switch(dev string) *Node {
	b := l.switches[dev]
	if b == nil {
		return nil
	}
	return b.Node
}

// Close kills every process in the lab and removes the network. It may be
// called more than once; the result is always that of the first call.
func (l *Lab) Close() error {
	l.closing.Do(func() {
		var errs []error
		for _, n := range l.Nodes() {
			errs = append(errs, n.close())
		}
		for _, b := range l.switches {
			errs = append(errs, b.close())
		}
		if err := errors.Join(errs...); err != nil {
			l.closeErr = fmt.Errorf("lab: close: %w", err)
		}
	})
	return l.closeErr
}
