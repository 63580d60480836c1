package main

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestSupervise drives the end of a run in virtual time.
func TestSupervise(t *testing.T) {
	const limit = time.Minute
	type event struct {
		after  time.Duration
		signal syscall.Signal // 0: the command ends
	}
	tests := []struct {
		name      string
		events    []event
		endOnQuit time.Duration // the command ends this long after SIGQUIT, 0: never
		want      error
		wantAfter time.Duration
		wantQuits int // SIGQUITs that the command gets
	}{
		{
			name:      "the command ends",
			events:    []event{{after: time.Second}},
			wantAfter: time.Second,
		},
		{
			name:      "a signal ends the run",
			events:    []event{{time.Second, syscall.SIGTERM}},
			want:      &stoppedError{signal: syscall.SIGTERM},
			wantAfter: time.Second,
		},
		{
			name:      "SIGQUIT goes to the command",
			events:    []event{{time.Second, syscall.SIGQUIT}, {time.Second, syscall.SIGQUIT}, {after: time.Second}},
			wantAfter: 3 * time.Second,
			wantQuits: 2,
		},
		{
			name:      "the limit, and the command obeys SIGQUIT",
			endOnQuit: time.Second,
			want:      &stoppedError{timeout: limit},
			wantAfter: limit + time.Second,
			wantQuits: 1,
		},
		{
			name:      "the limit, and the command ignores SIGQUIT",
			want:      &stoppedError{timeout: limit},
			wantAfter: limit + quitGrace,
			wantQuits: 1,
		},
		{
			name:      "the limit, then the user has no patience",
			events:    []event{{limit + time.Second, syscall.SIGINT}},
			want:      &stoppedError{signal: syscall.SIGINT},
			wantAfter: limit + time.Second,
			wantQuits: 1,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				signals := make(chan os.Signal)
				ended := make(chan struct{})
				go func() {
					for _, ev := range tt.events {
						time.Sleep(ev.after)
						if ev.signal == 0 {
							close(ended)
						} else {
							signals <- ev.signal
						}
					}
				}()
				quits := 0
				deliver := func(sig syscall.Signal) {
					if sig != syscall.SIGQUIT {
						t.Errorf("the command got %v", sig)
					}
					quits++
					if tt.endOnQuit > 0 {
						time.AfterFunc(tt.endOnQuit, func() { close(ended) })
					}
				}
				start := time.Now()
				err := supervise(limits{timeout: limit, signals: signals}, ended, deliver)
				if got, want := text(err), text(tt.want); got != want {
					t.Errorf("error %q, want %q", got, want)
				}
				if took := time.Since(start); took != tt.wantAfter {
					t.Errorf("ended after %v, want %v", took, tt.wantAfter)
				}
				if quits != tt.wantQuits {
					t.Errorf("the command got SIGQUIT %d times, want %d", quits, tt.wantQuits)
				}
			})
		})
	}
}

// text is the text of an error, or "".
func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// shellJob is a job for a shell script.
func shellJob(script string, env ...string) job {
	return job{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: env, Dir: "/"}
}

func TestRunDirect(t *testing.T) {
	tests := []struct {
		script string
		want   int
	}{
		{"exit 0", 0},
		{"exit 3", 3},
		{"kill -KILL $$", 137},
		{`test "$PWD$A" = "/b c" || exit 9`, 0},
		{"! read line", 0}, // standard input is empty
	}
	for _, tt := range tests {
		got, err := runDirect(shellJob(tt.script, "A=b c"), limits{timeout: time.Minute})
		if err != nil || got != tt.want {
			t.Errorf("%s: exit status %d, %v, want %d", tt.script, got, err, tt.want)
		}
	}
}

// TestRunDirectStopped: a command that cannot react is ended all the same.
func TestRunDirectStopped(t *testing.T) {
	signals := make(chan os.Signal, 1)
	signals <- syscall.SIGINT
	_, err := runDirect(shellJob("kill -STOP $$"), limits{timeout: time.Minute, signals: signals})
	stopped, ok := errors.AsType[*stoppedError](err)
	if !ok || stopped.signal != syscall.SIGINT {
		t.Errorf("got error %v, want a stop by SIGINT", err)
	}
}

func TestRunDirectStartError(t *testing.T) {
	_, err := runDirect(job{Path: "/proc/version", Args: []string{"version"}, Dir: "/"}, limits{timeout: time.Minute})
	if !errors.Is(err, os.ErrPermission) {
		t.Errorf("got error %v, want a missing permission", err)
	}
}
