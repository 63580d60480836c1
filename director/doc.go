// Package director is the brain of one director: it turns roles, verdicts and
// the configuration into what the kernel should have, and keeps the kernel so.
//
// What should be is worked out by pure functions (DesiredAddresses, Desired,
// Denied, DesiredTable, syncWindow). Two loops carry it out, each the only writer
// of its part of the kernel, each level-triggered: a wake-up says that something
// may have changed, and a pass compares what should be with what the kernel says.
//
//	roles ───────► holder    virtual IPs, announcements, what follows them, sync daemons
//	verdicts ────► balancer  IPVS services and servers
//
// A keeper makes the interfaces of virtual MACs, and makes them again.
//
// They are two so that a takeover never waits for a large table to be read. A
// gate for each virtual router decides whether it takes part in its election,
// and what the things that it tracks make of its priority. Routers of a group move
// together: groups brings what their gates and elections say in agreement.
// Director ties them together: start, reload, stop.
//
// The package opens no socket: addresses, the IPVS table, sysctls and
// announcements are interfaces in Options, which the command fills.
//
// What happens is published as events (tell.go), from wherever it happens.
//
// Locks are taken in this order: Director.changing, Director.mu, that of a
// holder, balancer, gate, groups or judges, that of the books or of the events.
// None is held while the network or the kernel is asked for something; that of the
// books is while the ledger is written. A keeper makes one change at a time,
// under a lock that nothing else waits for.
package director
