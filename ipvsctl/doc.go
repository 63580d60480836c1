// Package ipvsctl holds what the kernel's IPVS table should contain, compares
// it with what it does contain, and says which changes lead from one to the
// other. It also knows the kernel settings (sysctls) that a director needs.
//
// The package is pure: it reads no clock and opens no socket. The package
// ipvsctl/kernel reads and changes the kernel's table.
//
// Addresses in this package are plain: never IPv4-mapped IPv6, never with a
// zone, because the kernel knows neither.
package ipvsctl
