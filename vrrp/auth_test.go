package vrrp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

var (
	signer = netip.MustParseAddr("198.51.100.10")
)

// vector is an advertisement that another implementation signed: key 00 01 … 1f,
// key id 1, no pseudo-header in its checksum.
const vector = "3133c80100644402c0000264 010100006800000080000000 1b84bc4e8e43892dc6d98448f8ee2265"

func testKey(t testing.TB, first byte) Key {
	t.Helper()
	b := make([]byte, MinKeyLen)
	for i := range b {
		b[i] = first + byte(i)
	}
	k, err := NewKey(b)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// authFormat is a format with key 1 of the vector, after edit.
func authFormat(t testing.TB, edit func(*AuthConfig)) Format {
	t.Helper()
	f := Format{Checksum: ChecksumMessageOnly, Auth: AuthConfig{
		Mode: AuthEnforce, Keys: map[uint8]Key{1: testKey(t, 0)}, ActiveKey: 1, Window: 5 * time.Second,
	}}
	if edit != nil {
		edit(&f.Auth)
	}
	return f
}

func mode(m AuthMode) func(*AuthConfig) { return func(c *AuthConfig) { c.Mode = m } }

func monotonic(c *AuthConfig) { c.Replay = ReplayMonotonic }

// accept parses and judges a packet as package wire does.
func accept(c *Codec, at time.Time, payload []byte, src netip.Addr) error {
	h := Header{Src: src, Dst: group, TTL: TTL}
	if src.Is6() {
		h.Dst = group6
	}
	a, _, err := Parse(payload, h)
	if err != nil {
		return err
	}
	return c.Accept(at, payload, h, a)
}

// signed is an advertisement of c.
func signed(t testing.TB, c *Codec, at time.Time, src netip.Addr) []byte {
	t.Helper()
	a := Advert{VRID: 51, Priority: 200, Interval: time.Second, Addresses: addrs("192.0.2.100")}
	b, err := c.Append(nil, at, a, src, group)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The vector's seconds are 0x68000000.
func vectorTime() time.Time { return time.Unix(0x68000000, 500_000_000) }

// TestVector signs the packet of another implementation, byte for byte, and
// accepts it.
func TestVector(t *testing.T) {
	want := unhex(t, vector)
	prefix := []byte("ip header")
	a := Advert{VRID: 51, Priority: 200, Interval: time.Second, Addresses: addrs("192.0.2.100")}
	got, err := NewCodec(authFormat(t, nil)).Append(bytes.Clone(prefix), vectorTime(), a, signer, group)
	if err != nil || !bytes.Equal(got, append(prefix, want...)) {
		t.Errorf("Append:\n got %x\nwant %x%x, %v", got, prefix, want, err)
	}
	if err := accept(NewCodec(authFormat(t, nil)), vectorTime(), want, signer); err != nil {
		t.Error(err)
	}
}

// TestAuthDrops has every reason to refuse a packet, each made from the vector,
// and the order in which they are judged: an edit that several checks would find
// is found by the first.
func TestAuthDrops(t *testing.T) {
	set := func(at int, v byte) []byte {
		b := unhex(t, vector)
		b[at] = v
		return b
	}
	whole, at := unhex(t, vector), vectorTime()
	for _, tt := range []struct {
		name    string
		payload []byte
		at      time.Time
		src     netip.Addr
		want    DropReason // 0: accepted
	}{
		{"as it was sent", whole, at, signer, 0},
		{"no trailer", whole[:12], at, signer, DropAuthMissing},
		{"a byte of a trailer", whole[:13], at, signer, DropAuthMalformed},
		{"a trailer cut by a byte", whole[:len(whole)-1], at, signer, DropAuthMalformed},
		{"a trailer and a byte", append(unhex(t, vector), 0), at, signer, DropAuthMalformed},
		{"type 0", set(12, 0), at, signer, DropAuthMalformed},
		{"type 2, much too late", set(12, 2), at.Add(time.Hour), signer, DropAuthMalformed},
		{"first reserved byte", set(14, 1), at, signer, DropAuthMalformed},
		{"second reserved byte", set(15, 0x80), at, signer, DropAuthMalformed},
		{"5 s late", whole, at.Add(5 * time.Second), signer, 0},
		{"5 s early", whole, at.Add(-5 * time.Second), signer, 0},
		{"6 s late", whole, at.Add(6 * time.Second), signer, DropAuthWindow},
		{"6 s early", whole, at.Add(-6 * time.Second), signer, DropAuthWindow},
		{"late, unknown key", set(13, 2), at.Add(6 * time.Second), signer, DropAuthWindow},
		{"unknown key", set(13, 2), at, signer, DropAuthUnknownKey},
		{"key 0", set(13, 0), at, signer, DropAuthUnknownKey},
		{"last bit of the digest", set(39, 0x64), at, signer, DropAuthBadDigest},
		{"counter", set(22, 1), at, signer, DropAuthBadDigest},
		{"another source", whole, at, src1, DropAuthBadDigest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := accept(NewCodec(authFormat(t, nil)), tt.at, tt.payload, tt.src)
			if reason, _ := errors.AsType[DropReason](err); reason != tt.want {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

// TestDigestCoversMessage: whoever changes the message and its checksum, too, is
// found out.
func TestDigestCoversMessage(t *testing.T) {
	for _, at := range []int{1, 2, 5, 8, 11} {
		b := unhex(t, vector)
		b[at] ^= 1
		b[6], b[7] = 0, 0
		binary.BigEndian.PutUint16(b[6:], fold(onesSum(b[:12])))
		if err := accept(NewCodec(authFormat(t, nil)), vectorTime(), b, signer); !errors.Is(err, DropAuthBadDigest) {
			t.Errorf("byte %d: %v", at, err)
		}
	}
	// The checksum itself is not covered: its form may change on the way.
	a := Advert{VRID: 51, Priority: 200, Interval: time.Second, Addresses: addrs("192.0.2.100")}
	b, err := a.Append(nil, ChecksumPseudoHeader, signer, group)
	if err != nil {
		t.Fatal(err)
	}
	b = append(b, unhex(t, vector)[12:]...)
	if err := accept(NewCodec(authFormat(t, nil)), vectorTime(), b, signer); err != nil {
		t.Errorf("with the other checksum: %v", err)
	}
}

func TestAuthModes(t *testing.T) {
	const plain, good, bad = 0, 1, 2
	packets := map[int][]byte{plain: unhex(t, vector)[:12], good: unhex(t, vector), bad: unhex(t, vector)}
	packets[bad][39]++
	for _, tt := range []struct {
		mode  AuthMode
		signs bool
		takes map[int]bool
	}{
		{AuthOff, false, map[int]bool{plain: true, good: true, bad: true}},
		{AuthReceiveOnly, false, map[int]bool{plain: true, good: true}},
		{AuthPermissive, true, map[int]bool{plain: true, good: true}},
		{AuthEnforce, true, map[int]bool{good: true}},
	} {
		c := NewCodec(authFormat(t, mode(tt.mode)))
		if n := len(signed(t, c, vectorTime(), signer)); (n == 40) != tt.signs {
			t.Errorf("%v sends %d bytes", tt.mode, n)
		}
		for kind, b := range packets {
			if err := accept(c, vectorTime(), b, signer); (err == nil) != tt.takes[kind] {
				t.Errorf("%v, packet %d: %v", tt.mode, kind, err)
			}
		}
	}
}

// TestReplay sends the packets of one sender in an order of an attacker's choice.
func TestReplay(t *testing.T) {
	for _, edit := range []func(*AuthConfig){nil, monotonic} {
		from, to := NewCodec(authFormat(t, edit)), NewCodec(authFormat(t, edit))
		at := vectorTime()
		var sent [][]byte
		for range 4 { // in the same instant: the counter tells them apart
			sent = append(sent, signed(t, from, at, signer))
		}
		for i, want := range []struct {
			packet int
			reason DropReason
		}{{1, 0}, {1, DropAuthReplayed}, {0, DropAuthReplayed}, {3, 0}, {2, DropAuthReplayed}, {3, DropAuthReplayed}} {
			err := accept(to, at, sent[want.packet], signer)
			if reason, _ := errors.AsType[DropReason](err); reason != want.reason {
				t.Errorf("step %d: %v, want %v", i, err, want.reason)
			}
		}
		// Another sender has a sequence of its own.
		if err := accept(to, at, signed(t, NewCodec(authFormat(t, edit)), at, src1), src1); err != nil {
			t.Errorf("another sender: %v", err)
		}
	}
}

// TestMarkNeedsDigest: a forged packet from the future does not shut the real
// sender out.
func TestMarkNeedsDigest(t *testing.T) {
	c, at := NewCodec(authFormat(t, nil)), vectorTime()
	forged := signed(t, NewCodec(authFormat(t, nil)), at.Add(4*time.Second), signer)
	forged[39]++
	if err := accept(c, at, forged, signer); !errors.Is(err, DropAuthBadDigest) {
		t.Fatal(err)
	}
	if err := accept(c, at, unhex(t, vector), signer); err != nil {
		t.Errorf("the real sender: %v", err)
	}
	if len(c.auth.marks) != 1 {
		t.Errorf("marks %v", c.auth.marks)
	}
}

// TestClockStepsBack: the sender's clock was an hour ahead and is put right.
func TestClockStepsBack(t *testing.T) {
	now := vectorTime()
	for _, tt := range []struct {
		name  string
		edit  func(*AuthConfig)
		step  time.Duration
		after time.Duration // from now, of the next trailer, in whole seconds
	}{
		{"within the window the sequence grows on", nil, 4 * time.Second, 4 * time.Second},
		{"beyond it the clock counts", nil, time.Hour, 0},
		{"monotonic grows on in any case", monotonic, time.Hour, time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			from, to := NewCodec(authFormat(t, tt.edit)), NewCodec(authFormat(t, tt.edit))
			// The receiver's clock was wrong as well, or it would not have listened.
			if err := accept(to, now.Add(tt.step), signed(t, from, now.Add(tt.step), signer), signer); err != nil {
				t.Fatal(err)
			}
			b := signed(t, from, now, signer)
			if got := offset(binary.BigEndian.Uint64(b[16:]), now); got != tt.after {
				t.Errorf("the sequence is %v ahead, want %v", got, tt.after)
			}
			if err := accept(to, now, b, signer); err != nil {
				t.Errorf("after the step: %v", err)
			}
		})
	}
}

// TestSequenceWraps: 2106 is an ordinary year.
func TestSequenceWraps(t *testing.T) {
	before := time.Unix(1<<32-1, 999_999_999)
	after := before.Add(time.Millisecond)
	if sequence(after)>>32 != 0 || !later(sequence(after), sequence(before)) || later(sequence(before), sequence(after)) {
		t.Errorf("%x after %x", sequence(after), sequence(before))
	}
	from, to := NewCodec(authFormat(t, nil)), NewCodec(authFormat(t, nil))
	for _, at := range []time.Time{before, after} {
		if err := accept(to, at, signed(t, from, at, signer), signer); err != nil {
			t.Errorf("at %v: %v", at, err)
		}
	}
}

// TestSendersAreBounded: not even who has the key can fill the memory.
func TestSendersAreBounded(t *testing.T) {
	at := vectorTime()
	host := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	for _, tt := range []struct {
		edit  func(*AuthConfig)
		later error // once the marks have expired
	}{{nil, nil}, {monotonic, DropTooManySenders}} {
		from, to := NewCodec(authFormat(t, tt.edit)), NewCodec(authFormat(t, tt.edit))
		for i := range maxSenders {
			if err := accept(to, at, signed(t, from, at, host(i)), host(i)); err != nil {
				t.Fatalf("sender %d: %v", i, err)
			}
		}
		more := host(maxSenders)
		if err := accept(to, at, signed(t, from, at, more), more); !errors.Is(err, DropTooManySenders) {
			t.Errorf("one more sender: %v", err)
		}
		if err := accept(to, at, signed(t, from, at, host(7)), host(7)); err != nil {
			t.Errorf("a known sender: %v", err)
		}
		soon := at.Add(10 * time.Second)
		if err := accept(to, soon, signed(t, from, soon, more), more); !errors.Is(err, tt.later) {
			t.Errorf("one more sender, later: %v, want %v", err, tt.later)
		}
		if len(to.auth.marks) > maxSenders {
			t.Errorf("%d marks", len(to.auth.marks))
		}
	}
}

// TestRotation goes through the steps of a change of keys on two routers, one
// after the other, and misses no advertisement.
func TestRotation(t *testing.T) {
	keys := func(active uint8, ids ...uint8) Format {
		return authFormat(t, func(c *AuthConfig) {
			c.ActiveKey, c.Keys = active, map[uint8]Key{}
			for _, id := range ids {
				c.Keys[id] = testKey(t, id)
			}
		})
	}
	a, b := NewCodec(keys(1, 1)), NewCodec(keys(1, 1))
	at := vectorTime()
	exchange := func() {
		t.Helper()
		at = at.Add(100 * ms)
		for _, pair := range [][2]*Codec{{a, b}, {b, a}} {
			if err := accept(pair[1], at, signed(t, pair[0], at, signer), signer); err != nil {
				t.Fatal(err)
			}
		}
	}
	exchange()
	old := signed(t, a, at, signer)
	for _, f := range []Format{keys(1, 1, 2), keys(2, 1, 2), keys(2, 2)} {
		a.SetFormat(f)
		exchange()
		b.SetFormat(f)
		exchange()
		if err := accept(b, at, old, signer); err == nil {
			t.Error("a change of keys allows a replay")
		}
	}
	if err := accept(b, at, old, signer); !errors.Is(err, DropAuthUnknownKey) {
		t.Errorf("signed with the old key: %v", err)
	}
}

func TestAuthConfigErrors(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*AuthConfig)
		want string
	}{
		{"mode", func(c *AuthConfig) { c.Mode = 9 }, "auth-mode(9)"},
		{"replay", func(c *AuthConfig) { c.Replay = 9 }, "replay-mode(9)"},
		{"no key", func(c *AuthConfig) { c.Keys = nil }, "without a key"},
		{"no key, receive-only", func(c *AuthConfig) { c.Keys, c.Mode = nil, AuthReceiveOnly }, "without a key"},
		{"active key", func(c *AuthConfig) { c.ActiveKey = 2 }, "active key 2 is not defined"},
		{"no active key", func(c *AuthConfig) { c.ActiveKey = 0 }, "active key 0 is not defined"},
		{"key id", func(c *AuthConfig) { c.Keys[0] = c.Keys[1] }, "key 0"},
		{"empty key", func(c *AuthConfig) { c.Keys[2] = Key{} }, "key 2"},
		{"short window", func(c *AuthConfig) { c.Window = MinWindow - 1 }, "window"},
		{"long window", func(c *AuthConfig) { c.Window = MaxWindow + 1 }, "window"},
	} {
		f := authFormat(t, tt.edit)
		if err := f.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want one about %q", tt.name, err, tt.want)
		}
	}
	for _, edit := range []func(*AuthConfig){
		nil,
		func(c *AuthConfig) { c.Mode, c.ActiveKey = AuthReceiveOnly, 0 },
		func(c *AuthConfig) { *c = AuthConfig{} },
		func(c *AuthConfig) { c.Replay, c.Window = ReplayMonotonic, 0 },
	} {
		if err := authFormat(t, edit).Validate(); err != nil {
			t.Error(err)
		}
	}
	for _, n := range []int{0, MinKeyLen - 1, MaxKeyLen + 1} {
		if _, err := NewKey(make([]byte, n)); err == nil {
			t.Errorf("a key of %d bytes", n)
		}
	}
}

// TestKeysStaySecret: not even a whole configuration shows a key.
func TestKeysStaySecret(t *testing.T) {
	secret := "correct horse battery staple 0123"
	k, err := NewKey([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	f := authFormat(t, func(c *AuthConfig) { c.Keys[1] = k })
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{k, &k, f, &f, f.Auth.Keys, NewCodec(f)} {
			got := fmt.Sprintf(verb, v)
			for _, leak := range []string{secret[:7], fmt.Sprintf("%x", secret)[:14], fmt.Sprint([]byte(secret))[1:12]} {
				if strings.Contains(got, leak) {
					t.Errorf("%s of %T shows the key: %s", verb, v, got)
				}
			}
		}
	}
}

// FuzzAccept: no packet panics or moves a mark unless it is authentic, and the
// only authentic one that the fuzzer can know is the vector.
func FuzzAccept(f *testing.F) {
	f.Add(unhex(f, vector), int64(0), false)
	f.Add(unhex(f, vector), int64(-5), false)
	f.Add(unhex(f, vector)[:12], int64(0), false)
	f.Add(unhex(f, vector)[:20], int64(0), false)
	f.Add(append(unhex(f, vector), 0), int64(1<<40), false)
	f.Add(unhex(f, vector6), int64(0), true)
	f.Add(unhex(f, vector6)[:40], int64(0), true)
	format, v4, v6 := authFormat(f, nil), unhex(f, vector), unhex(f, vector6)
	f.Fuzz(func(t *testing.T, payload []byte, late int64, ipv6 bool) {
		src, want := signer, v4
		if ipv6 {
			src, want = src6, v6
		}
		c := NewCodec(format)
		err := accept(c, vectorTime().Add(time.Duration(late%1000)*time.Second), payload, src)
		if err == nil != (len(c.auth.marks) == 1) {
			t.Fatalf("error %v, marks %v", err, c.auth.marks)
		}
		if err == nil {
			want, got := bytes.Clone(want), bytes.Clone(payload)
			want[6], want[7], got[6], got[7] = 0, 0, 0, 0
			if !bytes.Equal(want, got) {
				t.Fatalf("accepted %x", payload)
			}
			return
		}
		if _, ok := errors.AsType[DropReason](err); !ok {
			t.Fatalf("error %v is not a DropReason", err)
		}
	})
}

// TestAuthAllocates nothing, however many packets come.
func TestAuthAllocates(t *testing.T) {
	from, to, at := NewCodec(authFormat(t, nil)), NewCodec(authFormat(t, nil)), vectorTime()
	a := Advert{VRID: 51, Priority: 200, Interval: time.Second, Addresses: addrs("192.0.2.100")}
	buf, h := make([]byte, 0, 64), Header{Src: signer, Dst: group, TTL: TTL}
	n := testing.AllocsPerRun(100, func() {
		b, err := from.Append(buf, at, a, signer, group)
		if err == nil {
			err = to.Accept(at, b, h, a)
		}
		if err != nil {
			t.Fatal(err)
		}
		if to.Accept(at, b, h, a) == nil {
			t.Fatal("a replay")
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAppendSigned(b *testing.B) {
	c, at := NewCodec(authFormat(b, nil)), vectorTime()
	a := Advert{VRID: 51, Priority: 200, Interval: time.Second, Addresses: addrs("192.0.2.100")}
	buf := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Append(buf, at, a, signer, group); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAcceptForged is what a flood of forged packets costs each.
func BenchmarkAcceptForged(b *testing.B) {
	c, at := NewCodec(authFormat(b, nil)), vectorTime()
	payload := unhex(b, vector)
	payload[39]++
	h := Header{Src: signer, Dst: group, TTL: TTL}
	a, _, err := Parse(payload, h)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if c.Accept(at, payload, h, a) == nil {
			b.Fatal("accepted")
		}
	}
}
