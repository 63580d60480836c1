//go:build lab

package wire

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"tandem/vrrp"
)

// vips6 are the virtual addresses of VRID 51 over IPv6.
var vips6 = []netip.Addr{netip.MustParseAddr("fe80::200:5eff:fe00:233"), netip.MustParseAddr("2001:db8::100")}

var advert6 = vrrp.Advert{VRID: 51, Priority: 100, Interval: time.Second, Addresses: vips6}

// linkLocal waits for the address that e sends from, which the kernel first makes
// sure of.
func (e *endpoint) linkLocal(t *testing.T) netip.Addr {
	t.Helper()
	eventually(t, "a link-local address", func() bool { return e.PrimaryAddr().IsValid() })
	return e.PrimaryAddr()
}

// TestExchangeIPv6: the kernel delivers no header over IPv6; source, destination and
// hop limit are right all the same.
func TestExchangeIPv6(t *testing.T) {
	left, right := newHosts(t)
	lc, rc := left.listen(t, Options{IPv6: true}), right.listen(t, Options{IPv6: true})
	left.receiver(t, lc)
	packets := right.receiver(t, rc)
	src := lc.linkLocal(t)
	rc.linkLocal(t)
	frames := right.capture(t, unix.ETH_P_IPV6)
	send(t, lc, advert6)
	want := Packet{Advert: advert6, Src: src, Form: vrrp.ChecksumPseudoHeader}
	opts := cmp.Options{cmpopts.IgnoreFields(Packet{}, "At"), cmpopts.EquateComparable(netip.Addr{})}
	if diff := cmp.Diff(want, receive(t, packets), opts); diff != "" {
		t.Errorf("received (-want +got):\n%s", diff)
	}

	f := receive(t, frames)
	for f[14+6] != vrrp.Protocol {
		f = receive(t, frames)
	}
	if dst := net.HardwareAddr(f[:6]); dst.String() != "33:33:00:00:00:12" {
		t.Errorf("destination MAC %v", dst)
	}
	ip := f[14:]
	if class := ip[0]<<4 | ip[1]>>4; class != tos || ip[7] != vrrp.TTL {
		t.Errorf("traffic class %x and hop limit %d", class, ip[7])
	}
	if from, to := netip.AddrFrom16([16]byte(ip[8:24])), netip.AddrFrom16([16]byte(ip[24:40])); from != src || to != groupIPv6 {
		t.Errorf("from %v to %v", from, to)
	}
	msg, err := advert6.Append(nil, vrrp.ChecksumPseudoHeader, src, groupIPv6)
	if err != nil || !bytes.Equal(ip[40:], msg) {
		t.Errorf("message % x, want % x, %v", ip[40:], msg, err)
	}
}

// TestDropsIPv6: what came through a router, or is of the wrong family, is dropped.
func TestDropsIPv6(t *testing.T) {
	left, right := newHosts(t)
	lc, rc := left.listen(t, Options{IPv6: true}), right.listen(t, Options{IPv6: true})
	left.receiver(t, lc)
	packets := right.receiver(t, rc)
	src := lc.linkLocal(t)
	good, err := advert6.Append(nil, vrrp.ChecksumPseudoHeader, src, groupIPv6)
	if err != nil {
		t.Fatal(err)
	}
	raw := func(b []byte, hops int) {
		t.Helper()
		fd := int(lc.fd())
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, hops); err != nil {
			t.Fatal(err)
		}
		to := &unix.SockaddrInet6{Addr: groupIPv6.As16(), ZoneId: uint32(left.link(t).Attrs().Index)}
		if err := unix.Sendto(fd, b, 0, to); err != nil {
			t.Fatal(err)
		}
	}
	raw(good, 64)
	raw(good[:len(good)-1], vrrp.TTL)
	flipped := bytes.Clone(good)
	flipped[2]++
	raw(flipped, vrrp.TTL)
	raw(good, vrrp.TTL)
	if p := receive(t, packets); p.Src != src {
		t.Errorf("received %+v", p)
	}
	want := map[vrrp.DropReason]uint64{vrrp.DropBadTTL: 1, vrrp.DropTruncated: 1, vrrp.DropBadChecksum: 1}
	if diff := cmp.Diff(want, rc.Drops()); diff != "" {
		t.Errorf("drops (-want +got):\n%s", diff)
	}
}

// TestElectionIPv6: two directors elect over IPv6 while others with the same VRID
// elect over IPv4, and neither disturbs the other.
func TestElectionIPv6(t *testing.T) {
	left, right := newHosts(t)
	six := func(priority uint8) vrrp.Config {
		c := election(priority)
		c.Addresses = vips6
		return c
	}
	a4 := left.elect(t, NewRouter(RouterConfig{}), election(100))
	b4 := right.elect(t, NewRouter(RouterConfig{}), election(200))
	a := left.elect(t, NewRouter(signing(t, vrrp.AuthEnforce, 1)), six(200))
	b := right.elect(t, NewRouter(signing(t, vrrp.AuthEnforce, 1)), six(100))
	a.becomes(t, vrrp.Active)
	b.becomes(t, vrrp.Backup)
	b4.becomes(t, vrrp.Active)
	a4.becomes(t, vrrp.Backup)
	a.Shutdown("maintenance", true)
	b.becomes(t, vrrp.Active)
	a.Startup(a.conn.PrimaryAddr())
	a.becomes(t, vrrp.Active)
	b.becomes(t, vrrp.Backup)
	a.silence()
	b.becomes(t, vrrp.Active)
	for _, v := range []*voter{a, b, a4, b4} {
		if d := v.conn.Drops(); len(d) != 0 {
			t.Errorf("dropped %v", d)
		}
	}
	if s := b4.Status(); s.Counters.BecameActive != 1 {
		t.Errorf("over IPv4: %+v", s)
	}
}
