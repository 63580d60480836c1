package realtime

import "runtime"

// A service manager can give real-time priority to the first thread of a process
// and forbid it to all others (sched(7), SCHED_RESET_ON_FORK). Go starts others
// before any function of the program runs, so whoever wants the priority has to be
// on the first, and only the main goroutine can be.

// first are the functions that want to run on the first thread.
var first = make(chan func())

func init() { runtime.LockOSThread() } // the main goroutine, to the first thread

// OnFirstThread runs f on the first thread of the process and returns when f has
// returned. Main must be running. Functions run one at a time.
func OnFirstThread(f func()) {
	done := make(chan struct{})
	first <- func() {
		defer close(done)
		f()
	}
	<-done
}

// Main runs program on another thread, and meanwhile what OnFirstThread asks for.
// The main function of a program calls it, and nobody else.
func Main(program func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		program()
	}()
	for {
		select {
		case f := <-first:
			f()
		case <-done:
			return
		}
	}
}
