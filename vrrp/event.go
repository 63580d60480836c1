package vrrp

import (
	"fmt"
	"net/netip"
	"time"
)

// Event is an input of Machine.Step.
type Event interface{ event() }

type (
	// Startup is RFC 9568's Startup event: the interface is usable. PrimaryAddr
	// is the address that the advertisements are sent from, in IPv6 a link-local one
	// without a zone; it breaks ties. Outside of Init a Startup only replaces that
	// address.
	Startup struct{ PrimaryAddr netip.Addr }
	// Shutdown gives the role up: a planned stop or a fault. With HandOver set an
	// active router keeps its addresses until its successor is heard (bounded);
	// otherwise it drops them at once, which is right after a fault.
	Shutdown struct {
		Cause    string
		HandOver bool
	}
	// Received is an advertisement that passed the checks of RFC 9568, section
	// 7.1, for this VRID.
	Received struct {
		Advert Advert
		Src    netip.Addr // without a zone
	}
	// SendFailed says that the advertisement of the latest SendAdvert is not on the
	// wire. Nobody has heard it, so it does not count as one: a router that cannot
	// make itself heard gives up its role when a backup would take it.
	SendFailed struct{}
	// Timeout says that Deadline has passed. One that comes too early is harmless.
	Timeout struct{}
	// Reconfigure replaces the configuration without a pause of the adverts.
	// The VRID and the family of the addresses must stay the same.
	Reconfigure struct{ Config Config }
	// TakeOver makes a router that is Role.Ready active; any other ignores it.
	TakeOver struct{}
	// Resign gives the role up and stays in the election: an active router
	// releases it and holds its addresses as for a Shutdown with HandOver. Any
	// other ignores it.
	Resign struct{ Cause string }
)

func (Startup) event()     {}
func (Shutdown) event()    {}
func (Received) event()    {}
func (SendFailed) event()  {}
func (Timeout) event()     {}
func (Reconfigure) event() {}
func (TakeOver) event()    {}
func (Resign) event()      {}

// Action is an output of Machine.Step, to be carried out in order.
type Action interface{ action() }

type (
	// SendAdvert asks for one advertisement with this priority (0: releasing).
	// Machine.Advert makes it.
	SendAdvert struct{ Priority uint8 }
	// SetRole reports a new State, a new Hold or a new Ready.
	SetRole struct{ Role Role }
	// Announce asks that the addresses be announced again, because a rival was
	// heard and caches may point at it. The first announcement after becoming
	// active is not asked for: it has to wait until the addresses are in place,
	// which only the receiver of SetRole knows.
	Announce struct{ Cause string }
	// Note is something an operator may want to know; it changes nothing. A
	// neighbour can cause any number of them: limit the rate.
	Note struct{ Text string }
)

func (SendAdvert) action() {}
func (SetRole) action()    {}
func (Announce) action()   {}
func (Note) action()       {}

// State is a virtual router's protocol state (RFC 9568, section 6.3).
type State uint8

// The states of RFC 9568, section 6.3.
const (
	Init State = iota
	Backup
	Active
)

// String returns the state in lower case.
func (s State) String() string {
	switch s {
	case Init:
		return "init"
	case Backup:
		return "backup"
	case Active:
		return "active"
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// Role is what the rest of the director acts on.
type Role struct {
	State State
	// Hold says that the addresses are to be held. It is true in Active, and for
	// a bounded while after a hand-over or a lost election, until the successor
	// has taken over (make before break).
	Hold bool
	// Ready says that a grouped router would be active by now if it were alone.
	Ready bool
	// Number counts the roles that this router has reported since it was made, so
	// that a newer role is told from an older one. Zero: none yet.
	Number uint64
	Cause  string    // why State is what it is, in words, for logs and status
	Since  time.Time // when State was entered
}
