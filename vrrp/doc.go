// Package vrrp is the election: the VRRP codec, with the authentication of
// advertisements, and the state machine of one virtual router (RFC 9568 for IPv4
// and IPv6, and RFC 3768 for version 2).
//
// It is pure. A Machine has no clock, no socket and no goroutine: Step takes the
// time and an event and returns actions, Deadline says when it next wants a
// Timeout. Package vrrp/runner drives it, package vrrp/wire is the network.
//
// The Machine follows the state tables of RFC 9568, section 6.4, with these
// extensions, each explained where it is implemented:
//
//   - failing back can wait or be switched off ([Failback]);
//   - a router that gives its role up holds the addresses until the successor
//     has taken over ([HandOverOverlap]);
//   - an active router that was paused for so long that a backup may have taken
//     over listens before it speaks (pause.go);
//   - a rival heard while active makes the router announce its addresses again
//     ([Announce]), and a router that yields makes itself heard as one;
//   - a release never makes a backup wait longer, and a flood of them is answered
//     once a millisecond at most;
//   - the configuration changes in place ([Reconfigure]);
//   - several routers move together ([Config.Grouped]).
//
// Version 2 has the same tables but for its timers (version.go), and takes no
// other interval than its own.
package vrrp
