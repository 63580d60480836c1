package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"tandem/internal/netif"
	"tandem/vrrp"
)

var (
	own  = netip.MustParseAddr("192.0.2.1")
	peer = netip.MustParseAddr("192.0.2.2")
)

// arrival is when the packets of these tests are read.
var arrival = time.Unix(1_700_000_000, 0)

var plain = NewRouter(RouterConfig{})

// every has the same router for every VRID.
func every(r *Router) func(uint8) *Router { return func(uint8) *Router { return r } }

// signing is a configuration with the keys 1 and 2, the active one as given.
func signing(t testing.TB, mode vrrp.AuthMode, active uint8) RouterConfig {
	t.Helper()
	keys := map[uint8]vrrp.Key{}
	for id := uint8(1); id <= 2; id++ {
		var err error
		if keys[id], err = vrrp.NewKey(bytes.Repeat([]byte{id}, vrrp.MinKeyLen)); err != nil {
			t.Fatal(err)
		}
	}
	return RouterConfig{Format: vrrp.Format{Auth: vrrp.AuthConfig{
		Mode: mode, Keys: keys, ActiveKey: active, Window: 5 * time.Second,
	}}}
}

// datagram is an advertisement of VRID 51 as a raw socket delivers it, after
// change.
func datagram(t testing.TB, src netip.Addr, change func(header []byte) []byte) []byte {
	t.Helper()
	h := make([]byte, ipv4HeaderLen)
	h[0], h[8], h[9] = 0x45, vrrp.TTL, vrrp.Protocol
	copy(h[12:], src.AsSlice())
	copy(h[16:], groupIPv4.AsSlice())
	if change != nil {
		h = change(h)
	}
	a := vrrp.Advert{VRID: 51, Priority: 100, Interval: time.Second, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.100")}}
	b, err := a.Append(h, vrrp.ChecksumPseudoHeader, src, groupIPv4)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// judgeIPv4 decides about a datagram as Conn does.
func judgeIPv4(b []byte, router func(uint8) *Router) (Packet, error) {
	h, payload, _, ok := splitIPv4(b, nil, nil)
	if !ok {
		return Packet{}, vrrp.DropTruncated
	}
	return judge(arrival, h, payload, own, router)
}

func TestJudge(t *testing.T) {
	only51 := func(vrid uint8) *Router {
		if vrid != 51 {
			return nil
		}
		return plain
	}
	stranger := netip.MustParseAddr("192.0.2.9")
	strangerOnly := signing(t, vrrp.AuthEnforce, 1)
	strangerOnly.Peers = []netip.Addr{stranger}
	signedOnly := NewRouter(signing(t, vrrp.AuthEnforce, 1))
	for _, tt := range []struct {
		name  string
		b     []byte
		known func(uint8) *Router
		want  error
	}{
		{"good", datagram(t, peer, nil), every(plain), nil},
		{"good, known", datagram(t, peer, nil), only51, nil},
		{"IP options", datagram(t, peer, func(h []byte) []byte { h[0] = 0x46; return append(h, 1, 1, 1, 1) }), every(plain), nil},
		{"own source", datagram(t, own, nil), every(plain), vrrp.DropOwnSource},
		{"forwarded", datagram(t, peer, func(h []byte) []byte { h[8] = 64; return h }), every(plain), vrrp.DropBadTTL},
		{"other group", datagram(t, peer, func(h []byte) []byte { h[19]++; return h }), every(plain), vrrp.DropBadChecksum},
		{"foreign VRID", datagram(t, peer, nil), every(nil), vrrp.DropUnknownVRID},
		{"IPv6", datagram(t, peer, func(h []byte) []byte { h[0] = 0x65; return h }), every(plain), vrrp.DropTruncated},
		{"short header length", datagram(t, peer, func(h []byte) []byte { h[0] = 0x44; return h }), every(plain), vrrp.DropTruncated},
		{"header longer than packet", datagram(t, peer, func(h []byte) []byte { h[0] = 0x4f; return h }), every(plain), vrrp.DropTruncated},
		{"not signed", datagram(t, peer, nil), every(signedOnly), vrrp.DropAuthMissing},
		{"of a peer", datagram(t, peer, nil), every(NewRouter(RouterConfig{Peers: []netip.Addr{stranger, peer}})), nil},
		{"of no peer", datagram(t, peer, nil), every(NewRouter(RouterConfig{Peers: []netip.Addr{stranger}})), vrrp.DropUnknownSender},
		{"of no peer, not signed", datagram(t, peer, nil), every(NewRouter(strangerOnly)), vrrp.DropUnknownSender},
		{"header only", datagram(t, peer, nil)[:20], every(plain), vrrp.DropTruncated},
		{"part of a header", datagram(t, peer, nil)[:19], every(plain), vrrp.DropTruncated},
		{"nothing", nil, every(plain), vrrp.DropTruncated},
	} {
		p, err := judgeIPv4(tt.b, tt.known)
		if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		if err == nil && (p.Src != peer || p.Advert.VRID != 51 || p.At != arrival) {
			t.Errorf("%s: %+v", tt.name, p)
		}
	}
}

func FuzzJudge(f *testing.F) {
	f.Add(datagram(f, peer, nil))
	f.Add(datagram(f, peer, func(h []byte) []byte { h[0] = 0x46; return append(h, 1, 1, 1, 1) }))
	f.Add([]byte{0x4f})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := judgeIPv4(b, every(plain))
		if _, ok := errors.AsType[vrrp.DropReason](err); err != nil && !ok {
			t.Errorf("error %v is no drop reason", err)
		}
		if err == nil && (p.Advert.VRID == 0 || p.Advert.Interval <= 0 || len(p.Advert.Addresses) == 0 || p.Src == own) {
			t.Errorf("accepted %+v", p)
		}
	})
}

