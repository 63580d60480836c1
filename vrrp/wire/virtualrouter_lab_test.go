//go:build lab

package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tandem/internal/netif"
	"tandem/vrrp"
)

// segment is hosts on one switch.
type segment struct {
	sw    *host
	hosts []*host
}

// newSegment gives each host 192.0.2.n/24 and 2001:db8::n/64, from 1 on.
func newSegment(t *testing.T, n int) *segment {
	t.Helper()
	s := &segment{sw: newHost(t)}
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
	if err := s.sw.nl.LinkAdd(br); err != nil {
		t.Fatal(err)
	}
	if err := s.sw.nl.LinkSetUp(br); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		h := newHost(t)
		pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: s.port(i), PeerNamespace: netlink.NsFd(s.sw.ns)}
		if err := h.nl.LinkAdd(pair); err != nil {
			t.Fatal(err)
		}
		port, err := s.sw.nl.LinkByName(s.port(i))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.sw.nl.LinkSetMaster(port, br); err != nil {
			t.Fatal(err)
		}
		if err := s.sw.nl.LinkSetUp(port); err != nil {
			t.Fatal(err)
		}
		lo, err := h.nl.LinkByName("lo") // local IPv6 addresses are there
		if err != nil {
			t.Fatal(err)
		}
		if err := h.nl.LinkSetUp(lo); err != nil {
			t.Fatal(err)
		}
		// As strict as any distribution has it.
		h.set(t, "net/ipv4/conf/default/rp_filter", "1", "net/ipv4/conf/all/rp_filter", "0",
			"net/ipv6/conf/eth0/accept_dad", "0")
		if err := h.nl.LinkSetUp(h.link(t)); err != nil {
			t.Fatal(err)
		}
		h.addAddress(t, netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + i)}), 24))
		err = h.nl.AddrAdd(h.link(t), &netlink.Addr{
			IPNet: &net.IPNet{IP: net.ParseIP(fmt.Sprintf("2001:db8::%d", 1+i)), Mask: net.CIDRMask(64, 128)},
			Flags: unix.IFA_F_NODAD,
		})
		if err != nil {
			t.Fatal(err)
		}
		s.hosts = append(s.hosts, h)
	}
	return s
}

// port is the name of a host's port on the switch.
func (s *segment) port(i int) string { return fmt.Sprintf("port%d", i) }

// virtual counts the frames that come from a host with a virtual MAC as their source,
// until stop is called, which returns them.
func (s *segment) virtual(t *testing.T, i int) (stop func() [][]byte) {
	t.Helper()
	var list [][]byte
	frames := s.tap(t, i)
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case f := <-frames:
				if bytes.HasPrefix(f[6:], []byte{0, 0, 0x5e, 0}) {
					list = append(list, f)
				}
			case <-ended:
				return
			}
		}
	}()
	return func() [][]byte {
		close(ended)
		<-done
		return list
	}
}

// tap captures what comes from a host. A bridge takes it before it is sorted by
// protocol.
func (s *segment) tap(t *testing.T, i int) <-chan []byte {
	t.Helper()
	return s.sw.captureOn(t, s.port(i), unix.ETH_P_ALL)
}

// virtualRouter is a director that has one.
type virtualRouter struct {
	*voter
	host    *host
	links   *netif.Handle
	macvlan netif.Macvlan
	outlet  *Outlet
	speaker *Announcer
	vip     netip.Addr
}

