// Package load measures what a user notices while two load balancers trade
// places: it drives traffic through a virtual IP and keeps the account.
//
// Two kinds of traffic run side by side. New connections are opened at a fixed
// rate, each for one small HTTP request; the schedule is an open loop, so a
// slow or failed attempt never delays the next one and none is left out of the
// statistics. Streams are long-lived connections to an echo service that
// exchange numbered, checksummed frames all the time; one that breaks is
// counted as lost and not opened again.
//
// [Client] produces the traffic and a [Result]; [Server] is the real server at
// the other end, with a mode that can be changed at run time ([SetMode]).
// [Timeline.Draw] shows a run on a terminal.
//
// All accounting is in recorder, which is pure: it has no clock and no socket,
// and every time it handles is an offset from the start of the run.
package load
