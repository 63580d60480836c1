// Package realtime puts a thread before everything else that the machine does, and
// keeps the process in memory.
package realtime

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Priority is that of the thread, among real-time ones: 1 to 99 (sched(7)). It is
// low, because all that it has to be before is normal ones.
const Priority = 10

// Thread gives the calling thread real-time priority, for as long as it lives, if
// it has none yet. The goroutine must be locked to it. Threads and processes that it
// starts do not inherit it. The error says what is missing.
func Thread() error {
	if a, err := unix.SchedGetAttr(0, 0); err == nil && (a.Policy == unix.SCHED_RR || a.Policy == unix.SCHED_FIFO) {
		return nil
	}
	err := unix.SchedSetAttr(0, &unix.SchedAttr{
		Size:     unix.SizeofSchedAttr,
		Policy:   unix.SCHED_RR,
		Flags:    unix.SCHED_FLAG_RESET_ON_FORK,
		Priority: Priority,
	}, 0)
	return explain("real-time priority", fmt.Sprintf("CAP_SYS_NICE, or a service manager that gives it (CPUSchedulingPolicy=rr, CPUSchedulingPriority=%d)", Priority),
		os.NewSyscallError("sched_setattr", err))
}

// nice is that of the other threads, see Favour.
const nice = -10

// Favour puts the other threads of the process before those of others, without
// real-time priority: the garbage collector has the first thread wait until each of
// them has noticed that it is to stop, and one that is waiting for a processor
// notices nothing. Threads that they start inherit it. It must be called before the
// process has other work to do. The error says what is missing.
func Favour() error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("list the threads: %w", err)
	}
	for _, t := range tasks {
		id, err := strconv.Atoi(t.Name())
		if err != nil || id == os.Getpid() {
			continue // the first has real-time priority
		}
		if err := unix.Setpriority(unix.PRIO_PROCESS, id, nice); err != nil && !errors.Is(err, unix.ESRCH) {
			return explain("a low nice value", "CAP_SYS_NICE; a service manager that gives the process a larger share does as well (CPUWeight=)", os.NewSyscallError("setpriority", err))
		}
	}
	return nil
}

// LockMemory keeps every page that the process touches in memory (mlockall(2)): one
// that had to be read from a disk would delay whatever needs it. The error says what
// is missing.
func LockMemory() error {
	err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT)
	return explain("locked memory", "CAP_IPC_LOCK, or no limit of locked memory (LimitMEMLOCK=infinity)", os.NewSyscallError("mlockall", err))
}

func explain(what, remedy string, err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.ENOMEM) {
		return fmt.Errorf("%s: %w: needs %s", what, err, remedy)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
