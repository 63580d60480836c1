package vrrp

import (
	"crypto/subtle"
	"fmt"
	"time"
)

// Version is the version of the protocol. The zero value is version 3.
type Version uint8

// The versions.
const (
	V3 Version = iota // RFC 9568
	V2                // RFC 3768, for routers that know nothing newer
)

// String returns "2" or "3".
func (v Version) String() string {
	switch v {
	case V3:
		return "3"
	case V2:
		return "2"
	}
	return fmt.Sprintf("version(%d)", uint8(v))
}

// nibble is the version as a message has it.
func (v Version) nibble() uint8 {
	if v == V2 {
		return 2
	}
	return 3
}

// versionOf is the version of a message.
func versionOf(nibble uint8) (Version, bool) {
	switch nibble {
	case 2:
		return V2, true
	case 3:
		return V3, true
	}
	return 0, false
}

// intervals are the shortest interval of a version, the longest, and the step.
func (v Version) intervals() (least, most, step time.Duration) {
	if v == V2 {
		return time.Second, 255 * time.Second, time.Second // RFC 3768, section 5.3.6
	}
	return MinInterval, MaxInterval, centisecond
}

// skewTime is Skew_Time of RFC 9568, section 6.1. It multiplies before it
// divides and works in nanoseconds: in whole centiseconds the skew of short
// intervals is zero and backups of different priority would time out together.
// In version 2 it does not depend on the interval (RFC 3768, section 6.1).
func (v Version) skewTime(priority uint8, activeInterval time.Duration) time.Duration {
	if v == V2 {
		activeInterval = time.Second
	}
	return (256 - time.Duration(priority)) * activeInterval / 256
}

// activeDownInterval is Active_Down_Interval of RFC 9568, section 6.1
// (Master_Down_Interval before).
func (v Version) activeDownInterval(priority uint8, activeInterval time.Duration) time.Duration {
	return 3*activeInterval + v.skewTime(priority, activeInterval)
}

// The authentication that every message of version 2 has room for. RFC 3768
// took its use away (section 10); the simple text of RFC 2338 is still found.
const (
	passwordLen    = 8
	authNone       = 0
	authSimpleText = 1 // RFC 2338, section 5.3.6
)

// Password is the simple text authentication of version 2. Everybody on the
// network can read it: it keeps strangers apart, and no attacker out. It does not
// show itself when printed. The zero Password is none.
type Password struct{ data func() [passwordLen]byte }

// NewPassword returns the first 8 bytes of text as a Password.
func NewPassword(text string) Password {
	var b [passwordLen]byte
	copy(b[:], text)
	return Password{func() [passwordLen]byte { return b }}
}

// String returns a word, not the password.
func (Password) String() string { return "(secret)" }

// GoString returns a word, not the password.
func (p Password) GoString() string { return p.String() }

// authType and bytes are the fields of the message.
func (p Password) authType() uint8 {
	if p.data == nil {
		return authNone
	}
	return authSimpleText
}

func (p Password) bytes() (b [passwordLen]byte) {
	if p.data != nil {
		b = p.data()
	}
	return b
}

// verify judges the authentication of a message of version 2. Without a password
// the data is ignored (RFC 3768, section 5.3.10).
func (p Password) verify(msg []byte) DropReason {
	if msg[4] != p.authType() {
		return DropAuthType
	}
	want := p.bytes()
	if p.data != nil && subtle.ConstantTimeCompare(want[:], msg[len(msg)-passwordLen:]) == 0 {
		return DropBadPassword
	}
	return 0
}
