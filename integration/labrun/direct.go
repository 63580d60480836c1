package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// runDirect runs the job on this kernel and returns its exit status.
func runDirect(j job, l limits) (int, error) {
	cmd := exec.Cmd{
		Path: j.Path, Args: j.Args, Env: j.Env, Dir: j.Dir,
		Stdout: os.Stdout, Stderr: os.Stderr,
		// Its own process group, so that whatever it started ends with it.
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start %s: %w", j.Path, err)
	}
	group := func(sig syscall.Signal) { syscall.Kill(-cmd.Process.Pid, sig) }
	ended := make(chan struct{})
	go func() {
		cmd.Wait() // the exit status is read from ProcessState below
		close(ended)
	}()

	err := supervise(l, ended, group)
	if err != nil {
		group(syscall.SIGKILL)
		<-ended
		return 0, err
	}
	return exitCode(cmd.ProcessState.Sys().(syscall.WaitStatus)), nil
}

// supervise waits for a run to end. It passes SIGQUIT on with deliver, and
// returns a *stoppedError when a signal or the time limit ends the run first;
// the caller then kills what is left.
func supervise(l limits, ended <-chan struct{}, deliver func(syscall.Signal)) error {
	limit := time.NewTimer(l.timeout)
	defer limit.Stop()
	for {
		select {
		case <-ended:
			return nil
		case sig := <-l.signals:
			if sig == syscall.SIGQUIT {
				deliver(syscall.SIGQUIT)
				continue
			}
			return &stoppedError{signal: sig.(syscall.Signal)}
		case <-limit.C:
			deliver(syscall.SIGQUIT)
			select {
			case <-ended:
			case <-time.After(quitGrace):
			case sig := <-l.signals:
				return &stoppedError{signal: sig.(syscall.Signal)}
			}
			return &stoppedError{timeout: l.timeout}
		}
	}
}
