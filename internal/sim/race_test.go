//go:build race

package sim

// raceEnabled says that the race detector is on: everything takes ten times as
// long.
const raceEnabled = true
