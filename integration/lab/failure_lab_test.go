//go:build lab

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestLinkDownUp(t *testing.T) {
	l := Start(t, Options{})
	lb1, lb2 := l.Directors[0], l.Directors[1]
	wantReach(t, l.Client, lb1.Addr(LAN), true)
	for range 3 {
		if err := lb1.LinkDown(LAN); err != nil {
			t.Fatal(err)
		}
		if flags := deviceFlags(t, lb1, LAN); flags&(unix.IFF_UP|unix.IFF_LOWER_UP|unix.IFF_RUNNING) != unix.IFF_UP {
			t.Errorf("without a cable the flags of eth0 are %#x, want up without carrier", flags)
		}
		wantReach(t, l.Client, lb1.Addr(LAN), false)
		wantReach(t, l.Client, lb2.Addr(LAN), true)
		if err := lb1.LinkUp(LAN); err != nil {
			t.Fatal(err)
		}
		wantReach(t, l.Client, lb1.Addr(LAN), true)
	}

	// A device that the host itself has set down has no carrier to wait for.
	setDevice(t, lb1, (*netlink.Handle).LinkSetDown)
	if err := errors.Join(lb1.LinkDown(LAN), lb1.LinkUp(LAN)); err != nil {
		t.Error(err)
	}
	wantReach(t, l.Client, lb1.Addr(LAN), false)
	setDevice(t, lb1, (*netlink.Handle).LinkSetUp)
	wantReach(t, l.Client, lb1.Addr(LAN), true)
	if err := lb1.LinkDown(Inside); err == nil {
		t.Error("cut a cable that is not there")
	}
}

