package vrrp

import (
	"net/netip"
	"time"
)

// Format is how the advertisements of a virtual router look, apart from what they
// say.
type Format struct {
	Checksum ChecksumForm // of what is sent; both forms are accepted
	Auth     AuthConfig
}

// Validate says what is wrong with f, nil if nothing is.
func (f Format) Validate() error { return f.Auth.Validate() }

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
	b, err := a.Append(b, c.format.Checksum, src, dst)
	if err != nil || !c.format.Auth.Mode.signs() {
		return b, err
	}
	return c.auth.sign(b, b[start:], at, src), nil
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
	if c.format.Auth.Mode == AuthOff {
		return 0
	}
	n := a.wireLen()
	return c.auth.verify(at, h.Src, payload[:n], payload[n:])
}
