// Package sim is the proof of the election: two to five directors, each with a
// real vrrp.Machine, on a network that loses, delays, doubles and reorders
// packets and falls apart, in virtual time. It is test infrastructure; no program
// imports it.
//
// It is pure and single-threaded, and everything follows from the seed of a
// scenario. A Machine gets the time as an argument that never runs backwards, as
// the monotonic clock never does: a step of the wall clock cannot be simulated,
// because there is none for an election.
//
// # What is modelled
//
//   - the loop of vrrp/runner: packets are stamped when they are read, what has
//     arrived is judged before the timer, a backup whose timer is late reads all of
//     it first (process.go);
//   - the holder of package director: a role becomes an address in the kernel a
//     little later, with a lease that only an election that is alive renews
//     (holder.go);
//   - a process that is stopped by a signal (packets wait in its socket, its
//     timers are late, the lease runs on), stalls, is killed, dies with its host,
//     ends on purpose, starts again, gets another configuration, loses its link;
//   - the network: each direction of each pair of directors by itself
//     (network.go).
//
// The codec, the repeated announcements, and the address probes before a router
// joins are not part of it; they have tests where they are.
//
// # What is judged
//
// Always (speech.go, rate.go): a director speaks when it must and only when it
// may, to the nanosecond, as a second and simpler reading of RFC 9568, section
// 6.4, and of the extensions has it; and the number of packets is bounded.
//
// Always, from the last disturbance on (holding.go): two directors that hear each
// other do not both hold the addresses for longer than the documented bound.
//
// Once nothing has happened for the settling time (settled.go): among directors
// that hear each other both ways, and nobody else, exactly one that is well is
// active, the one that the priorities and failback modes allow, and only it holds
// the addresses. With one-way links that cannot be had, whatever the protocol.
// There every director is judged by what it hears: it is active unless it hears
// an active director that it has to respect, and it is not active if it hears one
// that is better. That rule has a stable outcome on every network on which all
// advertise with the same interval, and without one-way links it means the same.
//
// While a settled network is only worked on (calm.go): a planned stop, a start
// and a new priority leave no instant in which nobody holds the addresses; the
// role moves only to who is entitled to it, in the order of the priorities, in
// time; and two are active only for as long as a packet travels.
//
// # How to use it
//
//	go test ./internal/sim -scenarios 1000000   # more of them
//	go test ./internal/sim -seed 4711 -v        # one, with its trace
//
// A failure prints its seed and the end of its trace. mutants_test.go has elections
// with one mistake each, which the rules must find.
package sim
