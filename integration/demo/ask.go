package main

import (
	"context"

	"tandem/director"
	"tandem/integration/lab"
)

// until waits for something that has to happen.
func (p *play) until(ctx context.Context, what string, ask func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return p.pair.Eventually(ctx, what, ask)
}

// holds asks whether a director has the virtual IP, whoever else has it.
func (p *play) holds(i int) func() (bool, error) {
	return func() (bool, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.held[i], nil
	}
}

// active waits until exactly one director has the virtual IP, and says which.
func (p *play) active(ctx context.Context) (int, error) {
	var holders []int
	err := p.until(ctx, "one director, and no other, holds the virtual IP", func() (bool, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		holders = holders[:0]
		for i, held := range p.held {
			if held {
				holders = append(holders, i)
			}
		}
		return len(holders) == 1, nil
	})
	if err != nil {
		return 0, err
	}
	return holders[0], nil
}

// at asks the newest snapshot of a director that runs.
func (p *play) at(i int, ask func(director.Snapshot) bool) func() (bool, error) {
	return func() (bool, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		s := p.newest[i]
		return s.Node != "" && ask(s), nil
	}
}

// all asks the same of every director.
func (p *play) all(ask func(director.Snapshot) bool) func() (bool, error) {
	return func() (bool, error) {
		for i := range p.pair.Directors {
			if ok, err := p.at(i, ask)(); !ok || err != nil {
				return false, err
			}
		}
		return true, nil
	}
}

// inTable asks whether a real server is in the table of a service, or not.
func inTable(service string, server *lab.Node, want bool) func(director.Snapshot) bool {
	return func(s director.Snapshot) bool {
		for _, svc := range s.Services {
			for _, srv := range svc.Servers {
				if svc.Name == service && srv.Address.Addr() == server.Addr(lab.LAN) && srv.InKernel != want {
					return false
				}
			}
		}
		return true
	}
}

// servers counts the real servers in a director's table, once per service.
func servers(s director.Snapshot) (n int) {
	for _, svc := range s.Services {
		for _, srv := range svc.Servers {
			if srv.InKernel {
				n++
			}
		}
	}
	return n
}

// connections counts what a director's kernel knows of a service's connections.
func connections(s director.Snapshot, service string) (n int) {
	for _, svc := range s.Services {
		for _, srv := range svc.Servers {
			if svc.Name == service {
				n += int(srv.Active + srv.Inactive)
			}
		}
	}
	return n
}
