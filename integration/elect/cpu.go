package elect

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of /proc/PID/stat on every architecture that Go runs on.
const tick = 10 * time.Millisecond

// CPUTime is the processors' time that a member's program has used so far, in user
// and in system mode, its children included. It has a resolution of 10 ms.
func (s *Segment) CPUTime(i int) (time.Duration, error) {
	return cpuTime(s.daemons[i].PID())
}

func cpuTime(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	total, err := parseStat(string(b))
	if err != nil {
		return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return 0, err
	}
	for _, list := range lists {
		b, err := os.ReadFile(list)
		if err != nil {
			continue // the thread has ended
		}
		for _, word := range strings.Fields(string(b)) {
			child, err := strconv.Atoi(word)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", list, err)
			}
			used, err := cpuTime(child)
			if err != nil {
				return 0, err
			}
			total += used
		}
	}
	return total, nil
}

// parseStat reads utime and stime, the 14th and 15th field. The second, the
// command, is in parentheses and may itself contain some, and spaces.
func parseStat(stat string) (time.Duration, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	const utime, stime = 14 - 3, 15 - 3
	if len(fields) <= stime {
		return 0, fmt.Errorf("%d fields after the command are too few", len(fields))
	}
	var total time.Duration
	for _, f := range fields[utime : stime+1] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		total += time.Duration(n) * tick
	}
	return total, nil
}
