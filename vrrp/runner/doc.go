// Package runner drives the vrrp.Machines of a director: it owns the clock and the
// thread, and carries the actions out. The network and the director are functions
// and an interface that the caller supplies.
package runner
