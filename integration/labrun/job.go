package main

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Exit statuses that are not the command's own, as the tools timeout and env
// use them.
const (
	exitTimeout       = 124
	exitLabrun        = 125
	exitNotExecutable = 126
	exitNotFound      = 127
)

// quitGrace is how long a command may take to end after the time limit. It is
// sent SIGQUIT first, so that a Go program prints its goroutines.
const quitGrace = 5 * time.Second

// job is a command to run, and what it needs to feel at home. It travels to the
// virtual machine in gob encoding, which keeps every octet of the strings.
type job struct {
	Path string   // the program's file
	Args []string // its arguments, from argument zero
	Env  []string // NAME=value
	Dir  string   // the working directory

	// Writable are directories whose files must reach the host, absolute.
	Writable []string

	// The rest is set for the virtual machine only.

	Modules string    // the kernel's module directory, as the host sees it
	Clock   time.Time // the host's time
}

// limits say what ends a run early.
type limits struct {
	timeout time.Duration    // > 0
	signals <-chan os.Signal // SIGQUIT goes to the command, others end the run
}

// stoppedError says that labrun ended the command before it was finished.
type stoppedError struct {
	signal  syscall.Signal // or 0: the time limit passed
	timeout time.Duration
}

func (e *stoppedError) Error() string {
	if e.signal != 0 {
		return fmt.Sprintf("stopped by signal: %v", e.signal)
	}
	return fmt.Sprintf("stopped at the time limit of %v; -timeout or LABRUN_TIMEOUT sets another", e.timeout)
}

// exitCode is the exit status for a run that was ended this way.
func (e *stoppedError) exitCode() int {
	if e.signal != 0 {
		return 128 + int(e.signal)
	}
	return exitTimeout
}

// encode returns the job as it travels.
func (j job) encode() ([]byte, error) {
	var buf bytes.Buffer
	if err := gob.NewEncoder(&buf).Encode(j); err != nil {
		return nil, fmt.Errorf("encode the job: %w", err)
	}
	return buf.Bytes(), nil
}

// decodeJob is the reverse of encode.
func decodeJob(data []byte) (job, error) {
	var j job
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&j); err != nil {
		return job{}, fmt.Errorf("decode the job: %w", err)
	}
	return j, nil
}

// exitCode maps how a process ended to an exit status, as a shell does.
func exitCode(ws syscall.WaitStatus) int {
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}

// writableDirs lists the directories in which the command's files must reach
// the host: $LAB_OUT, $GOCOVERDIR, and where a Go test binary was told to leave
// its coverage for the go command. Parents come before their children.
func writableDirs(j job) []string {
	var dirs []string
	add := func(dir string) {
		if dir == "" {
			return
		}
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(j.Dir, dir)
		}
		dirs = append(dirs, filepath.Clean(dir))
	}
	for _, kv := range j.Env {
		switch name, value, _ := strings.Cut(kv, "="); name {
		case "LAB_OUT", "GOCOVERDIR":
			add(value)
		}
	}
	for _, arg := range j.Args[1:] {
		switch name, value, _ := strings.Cut(arg, "="); name {
		case "-test.gocoverdir":
			add(value)
		case "-test.coverprofile":
			add(filepath.Dir(value))
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}
