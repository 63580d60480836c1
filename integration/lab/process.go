package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pipeDelay is how long the output of a process is read on after its exit, if
// a child that it left behind still holds the pipe.
const pipeDelay = time.Second

// A User is whom a process runs as.
type User struct {
	UID, GID uint32
	Caps     []uintptr // ambient capabilities, unix.CAP_…: all it has unless UID is 0
	// Prompt schedules the process before others: the first thread with real-time
	// priority, the rest with a low nice value.
	Prompt bool
}

// Unprivileged is how a director should run, and how the packaged unit runs it: as
// nobody, with no more than the right to configure the network and to open raw
// sockets, and scheduled before others.
func Unprivileged() *User {
	return &User{UID: 65534, GID: 65534, Caps: []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW}, Prompt: true}
}

// What a process that is Prompt gets. In packaging/tandem.service it is a large share
// (CPUWeight) and not a nice value, which does the same for a whole control group.
const (
	promptRealtime = 10
	promptNice     = -10
	promptAfter    = 50 * time.Millisecond // when it has all of its first threads
)

// promptly starts a command so that its process is Prompt.
func promptly(c *exec.Cmd) error {
	if err := c.Start(); err != nil {
		return err
	}
	pid := c.Process.Pid
	time.AfterFunc(promptAfter, func() { niceThreads(pid) })
	return os.NewSyscallError("sched_setattr", unix.SchedSetAttr(pid, &unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: promptRealtime, Flags: unix.SCHED_FLAG_RESET_ON_FORK,
	}, 0))
}

// niceThreads sets the nice value of all threads but the first. A process that has
// ended has none.
func niceThreads(pid int) {
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, t := range tasks {
		if id, err := strconv.Atoi(t.Name()); err == nil && id != pid {
			_ = unix.Setpriority(unix.PRIO_PROCESS, id, promptNice)
		}
	}
}

// A Command is a program to start in a node.
type Command struct {
	Path string   // as the node sees it; looked up in PATH if it has no slash
	Args []string // without the program's name
	Env  []string // key=value, added to this program's environment
	Dir  string   // "" is this program's
	User *User    // nil is this program's, root with all capabilities

	// OnLine is called with each line that the program writes, in order, from
	// a goroutine of the process. It must not call methods of the node.
	OnLine func(Line)
}

// A Process is a program that runs, or ran, in a node. The program writes to a
// pipe and leads a process group of its own; the terminal's Ctrl-C does not
// reach it.
type Process struct {
	node   *Node
	name   string
	cmd    *exec.Cmd
	output *output
	prompt bool // User.Prompt
	done   chan struct{}
	err    error // of cmd.Wait; set before done is closed
}

// Start starts a program in the node's namespaces. It is killed by the kernel
// if this program ends. A daemon has to stay in the foreground: what it leaves
// behind is found by Kill and Close but survives this program's sudden death.
func (n *Node) Start(c Command) (*Process, error) {
	p := &Process{
		node:   n,
		name:   filepath.Base(c.Path),
		output: newOutput(c.OnLine),
		done:   make(chan struct{}),
	}
	p.cmd = exec.Command(c.Path, c.Args...)
	p.cmd.Dir = c.Dir
	if c.Env != nil {
		p.cmd.Env = append(os.Environ(), c.Env...)
	}
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output // one pipe: the order is kept
	p.cmd.WaitDelay = pipeDelay
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if c.User != nil {
		p.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: c.User.UID, Gid: c.User.GID}
		p.cmd.SysProcAttr.AmbientCaps = c.User.Caps
		p.prompt = c.User.Prompt
	}
	if err := n.launch(p); err != nil {
		if c.User != nil && errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w (can user %d enter every directory of that path?)", err, c.User.UID)
		}
		return nil, fmt.Errorf("lab: %s: start %s: %w", n.Name, c.Path, err)
	}
	go p.reap()
	return p, nil
}

// launch forks on the node's own thread, whose namespaces and parent death
// signal the process gets.
func (n *Node) launch(p *Process) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.place == nil {
		return ErrClosed
	}
	if n.dead {
		return ErrDead
	}
	start := p.cmd.Start
	if p.prompt {
		start = func() error { return promptly(p.cmd) }
	}
	if err := n.place.thread.do(start); err != nil {
		return err
	}
	n.procs = append(n.procs, p)
	return nil
}

func (p *Process) reap() {
	p.err = p.cmd.Wait()
	if errors.Is(p.err, exec.ErrWaitDelay) {
		p.err = nil // it exited with 0; only its children's output is cut short
	}
	p.output.end()
	close(p.done)
}

// Processes returns the processes started in the node, oldest first, those
// that have ended included.
func (n *Node) Processes() []*Process {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.procs)
}

// PID is the process number, in this program's numbering.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Node is where the process runs.
func (p *Process) Node() *Node { return p.node }

func (p *Process) String() string {
	return fmt.Sprintf("%s: %s[%d]", p.node, p.name, p.PID())
}

// Signal sends a signal. After the exit the error is os.ErrProcessDone.
func (p *Process) Signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("lab: signal %q to %s: %w", sig, p, err)
	}
	return nil
}

// Kill sends SIGKILL: a crash. The children of the process, if any, live on.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Freeze stops the process and returns when all its threads stand still.
func (p *Process) Freeze() error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	if err := awaitStopped(p.PID()); err != nil {
		return fmt.Errorf("lab: freeze %s: %w", p, err)
	}
	return nil
}

// Thaw lets a frozen process continue.
func (p *Process) Thaw() error { return p.Signal(syscall.SIGCONT) }

// Done is closed when the process has exited and its output is complete.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for Done. It returns nil after exit status 0, otherwise an
// *exec.ExitError, or the context's error if that ends first.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
	case <-ctx.Done():
		return fmt.Errorf("lab: wait for %s: %w", p, context.Cause(ctx))
	}
	if p.err != nil {
		return fmt.Errorf("lab: %s: %w", p, p.err)
	}
	return nil
}

// ExitCode is the exit status; -1 while the process runs and if a signal ended
// it.
func (p *Process) ExitCode() int {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	default:
		return -1
	}
}

// Stop asks the process to end (SIGTERM) and waits as Wait does. If the context
// ends first it kills the process, and the error says so.
func (p *Process) Stop(ctx context.Context) error {
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
		return p.Wait(ctx)
	case <-ctx.Done():
	}
	err := fmt.Errorf("lab: %s did not stop and was killed: %w", p, context.Cause(ctx))
	if e := p.Kill(); e != nil {
		return errors.Join(err, e)
	}
	<-p.done
	return err
}

// awaitStopped polls until every thread of a process is stopped: the signal is
// asynchronous, and a thread may run on for a moment on another CPU.
func awaitStopped(pid int) error {
	for deadline := time.Now().Add(exitTimeout); ; time.Sleep(time.Millisecond) {
		stopped, err := isStopped(pid)
		if err != nil || stopped {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d still runs after %v", pid, exitTimeout)
		}
	}
}

func isStopped(pid int) (bool, error) {
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		return false, err
	}
	if len(stats) == 0 {
		return false, fmt.Errorf("process %d: %w", pid, os.ErrProcessDone)
	}
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		// The state follows the command, which is in parentheses and may
		// itself contain some.
		_, rest, _ := strings.Cut(string(b[strings.LastIndexByte(string(b), ')')+1:]), " ")
		switch {
		case strings.HasPrefix(rest, "Z"):
			return false, fmt.Errorf("process %d: %w", pid, os.ErrProcessDone)
		case !strings.HasPrefix(rest, "T"):
			return false, nil
		}
	}
	return true, nil
}
