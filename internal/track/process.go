package track

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"tandem/director"
)

// processInterval is how often processes are looked for. Events of them (the
// proc connector, or a pidfd for each) take more than the daemon may or knows.
const processInterval = time.Second

var errHidden = errors.New("processes of other users are hidden here (hidepid= of the mount, or ProtectProc= of the unit)")

// processEye looks for a process of a name below a mount of procfs. Zombies do
// not count.
func processEye(proc, name string) eye {
	return eye{every: processInterval, see: func(context.Context) (director.ThingState, error) {
		pid, err := findProcess(proc, name)
		if err != nil || pid != "" {
			return director.ThingState{Known: true, Well: true, Reason: "PID " + pid}, err
		}
		// Where others' processes are hidden, a process that is not found may exist.
		if _, err := os.Stat(filepath.Join(proc, "1")); err != nil {
			return director.ThingState{}, errHidden
		}
		return director.ThingState{Known: true, Reason: "does not run"}, nil
	}}
}

// findProcess returns the PID of a process of that name, empty if there is none.
func findProcess(proc, name string) (string, error) {
	dir, err := os.Open(proc)
	if err != nil {
		return "", fmt.Errorf("list processes: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return "", fmt.Errorf("list processes: %w", err)
	}
	for _, pid := range names {
		if pid[0] < '0' || pid[0] > '9' {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(proc, pid, "stat"))
		if err != nil {
			continue // it has ended meanwhile
		}
		if comm, alive := parseStat(stat); alive && comm == name {
			return pid, nil
		}
	}
	return "", nil
}

// parseStat takes the name and the state out of /proc/PID/stat (proc_pid_stat(5)):
// "PID (name) state …", where the name may contain anything.
func parseStat(stat []byte) (comm string, alive bool) {
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open || len(stat) < end+3 {
		return "", false
	}
	state := stat[end+2]
	return string(stat[open+1 : end]), state != 'Z' && state != 'X'
}
