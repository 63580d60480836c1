package track

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"tandem/configs"
	"tandem/director"
)

const (
	// outputGrace is how long the output of a script that has ended is waited for:
	// a child that left the process group may hold the pipe for ever.
	outputGrace = 100 * time.Millisecond
	// killGrace is how long a script that was killed may take to end. One that
	// became another user cannot be killed, and one in an uninterruptible system
	// call does not end before that does.
	killGrace = 500 * time.Millisecond
)

// scriptEnv is all that a script finds in its environment: the daemon's own is
// about its sockets.
var scriptEnv = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}

func scriptEye(t configs.Thing) eye {
	s := &script{args: t.Script.Args(), timeout: t.Timeout, rise: t.Rise, fall: t.Fall}
	return eye{every: t.Interval, see: s.see}
}

// script runs a program again and again, one run at a time.
type script struct {
	args       []string
	timeout    time.Duration
	rise, fall int

	running <-chan outcome // the run that has not ended yet
	streak  streak
}

// outcome is how a run ended.
type outcome struct {
	well   bool
	reason string
}

// see runs the script once and damps the result.
func (s *script) see(ctx context.Context) (director.ThingState, error) {
	o, err := s.run(ctx)
	if err != nil {
		return director.ThingState{}, err
	}
	well := s.streak.add(o.well, s.rise, s.fall)
	if well != o.well {
		o.reason = strings.TrimSpace(fmt.Sprintf("%s (%d in a row)", o.reason, s.streak.against))
	}
	return director.ThingState{Known: true, Well: well, Reason: o.reason}, nil
}

// run starts the script and waits for its end, or at most until it should long
// have been killed. Then the next run is the one that does not end.
func (s *script) run(ctx context.Context) (outcome, error) {
	if s.running == nil {
		s.running = startScript(ctx, s.args, s.timeout)
	}
	late := time.NewTimer(s.timeout + outputGrace + killGrace)
	defer late.Stop()
	select {
	case o := <-s.running:
		s.running = nil
		return o, ctx.Err()
	case <-late.C:
		return outcome{reason: "was killed after its timeout and does not end"}, ctx.Err()
	}
}

// startScript runs a program once, in a process group of its own that is killed
// when the program ends, at the timeout, when ctx is done, or when the daemon
// dies.
//
// It runs on a thread of its own that gives up its ambient capabilities, which
// an unprivileged daemon has from the service manager and its children would
// inherit. The thread is never unlocked, so that it ends with the goroutine. It
// must not end before: the kernel sends Pdeathsig when the parent thread dies.
func startScript(ctx context.Context, args []string, timeout time.Duration) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		runtime.LockOSThread()
		done <- runScript(ctx, args, timeout)
	}()
	return done
}

// runScript is the part of startScript on the thread.
func runScript(ctx context.Context, args []string, timeout time.Duration) outcome {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return outcome{reason: "not run: give up the ambient capabilities: " + err.Error()}
	}
	out := new(tail)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = "/", scriptEnv
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = outputGrace
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		return outcome{reason: err.Error()}
	}
	g := &group{id: cmd.Process.Pid}
	expired := time.AfterFunc(timeout, func() { g.kill(true) })
	defer expired.Stop()
	defer context.AfterFunc(ctx, func() { g.kill(false) })()

	g.await()
	err := cmd.Wait()
	last := out.lastLine()
	switch {
	case g.expired:
		return outcome{reason: join(fmt.Sprintf("killed after %v", timeout), last)}
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return outcome{reason: join(err.Error(), last)}
	}
	return outcome{well: true, reason: last}
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

// streak damps results: the first decides alone, after that it takes rise good
// ones in a row, or fall bad ones.
type streak struct {
	known, well bool
	against     int // results in a row that were not as well is
}

// add takes a result and returns what holds now.
func (s *streak) add(well bool, rise, fall int) bool {
	if !s.known {
		s.known, s.well = true, well
		return well
	}
	if well == s.well {
		s.against = 0
		return s.well
	}
	s.against++
	needed := fall
	if well {
		needed = rise
	}
	if s.against >= needed {
		s.well, s.against = well, 0
	}
	return s.well
}
