// Package lab builds small networks of directors, real servers and clients out
// of network namespaces, breaks them on demand, and takes them down again
// without a trace. Drills, benchmarks and the demo are written on it. It talks
// to the kernel directly (rtnetlink, nf_tables, AF_PACKET) and needs root.
//
//	l := lab.Start(t, lab.Options{Servers: 2})
//	lb1 := l.Directors[0]
//	arp, err := l.Client.Capture(lab.LAN, nil)
//	p, err := lb1.Start(lab.Command{Path: tandem, Args: []string{"run"}, User: lab.Unprivileged()})
//	err = lb1.LinkDown(lab.LAN)
//
// # Topologies
//
// The default is one LAN, which is all that direct routing (LVS-DR) needs:
//
//	client .200     lb1 .1   lb2 .2  (lb3 .3)   s1 .11   s2 .12 …
//	   │eth0         │eth0    │eth0              │eth0    │eth0
//	───┴─────────────┴────────┴──────────────────┴────────┴──── LAN 10.77.0.0/24, fd77::/64
//	                      VIP .100
//
// Options.Inside moves the real servers behind the directors, as masquerading
// (LVS-NAT) needs it. Their default route is GatewayVIP, which belongs to
// whichever director is active:
//
//	client .200     lb1 .1   lb2 .2
//	   │eth0         │eth0    │eth0
//	───┴─────────────┼────────┼──────────────────────────────── LAN 10.77.0.0/24, fd77::/64
//	    VIP .100     │eth1    │eth1              s1 .11   s2 .12 …
//	                 │        │                  │eth1    │eth1
//	                ─┴────────┴──────────────────┴────────┴──── Inside 10.88.0.0/24, fd88::/64
//	                     gateway VIP .254
//
// Options.Router moves the client one hop away, behind a router that is the
// default gateway of the LAN, so that the neighbour cache that a takeover has
// to correct is the router's:
//
//	client .200 ──eth2 ── Outside 10.99.0.0/24, fd99::/64 ── eth2── router ──eth0 .254 ── LAN
//
// The device name says which segment it is on, everywhere: eth0 LAN, eth1
// Inside, eth2 Outside. The constants [LAN], [Inside] and [Outside] are these
// names. IPv6 host numbers are spelled with the same digits as the IPv4 ones:
// 10.77.0.11 is also fd77::11. Hardware addresses spell the IPv4 address after
// 02:00, so lb2 on the LAN is 02:00:0a:4d:00:02.
//
// Every segment is a bridge, without spanning tree and multicast snooping, in a
// namespace of its own ([Lab.Switch]); its ports are named after the nodes.
//
// # What a node is
//
// A [Node] is a network namespace with its own host name, its own /sys and an
// empty, private /run, so that two directors may use the same default paths.
// Nothing else of the file system is separate; see [Node.Path]. Base addresses
// and routes are set, duplicate address detection is off, forwarding is on in
// the router only, and nothing specific to LVS is configured anywhere.
//
// # Breaking things
//
//	node.LinkDown, LinkUp          pull the cable: the node loses its carrier
//	node.RemoveDevice, Restore…    the card is gone; a new one is in its place
//	node.Impair                    loss, delay and jitter (needs the netem qdisc)
//	lab.Isolate                    these nodes do not hear each other, all others hear them
//	lab.Drop                       frames from one node to another vanish, one way
//	lab.Heal                       undo Isolate and Drop
//	node.Kill, Revive, Reset       the host dies; its cables are back; it has rebooted
//	node.Freeze, Thaw              every process of the host stops, the kernel goes on
//	process.Kill, Freeze, Thaw     the same for one process
//
// # Leaving nothing behind
//
// Namespaces are anonymous and processes are bound to a thread of this program
// by a parent death signal: when the program ends, however it ends, the kernel
// removes all of it. [Lab.Close] does it at once and also finds processes that
// the started ones left behind.
package lab
