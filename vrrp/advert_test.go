package vrrp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	cmpAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

	group = netip.MustParseAddr("224.0.0.18")
	src1  = netip.MustParseAddr("192.0.2.1")
	dst2  = netip.MustParseAddr("192.0.2.2")
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func addrs(s ...string) []netip.Addr {
	out := make([]netip.Addr, len(s))
	for i := range s {
		out[i] = netip.MustParseAddr(s[i])
	}
	return out
}

// TestAdvertWire checks both directions against bytes that were not made by this
// code.
func TestAdvertWire(t *testing.T) {
	base := Advert{VRID: 51, Priority: 100, Interval: time.Second, Addresses: addrs("192.0.2.100")}
	release := base
	release.Priority = 0
	// The shortest and the longest interval, several addresses, the largest VRID.
	wide := Advert{VRID: 255, Priority: 255, Interval: MaxInterval, Addresses: addrs("192.0.2.100", "192.0.2.101", "198.51.100.7")}
	short := Advert{VRID: 1, Priority: 1, Interval: MinInterval, Addresses: addrs("192.0.2.100")}

	old := base
	old.Version = V2
	holo := Advert{Version: V2, VRID: 51, Priority: 30, Interval: time.Second, Addresses: addrs("10.0.1.5")}

	tests := []struct {
		name string
		adv  Advert
		form ChecksumForm
		dst  netip.Addr
		wire string
	}{
		{"pseudo-header, multicast", base, ChecksumPseudoHeader, group, "31336401 0064 0572 c0000264"},
		{"pseudo-header, unicast", base, ChecksumPseudoHeader, dst2, "31336401 0064 2382 c0000264"},
		{"message only", base, ChecksumMessageOnly, group, "31336401 0064 a802 c0000264"},
		{"message only does not depend on the destination", base, ChecksumMessageOnly, dst2, "31336401 0064 a802 c0000264"},
		{"release, pseudo-header", release, ChecksumPseudoHeader, group, "31330001 0064 6972 c0000264"},
		{"release, message only", release, ChecksumMessageOnly, group, "31330001 0064 0c03 c0000264"},
		{"longest interval, three addresses", wide, ChecksumMessageOnly, group,
			"31ffff03 0fff 0ff8 c0000264 c0000265 c6336407"},
		{"version 2", old, ChecksumMessageOnly, group, "21336401 0001 b865 c0000264 0000000000000000"},
		{"version 2 of holo", holo, ChecksumMessageOnly, group, "21331e01 0001 b5c5 0a000105 0000000000000000"},
		{"shortest interval", short, ChecksumMessageOnly, group, "31010101 0001 0b98 c0000264"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := unhex(t, tt.wire)
			prefix := []byte("ip header")
			got, err := tt.adv.Append(bytes.Clone(prefix), tt.form, src1, tt.dst)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, append(prefix, want...)) {
				t.Fatalf("Append:\n got %x\nwant %x%x", got, prefix, want)
			}
			adv, form, err := Parse(want, Header{Src: src1, Dst: tt.dst, TTL: 255})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.adv, adv, cmpAddr); diff != "" {
				t.Fatalf("Parse (-want +got):\n%s", diff)
			}
			if form != tt.form {
				t.Fatalf("checksum form %v, want %v", form, tt.form)
			}
		})
	}
}

// TestParseTrailer: the message has to be complete, not exact (RFC 9568, section
// 7.1). These bytes have the trailer of keepalived's authentication.
func TestParseTrailer(t *testing.T) {
	wire := unhex(t, "3133c80100644402c0000264 010100006800000080000000 1b84bc4e8e43892dc6d98448f8ee2265")
	adv, form, err := Parse(wire, Header{Src: netip.MustParseAddr("198.51.100.10"), Dst: group, TTL: 255})
	if err != nil {
		t.Fatal(err)
	}
	want := Advert{VRID: 51, Priority: 200, Interval: time.Second, Addresses: addrs("192.0.2.100")}
	if diff := cmp.Diff(want, adv, cmpAddr); diff != "" || form != ChecksumMessageOnly {
		t.Fatalf("form %v, advert (-want +got):\n%s", form, diff)
	}
}

