// Package runner drives one vrrp.Machine: it owns the clock, one timer and the
// inbox, and carries the actions out. The network and the director are functions
// that the caller supplies.
package runner
