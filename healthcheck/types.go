package healthcheck

import (
	"fmt"
	"net/netip"
	"time"
)

// Kind is a kind of check.
type Kind string

// The kinds of check.
const (
	TCP  Kind = "tcp"  // the connection is accepted
	HTTP Kind = "http" // the response has an expected status
)

// Target is one thing to probe and how. It is comparable: two services that
// check the same server in the same way share one Target, and one probe.
type Target struct {
	Kind    Kind
	Address netip.AddrPort
	HTTP    HTTPSpec // for Kind HTTP

	Interval time.Duration // from the start of one probe to the start of the next
	Timeout  time.Duration // the whole probe, hard
	Rise     int           // successes in a row that bring a server up, at least 1
	Fall     int           // failures in a row that take it down, at least 1
}

// HTTPSpec is the part of a Target that only HTTP has.
type HTTPSpec struct {
	Method    string // GET or HEAD
	Host      string // Host header; empty: the address
	Path      string // begins with /; a query may follow
	StatusMin int    // lowest good status
	StatusMax int    // highest good status
}

// Reason is why a probe ended as it did. Values are stable: status shows them
// and metrics are labelled with them.
type Reason string

// The reasons of a probe's end.
const (
	ReasonNone        Reason = ""            // nothing known yet
	ReasonOK          Reason = "ok"          // the check passed
	ReasonTimeout     Reason = "timeout"     // no answer within Target.Timeout
	ReasonRefused     Reason = "refused"     // connection refused
	ReasonReset       Reason = "reset"       // connection reset
	ReasonUnreachable Reason = "unreachable" // ICMP unreachable or no neighbour
	ReasonStatus      Reason = "status"      // HTTP status outside the expected range
	ReasonProtocol    Reason = "protocol"    // the answer is not the protocol's
	// ReasonLocal means that this director could not make the probe (no route,
	// no socket). It says nothing about the server.
	ReasonLocal Reason = "local"
)

// Result is what one probe found.
type Result struct {
	Reason  Reason        // ReasonOK is success, ReasonLocal is neither
	Detail  string        // in words: "503 Service Unavailable"
	Latency time.Duration // from the start of the probe to its end
}

// State is what is held of a server.
type State uint8

// The states of a verdict.
const (
	Unknown State = iota // no probe has ended yet, or none could be made
	Up
	Down
)

// String returns the state as status and logs show it: "unknown", "up" or
// "down".
func (s State) String() string {
	switch s {
	case Unknown:
		return "unknown"
	case Up:
		return "up"
	case Down:
		return "down"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// Verdict is the judgement on one Target.
type Verdict struct {
	State  State
	Reason Reason // of the result that led to State
	Detail string
	Since  time.Time // of State
}
