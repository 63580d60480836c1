package vrrp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	group6  = netip.MustParseAddr("ff02::12")
	src6    = netip.MustParseAddr("fe80::1")
	dst6    = netip.MustParseAddr("fe80::2")
	header6 = Header{Src: src6, Dst: group6, TTL: 255}
	vip6    = addrs("fe80::5eff:fe00:233", "2001:db8::100")
	advert6 = Advert{VRID: 51, Priority: 100, Interval: time.Second, Addresses: vip6}
)

// The addresses of vip6 as messages have them.
const (
	linkLocal6 = "fe8000000000000000005efffe000233"
	global6    = "20010db8000000000000000000000100"
)

// vector6 is what vector is, over IPv6 from src6: computed by another program from
// the description in trailer.go.
const vector6 = "3133c802 0064 1c40 " + linkLocal6 + global6 + "010100006800000080000000 7968d3087392aba8c38f4e24debf1a4b"

// wire6 is advert6 from src6 to group6, and what follows it.
func wire6(t testing.TB, more string) []byte {
	return unhex(t, "31336402 0064 dfc9 "+linkLocal6+global6+more)
}

// TestAdvertWire6 is TestAdvertWire over IPv6.
func TestAdvertWire6(t *testing.T) {
	release := advert6
	release.Priority = 0
	one := Advert{VRID: 255, Priority: 255, Interval: MaxInterval, Addresses: vip6[:1]}
	for _, tt := range []struct {
		name string
		adv  Advert
		dst  netip.Addr
		wire string
	}{
		{"multicast", advert6, group6, "31336402 0064 dfc9 " + linkLocal6 + global6},
		{"unicast", advert6, dst6, "31336402 0064 e05b " + linkLocal6 + global6},
		{"release", release, group6, "31330002 0064 43ca " + linkLocal6 + global6},
		{"the link-local address alone", one, group6, "31ffff01 0fff 632c " + linkLocal6},
	} {
		for _, form := range []ChecksumForm{ChecksumPseudoHeader, ChecksumMessageOnly} { // no matter which
			want, prefix := unhex(t, tt.wire), []byte("ip header")
			got, err := tt.adv.Append(bytes.Clone(prefix), form, src6, tt.dst)
			if err != nil || !bytes.Equal(got, append(prefix, want...)) {
				t.Errorf("%s, Append:\n got %x\nwant %x%x, %v", tt.name, got, prefix, want, err)
			}
			adv, heard, err := Parse(want, Header{Src: src6, Dst: tt.dst, TTL: 255})
			if err != nil || heard != ChecksumPseudoHeader {
				t.Errorf("%s, Parse: form %v, %v", tt.name, heard, err)
			}
			if diff := cmp.Diff(tt.adv, adv, cmpAddr); diff != "" {
				t.Errorf("%s, Parse (-want +got):\n%s", tt.name, diff)
			}
		}
	}
}

// TestParseTrailer6: over IPv6 the checksum covers what follows the message, too,
// whatever it is and of whatever length.
func TestParseTrailer6(t *testing.T) {
	odd := wire6(t, "010203")
	binary.BigEndian.PutUint16(odd[checksumAt:], 0xdbc4)
	for _, wire := range [][]byte{unhex(t, vector6), odd} {
		adv, _, err := Parse(wire, header6)
		if err != nil || !sameAddresses(adv.Addresses, vip6) {
			t.Errorf("%x: %v, %v", wire, adv.Addresses, err)
		}
	}
}

// TestVector6 is TestVector over IPv6.
func TestVector6(t *testing.T) {
	want := unhex(t, vector6)
	a := advert6
	a.Priority = 200
	got, err := NewCodec(authFormat(t, nil)).Append([]byte("ip"), vectorTime(), a, src6, group6)
	if err != nil || !bytes.Equal(got, append([]byte("ip"), want...)) {
		t.Errorf("Append:\n got %x\nwant %x, %v", got, want, err)
	}
	for _, tt := range []struct {
		name string
		edit func([]byte) []byte
		src  netip.Addr
		want DropReason // 0: accepted
	}{
		{"as it was sent", func(b []byte) []byte { return b }, src6, 0},
		{"another source", func(b []byte) []byte { return b }, dst6, DropAuthBadDigest},
		{"another address", func(b []byte) []byte { b[39]++; return b }, src6, DropAuthBadDigest},
		{"another digest", func(b []byte) []byte { b[67]++; return b }, src6, DropAuthBadDigest},
		{"no trailer", func(b []byte) []byte { return b[:40] }, src6, DropAuthMissing},
		{"a trailer and a byte", func(b []byte) []byte { return append(b, 0) }, src6, DropAuthMalformed},
	} {
		// Whoever makes the checksum right again is found out by the digest.
		b := tt.edit(unhex(t, vector6))
		b[6], b[7] = 0, 0
		binary.BigEndian.PutUint16(b[6:], fold(onesSum(b)+pseudoHeaderSum(tt.src, group6, len(b))))
		err := accept(NewCodec(authFormat(t, nil)), vectorTime(), b, tt.src)
		if reason, _ := errors.AsType[DropReason](err); reason != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// TestStartup6: an IPv6 router starts with a link-local address of its own only,
// because nobody else can be told apart by it (RFC 9568, section 5.1.2.1).
func TestStartup6(t *testing.T) {
	v6, v4 := config(func(c *Config) { c.Addresses = vip6 }), config(nil)
	for _, tt := range []struct {
		cfg     Config
		primary string
		want    string
	}{
		{v6, "fe80::1", "backup"},
		{v6, "2001:db8::1", "note"},
		{v6, "fe80::1%eth0", "note"}, // would not be equal to the source of a packet
		{v6, "192.0.2.1", "note"},
		{v6, "::ffff:169.254.1.1", "note"},
		{v4, "fe80::1", "note"},
		{v4, "::ffff:192.0.2.1", "note"},
	} {
		_, actions := run(tt.cfg, input{0, Startup{netip.MustParseAddr(tt.primary)}})
		if got := brief(actions); got != tt.want {
			t.Errorf("%v with %s: %q, want %q", tt.cfg.Addresses[0], tt.primary, got, tt.want)
		}
	}
}

// TestFamilyStays: a router of the other family is another one, whose primary
// address is another, too.
func TestFamilyStays(t *testing.T) {
	m, _ := run(config(nil), startup)
	defer func() {
		if text, _ := recover().(string); !strings.Contains(text, "cannot change their family") {
			t.Errorf("panic %q", text)
		}
	}()
	m.Step(epoch, Reconfigure{config(func(c *Config) { c.Addresses = vip6 })})
}

// TestSameAddresses6: the order has no meaning but for the first address.
func TestSameAddresses6(t *testing.T) {
	a := addrs("fe80::1", "2001:db8::1", "2001:db8::2", "fe80::2")
	for _, tt := range []struct {
		b    []netip.Addr
		want bool
	}{
		{addrs("fe80::1", "fe80::2", "2001:db8::2", "2001:db8::1"), true},
		{addrs("fe80::2", "2001:db8::1", "2001:db8::2", "fe80::1"), false},
		{a[:3], false},
		{addrs("fe80::1", "2001:db8::1", "2001:db8::2", "fe80::3"), false},
		{addrs("10.77.0.100"), false},
	} {
		if got := sameAddresses(tt.b, a); got != tt.want {
			t.Errorf("%v like %v: %v", tt.b, a, got)
		}
	}
}