// serve makes a host a director: it elects, and answers connections with its name.
func (h *host) serve(t *testing.T, name string, ipv6 bool, priority uint8) *virtualRouter {
	t.Helper()
	// What the profile of a director has.
	h.set(t, "net/ipv4/conf/eth0/arp_ignore", "1", "net/ipv4/conf/eth0/arp_announce", "2", "net/ipv4/conf/eth0/rp_filter", "2",
		"net/ipv4/ip_forward", "1", "net/ipv6/conf/all/forwarding", "1")
	cfg := election(priority)
	if ipv6 {
		cfg.Addresses = vips6
	}
	r := &virtualRouter{host: h, links: h.netif(t), macvlan: h.macvlan(t, ipv6), vip: cfg.Addresses[len(cfg.Addresses)-1]}
	r.open(t, false)
	r.outlet = h.outlet(t, r.macvlan)
	h.do(t, func() {
		var err error
		if r.speaker, err = NewAnnouncer(r.macvlan.Name, AnnouncerOptions{}); err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", netip.AddrPortFrom(netip.IPv6Unspecified(), 80).String())
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for c, err := l.Accept(); err == nil; c, err = l.Accept() {
				_, _ = io.WriteString(c, name)
				c.Close()
			}
		}()
		t.Cleanup(func() { l.Close() })
	})
	t.Cleanup(func() { r.speaker.Close() })
	r.voter = h.elect(t, NewRouter(RouterConfig{Outlet: r.outlet}), cfg)
	return r
}

func (r *virtualRouter) open(t *testing.T, open bool) {
	t.Helper()
	r.host.do(t, func() {
		if err := r.links.OpenMacvlan(r.macvlan, open); err != nil {
			t.Fatal(err)
		}
	})
}

// take does what a director does that has become active.
func (r *virtualRouter) take(t *testing.T) {
	t.Helper()
	r.open(t, true)
	a := netif.Address{Prefix: netip.PrefixFrom(r.vip, r.vip.BitLen()), Interface: r.macvlan.Name}
	if err := r.links.Ensure(a, 0); err != nil {
		t.Fatal(err)
	}
	r.outlet.Use(true)
	if r.vip.Is4() {
		if err := r.speaker.Announce(r.vip); err != nil {
			t.Fatal(err)
		}
		return
	}
	// The switch learns from the next advertisement.
	sent := r.Status().Counters.AdvertsSent
	r.soon(t, "an advertisement is sent", func() bool { return r.Status().Counters.AdvertsSent > sent+1 })
}

// ask connects to an address, and returns what it says.
func (h *host) ask(t *testing.T, ip netip.Addr) (answer string, err error) {
	t.Helper()
	h.do(t, func() {
		var c net.Conn
		if c, err = net.DialTimeout("tcp", netip.AddrPortFrom(ip, 80).String(), time.Second); err != nil {
			return
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(time.Second))
		var b []byte
		b, err = io.ReadAll(c)
		answer = string(b)
	})
	return answer, err
}

