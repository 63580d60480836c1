//go:build lab

package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// roleEnv makes the test binary play a program in a node instead of testing.
const roleEnv = "TANDEM_LAB_ROLE"

var roles = map[string]func(){
	"wait":       func() { fmt.Println("ready"); sleep() },
	"tick":       tick,
	"stubborn":   stubborn,
	"accept":     accept,
	"exit":       func() { fmt.Println("out"); fmt.Fprintln(os.Stderr, "err"); os.Exit(3) },
	"look":       look,
	"privileges": privileges,
	"parent":     parent,
	"first":      first,
	"lab":        func() { startVictims(New); sleep() },
}

// TestMain has the first thread, so that a role can be one that must not get it.
func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) {
	if role := roles[os.Getenv(roleEnv)]; role != nil {
		role()
		return
	}
	os.Exit(m.Run())
}

// sleep waits for a signal. Without a timer the runtime would call it a deadlock
// and end the program.
func sleep() {
	for {
		time.Sleep(time.Hour)
	}
}

func tick() {
	for i := 0; ; i++ {
		fmt.Println(i)
		time.Sleep(2 * time.Millisecond)
	}
}

// stubborn does not end when asked.
func stubborn() {
	signal.Ignore(syscall.SIGTERM)
	fmt.Println("ready")
	sleep()
}

// accept takes one connection and holds it.
func accept() {
	ln, err := net.Listen("tcp", ":80")
	check(err)
	fmt.Println("ready")
	_, err = ln.Accept()
	check(err)
	fmt.Println("accepted")
	sleep()
}

// look prints what the node looks like from within.
func look() {
	host, err := os.Hostname()
	check(err)
	entries, err := os.ReadDir("/sys/class/net")
	check(err)
	var devs []string
	for _, e := range entries {
		devs = append(devs, e.Name())
	}
	run, err := os.ReadDir("/run")
	check(err)
	var files []string
	for _, e := range run {
		files = append(files, e.Name())
	}
	fmt.Println(host, devs, files)
}

// privileges prints which rights the process has, by trying.
func privileges() {
	status, err := os.ReadFile("/proc/self/status")
	check(err)
	fmt.Print(string(status))
	check(os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0))
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, 112)
	check(err)
	check(unix.Close(fd))
	fmt.Println("hostname:", unix.Sethostname([]byte("x")))
	fmt.Println("end")
	sleep()
}

// first asks on the first thread for a thread of its own.
func first() {
	if unix.Gettid() != unix.Getpid() {
		check(errors.New("this is not the first thread"))
	}
	got := make(chan bool, 1)
	onOwnThread(func() { got <- unix.Gettid() == unix.Getpid() })
	fmt.Println("is the first:", <-got)
}

// parent leaves a child in a session of its own behind when it is killed.
func parent() {
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), roleEnv+"=wait")
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	check(c.Start())
	fmt.Println(c.Process.Pid)
	sleep()
}

func check(err error) {
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

// startVictims builds a lab with a process of root's and one of nobody's in it,
// and prints their numbers.
func startVictims(build func(Options) (*Lab, error)) *Lab {
	l, err := build(Options{Servers: 1})
	check(err)
	a, err := l.Directors[0].Start(Command{Path: "/proc/self/exe", Env: []string{roleEnv + "=wait"}})
	check(err)
	b, err := l.Directors[1].Start(Command{Path: "sleep", Args: []string{"infinity"}, User: Unprivileged()})
	check(err)
	fmt.Println("victims", a.PID(), b.PID())
	return l
}

// startRole starts a role in a node.
func startRole(t *testing.T, n *Node, role string) *Process {
	t.Helper()
	p, err := n.Start(Command{Path: "/proc/self/exe", Env: []string{roleEnv + "=" + role}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// line waits for a line that contains text.
func line(t *testing.T, p *Process, text string) string {
	t.Helper()
	l, err := p.WaitLine(timeout(t), func(s string) bool { return strings.Contains(s, text) })
	if err != nil {
		t.Fatal(err)
	}
	return l.Text
}

// timeout is a context for a wait that ought to take a moment.
func timeout(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// reaches reports whether a TCP connection attempt from a node is answered in
// time: with a refusal, as nobody listens.
func reaches(t *testing.T, from *Node, to netip.Addr, patience time.Duration) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := from.DialContext(ctx, "tcp", netip.AddrPortFrom(to, 9).String())
	if err == nil {
		c.Close()
		t.Fatalf("somebody listens at %s", to)
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return true
	}
	if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, syscall.EHOSTUNREACH) &&
		!errors.Is(err, syscall.ENETUNREACH) && !isTimeout(err) {
		t.Fatalf("from %s to %s: %v", from, to, err)
	}
	return false
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func wantReach(t *testing.T, from *Node, to netip.Addr, want bool) {
	t.Helper()
	// An attempt that is going to succeed may have to wait for the neighbour
	// cache and for TCP to try again, a second each.
	patience := 10 * time.Second
	if !want {
		patience = 400 * time.Millisecond
	}
	if got := reaches(t, from, to, patience); got != want {
		t.Errorf("%s reaches %s: %v, want %v", from, to, got, want)
	}
}

// pidfds opens processes so that their end can be awaited for certain.
func pidfds(t *testing.T, pids string) []int {
	t.Helper()
	var fds []int
	for _, s := range strings.Fields(pids) {
		var pid int
		if _, err := fmt.Sscan(s, &pid); err != nil {
			t.Fatalf("process number %q: %v", s, err)
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			t.Fatalf("process %d is not there to begin with: %v", pid, err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		fds = append(fds, fd)
	}
	return fds
}

// wantGone checks that the processes end within a moment.
func wantGone(t *testing.T, fds []int) {
	t.Helper()
	for i, fd := range fds {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000)
		for errors.Is(err, unix.EINTR) {
			n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000)
		}
		if n != 1 {
			t.Errorf("process %d of %d lives on: %v", i+1, len(fds), err)
		}
	}
}

// program runs this binary in a role outside of any lab and returns it when it
// has told its victims, with descriptors of theirs.
func program(t *testing.T, role string, args ...string) (*exec.Cmd, *bufio.Reader, io.Writer, []int) {
	t.Helper()
	c := exec.Command("/proc/self/exe", args...)
	c.Env = append(os.Environ(), roleEnv+"="+role)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = c.Stdout // a panic speaks there
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
	})
	r := bufio.NewReader(out)
	s, err := r.ReadString('\n')
	pids, ok := strings.CutPrefix(strings.TrimSpace(s), "victims ")
	if !ok {
		t.Fatalf("%s said %q, %v", role, s, err)
	}
	return c, r, in, pidfds(t, pids)
}