// TestParseDrops has every discard, each made from one valid packet.
func TestParseDrops(t *testing.T) {
	valid := func() []byte { return unhex(t, "31336401 0064 a802 c0000264") }
	header := Header{Src: src1, Dst: group, TTL: 255}
	if _, _, err := Parse(valid(), header); err != nil {
		t.Fatal(err)
	}
	// resum makes the checksum right again, so that only the edit is wrong.
	resum := func(b []byte) []byte {
		b[6], b[7] = 0, 0
		sum := fold(onesSum(b))
		b[6], b[7] = byte(sum>>8), byte(sum)
		return b
	}
	set := func(i int, v byte) []byte {
		b := valid()
		b[i] = v
		return resum(b)
	}
	v6 := netip.MustParseAddr("fe80::1")

	tests := []struct {
		name    string
		payload []byte
		header  Header
		want    DropReason
	}{
		{"TTL 254", valid(), Header{Src: src1, Dst: group, TTL: 254}, DropBadTTL},
		{"TTL 0", valid(), Header{Src: src1, Dst: group, TTL: 0}, DropBadTTL},
		{"IPv6 source", valid(), Header{Src: v6, Dst: group, TTL: 255}, DropFamilyMismatch},
		{"IPv6 destination", valid(), Header{Src: src1, Dst: v6, TTL: 255}, DropFamilyMismatch},
		{"no addresses in the header", valid(), Header{TTL: 255}, DropFamilyMismatch},
		{"version 1", set(0, 0x11), header, DropBadVersion},
		{"version 2 without room for authentication", unhex(t, "21336401 0001 b865 c0000264"), header, DropTruncated},
		{"version 2, authentication cut", unhex(t, "21336401 0001 b865 c0000264 00000000000000"), header, DropTruncated},
		{"version 2, checksum off by one", unhex(t, "21336401 0001 b866 c0000264 0000000000000000"), header, DropBadChecksum},
		{"version 2, authentication not in the checksum", unhex(t, "21336401 0001 b865 c0000264 0000000000000001"), header, DropBadChecksum},
		{"version 2, pseudo-header in the checksum", unhex(t, "21336401 0001 15cd c0000264 0000000000000000"), header, DropBadChecksum},
		{"version 2, interval 0", unhex(t, "21336401 0000 b866 c0000264 0000000000000000"), header, DropZeroInterval},
		{"version 4", set(0, 0x41), header, DropBadVersion},
		{"type 2", set(0, 0x32), header, DropBadType},
		{"empty", nil, header, DropTruncated},
		{"header cut", valid()[:7], header, DropTruncated},
		{"address cut", valid()[:11], header, DropTruncated},
		{"no address at all", valid()[:8], header, DropTruncated},
		{"more addresses counted than sent", set(3, 2), header, DropTruncated},
		{"count 0", set(3, 0), header, DropZeroCount},
		{"checksum off by one", func() []byte { b := valid(); b[7]++; return b }(), header, DropBadChecksum},
		{"pseudo-header of another source", unhex(t, "31336401 0064 0572 c0000264"), Header{Src: dst2, Dst: group, TTL: 255}, DropBadChecksum},
		{"hop limit 254", wire6(t, ""), Header{Src: src6, Dst: group6, TTL: 254}, DropBadTTL},
		{"IPv4 destination of an IPv6 packet", wire6(t, ""), Header{Src: src6, Dst: group, TTL: 255}, DropFamilyMismatch},
		{"version 2 over IPv6", unhex(t, "21336401 0001 dfc9 c0000264 0000000000000000"), header6, DropBadVersion},
		{"IPv6 address cut", wire6(t, "")[:39], header6, DropTruncated},
		{"IPv4 addresses over IPv6", valid(), header6, DropTruncated},
		{"IPv6, checksum off by one", func() []byte { b := wire6(t, ""); b[7]++; return b }(), header6, DropBadChecksum},
		{"IPv6, no pseudo-header in the checksum", resum(wire6(t, "")), header6, DropBadChecksum},
		{"IPv6, trailer not in the checksum", append(wire6(t, ""), 1, 2), header6, DropBadChecksum},
		{"IPv6, global address first", unhex(t, "31336402 0064 dfc9 "+global6+linkLocal6), header6, DropNotLinkLocal},
		// ::ffff:169.254.1.1 is link-local in IPv4 only.
		{"IPv6, mapped address first", unhex(t, "31336401 0064 c148 00000000000000000000ffffa9fe0101"), header6, DropNotLinkLocal},
		{"interval 0", set(5, 0), header, DropZeroInterval},
		{"interval 0 with reserved bits", func() []byte { b := valid(); b[4], b[5] = 0xf0, 0; return resum(b) }(), header, DropZeroInterval},
		{"VRID 0", set(1, 0), header, DropUnknownVRID},
	}
	seen := map[DropReason]bool{DropOwnSource: true} // only callers use it
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			adv, _, err := Parse(tt.payload, tt.header)
			reason, ok := errors.AsType[DropReason](err)
			if !ok || reason != tt.want {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			if adv.VRID != 0 || adv.Addresses != nil {
				t.Fatalf("a dropped packet gave %+v", adv)
			}
		})
		seen[tt.want] = true
	}
	for r := DropFamilyMismatch; r <= DropOwnSource; r++ {
		if !seen[r] {
			t.Errorf("no packet is dropped for %v", r)
		}
	}
}

