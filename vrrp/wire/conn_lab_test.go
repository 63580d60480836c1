//go:build lab

package wire

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"tandem/internal/netif"
	"tandem/internal/sysctl"
	"tandem/vrrp"
)

var advert = vrrp.Advert{VRID: 51, Priority: 100, Interval: time.Second, Addresses: []netip.Addr{vip}}

// endpoint is a Conn with a Poller of its own. Whoever uses the thread's methods
// holds mu.
type endpoint struct {
	*Conn
	poller  *Poller
	mu      sync.Mutex
	packets chan Packet
}

func (h *host) listen(t *testing.T, opts Options) *endpoint {
	t.Helper()
	e := &endpoint{packets: make(chan Packet, 100)}
	if opts.OnPacket == nil {
		opts.OnPacket = func(p Packet) {
			p.Advert.Addresses = slices.Clone(p.Advert.Addresses)
			e.packets <- p
		}
	}
	h.do(t, func() {
		var err error
		if e.poller, err = NewPoller(); err != nil {
			t.Fatal(err)
		}
		if e.Conn, err = e.poller.Listen("eth0", opts); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() {
		if err := errors.Join(e.Close(), e.poller.Close()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return e
}

// receiver runs e, with a thread for its Poller, and returns what it receives.
func (h *host) receiver(t *testing.T, e *endpoint) <-chan Packet {
	t.Helper()
	h.background(t, e.Run)
	h.background(t, func(ctx context.Context) error {
		defer context.AfterFunc(ctx, e.poller.Wake)()
		for ctx.Err() == nil {
			e.poller.Wait(time.Time{})
			e.mu.Lock()
			e.poller.Receive()
			e.mu.Unlock()
		}
		return nil
	})
	return e.packets
}

// Send sends one advertisement now.
func (e *endpoint) Send(a vrrp.Advert) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var errs []error
	if err := e.Queue(a, func(err error) { errs = append(errs, err) }); err != nil {
		return err
	}
	e.poller.Flush()
	return errors.Join(errs...)
}

func send(t *testing.T, e *endpoint, a vrrp.Advert) {
	t.Helper()
	if err := e.Send(a); err != nil {
		t.Fatal(err)
	}
}

// raw sends any bytes to the group.
func (e *endpoint) raw(t *testing.T, b []byte) {
	t.Helper()
	fd := int(e.fd())
	if err := unix.Sendto(fd, b, 0, &unix.SockaddrInet4{Addr: groupIPv4.As4()}); err != nil {
		t.Fatal(err)
	}
}

func TestExchange(t *testing.T) {
	left, right := newHosts(t)
	lc := left.listen(t, Options{})
	rc := right.listen(t, Options{Router: every(NewRouter(RouterConfig{Format: vrrp.Format{Checksum: vrrp.ChecksumMessageOnly}}))})
	lp, rp := left.receiver(t, lc), right.receiver(t, rc)

	before := time.Now()
	send(t, lc, advert)
	want := Packet{Advert: advert, Src: leftAddr.Addr(), Form: vrrp.ChecksumPseudoHeader}
	got := receive(t, rp)
	if got.At.Before(before) || time.Since(got.At) > patience {
		t.Errorf("read at %v, sent after %v", got.At, before)
	}
	opts := cmp.Options{cmpopts.IgnoreFields(Packet{}, "At"), cmpopts.EquateComparable(netip.Addr{})}
	if diff := cmp.Diff(want, got, opts); diff != "" {
		t.Errorf("right received (-want +got):\n%s", diff)
	}
	send(t, rc, advert)
	want = Packet{Advert: advert, Src: rightAddr.Addr(), Form: vrrp.ChecksumMessageOnly}
	if diff := cmp.Diff(want, receive(t, lp), opts); diff != "" {
		t.Errorf("left received (-want +got):\n%s", diff)
	}
	if d := lc.Drops(); len(d) != 0 {
		t.Errorf("left dropped %v", d)
	}
}

// What RFC 9568, sections 5.1.1 and 7.2, demand of the frame.
func TestFrame(t *testing.T) {
	left, right := newHosts(t)
	c := left.listen(t, Options{Virtual: func(ip netip.Addr) bool { return ip == vip }})
	frames := right.capture(t, unix.ETH_P_IP)
	send(t, c, advert)
	f := receive(t, frames)
	for f[14+9] != vrrp.Protocol { // joining the group sends IGMP too
		f = receive(t, frames)
	}
	if dst := net.HardwareAddr(f[:6]); dst.String() != "01:00:5e:00:00:12" {
		t.Errorf("destination MAC %v", dst)
	}
	if src := net.HardwareAddr(f[6:12]); !bytes.Equal(src, left.mac(t)) {
		t.Errorf("source MAC %v", src)
	}
	ip := f[14:]
	if ip[0] != 0x45 || ip[1] != 0xc0 || ip[8] != 255 {
		t.Errorf("IP header % x: want version 4 without options, TOS c0, TTL 255", ip[:20])
	}
	if src, dst := netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20])); src != leftAddr.Addr() || dst.String() != "224.0.0.18" {
		t.Errorf("from %v to %v", src, dst)
	}
	want, err := advert.Append(nil, vrrp.ChecksumPseudoHeader, leftAddr.Addr(), groupIPv4)
	if err != nil || !bytes.Equal(ip[20:20+len(want)], want) {
		t.Errorf("message % x, want % x, %v", ip[20:], want, err)
	}
}

