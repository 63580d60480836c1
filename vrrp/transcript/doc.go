// Package transcript is the life of a vrrp.Machine as text: what it was told, and
// what it did. Tests are written in it, and a daemon can record in it what its
// elections went through, to be replayed at a desk.
//
//	# a comment
//	config priority=100 interval=100ms failback=delay delay=30s addresses=10.77.0.100
//	@0ms startup 10.77.0.1
//	-> backup hold=false number=1 cause="startup"
//	deadline 360.9375ms
//	@100ms receive 10.77.0.2 priority=200
//	@400ms shutdown hand-over maintenance
//	@500ms reconfigure priority=50
//	@600ms timeout
//
// Lines that begin with "->" and "deadline" are what the Machine did. All others
// are input: a config line makes a Machine, and a line with a time, counted from
// the start, is an event. The keys are vrid, priority, version, interval,
// addresses, failback, delay and grouped. What a config line does not name is as in
// Default; what reconfigure or receive do not name is as in the configuration in
// force. The events are startup, shutdown, receive, send-failed, timeout,
// reconfigure, take-over and resign. A cause that is not plain text is quoted as in
// Go.
//
// Two more lines are about recordings:
//
//	lost 17      so many steps were not recorded: what follows cannot be replayed
//	continues    the beginning is in an older file
//
// A config line ends either gap.
package transcript

import (
	"net/netip"
	"time"

	"tandem/vrrp"
)

// Default is the configuration of a config line that names nothing.
func Default() vrrp.Config {
	return vrrp.Config{
		VRID: 51, Priority: 100, Interval: 100 * time.Millisecond,
		Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 77, 0, 100})},
	}
}
