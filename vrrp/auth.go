package vrrp

import (
	"fmt"
	"slices"
	"time"
)

// Bounds of AuthConfig.
const (
	MinKeyLen  = 32 // bytes; less than the hash has would weaken it (RFC 2104, section 3)
	MaxKeyLen  = 64 // bytes; more is hashed down to 32 by HMAC
	MinWindow  = time.Second
	MaxWindow  = 300 * time.Second
	maxSenders = 64 // whose sequence a router remembers
)

// AuthMode is what a router does with the trailer that authenticates
// advertisements (trailer.go). To introduce it on a running pair, both directors
// go through the modes in their order, one after the other.
type AuthMode uint8

// The modes.
const (
	// AuthOff neither appends nor looks at trailers.
	AuthOff AuthMode = iota
	// AuthReceiveOnly verifies a trailer that is there, and appends none.
	AuthReceiveOnly
	// AuthPermissive appends a trailer, and accepts advertisements without one.
	AuthPermissive
	// AuthEnforce appends a trailer and accepts nothing without one.
	AuthEnforce
)

// String returns the word of the configuration file.
func (m AuthMode) String() string {
	switch m {
	case AuthOff:
		return "off"
	case AuthReceiveOnly:
		return "receive-only"
	case AuthPermissive:
		return "permissive"
	case AuthEnforce:
		return "enforce"
	}
	return fmt.Sprintf("auth-mode(%d)", uint8(m))
}

// signs reports whether what is sent gets a trailer.
func (m AuthMode) signs() bool { return m == AuthPermissive || m == AuthEnforce }

// ReplayMode is how a recorded advertisement is told from a new one. In both
// modes each must have a later sequence than the one before of that sender.
type ReplayMode uint8

// The ways of telling.
const (
	// ReplayTime also wants the sequence, which is a time, to be near the
	// receiver's clock. The routers need synchronised clocks, and in return a
	// recording is worthless after the window, to a receiver that has only just
	// started too.
	ReplayTime ReplayMode = iota
	// ReplayMonotonic needs no clocks, only that no sender's clock steps back. A
	// receiver that has just started believes the first recording.
	ReplayMonotonic
)

// String returns the word of the configuration file.
func (m ReplayMode) String() string {
	switch m {
	case ReplayTime:
		return "time"
	case ReplayMonotonic:
		return "monotonic"
	}
	return fmt.Sprintf("replay-mode(%d)", uint8(m))
}

// Key is a secret that routers share. It does not show itself when printed,
// alone or as part of something: a function is printed as an address.
type Key struct{ secret func() []byte }

// NewKey copies a secret of MinKeyLen to MaxKeyLen bytes.
func NewKey(secret []byte) (Key, error) {
	if len(secret) < MinKeyLen || len(secret) > MaxKeyLen {
		return Key{}, fmt.Errorf("the key has %d bytes, it must have %d to %d", len(secret), MinKeyLen, MaxKeyLen)
	}
	secret = slices.Clone(secret)
	return Key{func() []byte { return secret }}, nil
}

// String returns a word, not the secret.
func (Key) String() string { return "(secret)" }

// GoString returns a word, not the secret.
func (k Key) GoString() string { return k.String() }

// AuthConfig is how a virtual router authenticates its advertisements.
type AuthConfig struct {
	Mode      AuthMode
	Keys      map[uint8]Key // by key id, 1-255: all that are accepted
	ActiveKey uint8         // the one to sign with, in the modes that sign
	Replay    ReplayMode
	// Window is how far a sequence may be from the receiver's clock, 1 s to 300 s.
	// Only with ReplayTime.
	Window time.Duration
}

// Validate says what is wrong with c, nil if nothing is. A router whose key is
// missing must not run, because the alternative is to run without protection.
func (c AuthConfig) Validate() error {
	switch {
	case c.Mode > AuthEnforce:
		return fmt.Errorf("vrrp: unknown %v", c.Mode)
	case c.Replay > ReplayMonotonic:
		return fmt.Errorf("vrrp: unknown %v", c.Replay)
	case c.Mode == AuthOff:
		return nil
	case len(c.Keys) == 0:
		return fmt.Errorf("vrrp: authentication without a key")
	case c.Replay == ReplayTime && (c.Window < MinWindow || c.Window > MaxWindow):
		return fmt.Errorf("vrrp: window %v is not valid, use %v to %v", c.Window, MinWindow, MaxWindow)
	}
	for id, k := range c.Keys {
		if id == 0 || k.secret == nil {
			return fmt.Errorf("vrrp: key %d is not valid, use the ids 1-255 and keys of NewKey", id)
		}
	}
	if _, ok := c.Keys[c.ActiveKey]; c.Mode.signs() && !ok {
		return fmt.Errorf("vrrp: the active key %d is not defined", c.ActiveKey)
	}
	return nil
}
