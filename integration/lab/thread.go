package lab

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// A thread is an operating system thread that executes closures one after the
// other. It lives until stop, whoever calls it: a process that it starts with a
// parent death signal dies with it, and not, as with a goroutine's borrowed
// thread, at a moment that the Go scheduler chooses.
type thread struct {
	calls  chan func()
	exited chan struct{}
}

// newThread starts a thread, runs setup on it and returns when that is done.
// After an error from setup the thread is gone.
func newThread(setup func() error) (*thread, error) {
	t := &thread{calls: make(chan func()), exited: make(chan struct{})}
	ready := make(chan error)
	go onOwnThread(func() {
		defer close(t.exited)
		err := setup()
		ready <- err
		if err != nil {
			return
		}
		for f := range t.calls {
			f()
		}
	})
	if err := <-ready; err != nil {
		return nil, err
	}
	return t, nil
}

// do runs f on the thread and returns its error.
func (t *thread) do(f func() error) error {
	result := make(chan error)
	t.calls <- func() { result <- f() }
	return <-result
}

// stop ends the thread. No call may be under way or follow.
func (t *thread) stop() {
	close(t.calls)
	<-t.exited
}

// onOwnThread runs f on a thread that nothing else uses and that ends with f,
// together with the namespaces it entered. The process's first thread cannot
// end before the process does, so f must not get that one: it is held while
// another goroutine finds itself a thread.
func onOwnThread(f func()) {
	runtime.LockOSThread() // never unlocked: the runtime then ends the thread
	if unix.Gettid() != unix.Getpid() {
		f()
		return
	}
	locked := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		close(locked)
		f()
	}()
	<-locked
	runtime.UnlockOSThread()
}
