// Package wire is the network of the election: advertisements over IP protocol
// 112, and the packets that tell neighbours where an address is.
//
// A Conn sends and receives the advertisements of one interface. An Announcer
// announces addresses there, asks who else has one, and hears others that claim
// one of ours; a Repeater decides when to announce again. By an Outlet the
// advertisements of one virtual router leave with its virtual MAC. All but the Repeater
// outlive their interface: when it goes and comes back they open new
// sockets, and meanwhile sending is an ordinary error.
package wire
