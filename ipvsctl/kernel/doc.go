// Package kernel reads and changes the IPVS table, the connection timeouts and
// the connection sync daemons of the running kernel.
//
// Services and servers are changed through moby/ipvs. What that lacks is done
// here on the primitives of vishvananda/netlink: reading the table with 64-bit
// counters and knowing when a dump was interrupted, and the sync daemons.
//
// Everything concerns the network namespace of the thread that calls Open.
// Source of the protocol: linux/ip_vs.h, "IPVS Generic Netlink interface", and
// net/netfilter/ipvs/ip_vs_ctl.c for the meaning of the errors.
package kernel
