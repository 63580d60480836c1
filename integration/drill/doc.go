// Package drill sets up a director pair in a lab, puts load on it, breaks
// something, and says what users noticed. The integration tests, the benchmarks
// beside another balancer, and the demo are drills.
//
// A Pair runs the programs as an operator would: the real binaries, with files
// of their own, the directors without root, the load and the servers in other
// namespaces.
package drill
