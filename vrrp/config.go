package vrrp

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Limits of the Max Advertise Interval field of version 3: 12 bits of centiseconds, zero
// excluded (RFC 9568, section 5.2.7 and erratum 8301).
const (
	MinInterval = centisecond
	MaxInterval = 4095 * centisecond
)

// PriorityOwner is the priority of the address owner (RFC 9568, section 5.2.4).
const PriorityOwner = 255

// Config is what one virtual router needs to elect. A valid Config comes out
// of package configs; NewMachine panics on one that is not.
type Config struct {
	VRID      uint8 // 1-255
	Priority  uint8 // 1-255; 255 is the address owner (RFC 9568, section 5.2.4)
	Version   Version
	Interval  time.Duration // Advertisement_Interval, see Advert.Interval
	Addresses []netip.Addr  // of the advertisement, see Advert.Addresses
	Failback  Failback
	// FailbackDelay is how long a router with the higher priority leaves the
	// incumbent in place. Only for FailbackDelayed; not negative.
	FailbackDelay time.Duration
	// Grouped makes the router one of several that move together: when its time to
	// take over has come it stays in Backup, is Role.Ready, and waits for TakeOver.
	// Not with priority 255.
	Grouped bool
}

// Validate says what is wrong with c, nil if nothing is.
func (c Config) Validate() error {
	if c.Priority == 0 {
		return fmt.Errorf("vrrp: priority 0 means releasing, use 1-255")
	}
	if c.Failback > FailbackNever {
		return fmt.Errorf("vrrp: unknown %v", c.Failback)
	}
	if c.FailbackDelay < 0 {
		return fmt.Errorf("vrrp: failback delay %v is negative", c.FailbackDelay)
	}
	if c.Grouped && c.Priority == PriorityOwner {
		return fmt.Errorf("vrrp: an address owner waits for nobody and cannot be grouped")
	}
	return c.advert(c.Priority).validate()
}

// advert is the advertisement of c with a priority of its own, because a
// router that releases its role sends 0.
func (c Config) advert(priority uint8) Advert {
	return Advert{Version: c.Version, VRID: c.VRID, Priority: priority, Interval: c.Interval, Addresses: c.Addresses}
}

// clone is c with memory of its own: the caller may reuse its slice.
func (c Config) clone() Config {
	c.Addresses = slices.Clone(c.Addresses)
	return c
}

// Failback is when a router with the higher priority takes its role back
// (Preempt_Mode of RFC 9568, section 6.1, with a delay as an extension). The
// address owner always takes it back at once. An active router that has gone
// silent is replaced in every mode.
type Failback uint8

// The ways of failing back.
const (
	// FailbackImmediate is Preempt_Mode true.
	FailbackImmediate Failback = iota
	// FailbackDelayed is Preempt_Mode false until a lower priority has been
	// active for FailbackDelay, then true. A returning machine has that long to
	// warm up: check its servers, receive the connections.
	FailbackDelayed
	// FailbackNever is Preempt_Mode false. A role moves only on failure or when
	// an operator moves it.
	FailbackNever
)

// String returns the word of the configuration file.
func (f Failback) String() string {
	switch f {
	case FailbackImmediate:
		return "immediate"
	case FailbackDelayed:
		return "delay"
	case FailbackNever:
		return "never"
	}
	return fmt.Sprintf("failback(%d)", uint8(f))
}