// TestParseReserved: the reserved bits are ignored (RFC 9568, section 5.2.6).
func TestParseReserved(t *testing.T) {
	b := unhex(t, "31336401 f064 0000 c0000264")
	sum := fold(onesSum(b))
	b[6], b[7] = byte(sum>>8), byte(sum)
	adv, _, err := Parse(b, Header{Src: src1, Dst: group, TTL: 255})
	if err != nil || adv.Interval != time.Second {
		t.Fatalf("interval %v, error %v", adv.Interval, err)
	}
}

// TestDropReasonLabels pins the labels: dashboards are built on them.
func TestDropReasonLabels(t *testing.T) {
	want := []string{
		"family-mismatch", "bad-ttl", "truncated", "bad-version", "bad-type",
		"zero-count", "bad-checksum", "zero-interval", "unknown-vrid", "first-not-link-local", "own-source",
		"unknown-sender", "socket-overflow", "version-mismatch", "auth-type-mismatch", "auth-bad-password",
		"auth-missing", "auth-malformed", "auth-outside-window", "auth-unknown-key",
		"auth-bad-digest", "auth-replayed", "too-many-senders",
		"interval-mismatch",
	}
	var got []string
	for r := DropFamilyMismatch; r < dropReasons; r++ {
		got = append(got, r.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("labels (-want +got):\n%s", diff)
	}
}

func TestAppendErrors(t *testing.T) {
	good := Advert{VRID: 1, Priority: 1, Interval: time.Second, Addresses: addrs("192.0.2.1")}
	tests := []struct {
		name string
		edit func(*Advert)
		want string
	}{
		{"VRID", func(a *Advert) { a.VRID = 0 }, "VRID 0"},
		{"interval too short", func(a *Advert) { a.Interval = MinInterval - 1 }, "interval 9.999999ms"},
		{"interval too long", func(a *Advert) { a.Interval = MaxInterval + centisecond }, "interval 40.96s"},
		{"interval between centiseconds", func(a *Advert) { a.Interval = 15 * time.Millisecond }, "steps of 10ms"},
		{"version", func(a *Advert) { a.Version = 7 }, "version(7)"},
		{"fraction of a second in version 2", func(a *Advert) { a.Version, a.Interval = V2, 1500*time.Millisecond }, "1s to 4m15s in steps of 1s"},
		{"256 s in version 2", func(a *Advert) { a.Version, a.Interval = V2, 256*time.Second }, "interval 4m16s"},
		{"no address", func(a *Advert) { a.Addresses = nil }, "0 addresses"},
		{"too many addresses", func(a *Advert) { a.Addresses = make([]netip.Addr, 256) }, "256 addresses"},
		{"no link-local address", func(a *Advert) { a.Addresses = addrs("2001:db8::1") }, "2001:db8::1 is not"},
		{"link-local address second", func(a *Advert) { a.Addresses = addrs("2001:db8::1", "fe80::1") }, "2001:db8::1 is not"},
		{"link-local in IPv4 only", func(a *Advert) { a.Addresses = addrs("::ffff:169.254.1.1") }, "::ffff:169.254.1.1 is not"},
		{"zone", func(a *Advert) { a.Addresses = addrs("fe80::1%eth0") }, "fe80::1%eth0 has a zone"},
		{"two families", func(a *Advert) { a.Addresses = addrs("fe80::1", "192.0.2.1") }, "fe80::1 and 192.0.2.1 are of two families"},
		{"not an address", func(a *Advert) { a.Addresses = make([]netip.Addr, 1) }, "an address is missing"},
		{"IPv6 in version 2", func(a *Advert) { a.Version, a.Addresses = V2, addrs("fe80::1") }, "version 2 is for IPv4"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := good
			tt.edit(&a)
			b, err := a.Append([]byte{1}, ChecksumPseudoHeader, src1, group)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want one about %q", err, tt.want)
			}
			if len(b) != 1 {
				t.Fatalf("wrote %x despite the error", b)
			}
		})
	}
	if _, err := good.Append(nil, ChecksumPseudoHeader, netip.Addr{}, group); err == nil {
		t.Error("no error without a source")
	}
	if _, err := good.Append(nil, ChecksumMessageOnly, src1, netip.MustParseAddr("ff02::12")); err == nil {
		t.Error("no error with an IPv6 destination")
	}
	good.Addresses = addrs("fe80::1")
	if _, err := good.Append(nil, ChecksumPseudoHeader, src1, group); err == nil {
		t.Error("no error for IPv6 addresses over IPv4")
	}
}

