package wire

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

var address6 = netip.MustParseAddr("2001:db8::100")

// The packets as they must be on the wire, computed by another program: header,
// source, destination | type, code, checksum, flags | target | option.
const (
	hostAdvertisement = "60000000 0020 3aff 20010db8000000000000000000000100 ff020000000000000000000000000001 |" +
		"88 00 f72c 20000000 | 20010db8000000000000000000000100 | 0201 020000000001"
	routerAdvertisement = "60000000 0020 3aff 20010db8000000000000000000000100 ff020000000000000000000000000001 |" +
		"88 00 772c a0000000 | 20010db8000000000000000000000100 | 0201 020000000001"
	solicitationOfAddress = "60000000 0018 3aff 00000000000000000000000000000000 ff0200000000000000000001ff000100 |" +
		"87 00 4aef 00000000 | 20010db8000000000000000000000100"
	// answerTo is what the kernel of another machine answers to the question: the
	// message alone, as a raw socket delivers it.
	answerTo = "88 00 0000 20000000 | 20010db8000000000000000000000100 | 0201 020000000002"
)

func TestNDPPackets(t *testing.T) {
	for _, tt := range []struct {
		router bool
		want   string
	}{{false, hostAdvertisement}, {true, routerAdvertisement}} {
		got, err := advertisement(address6, ourMAC, tt.router)
		if err != nil || !bytes.Equal(got, unhex(t, tt.want)) {
			t.Errorf("router %t: %x, %v", tt.router, got, err)
		}
	}
	got, err := solicitation(address6)
	if err != nil || !bytes.Equal(got, unhex(t, solicitationOfAddress)) {
		t.Errorf("solicitation: %x, %v", got, err)
	}
	if got := destination(got).String(); got != "ff02::1:ff00:100" {
		t.Errorf("sent to %s", got)
	}
	for _, bad := range []struct {
		ip  netip.Addr
		mac net.HardwareAddr
	}{{address, ourMAC}, {netip.Addr{}, ourMAC}, {address6, nil}} {
		if got, err := advertisement(bad.ip, bad.mac, false); err == nil {
			t.Errorf("advertisement(%v, %v) = %x, want an error", bad.ip, bad.mac, got)
		}
	}
	if got, err := solicitation(address); err == nil {
		t.Errorf("solicitation of an IPv4 address: %x", got)
	}
}

func TestParseAdvertisement(t *testing.T) {
	theirs := claim{ip: address6, mac: [6]byte(theirMAC)}
	for _, tt := range []struct {
		name, message string
		hopLimit      int
		want          claim
	}{
		{"answer", answerTo, 255, theirs},
		{"another option before", strings.Replace(answerTo, "| 0201", "| 0e01 000000000000 0201", 1), 255, theirs},
		{"through a router", answerTo, 254, claim{}},
		{"code 1", strings.Replace(answerTo, "88 00", "88 01", 1), 255, claim{}},
		{"a question", "87 00 0000 00000000 | 20010db8000000000000000000000100", 255, claim{}},
		{"no option", answerTo[:len(answerTo)-17], 255, claim{}},
		{"the source's option", strings.Replace(answerTo, "0201", "0101", 1), 255, claim{}},
		{"an option of length 0", strings.Replace(answerTo, "0201", "0200", 1), 255, claim{}},
		{"an option beyond the end", strings.Replace(answerTo, "0201", "0202", 1), 255, claim{}},
		{"for a group", strings.Replace(answerTo, "| 2001", "| ff02", 1), 255, claim{}},
		{"cut off", "88 00 0000 20000000 | 20010db80000", 255, claim{}},
		{"one byte", "88", 255, claim{}},
		{"empty", "", 255, claim{}},
	} {
		got, ok := parseAdvertisement(unhex(t, tt.message), tt.hopLimit)
		if got != tt.want || ok != (tt.want != claim{}) {
			t.Errorf("%s: %v, %t; want %v", tt.name, got, ok, tt.want)
		}
	}
}

func FuzzParseAdvertisement(f *testing.F) {
	f.Add(unhex(f, answerTo))
	f.Add(unhex(f, hostAdvertisement)[ipv6HeaderLen:])
	f.Add(unhex(f, solicitationOfAddress)[ipv6HeaderLen:])
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, ok := parseAdvertisement(b, 255); ok && (!c.ip.Is6() || c.ip.IsMulticast() || b[0] != 136) {
			t.Errorf("claim %v", c)
		}
	})
}

// script is a socket whose hear ends with err, at once or when a deadline passes.
type script struct {
	err    error
	ended  chan struct{} // closed by a deadline
	closed bool
}

func (s *script) announce(netip.Addr) error { return nil }
func (s *script) ask(netip.Addr) error      { return nil }

func (s *script) Close() error {
	s.closed = true
	return nil
}

func (s *script) SetReadDeadline(time.Time) error {
	select {
	case <-s.ended:
	default:
		close(s.ended)
	}
	return nil
}

func (s *script) hear() (claim, bool, error) {
	if s.err != nil {
		return claim{}, false, s.err
	}
	<-s.ended
	return claim{}, false, os.ErrDeadlineExceeded
}

// TestFinders: when one socket fails, reading ends with its error, and not with
// the one that it is ended by.
func TestFinders(t *testing.T) {
	broken := errors.New("broken")
	for _, f := range []*finders{
		{arp: &script{err: broken, ended: make(chan struct{})}, ndp: &script{ended: make(chan struct{})}},
		{arp: &script{ended: make(chan struct{})}, ndp: &script{err: broken, ended: make(chan struct{})}},
		{arp: &script{err: broken, ended: make(chan struct{})}},
	} {
		err := f.each(func(n finder) error {
			_, _, err := n.hear()
			return err
		})
		if !errors.Is(err, broken) {
			t.Errorf("ended with %v", err)
		}
		if err := f.Close(); err != nil || !f.arp.(*script).closed || f.ndp != nil && !f.ndp.(*script).closed {
			t.Errorf("close: %v, %+v", err, f)
		}
	}
}

// TestNoIPv6 is a machine whose kernel has been started without.
func TestNoIPv6(t *testing.T) {
	f := &finders{arp: &script{}}
	if n, err := f.of(address); err != nil || n != f.arp {
		t.Errorf("for IPv4: %v, %v", n, err)
	}
	if n, err := f.of(address6); !errors.Is(err, errNoIPv6) {
		t.Errorf("for IPv6: %v, %v", n, err)
	}
}
