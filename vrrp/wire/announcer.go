package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"tandem/internal/netif"
)

const (
	// A probe is sent probeCount times, probeInterval apart, and the answer to
	// the last one is awaited for the same time. RFC 5227, section 1.1, and RFC
	// 4861, section 10, have seconds here for hosts that join a network; a takeover
	// has no seconds, and a host on the same segment answers within a millisecond.
	probeCount    = 3
	probeInterval = 70 * time.Millisecond
	// sendTimeout bounds a send to an interface whose queue is full.
	sendTimeout = 100 * time.Millisecond
	// conflictInterval is the least time between two reports of one address.
	conflictInterval = time.Second
)

// ErrNotWatching is the error of Probe while Watch is not running: nobody would
// hear the answer.
var ErrNotWatching = errors.New("neighbours are not being watched")

// Conflict is another machine that claims one of our addresses.
type Conflict struct {
	At  time.Time // when it was read, with the monotonic clock
	IP  netip.Addr
	MAC net.HardwareAddr // of the other machine
}

// AnnouncerOptions adjusts an Announcer. The zero value is usable.
type AnnouncerOptions struct {
	// Report hears once that the interface became unusable, with the reason, and
	// once, with nil, that it works again.
	Report func(error)
	// Router says whether IPv6 announcements are those of a router. It should say
	// what the kernel does, which answers as one if it forwards on the interface. A
	// nil function says no. It is called from several goroutines.
	Router func() bool
}

// Announcer tells the segment of one Ethernet interface where addresses are, asks
// who has one, and hears who claims one: by ARP (RFC 826) for IPv4, by neighbour
// discovery (RFC 4861) for IPv6. Its methods may be called by several goroutines at
// once.
type Announcer struct {
	port  port[*finders]
	ready chan struct{} // closed when Watch first runs

	mu       sync.Mutex
	watching bool
	watched  map[netip.Addr]time.Time // when a conflict was last reported
	probes   map[*probing]struct{}
}

// probing is a Probe that awaits an answer.
type probing struct {
	ip     netip.Addr
	answer chan net.HardwareAddr // buffered: the first answer counts
}

// NewAnnouncer opens the interface. It needs CAP_NET_RAW, and says so. The
// interface must exist; it needs neither to be up nor to have an address.
func NewAnnouncer(ifname string, o AnnouncerOptions) (*Announcer, error) {
	links, err := netif.Open()
	if err != nil {
		return nil, fmt.Errorf("open neighbours of %s: %w", ifname, err)
	}
	a := &Announcer{
		port: port[*finders]{
			ifname: ifname,
			links:  links,
			open:   func(l netif.Link) (*finders, error) { return openFinders(l, o.Router) },
			report: o.Report,
			wake:   make(chan struct{}, 1),
		},
		ready:  make(chan struct{}),
		probes: map[*probing]struct{}{},
	}
	if err := a.port.dial(); err != nil {
		links.Close()
		return nil, fmt.Errorf("open neighbours: %w", err)
	}
	return a, nil
}

// of is the socket for an address.
func (a *Announcer) of(ip netip.Addr) (finder, error) {
	o, err := a.port.get()
	if err != nil {
		return nil, err
	}
	return o.sock.of(ip)
}

// Ready is closed when Watch runs, and Probe can be used.
func (a *Announcer) Ready() <-chan struct{} { return a.ready }

// Close releases the sockets. Call it after Watch has returned.
func (a *Announcer) Close() error { return a.port.close() }

// Announce tells everyone on the segment, once, that ip is at this interface. A
// Repeater calls it again.
func (a *Announcer) Announce(ip netip.Addr) error {
	sock, err := a.of(ip)
	if err == nil {
		err = sock.announce(ip)
	}
	if err != nil {
		return fmt.Errorf("interface %s: announce %v: %w", a.port.ifname, ip, err)
	}
	return nil
}

// Probe asks who has ip, and returns the MAC of the machine that answers, or nil
// if none does within a fifth of a second. Our own interface is no answer. Watch
// must be running.
func (a *Announcer) Probe(ctx context.Context, ip netip.Addr) (net.HardwareAddr, error) {
	mac, err := a.probe(ctx, ip)
	if err != nil {
		return nil, fmt.Errorf("interface %s: probe %v: %w", a.port.ifname, ip, err)
	}
	return mac, nil
}

func (a *Announcer) probe(ctx context.Context, ip netip.Addr) (net.HardwareAddr, error) {
	p := &probing{ip: ip, answer: make(chan net.HardwareAddr, 1)}
	a.mu.Lock()
	watching := a.watching
	a.probes[p] = struct{}{}
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		delete(a.probes, p)
		a.mu.Unlock()
	}()
	if !watching {
		return nil, ErrNotWatching
	}
	for range probeCount {
		sock, err := a.of(ip)
		if err != nil {
			return nil, err
		}
		if err := sock.ask(ip); err != nil {
			return nil, err
		}
		select {
		case mac := <-p.answer:
			return mac, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(probeInterval):
		}
	}
	return nil, nil
}

// SetWatched replaces the addresses that Watch defends.
func (a *Announcer) SetWatched(ips ...netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	watched := make(map[netip.Addr]time.Time, len(ips))
	for _, ip := range ips {
		watched[ip] = a.watched[ip] // keeps when it was last reported
	}
	a.watched = watched
}

// Watch listens until ctx is done and then returns nil. f hears when another
// machine claims a watched address, for each address at most once a second; it is
// called by a goroutine for each family, and must return quickly. An interface that
// goes and comes back does not end Watch.
func (a *Announcer) Watch(ctx context.Context, f func(Conflict)) error {
	a.begin()
	defer a.end()
	err := a.port.run(ctx, func(sock *finders, link netif.Link) error {
		return sock.each(func(n finder) error { return a.read(n, link, f) })
	})
	if err != nil {
		return fmt.Errorf("watch neighbours: %w", err)
	}
	return nil
}

func (a *Announcer) begin() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watching = true
	select {
	case <-a.ready: // Watch ran before
	default:
		close(a.ready)
	}
}

func (a *Announcer) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watching = false
}

func (a *Announcer) read(sock finder, link netif.Link, f func(Conflict)) error {
	for {
		c, ok, err := sock.hear()
		at := time.Now()
		if err != nil {
			return err
		}
		if !ok || bytes.Equal(c.mac[:], link.MAC) {
			continue
		}
		if a.heard(at, c) {
			f(Conflict{At: at, IP: c.ip, MAC: c.mac[:]})
		}
	}
}

// heard hands a claim to the probes of its address, and says whether it is a
// conflict to report.
func (a *Announcer) heard(at time.Time, c claim) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for p := range a.probes {
		if p.ip == c.ip {
			select {
			case p.answer <- net.HardwareAddr(bytes.Clone(c.mac[:])):
			default: // it has its answer
			}
		}
	}
	last, watched := a.watched[c.ip]
	if !watched || at.Sub(last) < conflictInterval {
		return false
	}
	a.watched[c.ip] = at
	return true
}