// FuzzParse: no packet panics, and one that is accepted says the same when it is
// sent again.
func FuzzParse(f *testing.F) {
	f.Add(unhex(f, "31336401 0064 0572 c0000264"), uint8(255), false)
	f.Add(unhex(f, "31336401 0064 a802 c0000264"), uint8(255), false)
	f.Add(unhex(f, "31ffff03 0fff 0ff8 c0000264 c0000265 c6336407"), uint8(255), false)
	f.Add(unhex(f, "3133c80100644402c0000264 010100006800000080000000 1b84bc4e8e43892dc6d98448f8ee2265"), uint8(255), false)
	f.Add(unhex(f, "21336401 0001 b865 c0000264 0000000000000000"), uint8(255), false)
	f.Add(wire6(f, ""), uint8(255), true)
	f.Add(unhex(f, vector6), uint8(255), true)
	f.Add(unhex(f, "31336402 0064 dbc4 "+linkLocal6+global6+"010203"), uint8(255), true)
	f.Add(unhex(f, "31336402 0064 dfc9 "+global6+linkLocal6), uint8(255), true)
	f.Fuzz(func(t *testing.T, payload []byte, ttl uint8, v6 bool) {
		src, dst := src1, group
		if v6 {
			src, dst = src6, group6
		}
		adv, form, err := Parse(payload, Header{Src: src, Dst: dst, TTL: ttl})
		if err != nil {
			if _, ok := errors.AsType[DropReason](err); !ok {
				t.Fatalf("error %v is not a DropReason", err)
			}
			return
		}
		b, err := adv.Append(nil, form, src, dst)
		if err != nil {
			t.Fatalf("%+v was received and cannot be sent: %v", adv, err)
		}
		again, form2, err := Parse(b, Header{Src: src, Dst: dst, TTL: 255})
		if err != nil || form2 != form {
			t.Fatalf("form %v became %v, error %v", form, form2, err)
		}
		if diff := cmp.Diff(adv, again, cmpAddr); diff != "" {
			t.Fatalf("(-first +again):\n%s", diff)
		}
	})
}

// TestAppendAllocates nothing when the buffer is large enough: one buffer serves
// all adverts of a router.
func TestAppendAllocates(t *testing.T) {
	adv := Advert{VRID: 51, Priority: 100, Interval: time.Second, Addresses: addrs("192.0.2.100", "192.0.2.101")}
	buf := make([]byte, 0, 64)
	n := testing.AllocsPerRun(100, func() {
		if _, err := adv.Append(buf, ChecksumPseudoHeader, src1, group); err != nil {
			t.Fatal(err)
		}
		if _, err := advert6.Append(buf, ChecksumPseudoHeader, src6, group6); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkAppend(b *testing.B) {
	adv := Advert{VRID: 51, Priority: 100, Interval: time.Second, Addresses: addrs("192.0.2.100", "192.0.2.101")}
	buf := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := adv.Append(buf, ChecksumPseudoHeader, src1, group); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	wire := unhex(b, "31336401 0064 0572 c0000264")
	h := Header{Src: src1, Dst: group, TTL: 255}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Parse(wire, h); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseDrop(b *testing.B) {
	wire := unhex(b, "31336401 0064 0573 c0000264")
	h := Header{Src: src1, Dst: group, TTL: 255}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Parse(wire, h); err == nil {
			b.Fatal("accepted")
		}
	}
}