// neighbourOf is the MAC that h's neighbour cache has for an address of either
// family.
func (h *host) neighbourOf(t *testing.T, ip netip.Addr) net.HardwareAddr {
	t.Helper()
	list, err := h.nl.NeighList(h.link(t).Attrs().Index, netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range list {
		if n.IP.Equal(ip.AsSlice()) {
			return n.HardwareAddr
		}
	}
	return nil
}

// TestVirtualMAC: a client learns the virtual MAC, which survives a failover; what it
// sends reaches the active director, and answers reach it; a backup sends nothing
// with the virtual MAC.
func TestVirtualMAC(t *testing.T) {
	for _, ipv6 := range []bool{false, true} {
		t.Run(fmt.Sprintf("IPv6 %t", ipv6), func(t *testing.T) {
			s := newSegment(t, 3)
			client := s.hosts[2]
			a := s.hosts[0].serve(t, "left", ipv6, 200)
			a.becomes(t, vrrp.Active)
			a.take(t)
			backup := s.virtual(t, 1)
			b := s.hosts[1].serve(t, "right", ipv6, 100)
			b.becomes(t, vrrp.Backup)
			b.hears(t, 10) // which come with the virtual MAC

			mac := net.HardwareAddr(a.macvlan.MAC[:])
			wants := func(who string) {
				t.Helper()
				if got, err := client.ask(t, a.vip); err != nil || got != who {
					t.Errorf("the client reaches %q, %v; want %s", got, err, who)
				}
				if got := client.neighbourOf(t, a.vip); !bytes.Equal(got, mac) {
					t.Errorf("the client's neighbour is %v, want %v", got, mac)
				}
			}
			wants("left")
			own := netip.MustParseAddr("192.0.2.1")
			if ipv6 {
				own = netip.MustParseAddr("2001:db8::1")
			}
			if _, err := client.ask(t, own); err != nil {
				t.Error(err)
			}
			if got := client.neighbourOf(t, own); !bytes.Equal(got, a.host.mac(t)) {
				t.Errorf("left's own address is at %v, want %v", got, a.host.mac(t))
			}
			// The backup reaches the virtual address as any other host does.
			if got, err := b.host.ask(t, a.vip); err != nil || got != "left" {
				t.Errorf("the backup reaches %q, %v", got, err)
			}
			for _, f := range backup() {
				t.Errorf("the backup sent % x", f)
			}

			a.silence()
			if err := a.host.nl.LinkSetDown(a.host.link(t)); err != nil {
				t.Fatal(err)
			}
			b.becomes(t, vrrp.Active)
			active := s.virtual(t, 1)
			b.take(t)
			wants("right")
			b.soon(t, "three more are sent", func() bool { return b.Status().Counters.AdvertsSent > 5 })
			if len(active()) == 0 {
				t.Error("no frame of the active has the virtual MAC")
			}
			for _, v := range []*virtualRouter{a, b} {
				if d := v.conn.Drops(); len(d) != 0 {
					t.Errorf("dropped %v", d)
				}
			}
		})
	}
}

// answers asks for an address by ARP and returns who answers.
func (h *host) answers(t *testing.T, frames <-chan []byte, ip netip.Addr) []string {
	t.Helper()
	for len(frames) > 0 {
		<-frames
	}
	_ = h.nl.NeighDel(&netlink.Neigh{LinkIndex: h.link(t).Attrs().Index, IP: ip.AsSlice()})
	h.do(t, func() {
		c, err := net.Dial("udp", netip.AddrPortFrom(ip, 9).String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = c.Write([]byte("?"))
	})
	macs := map[string]bool{}
	for end := time.After(300 * time.Millisecond); ; {
		select {
		case f := <-frames:
			if f[12] == 0x08 && f[13] == 0x06 && f[21] == 2 && [4]byte(f[28:32]) == ip.As4() {
				macs[net.HardwareAddr(f[22:28]).String()] = true
			}
		case <-end:
			return slices.Sorted(maps.Keys(macs))
		}
	}
}

// TestVirtualMACSettings shows for each setting what it is for: with it, an address
// has one MAC. Package netif has those of the macvlan, the director's profile those of
// eth0.
func TestVirtualMACSettings(t *testing.T) {
	s := newSegment(t, 2)
	client := s.hosts[1]
	r := s.hosts[0].serve(t, "left", false, 200)
	r.becomes(t, vrrp.Active)
	r.take(t)
	frames := client.capture(t, unix.ETH_P_ARP)
	own := netip.MustParseAddr("192.0.2.1")
	virtualMAC, ownMAC := net.HardwareAddr(r.macvlan.MAC[:]).String(), r.host.mac(t).String()
	for _, tt := range []struct {
		name, key, value string
		ip               netip.Addr
		good, bad        []string
	}{
		{"the parent answers for the macvlan", "net/ipv4/conf/eth0/arp_ignore", "0", r.vip, []string{virtualMAC}, []string{virtualMAC, ownMAC}},
		{"the macvlan answers for the parent", "net/ipv4/conf/vr4-51-eth0/arp_ignore", "0", own, []string{ownMAC}, []string{virtualMAC, ownMAC}},
		{"the macvlan drops what is answered elsewhere", "net/ipv4/conf/vr4-51-eth0/rp_filter", "1", r.vip, []string{virtualMAC}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := client.answers(t, frames, tt.ip); !slices.Equal(got, tt.good) {
				t.Errorf("%v is at %v, want %v", tt.ip, got, tt.good)
			}
			r.host.set(t, tt.key, tt.value)
			if got := client.answers(t, frames, tt.ip); !slices.Equal(got, tt.bad) {
				t.Errorf("with %s = %s: %v is at %v, want %v", tt.key, tt.value, tt.ip, got, tt.bad)
			}
			r.host.do(t, func() {
				if _, err := r.links.EnsureMacvlan(r.macvlan); err != nil { // which repairs
					t.Fatal(err)
				}
			})
			r.host.set(t, "net/ipv4/conf/eth0/arp_ignore", "1")
		})
	}
	// What is answered leaves by eth0, which has to ask for the client sometimes.
	for _, tt := range []struct{ value, want string }{{"2", virtualMAC}, {"0", ownMAC}} {
		r.host.set(t, "net/ipv4/conf/eth0/arp_announce", tt.value)
		if _, err := client.ask(t, r.vip); err != nil {
			t.Fatal(err)
		}
		_ = r.host.nl.NeighDel(&netlink.Neigh{LinkIndex: r.host.link(t).Attrs().Index, IP: net.IPv4(192, 0, 2, 2)})
		_, _ = client.ask(t, r.vip) // now with another neighbour, it may not be answered
		if got := client.neighbourOf(t, r.vip).String(); got != tt.want {
			t.Errorf("with arp_announce = %s the client has %v at %s, want %s", tt.value, r.vip, got, tt.want)
		}
	}
}

// TestFloodedFrames: a switch that does not know where the virtual MAC is sends to
// every port. A backup discards that, although it forwards and knows the way.
func TestFloodedFrames(t *testing.T) {
	s := newSegment(t, 3)
	backup, client := s.hosts[0], s.hosts[2]
	b := backup.serve(t, "left", false, 100)
	passed := s.tap(t, 0)
	// To the third host, whose MAC the backup knows.
	target := netip.MustParseAddr("192.0.2.3")
	err := backup.nl.NeighSet(&netlink.Neigh{
		LinkIndex: backup.link(t).Attrs().Index, IP: target.AsSlice(), HardwareAddr: client.mac(t), State: unix.NUD_PERMANENT,
	})
	if err != nil {
		t.Fatal(err)
	}
	frame := udpFrame(b.macvlan.MAC, s.hosts[1].mac(t), netip.MustParseAddr("192.0.2.2"), target)
	forwards := func() bool {
		t.Helper()
		s.inject(t, 0, frame)
		for end := time.After(300 * time.Millisecond); ; {
			select {
			case f := <-passed:
				if bytes.HasSuffix(f, frame[14+12:]) {
					return true
				}
			case <-end:
				return false
			}
		}
	}
	if forwards() {
		t.Error("a backup forwards what a switch floods")
	}
	b.open(t, true)
	if !forwards() {
		t.Error("an active router does not forward")
	}
	b.open(t, false)
	if forwards() {
		t.Error("a backup forwards again")
	}
}

// udpFrame is an empty UDP datagram.
func udpFrame(dst [6]byte, src net.HardwareAddr, from, to netip.Addr) []byte {
	f := slices.Concat(dst[:], src, []byte{0x08, 0x00})
	ip := slices.Concat([]byte{0x45, 0, 0, 28, 0, 1, 0, 0, 64, unix.IPPROTO_UDP, 0, 0}, from.AsSlice(), to.AsSlice())
	var sum uint32
	for i := 0; i < len(ip); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum))
	return slices.Concat(f, ip, []byte{0, 9, 0, 9, 0, 8, 0, 0})
}

// inject sends a frame to a host from its port.
func (s *segment) inject(t *testing.T, i int, frame []byte) {
	t.Helper()
	s.sw.do(t, func() {
		iface, err := net.InterfaceByName(s.port(i))
		if err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: iface.Index}); err != nil {
			t.Fatal(err)
		}
	})
}
