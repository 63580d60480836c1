package main

import (
	"context"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"

	"tandem/director"
	"tandem/integration/lab"
	"tandem/integration/load"
)

// clientEvent takes in what the clients notice.
func (p *play) clientEvent(e load.Event) {
	p.mu.Lock()
	p.events = append(p.events, e)
	p.mu.Unlock()
	at := time.Unix(0, e.UnixNS)
	if e.Type == load.Ready {
		p.tell.begin(at.Add(-e.At.Duration()))
	}
	if text := p.clients.sentence(e); text != "" {
		p.tell.say(line{at, "clients", text})
	}
}

// watch asks a director how it is until ctx is done, and tells what is new.
// Snapshots carry the times of what they tell, so asking seldom is enough, and
// leaves an emulated machine its breath.
func (p *play) watch(ctx context.Context, i int) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var last director.Snapshot
	for {
		// No answer: it does not run. What that means is told by its peer.
		now, err := p.pair.Status(i)
		if err == nil {
			p.tell.say(news(last, now, p.names)...)
			last = now
		}
		p.mu.Lock()
		p.newest[i] = now
		p.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// watchAddress tells when a director's kernel has the virtual IP and when it has
// it no more, until ctx is done. Only the kernel knows the very moment.
func (p *play) watchAddress(ctx context.Context, i int) error {
	d := p.pair.Directors[i]
	changes := make(chan netlink.AddrUpdate, 64)
	err := d.Do(func() error {
		return netlink.AddrSubscribeWithOptions(changes, ctx.Done(), netlink.AddrSubscribeOptions{ListExisting: true})
	})
	if err != nil {
		return fmt.Errorf("watch the addresses of %s: %w", d.Name, err)
	}
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case c := <-changes:
				if c.LinkAddress.IP.Equal(lab.VIP.AsSlice()) {
					p.addressNews(i, c.NewAddr)
				}
			}
		}
	}()
	return nil
}

// addressNews notes whether a director has the virtual IP, and tells it if it is
// new: the renewal of a lease is not.
func (p *play) addressNews(i int, held bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if held == p.held[i] {
		return
	}
	p.held[i] = held
	running := p.newest[i].Node != ""
	p.tell.say(line{time.Now(), p.pair.Directors[i].Name, possession(held, running)})
}

// possession puts into words that a director's kernel now has the virtual IP, or
// has it no more, although nothing may run there any longer.
func possession(held, running bool) string {
	switch {
	case held:
		return fmt.Sprintf("holds the virtual IP %v", lab.VIP)
	case running:
		return fmt.Sprintf("has let go of the virtual IP %v", lab.VIP)
	}
	return fmt.Sprintf("lost the virtual IP %v: nobody renewed its lease in the kernel", lab.VIP)
}
