// Package events is the one stream of everything that happens to a director, for
// those outside of it: the control socket, hooks, whoever comes.
//
// An Event says what changed, from what, to what, and why. A Log numbers and
// keeps the latest of them, and never makes the one who publishes wait for one
// who reads.
package events

import (
	"fmt"
	"strings"
	"time"
)

// Event is one thing that happened. Its JSON form is stable: fields are added and
// never change their meaning, and a field that says nothing is left out. Nothing
// secret is in it.
type Event struct {
	// Seq numbers the events of one run of the daemon from 1, without a gap.
	Seq  uint64    `json:"seq"`
	At   time.Time `json:"at"`
	Node string    `json:"node"` // the director
	Kind Kind      `json:"kind"`

	// What it happened to; Kind says which of these there are.

	Router    string `json:"router,omitempty"`
	Group     string `json:"group,omitempty"`
	Service   string `json:"service,omitempty"`
	Server    string `json:"server,omitempty"`    // address and port
	Address   string `json:"address,omitempty"`   // of a virtual IP, with its prefix length
	Interface string `json:"interface,omitempty"` // that the address is on
	Thing     string `json:"thing,omitempty"`     // that is tracked
	Daemon    string `json:"daemon,omitempty"`    // of connection sync: master, backup

	From     string `json:"from,omitempty"`     // what was before
	To       string `json:"to,omitempty"`       // what is now
	Priority uint8  `json:"priority,omitempty"` // of the router, weights included
	Count    uint64 `json:"count,omitempty"`    // of events that were lost
	Cause    string `json:"cause,omitempty"`    // in words
}

// Kind is what kind of thing happened.
type Kind string

// The kinds, what each is about, and the values of From and To.
const (
	Start    Kind = "start"    // the director takes up work
	Stopping Kind = "stopping" // the director was told to stop and hands over
	Reload   Kind = "reload"   // of the configuration; to done, refused
	Role     Kind = "role"     // Router; init, backup, active
	Hold     Kind = "hold"     // Router, its addresses are to be held; yes, no
	Ready    Kind = "ready"    // Router, would be active if it were in no group; yes, no
	Fault    Kind = "fault"    // Router, it stays out of its election; yes, no
	Priority Kind = "priority" // Router; the numbers
	Track    Kind = "track"    // Router and Thing; unknown, well, failed
	Rival    Kind = "rival"    // Router, another one advertises while this one is active
	Conflict Kind = "conflict" // Address and Interface, another host claims it
	Address  Kind = "address"  // Router, Address and Interface; absent, held, and gone: others took it away
	Decision Kind = "decision" // Router and Group; to take-over, resign
	Group    Kind = "group"    // Group, all of it; init, backup, active, fault
	Verdict  Kind = "verdict"  // Service and Server; unknown, up, down
	Service  Kind = "service"  // Service, whether a server takes connections; empty, served
	Sync     Kind = "sync"     // Daemon; stopped, running
	Lost     Kind = "lost"     // Count events were overwritten before they were read; Seq is the last of them
)

// Subject names what an event happened to.
func (e Event) Subject() string {
	switch e.Kind {
	case Start, Stopping, Reload:
		return "director " + e.Node
	case Track:
		return e.Thing + " of router " + e.Router
	case Conflict, Address:
		return fmt.Sprintf("address %s on %s", e.Address, e.Interface)
	case Group:
		return "group " + e.Group
	case Verdict:
		return fmt.Sprintf("server %s of %s", e.Server, e.Service)
	case Service:
		return "service " + e.Service
	case Sync:
		return "sync " + e.Daemon
	case Lost:
		return "events"
	}
	return "router " + e.Router
}

// String is the event in a line for people, without its number and time.
func (e Event) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", e.Subject(), e.Kind)
	switch {
	case e.Kind == Lost:
		fmt.Fprintf(&b, " %d, read too late", e.Count)
	case e.From != "" && e.To != "":
		fmt.Fprintf(&b, " %s -> %s", e.From, e.To)
	case e.To != "":
		b.WriteString(" " + e.To)
	}
	if e.Kind == Role && e.Priority != 0 {
		fmt.Fprintf(&b, ", priority %d", e.Priority)
	}
	if e.Cause != "" {
		b.WriteString(" (" + e.Cause + ")")
	}
	return b.String()
}