func TestRetryable(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{nil, true},
		{fmt.Errorf("interface eth0: %w", netif.ErrNoInterface), true},
		{&net.OpError{Op: "read", Err: os.NewSyscallError("recvmmsg", syscall.ENETDOWN)}, true},
		{syscall.ENODEV, true},
		{syscall.ENOMEM, true},
		{syscall.EPERM, false},
		{os.NewSyscallError("socket", syscall.EACCES), false},
		{net.ErrClosed, false},
		{errors.New("anything else"), false},
	} {
		if got := retryable(tt.err); got != tt.want {
			t.Errorf("retryable(%v) = %t", tt.err, got)
		}
	}
}

func TestExplain(t *testing.T) {
	err := explain(os.NewSyscallError("socket", syscall.EPERM))
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "needs CAP_NET_RAW") {
		t.Error(err)
	}
	if err := explain(syscall.ENETDOWN); err != syscall.ENETDOWN {
		t.Error(err)
	}
}

// Only news is reported about drops; everything is counted.
func TestDropReportsAreRare(t *testing.T) {
	var got []Drop
	c := &Conn{opts: Options{OnDrop: func(d Drop) { got = append(got, d) }}}
	start := time.Unix(1000, 0)
	for i := range 25 {
		c.drop(start.Add(time.Duration(i)*time.Second), vrrp.DropBadTTL, peer)
	}
	c.drop(start, vrrp.DropTruncated, own)
	want := []Drop{
		{vrrp.DropBadTTL, peer, 1}, {vrrp.DropBadTTL, peer, 11}, {vrrp.DropBadTTL, peer, 21},
		{vrrp.DropTruncated, own, 1},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("reports %v, want %v", got, want)
	}
	if d := c.Drops(); len(d) != 2 || d[vrrp.DropBadTTL] != 25 || d[vrrp.DropTruncated] != 1 {
		t.Errorf("drops %v", d)
	}
}
