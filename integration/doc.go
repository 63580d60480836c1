// Package integration holds the drills: a director pair of the real programs in
// network namespaces, with a real IPVS, under load, and then something breaks.
//
// Each drill prints what users noticed. Its assertions are generous: they catch
// a broken design, not a busy machine. Exact times are tested where time is
// virtual, in the packages of the cores.
package integration
