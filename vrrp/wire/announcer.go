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

	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"tandem/internal/netif"
)

const (
	// A probe is sent probeCount times, probeInterval apart, and the answer to
	// the last one is awaited for the same time. RFC 5227, section 1.1, has
	// seconds here for hosts that join a network; a takeover has no seconds, and
	// a host on the same segment answers within a millisecond.
	probeCount    = 3
	probeInterval = 70 * time.Millisecond
	// sendTimeout bounds a send to an interface whose queue is full.
	sendTimeout = 100 * time.Millisecond
	// conflictInterval is the least time between two reports of one address.
	conflictInterval = time.Second
)

// ErrNotWatching is the error of Probe while Watch is not running: nobody would
// hear the answer.
var ErrNotWatching = errors.New("ARP is not being watched")

// Conflict is another machine that claims one of our addresses.
type Conflict struct {
	At  time.Time // when it was read, with the monotonic clock
	IP  netip.Addr
	MAC net.HardwareAddr // of the other machine
}

// Announcer speaks ARP (RFC 826) on one Ethernet interface. Its methods may be
// called by several goroutines at once.
type Announcer struct {
	port  port[*packet.Conn]
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

// NewAnnouncer opens the interface for ARP. It needs CAP_NET_RAW, and says so.
// The interface must exist; it needs neither to be up nor to have an address.
// report hears once that the interface became unusable, with the reason, and
// once, with nil, that it works again; it may be nil.
func NewAnnouncer(ifname string, report func(error)) (*Announcer, error) {
	links, err := netif.Open()
	if err != nil {
		return nil, fmt.Errorf("open ARP on %s: %w", ifname, err)
	}
	a := &Announcer{
		port: port[*packet.Conn]{
			ifname: ifname,
			links:  links,
			open:   openARP,
			report: report,
			wake:   make(chan struct{}, 1),
		},
		ready:  make(chan struct{}),
		probes: map[*probing]struct{}{},
	}
	if err := a.port.dial(); err != nil {
		links.Close()
		return nil, fmt.Errorf("open ARP: %w", err)
	}
	return a, nil
}

// openARP opens a packet socket that gets the ARP packets of one interface. The
// kernel builds and strips the Ethernet headers.
func openARP(link netif.Link) (*packet.Conn, error) {
	if len(link.MAC) != 6 {
		return nil, fmt.Errorf("ARP: not an Ethernet interface, its hardware address is %q", link.MAC)
	}
	return packet.Listen(&net.Interface{Index: link.Index, HardwareAddr: link.MAC}, packet.Datagram, unix.ETH_P_ARP, nil)
}

// Ready is closed when Watch runs, and Probe can be used.
func (a *Announcer) Ready() <-chan struct{} { return a.ready }

// Close releases the sockets. Call it after Watch has returned.
func (a *Announcer) Close() error { return a.port.close() }

// Announce tells everyone on the segment, once, that ip is at this interface. A
// Repeater calls it again.
func (a *Announcer) Announce(ip netip.Addr) error {
	o, err := a.port.get()
	if err != nil {
		return fmt.Errorf("announce %v: %w", ip, err)
	}
	packets, err := gratuitous(ip, o.link.MAC)
	if err != nil {
		return fmt.Errorf("announce %v: %w", ip, err)
	}
	for _, p := range packets {
		if err := broadcast(o, p); err != nil {
			return fmt.Errorf("announce %v: %w", ip, err)
		}
	}
	return nil
}

func broadcast(o *opened[*packet.Conn], b []byte) error {
	if err := o.sock.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return fmt.Errorf("interface %s: %w", o.link.Name, err)
	}
	if _, err := o.sock.WriteTo(b, &packet.Addr{HardwareAddr: ethernet.Broadcast}); err != nil {
		return fmt.Errorf("interface %s: %w", o.link.Name, err)
	}
	return nil
}

// Probe asks who has ip, and returns the MAC of the machine that answers, or nil
// if none does within a fifth of a second. Our own interface is no answer. Watch
// must be running.
func (a *Announcer) Probe(ctx context.Context, ip netip.Addr) (net.HardwareAddr, error) {
	mac, err := a.probe(ctx, ip)
	if err != nil {
		return nil, fmt.Errorf("probe %v: %w", ip, err)
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
		return nil, fmt.Errorf("interface %s: %w", a.port.ifname, ErrNotWatching)
	}
	for range probeCount {
		o, err := a.port.get()
		if err != nil {
			return nil, err
		}
		b, err := probe(ip, o.link.MAC)
		if err != nil {
			return nil, err
		}
		if err := broadcast(o, b); err != nil {
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

// Watch reads ARP until ctx is done and then returns nil. f hears when another
// machine claims a watched address, for each address at most once a second; it
// must return quickly. An interface that goes and comes back does not end Watch.
func (a *Announcer) Watch(ctx context.Context, f func(Conflict)) error {
	a.begin()
	defer a.end()
	err := a.port.run(ctx, func(sock *packet.Conn, link netif.Link) error {
		return a.read(sock, link, f)
	})
	if err != nil {
		return fmt.Errorf("watch ARP: %w", err)
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

func (a *Announcer) read(sock *packet.Conn, link netif.Link, f func(Conflict)) error {
	b := make([]byte, 128) // the packet has 28 bytes, and padding
	for {
		n, _, err := sock.ReadFrom(b)
		at := time.Now()
		if err != nil {
			return err
		}
		c, ok := parseClaim(b[:n])
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
