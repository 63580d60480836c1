// Package native holds the drills that need no IPVS: elections of the real
// programs, in network namespaces of this machine's own kernel, where time is not
// emulated. Those that do need it are in package integration.
package native
