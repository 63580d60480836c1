// Package program runs programs that the operator names: what routers track, and
// hooks. No shell reads their command, they may do no more than the daemon's user
// can, and they end in time, with their children.
package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// outputGrace is how long the output of a program that has ended is waited for:
	// a child that left the process group may hold the pipe for ever.
	outputGrace = 100 * time.Millisecond
	// killGrace is how long a program that was killed may take to end. One that
	// became another user cannot be killed, and one in an uninterruptible system
	// call does not end before that does.
	killGrace = 500 * time.Millisecond
	// Grace is how long after its timeout a run that can be killed has ended.
	Grace = outputGrace + killGrace
)

// environment is what every program finds in its environment: the daemon's own is
// about its sockets.
var environment = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}

// Run is one run of a program.
type Run struct {
	Args    []string // the absolute path of the program and its arguments
	Env     []string // beside PATH and LANG
	Stdin   []byte   // what it can read, then the end
	Timeout time.Duration
}

// Outcome is how a run ended.
type Outcome struct {
	Well    bool   // with status 0, in time
	Expired bool   // it was killed because its time was up
	Reason  string // in words, with the last line of its output; may be empty
}

// Start runs a program, in a process group of its own that is killed when the
// program ends, at the timeout, when ctx is done, or when the daemon dies. The
// outcome comes once; of a program that cannot be killed it may never come.
//
// The program runs on a thread of its own that gives up its ambient capabilities,
// which an unprivileged daemon has from the service manager and its children would
// inherit. The thread is never unlocked, so that it ends with the goroutine. It
// must not end before: the kernel sends Pdeathsig when the parent thread dies.
func Start(ctx context.Context, r Run) <-chan Outcome {
	done := make(chan Outcome, 1)
	go func() {
		runtime.LockOSThread()
		done <- r.run(ctx)
	}()
	return done
}

// run is the part of Start on the thread.
func (r Run) run(ctx context.Context) Outcome {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return Outcome{Reason: "not run: give up the ambient capabilities: " + err.Error()}
	}
	out := new(tail)
	cmd := exec.Command(r.Args[0], r.Args[1:]...)
	cmd.Dir, cmd.Env = "/", slices.Concat(environment, r.Env)
	if r.Stdin != nil {
		cmd.Stdin = bytes.NewReader(r.Stdin)
	}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = outputGrace
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		return Outcome{Reason: err.Error()}
	}
	g := &group{id: cmd.Process.Pid}
	// It is in no hurry as the daemon may be, see internal/realtime. Raising the value
	// takes no privilege.
	_ = unix.Setpriority(unix.PRIO_PGRP, g.id, 0)
	expired := time.AfterFunc(r.Timeout, func() { g.kill(true) })
	defer expired.Stop()
	defer context.AfterFunc(ctx, func() { g.kill(false) })()

	g.await()
	err := cmd.Wait()
	last := out.lastLine()
	switch {
	case g.expired:
		return Outcome{Expired: true, Reason: join(fmt.Sprintf("killed after %v", r.Timeout), last)}
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return Outcome{Reason: join(err.Error(), last)}
	}
	return Outcome{Well: true, Reason: last}
}

// group is the process group of a run.
type group struct {
	id int // PID of the program

	mu      sync.Mutex
	ended   bool // the program has; soon the number may be somebody else's
	expired bool // it was killed because its time was up
}

func (g *group) kill(expired bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.ended {
		g.expired = g.expired || expired
		_ = unix.Kill(-g.id, unix.SIGKILL) // see killGrace for what an error means
	}
}

// await returns when the program has ended and what it left behind was killed.
// It leaves the program unreaped, so that its number is nobody else's meanwhile.
func (g *group) await() {
	for unix.Waitid(unix.P_PID, g.id, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended = true
	_ = unix.Kill(-g.id, unix.SIGKILL) // ESRCH: nothing is left
}

func join(what, detail string) string {
	if detail == "" {
		return what
	}
	return what + ": " + detail
}
