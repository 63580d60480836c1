package realtime

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// onThread runs f on a thread of its own, which ends with it.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		f()
	}()
	<-done
}

// TestThread: the thread has the priority, and one that is refused says why. What is
// allowed depends on the machine.
func TestThread(t *testing.T) {
	onThread(func() {
		err := Thread()
		a, aerr := unix.SchedGetAttr(0, 0)
		if aerr != nil {
			t.Error(aerr)
			return
		}
		switch {
		case err == nil && (a.Policy != unix.SCHED_RR || a.Priority != Priority || a.Flags&unix.SCHED_FLAG_RESET_ON_FORK == 0):
			t.Errorf("scheduled with %+v", a)
		case err != nil && (a.Policy != unix.SCHED_NORMAL || !strings.Contains(err.Error(), "CPUSchedulingPolicy")):
			t.Errorf("refused with %v, scheduled with %+v", err, a)
		}
	})
}

// TestRefused: without the privilege and the limit, the error has the remedy.
func TestRefused(t *testing.T) {
	for what, err := range map[string]error{
		"CPUSchedulingPolicy": explain("real-time priority", "CPUSchedulingPolicy", os.NewSyscallError("sched_setattr", unix.EPERM)),
		"LimitMEMLOCK":        explain("locked memory", "LimitMEMLOCK", os.NewSyscallError("mlockall", unix.ENOMEM)),
	} {
		if !strings.HasSuffix(err.Error(), "needs "+what) {
			t.Error(err)
		}
	}
	if err := explain("locked memory", "nothing", nil); err != nil {
		t.Error(err)
	}
}
