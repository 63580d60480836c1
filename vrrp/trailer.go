package vrrp

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"net/netip"
	"time"
)

// The trailer that authenticates an advertisement. It is that of keepalived 2.4.2
// and later, and follows the VRRP message:
//
//	0     1       2-3   4-7                8-9                   10-11    12-27
//	Type  Key id  zero  seconds since the  binary fraction of a  counter  the first 16 bytes
//	1                   epoch (UTC)        second                         of HMAC-SHA256
//
// Bytes 4 to 11 are one number, the sequence: the time, made to grow with every
// advertisement. The HMAC covers a pseudo-header (the IP version, 4 or 6, then the
// version, the VRID, zero, and the source in 16 bytes), the message with its
// checksum as zero, and the trailer with its HMAC as zero. The VRRP checksum covers
// the trailer over IPv6, and does not over IPv4.
const (
	trailerLen  = 28
	trailerHead = 12 // what comes before the HMAC
	macLen      = trailerLen - trailerHead
	typeHMAC    = 1
	checksumAt  = 6 // of the message
)

// authenticator appends and verifies the trailers of one virtual router. Package
// wire sees to it that one goroutine at a time uses it.
type authenticator struct {
	cfg AuthConfig
	// macs are by key id. They are functions because a hash would show its key when
	// it is printed.
	macs map[uint8]func() hash.Hash

	sent bool
	last uint64 // the sequence of the latest trailer, if sent
	// marks are the highest sequence that was accepted of each sender. Only who
	// has a key gets in here.
	marks map[netip.Addr]uint64

	// Memory, so that no packet costs an allocation.
	pseudo [20]byte
	sum    [sha256.Size]byte
}

// zeros stand for the checksum and the HMAC.
var zeros [macLen]byte

// configure puts keys and mode in place. What was sent and heard stays known: a
// change of keys is no chance for a replay.
func (a *authenticator) configure(cfg AuthConfig) {
	a.cfg, a.macs = cfg, make(map[uint8]func() hash.Hash, len(cfg.Keys))
	for id, k := range cfg.Keys {
		mac := hmac.New(sha256.New, k.secret())
		a.macs[id] = func() hash.Hash { return mac }
	}
	if a.marks == nil {
		a.marks = make(map[netip.Addr]uint64)
	}
}

// sign appends the trailer of msg, which is the message at the end of b.
func (a *authenticator) sign(b, msg []byte, at time.Time, src netip.Addr) []byte {
	start := len(b)
	b = append(b, typeHMAC, a.cfg.ActiveKey, 0, 0)
	b = binary.BigEndian.AppendUint64(b, a.next(at))
	return append(b, a.mac(a.macs[a.cfg.ActiveKey](), src, msg, b[start:])...)
}

// next is the sequence of the next trailer: the time, or one more than the last
// if the clock has not moved on since. When a clock was far ahead and was put
// right, receivers have to be told the right time, or they refuse everything; with
// ReplayMonotonic they only want it to grow.
func (a *authenticator) next(at time.Time) uint64 {
	seq := sequence(at)
	farAhead := a.cfg.Replay == ReplayTime && offset(a.last, at) > a.cfg.Window
	if a.sent && !later(seq, a.last) && !farAhead {
		seq = a.last + 1
	}
	a.last, a.sent = seq, true
	return seq
}

// verify judges the trailer of msg, which may be empty. Zero means that the
// message is accepted. The cheap checks come first, and nothing is remembered of
// a sender before its digest is right.
func (a *authenticator) verify(at time.Time, src netip.Addr, msg, trailer []byte) DropReason {
	switch {
	case len(trailer) == 0 && a.cfg.Mode == AuthEnforce:
		return DropAuthMissing
	case len(trailer) == 0:
		return 0
	case len(trailer) != trailerLen || trailer[0] != typeHMAC || trailer[2] != 0 || trailer[3] != 0:
		return DropAuthMalformed
	}
	seq := binary.BigEndian.Uint64(trailer[4:])
	if a.cfg.Replay == ReplayTime && !a.inWindow(seq, at) {
		return DropAuthWindow
	}
	mac, ok := a.macs[trailer[1]]
	if !ok {
		return DropAuthUnknownKey
	}
	if !hmac.Equal(a.mac(mac(), src, msg, trailer[:trailerHead]), trailer[trailerHead:]) {
		return DropAuthBadDigest
	}
	return a.advance(at, src, seq)
}

// advance moves the mark of a sender, or reports a replay. With ReplayTime a mark
// outside of the window has expired: what it protects from is refused for its
// time, and a sender whose clock was ahead gets in again.
func (a *authenticator) advance(at time.Time, src netip.Addr, seq uint64) DropReason {
	mark, known := a.marks[src]
	if known && !a.expired(mark, at) && !later(seq, mark) {
		return DropAuthReplayed
	}
	if !known && len(a.marks) >= maxSenders {
		for other, mark := range a.marks {
			if a.expired(mark, at) {
				delete(a.marks, other)
			}
		}
		// To forget a live mark would allow a replay.
		if len(a.marks) >= maxSenders {
			return DropTooManySenders
		}
	}
	a.marks[src] = seq
	return 0
}

func (a *authenticator) expired(mark uint64, at time.Time) bool {
	return a.cfg.Replay == ReplayTime && !a.inWindow(mark, at)
}

func (a *authenticator) inWindow(seq uint64, at time.Time) bool {
	d := offset(seq, at)
	return -a.cfg.Window <= d && d <= a.cfg.Window
}

// mac is the digest of a message and the head of its trailer. The result is valid
// until the next call.
func (a *authenticator) mac(h hash.Hash, src netip.Addr, msg, head []byte) []byte {
	a.pseudo = [20]byte{6, msg[0] >> 4, msg[1]}
	if src.Is4() {
		a.pseudo[0] = 4
	}
	appendAddr(a.pseudo[:4], src)
	h.Reset()
	h.Write(a.pseudo[:])
	h.Write(msg[:checksumAt])
	h.Write(zeros[:headerLen-checksumAt])
	h.Write(msg[headerLen:])
	h.Write(head)
	h.Write(zeros[:])
	return h.Sum(a.sum[:0])[:macLen]
}

// sequence is a time as a sequence: seconds, a binary fraction, counter zero.
func sequence(at time.Time) uint64 {
	fraction := uint64(at.Nanosecond()) << 16 / uint64(time.Second)
	return uint64(uint32(at.Unix()))<<32 | fraction<<16
}

// later compares sequences. They wrap around in 2106 (RFC 1982, section 3.2).
func later(a, b uint64) bool { return int64(a-b) > 0 }

// offset is how far the seconds of a sequence are ahead of a time.
func offset(seq uint64, at time.Time) time.Duration {
	return time.Duration(int32(uint32(seq>>32)-uint32(at.Unix()))) * time.Second
}