// The same for unicast, and that one peer does not wait for another: the first
// does not exist.
func TestUnicastFrame(t *testing.T) {
	left, right := newHosts(t)
	absent := netip.MustParseAddr("192.0.2.77")
	c := left.listen(t, Options{Router: every(NewRouter(RouterConfig{Peers: []netip.Addr{absent, rightAddr.Addr()}}))})
	frames := right.capture(t, unix.ETH_P_IP)
	for range 3 {
		send(t, c, advert)
		f := receive(t, frames)
		for f[14+9] != vrrp.Protocol {
			f = receive(t, frames)
		}
		if dst := net.HardwareAddr(f[:6]); !bytes.Equal(dst, right.mac(t)) {
			t.Errorf("destination MAC %v", dst)
		}
		ip := f[14:]
		if ip[1] != 0xc0 || ip[8] != 255 {
			t.Errorf("IP header % x: want TOS c0, TTL 255", ip[:20])
		}
		if src, dst := netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20])); src != leftAddr.Addr() || dst != rightAddr.Addr() {
			t.Errorf("from %v to %v", src, dst)
		}
		want, err := advert.Append(nil, vrrp.ChecksumPseudoHeader, leftAddr.Addr(), rightAddr.Addr())
		if err != nil || !bytes.Equal(ip[20:20+len(want)], want) {
			t.Errorf("message % x, want % x, %v", ip[20:], want, err)
		}
	}
}

// One socket serves routers of both transports, and each takes only what is its
// own.
func TestBothTransports(t *testing.T) {
	left, right := newHosts(t)
	byVRID := func(peer netip.Addr) func(uint8) *Router {
		group, unicast := NewRouter(RouterConfig{}), NewRouter(RouterConfig{Peers: []netip.Addr{peer}})
		return func(vrid uint8) *Router { return map[uint8]*Router{51: group, 52: unicast}[vrid] }
	}
	lc := left.listen(t, Options{Router: byVRID(rightAddr.Addr())})
	rc := right.listen(t, Options{Router: byVRID(leftAddr.Addr())})
	lp, rp := left.receiver(t, lc), right.receiver(t, rc)
	other := advert
	other.VRID = 52
	for _, a := range []vrrp.Advert{advert, other} {
		send(t, lc, a)
		if p := receive(t, rp); p.Advert.VRID != a.VRID || p.Src != leftAddr.Addr() {
			t.Errorf("right received %+v", p)
		}
		send(t, rc, a)
		if p := receive(t, lp); p.Advert.VRID != a.VRID || p.Src != rightAddr.Addr() {
			t.Errorf("left received %+v", p)
		}
	}
	none := other
	none.VRID = 53
	if err := lc.Send(none); !errors.Is(err, errNoRouter) {
		t.Errorf("Send of a router that is not there: %v", err)
	}
	// A third host, though it sends to the right address.
	third := netip.MustParsePrefix("192.0.2.3/24")
	left.addAddress(t, third)
	sc := left.listen(t, Options{
		Virtual: func(ip netip.Addr) bool { return ip != third.Addr() },
		Router:  every(NewRouter(RouterConfig{Peers: []netip.Addr{rightAddr.Addr()}})),
	})
	send(t, sc, other)
	eventually(t, "a stranger is dropped", func() bool { return rc.Drops()[vrrp.DropUnknownSender] == 1 })
	send(t, sc, advert) // multicast takes everybody
	if p := receive(t, rp); p.Src != third.Addr() {
		t.Errorf("right received %+v", p)
	}
}

