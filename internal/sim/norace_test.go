//go:build !race

package sim

// raceEnabled says that the race detector is off.
const raceEnabled = false