func deviceFlags(t *testing.T, n *Node, dev string) (flags uint32) {
	t.Helper()
	if err := n.Netlink(func(h *netlink.Handle) error {
		link, err := h.LinkByName(dev)
		if err == nil {
			flags = link.Attrs().RawFlags
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return flags
}

func setDevice(t *testing.T, n *Node, set func(*netlink.Handle, netlink.Link) error) {
	t.Helper()
	if err := n.Netlink(func(h *netlink.Handle) error {
		link, err := h.LinkByName(LAN)
		if err != nil {
			return err
		}
		return set(h, link)
	}); err != nil {
		t.Fatal(err)
	}
}

func TestIsolate(t *testing.T) {
	l := Start(t, Options{Servers: 1, Inside: true})
	lb1, lb2 := l.Directors[0], l.Directors[1]
	check := func(together bool) {
		t.Helper()
		wantReach(t, lb1, lb2.Addr(LAN), together)
		wantReach(t, lb2, lb1.Addr(LAN), together)
		wantReach(t, lb1, lb2.Addr(Inside), true)
		wantReach(t, l.Client, lb1.Addr(LAN), true)
		wantReach(t, l.Client, lb2.Addr(LAN), true)
	}
	check(true)
	if err := l.Isolate(LAN, l.Directors...); err != nil {
		t.Fatal(err)
	}
	check(false)
	// The network's state outlives the host.
	if err := lb1.Reset(); err != nil {
		t.Fatal(err)
	}
	check(false)
	if err := l.Heal(); err != nil {
		t.Fatal(err)
	}
	check(true)
}

func TestDropOneWay(t *testing.T) {
	l := Start(t, Options{Directors: 3})
	lb1, lb2, lb3 := l.Directors[0], l.Directors[1], l.Directors[2]
	check := func(from, to *Node, want bool) {
		t.Helper()
		if got := hears(t, to, from); got != want {
			t.Errorf("%s hears %s: %v, want %v", to, from, got, want)
		}
	}
	if err := l.Drop(LAN, lb1, lb2); err != nil {
		t.Fatal(err)
	}
	if err := l.Drop(LAN, lb3, lb1); err != nil {
		t.Fatal(err)
	}
	check(lb1, lb2, false)
	check(lb2, lb1, true)
	check(lb3, lb1, false)
	check(lb1, lb3, true)
	check(lb1, l.Client, true)
	if err := lb2.Reset(); err != nil {
		t.Fatal(err)
	}
	check(lb1, lb2, false)
	if err := l.Heal(); err != nil {
		t.Fatal(err)
	}
	check(lb1, lb2, true)
	check(lb3, lb1, true)
	if err := l.Drop(Inside, lb1, lb2); err == nil {
		t.Error("dropped on a segment that is not there")
	}
}

// hears reports whether a broadcast from one node arrives at another. It needs
// no ARP, which would need both directions.
func hears(t *testing.T, to, from *Node) bool {
	t.Helper()
	in, err := to.ListenPacket("udp4", "0.0.0.0:4000")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := from.ListenPacket("udp4", from.Addr(LAN).String()+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	all := net.UDPAddrFromAddrPort(netip.AddrPortFrom(Addr(LAN, 255), 4000))
	if _, err := out.WriteTo([]byte("hello"), all); err != nil {
		t.Fatal(err)
	}
	if err := in.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	_, _, err = in.ReadFrom(make([]byte, 16))
	if err != nil && !isTimeout(err) {
		t.Fatal(err)
	}
	return err == nil
}

// Needs the netem queueing discipline.
func TestNetem(t *testing.T) {
	l := Start(t, Options{})
	lb1 := l.Directors[0]
	const delay = 60 * time.Millisecond
	if err := lb1.Impair(LAN, Impairment{Delay: delay}); err != nil {
		t.Fatal(err)
	}
	wantReach(t, l.Client, lb1.Addr(LAN), true) // and the neighbour caches are filled
	if rtt := roundTrip(t, l.Client, lb1.Addr(LAN)); rtt < 2*delay || rtt > 10*delay {
		t.Errorf("round trip %v with %v in each direction", rtt, delay)
	}
	if err := lb1.Reset(); err != nil {
		t.Fatal(err)
	}
	wantReach(t, l.Client, lb1.Addr(LAN), true)
	if rtt := roundTrip(t, l.Client, lb1.Addr(LAN)); rtt < 2*delay {
		t.Errorf("after a reboot the cable is good: round trip %v", rtt)
	}
	if err := lb1.Impair(LAN, Impairment{Loss: 100}); err != nil {
		t.Fatal(err)
	}
	wantReach(t, l.Client, lb1.Addr(LAN), false)
	if err := lb1.Impair(LAN, Impairment{}); err != nil {
		t.Fatal(err)
	}
	wantReach(t, l.Client, lb1.Addr(LAN), true)
	if rtt := roundTrip(t, l.Client, lb1.Addr(LAN)); rtt > delay {
		t.Errorf("round trip %v on a good cable", rtt)
	}
	if err := lb1.Impair(LAN, Impairment{Loss: 101}); err == nil {
		t.Error("loss of 101 percent")
	}
}

func roundTrip(t *testing.T, from *Node, to netip.Addr) time.Duration {
	t.Helper()
	start := time.Now()
	wantReach(t, from, to, true)
	return time.Since(start)
}

func TestHostDeath(t *testing.T) {
	l := Start(t, Options{})
	lb1, lb2 := l.Directors[0], l.Directors[1]
	parent := startRole(t, lb1, "parent")
	bystander := startRole(t, lb2, "wait")
	line(t, bystander, "ready")
	orphan := pidfds(t, line(t, parent, ""))
	if err := lb1.Kill(); err != nil {
		t.Fatal(err)
	}
	wantGone(t, orphan)
	if err := parent.Wait(timeout(t)); err == nil || parent.ExitCode() != -1 {
		t.Errorf("the killed process: %v, status %d", err, parent.ExitCode())
	}
	wantReach(t, l.Client, lb1.Addr(LAN), false)
	wantReach(t, l.Client, lb2.Addr(LAN), true)
	if _, err := lb1.Start(Command{Path: "/bin/true"}); !errors.Is(err, ErrDead) {
		t.Errorf("started a process in a dead host: %v", err)
	}
	if err := lb1.Revive(); err != nil {
		t.Fatal(err)
	}
	wantReach(t, l.Client, lb1.Addr(LAN), true)
	line(t, startRole(t, lb1, "wait"), "ready")
	select {
	case <-bystander.Done():
		t.Error("a process of the other host died too")
	default:
	}
}

// A process that dies says goodbye, through its kernel; a host does not.
func TestHostDeathIsSilent(t *testing.T) {
	l := Start(t, Options{})
	lb1, lb2 := l.Directors[0], l.Directors[1]
	goodbye := func(p gopacket.Packet) bool {
		tcp, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
		return ok && tcp.SrcPort == 80 && (tcp.FIN || tcp.RST)
	}
	connected := func() (*Process, *Capture) {
		p := startRole(t, lb1, "accept")
		line(t, p, "ready")
		conn, err := l.Client.DialContext(timeout(t), "tcp", lb1.Addr(LAN).String()+":80")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		line(t, p, "accepted")
		c, err := l.Client.Capture(LAN, nil)
		if err != nil {
			t.Fatal(err)
		}
		return p, c
	}

	p, heard := connected()
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := heard.WaitFor(timeout(t), goodbye); err != nil {
		t.Errorf("the process: %v", err)
	}
	_, heard = connected()
	if err := lb1.Kill(); err != nil {
		t.Fatal(err)
	}
	// The exchange that follows marks the place in the capture.
	wantReach(t, l.Client, lb2.Addr(LAN), true)
	if _, err := heard.WaitFor(timeout(t), func(p gopacket.Packet) bool {
		tcp, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
		return ok && tcp.SrcPort == 9 && tcp.RST
	}); err != nil {
		t.Fatal(err)
	}
	for _, p := range heard.Packets() {
		if goodbye(p) {
			t.Errorf("the host: %v", p)
		}
	}
}

func TestReset(t *testing.T) {
	l := Start(t, Options{IPv6: true})
	lb1 := l.Directors[0]
	mac := lb1.HardwareAddr(LAN)
	if err := os.WriteFile(lb1.Path("/run/left"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	addVIP(t, lb1)
	wantReach(t, l.Client, VIP, true)
	p := startRole(t, lb1, "wait")
	line(t, p, "ready")

	// Death alone leaves the address in the kernel.
	if err := lb1.Kill(); err != nil {
		t.Fatal(err)
	}
	if held, err := lb1.Holds(VIP); !held || err != nil {
		t.Errorf("a dead host lost its address: %v, %v", held, err)
	}
	if err := lb1.Reset(); err != nil {
		t.Fatal(err)
	}
	if held, err := lb1.Holds(VIP); held || err != nil {
		t.Errorf("a rebooted host holds the address: %v, %v", held, err)
	}
	if err := l.Switch(LAN).Reset(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("reset the switch: %v", err)
	}
	wantReach(t, l.Client, VIP, false)
	wantReach(t, l.Client, lb1.Addr(LAN), true)
	wantReach(t, l.Client, lb1.Addr6(LAN), true)
	if got, err := l.Client.Neighbour(lb1.Addr(LAN)); got.String() != mac.String() || err != nil {
		t.Errorf("hardware address %s, %v, want %s", got, err, mac)
	}
	if got := lookFrom(t, lb1); got != "lb1 [eth0 lo] []\n" {
		t.Errorf("after a reboot: %q", got)
	}
}

func addVIP(t *testing.T, n *Node) {
	t.Helper()
	err := n.Netlink(func(h *netlink.Handle) error {
		link, err := h.LinkByName(LAN)
		if err != nil {
			return err
		}
		return h.AddrAdd(link, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(VIP, 32)), ValidLft: 600, PreferedLft: 600})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func lookFrom(t *testing.T, n *Node) string {
	t.Helper()
	p := startRole(t, n, "look")
	if err := p.Wait(timeout(t)); err != nil {
		t.Fatal(err)
	}
	return p.Output()
}

func TestAddresses(t *testing.T) {
	l := Start(t, Options{IPv6: true})
	lb1 := l.Directors[0]
	addVIP(t, lb1)
	held, err := lb1.Addresses()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{ // without lifetimes, which run
		"eth0 10.77.0.1/24 false": true, "eth0 10.77.0.100/32 true": true, "eth0 fd77::1/64 false": true,
		"lo 127.0.0.1/8 false": true, "lo ::1/128 false": true,
	}
	for _, a := range held {
		if a.Prefix.Addr().IsLinkLocalUnicast() {
			continue
		}
		key := fmt.Sprint(a.Dev, " ", a.Prefix, " ", a.Valid > 590*time.Second && a.Valid <= 600*time.Second)
		if !want[key] {
			t.Errorf("unexpected: %s (%v)", key, a.Valid)
		}
		delete(want, key)
	}
	if len(want) != 0 {
		t.Errorf("missing: %v", want)
	}
}

func TestNeighbour(t *testing.T) {
	l := Start(t, Options{IPv6: true})
	lb1 := l.Directors[0]
	for _, ip := range []netip.Addr{lb1.Addr(LAN), lb1.Addr6(LAN)} {
		if _, err := l.Client.Neighbour(ip); !errors.Is(err, ErrNoNeighbour) {
			t.Errorf("%s before any traffic: %v", ip, err)
		}
		wantReach(t, l.Client, ip, true)
		mac, err := l.Client.Neighbour(ip)
		if err != nil || mac.String() != lb1.HardwareAddr(LAN).String() {
			t.Errorf("%s: %s, %v", ip, mac, err)
		}
		if err := l.Client.FlushNeighbours(); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Client.Neighbour(ip); !errors.Is(err, ErrNoNeighbour) {
			t.Errorf("%s after the flush: %v", ip, err)
		}
	}
}

func TestWaitEndsWithContext(t *testing.T) {
	l := Start(t, Options{})
	p := startRole(t, l.Client, "wait")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait: %v", err)
	}
}
