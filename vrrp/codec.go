package vrrp

import (
	"fmt"
	"net/netip"
	"time"
)

// Format is how the advertisements of a virtual router look, apart from what they
// say.
type Format struct {
	Version  Version      // that of the Machine; others are dropped
	Checksum ChecksumForm // of what is sent in version 3 over IPv4; both forms are accepted
	Auth     AuthConfig
	// The rest is for version 2 only. Interval is that of the Machine; others are
	// dropped.
	Interval time.Duration
	Password Password // not with Auth
}

// Validate says what is wrong with f, nil if nothing is.
func (f Format) Validate() error {
	switch {
	case f.Version == V2 && f.Interval <= 0:
		return fmt.Errorf("vrrp: version 2 without an interval")
	case f.Version != V2 && f.Password.data != nil:
		return fmt.Errorf("vrrp: a password in version %v, which has none", f.Version)
	case f.Auth.Mode != AuthOff && f.Password.data != nil:
		return fmt.Errorf("vrrp: a password beside authentication: it would only show the secret of a weaker kind")
	}
	return f.Auth.Validate()
}

// Codec makes and judges the packets of one virtual router. It is not safe for
// concurrent use.
type Codec struct {
	format Format
	auth   authenticator
}

// NewCodec returns a Codec. It panics if f is not valid, which is a mistake of
// the caller: see Format.Validate.
func NewCodec(f Format) *Codec {
	c := &Codec{}
	c.SetFormat(f)
	return c
}

// SetFormat changes the format. What protects from replays is kept. It panics if
// f is not valid.
func (c *Codec) SetFormat(f Format) {
	if err := f.Validate(); err != nil {
		panic(err)
	}
	c.format = f
	c.auth.configure(f.Auth)
}

// Append appends the packet of an advertisement that leaves at the given time, as
// Advert.Append does.
func (c *Codec) Append(b []byte, at time.Time, a Advert, src, dst netip.Addr) ([]byte, error) {
	start := len(b)
	b, err := a.append(b, c.format.Password, src, dst)
	if err != nil {
		return b, err
	}
	if c.format.Auth.Mode.signs() {
		b = c.auth.sign(b, b[start:], at, src)
	}
	a.seal(b[start:], c.format.Checksum, src, dst)
	return b, nil
}

// Accept judges what only the router that an advertisement is for can judge.
// payload is what Parse made a of, h its header and at when it arrived. The error
// is a DropReason.
func (c *Codec) Accept(at time.Time, payload []byte, h Header, a Advert) error {
	if reason := c.judge(at, payload, h, a); reason != 0 {
		return reason
	}
	return nil
}

func (c *Codec) judge(at time.Time, payload []byte, h Header, a Advert) DropReason {
	n := a.wireLen()
	if a.Version != c.format.Version {
		return DropVersionMismatch
	}
	if a.Version == V2 {
		if reason := c.format.Password.verify(payload[:n]); reason != 0 {
			return reason
		}
	}
	if c.format.Auth.Mode != AuthOff {
		if reason := c.auth.verify(at, h.Src, payload[:n], payload[n:]); reason != 0 {
			return reason
		}
	}
	if a.Version == V2 && a.Interval != c.format.Interval {
		return DropIntervalMismatch
	}
	return 0
}