// capture returns the frames of one EtherType that arrive at eth0.
func (h *host) capture(t *testing.T, etherType int) <-chan []byte {
	t.Helper()
	return h.captureOn(t, "eth0", etherType)
}

// captureOn is capture for another interface.
func (h *host) captureOn(t *testing.T, ifname string, etherType int) <-chan []byte {
	t.Helper()
	var pc *packet.Conn
	h.do(t, func() {
		link, err := h.nl.LinkByName(ifname)
		if err != nil {
			t.Fatal(err)
		}
		if pc, err = packet.Listen(&net.Interface{Index: link.Attrs().Index}, packet.Raw, etherType, nil); err != nil {
			t.Fatal(err)
		}
		raw, err := pc.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		err = raw.Control(func(fd uintptr) {
			if err := unix.SetsockoptInt(int(fd), unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	frames := make(chan []byte, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			b := make([]byte, 2000)
			n, _, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			frames <- b[:n]
		}
	}()
	t.Cleanup(func() {
		pc.Close()
		<-done
	})
	return frames
}

func TestDrops(t *testing.T) {
	left, right := newHosts(t)
	reports := make(chan Drop, 100)
	lc := left.listen(t, Options{})
	rc := right.listen(t, Options{
		Router: func(vrid uint8) *Router {
			if vrid != 51 {
				return nil
			}
			return plain
		},
		OnDrop: func(d Drop) { reports <- d },
	})
	packets := right.receiver(t, rc)

	raw := func(b []byte, ttl int) {
		t.Helper()
		if err := unix.SetsockoptInt(int(lc.fd()), unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, ttl); err != nil {
			t.Fatal(err)
		}
		lc.raw(t, b)
	}
	good, err := advert.Append(nil, vrrp.ChecksumPseudoHeader, leftAddr.Addr(), groupIPv4)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(good)
	flipped[2]++
	foreign := advert
	foreign.VRID = 52

	raw(good, 254)
	raw(good[:5], 255)
	raw([]byte("garbage, not VRRP"), 255)
	raw(flipped, 255)
	raw(flipped, 255)
	send(t, lc, foreign)
	raw(good, 255)

	if p := receive(t, packets); p.Advert.VRID != 51 {
		t.Errorf("received %+v", p)
	}
	want := map[vrrp.DropReason]uint64{
		vrrp.DropBadTTL: 1, vrrp.DropTruncated: 1, vrrp.DropBadVersion: 1, vrrp.DropBadChecksum: 2, vrrp.DropUnknownVRID: 1,
	}
	if diff := cmp.Diff(want, rc.Drops()); diff != "" {
		t.Errorf("drops (-want +got):\n%s", diff)
	}
	// One report for each reason: the second bad checksum is only counted.
	eventually(t, "the reports", func() bool { return len(reports) >= len(want) })
	if len(reports) != len(want) {
		t.Errorf("%d reports, want %d", len(reports), len(want))
	}
	for range len(reports) {
		if d := <-reports; d.Src != leftAddr.Addr() || d.Total != 1 {
			t.Errorf("report %+v", d)
		}
	}
}

// An advertisement that the network sends back, or that a machine with our own
// address sends, is no rival.
func TestOwnSource(t *testing.T) {
	left, right := newHosts(t)
	right.addAddress(t, netip.MustParsePrefix("192.0.2.1/32"))
	right.do(t, func() { // without it the kernel drops such packets before we see them
		if err := sysctl.Set("net/ipv4/conf/eth0/accept_local", "1"); err != nil {
			t.Fatal(err)
		}
	})
	rc := right.listen(t, Options{Virtual: func(ip netip.Addr) bool { return ip == rightAddr.Addr() }})
	if rc.PrimaryAddr() != leftAddr.Addr() {
		t.Fatalf("primary %v", rc.PrimaryAddr())
	}
	lc := left.listen(t, Options{})
	right.receiver(t, rc)
	send(t, lc, advert)
	eventually(t, "own source dropped", func() bool { return rc.Drops()[vrrp.DropOwnSource] == 1 })
}

func TestPrimaryFollowsInterface(t *testing.T) {
	left, right := newHosts(t)
	virtual := func(ip netip.Addr) bool { return ip == vip }
	lc := left.listen(t, Options{Virtual: virtual})
	left.receiver(t, lc)
	packets := right.receiver(t, right.listen(t, Options{}))
	n := left.netif(t)

	if err := n.Ensure(netif.Address{Prefix: netip.PrefixFrom(vip, 32), Interface: "eth0"}, 0); err != nil {
		t.Fatal(err)
	}
	if err := n.Remove(netif.Address{Prefix: leftAddr, Interface: "eth0"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no primary address", func() bool { return !lc.PrimaryAddr().IsValid() })
	if err := lc.Send(advert); !errors.Is(err, netif.ErrNoAddress) || !strings.Contains(err.Error(), "eth0") {
		t.Errorf("Send without an address: %v", err)
	}
	moved := netip.MustParsePrefix("192.0.2.7/24")
	left.addAddress(t, moved)
	eventually(t, "new primary address", func() bool { return lc.PrimaryAddr() == moved.Addr() })
	send(t, lc, advert)
	if p := receive(t, packets); p.Src != moved.Addr() {
		t.Errorf("sent from %v", p.Src)
	}
}

// An interface that is deleted and made again has another index; its sockets
// have to be opened again.
func TestInterfaceReturns(t *testing.T) {
	left, right := newHosts(t)
	changes := make(chan error, 100)
	lc := left.listen(t, Options{})
	rc := right.listen(t, Options{OnChange: func(err error) { changes <- err }})
	left.receiver(t, lc)
	packets := right.receiver(t, rc)
	send(t, lc, advert)
	receive(t, packets)

	for range 2 {
		if err := left.nl.LinkDel(left.link(t)); err != nil { // takes the other end along
			t.Fatal(err)
		}
		if err := receive(t, changes); !errors.Is(err, netif.ErrNoInterface) {
			t.Errorf("reported %v", err)
		}
		if err := rc.Send(advert); !errors.Is(err, netif.ErrNoInterface) {
			t.Errorf("Send without the interface: %v", err)
		}
		connect(t, left, right)
		left.addAddress(t, leftAddr)
		right.addAddress(t, rightAddr)
		if err := receive(t, changes); err != nil {
			t.Errorf("reported %v, want nil", err)
		}
		eventually(t, "an advertisement arrives again", func() bool {
			return lc.Send(advert) == nil && len(packets) > 0
		})
		for len(packets) > 0 {
			<-packets
		}
	}
	if len(changes) != 0 {
		t.Errorf("further reports: %v", <-changes)
	}
}

// A link that goes down and up again needs nothing from us, and no report.
func TestInterfaceDown(t *testing.T) {
	left, right := newHosts(t)
	changes := make(chan error, 100)
	lc := left.listen(t, Options{OnChange: func(err error) { changes <- err }})
	left.receiver(t, lc)
	packets := right.receiver(t, right.listen(t, Options{}))
	if err := left.nl.LinkSetDown(left.link(t)); err != nil {
		t.Fatal(err)
	}
	if err := lc.Send(advert); err == nil {
		t.Error("Send on an interface that is down: no error")
	} else {
		t.Logf("Send on an interface that is down: %v", err)
	}
	if err := left.nl.LinkSetUp(left.link(t)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an advertisement arrives again", func() bool {
		return lc.Send(advert) == nil && len(packets) > 0
	})
	if len(changes) != 0 {
		t.Errorf("reported: %v", <-changes)
	}
}

// The goodbye is sent after Run has ended.
func TestSendAfterRun(t *testing.T) {
	left, right := newHosts(t)
	packets := right.receiver(t, right.listen(t, Options{}))
	lc := left.listen(t, Options{})
	left.do(t, func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := lc.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	bye := advert
	bye.Priority = 0
	send(t, lc, bye)
	if p := receive(t, packets); p.Advert.Priority != 0 {
		t.Errorf("received %+v", p)
	}
}

func TestListenErrors(t *testing.T) {
	h := newHost(t)
	h.do(t, func() {
		p, err := NewPoller()
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if _, err := p.Listen("eth9", Options{}); !errors.Is(err, netif.ErrNoInterface) || !strings.Contains(err.Error(), "lo") {
			t.Errorf("missing interface: %v", err)
		}
		dropCapabilities(t)
		if _, err := p.Listen("lo", Options{}); err == nil || !strings.Contains(err.Error(), "needs CAP_NET_RAW") {
			t.Errorf("without CAP_NET_RAW: %v", err)
		}
	})
}

// dropCapabilities gives up all capabilities of this thread, which ends with the
// test.
func dropCapabilities(t *testing.T) {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capset(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
}

// Packets that are more than one Receive takes are left for the next, and said to
// be.
func TestReceiveBudget(t *testing.T) {
	left, right := newHosts(t)
	heard := 0
	lc := left.listen(t, Options{})
	rc := right.listen(t, Options{OnPacket: func(Packet) { heard++ }})
	const all = readBudget*batch + 10
	for range all {
		send(t, lc, advert)
	}
	for want, more := range map[int]bool{readBudget * batch: true} {
		rc.poller.Wait(time.Now())
		if got := rc.poller.Receive(); got != more || heard != want {
			t.Fatalf("heard %d, more %t; want %d, %t", heard, got, want, more)
		}
	}
	rc.poller.Wait(time.Now())
	if rc.poller.Receive() || heard != all {
		t.Errorf("heard %d of %d", heard, all)
	}
}

// Wait ends at its time, on a packet, and on Wake, also one that came before.
func TestWait(t *testing.T) {
	left, right := newHosts(t)
	lc, rc := left.listen(t, Options{}), right.listen(t, Options{})
	rc.poller.Wait(time.Time{}) // the Conn is new
	start := time.Now()
	rc.poller.Wait(start.Add(20 * time.Millisecond))
	if d := time.Since(start); d < 20*time.Millisecond || d > patience {
		t.Errorf("waited %v", d)
	}
	rc.poller.Wake()
	rc.poller.Wait(time.Time{})
	send(t, lc, advert)
	rc.poller.Wait(time.Time{})
	rc.poller.Receive()
	if p := receive(t, rc.packets); p.Advert.VRID != advert.VRID {
		t.Errorf("received %+v", p)
	}
}

// What the socket's buffer has no room for is counted.
func TestOverflow(t *testing.T) {
	left, right := newHosts(t)
	heard := 0
	lc := left.listen(t, Options{})
	rc := right.listen(t, Options{OnPacket: func(Packet) { heard++ }})
	if err := unix.SetsockoptInt(int(rc.fd()), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096); err != nil {
		t.Fatal(err)
	}
	const first, all = 1000, 1001
	for range first {
		send(t, lc, advert)
	}
	read := func() {
		rc.poller.Wait(time.Now())
		for rc.poller.Receive() {
		}
	}
	read()
	send(t, lc, advert) // the kernel tells with the next packet
	read()
	if lost := rc.Drops()[vrrp.DropOverflow]; heard == 0 || lost == 0 || heard+int(lost) != all {
		t.Errorf("%d packets heard and %d lost, of %d", heard, lost, all)
	}
}
