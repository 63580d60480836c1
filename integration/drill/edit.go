package drill

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"tandem/integration/lab"
	"tandem/internal/netif"
	"tandem/ipvsctl"
	"tandem/ipvsctl/kernel"
	"tandem/vrrp"
	"tandem/vrrp/wire"
)

// Editor changes a machine behind the back of its director.
type Editor struct {
	Table *kernel.Handle
	addrs *netif.Handle
}

// Edit changes director i.
func (p *Pair) Edit(i int, f func(*Editor) error) error { return p.EditNode(p.Directors[i], f) }

// EditNode changes any machine.
func (p *Pair) EditNode(n *lab.Node, f func(*Editor) error) error {
	return n.Do(func() error {
		table, err := kernel.Open()
		if err != nil {
			return err
		}
		defer table.Close()
		addrs, err := netif.Open()
		if err != nil {
			return err
		}
		defer addrs.Close()
		return f(&Editor{Table: table, addrs: addrs})
	})
}

// AddAddress adds a host address.
func (e *Editor) AddAddress(ip netip.Addr, dev string) error {
	return e.addrs.Ensure(netif.Address{Prefix: netip.PrefixFrom(ip, ip.BitLen()), Interface: dev}, 0)
}

// RemoveAddress removes a host address.
func (e *Editor) RemoveAddress(ip netip.Addr, dev string) error {
	return e.addrs.Remove(netif.Address{Prefix: netip.PrefixFrom(ip, ip.BitLen()), Interface: dev})
}

// VirtualService is the service at a port of the VIP.
func VirtualService(port uint16) ipvsctl.ServiceKey {
	return ipvsctl.ServiceKey{Protocol: ipvsctl.TCP, Address: netip.AddrPortFrom(lab.VIP, port)}
}

// ServerAddr is where a real server offers the service of a port.
func (p *Pair) ServerAddr(server int, port uint16) netip.AddrPort {
	dev := lab.LAN
	if p.options.inside() {
		dev = lab.Inside
	}
	return netip.AddrPortFrom(p.Servers[server].Addr(dev), port)
}

// Claim makes a machine announce, once, that an address is its own.
func (p *Pair) Claim(n *lab.Node, ip netip.Addr) error {
	return n.Do(func() error {
		a, err := wire.NewAnnouncer(lab.LAN, wire.AnnouncerOptions{})
		if err != nil {
			return err
		}
		return errors.Join(a.Announce(ip), a.Close())
	})
}

// Flood makes a machine send bad advertisements of every kind to the directors,
// as fast as it can.
func (p *Pair) Flood(n *lab.Node, d time.Duration) error {
	conn, err := n.ListenPacket(fmt.Sprintf("ip4:%d", vrrp.Protocol), n.Addr(lab.LAN).String())
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := ipv4.NewPacketConn(conn).SetMulticastTTL(vrrp.TTL); err != nil {
		return err
	}
	group := netip.AddrFrom4([4]byte{224, 0, 0, 18})
	dst := &net.IPAddr{IP: group.AsSlice()}
	advert := vrrp.Advert{VRID: 51, Priority: 254, Interval: 100 * time.Millisecond, Addresses: []netip.Addr{lab.VIP}}
	good, err := advert.Append(nil, vrrp.ChecksumPseudoHeader, n.Addr(lab.LAN), group)
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for end := time.Now().Add(d); time.Now().Before(end); {
		// A full queue is no reason to slow down for.
		if _, err := conn.WriteTo(spoil(rng, good), dst); err != nil && !errors.Is(err, unix.ENOBUFS) {
			return err
		}
	}
	return nil
}

// spoil makes an advertisement that must be dropped: with one bit turned, cut
// short, or noise. A checksum finds every single bit that was turned.
func spoil(rng *rand.Rand, good []byte) []byte {
	b := append([]byte(nil), good...)
	switch rng.IntN(3) {
	case 0:
		b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
	case 1:
		b = b[:rng.IntN(len(b))]
	default:
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
	}
	return b
}
