//go:build lab

package lab

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Close leaves no process, no namespace, no descriptor and no goroutine.
func TestCloseLeavesNothing(t *testing.T) {
	warm, err := New(Options{}) // what a first use leaves open for good, the poller for one
	if err != nil {
		t.Fatal(err)
	}
	if err := warm.Close(); err != nil {
		t.Fatal(err)
	}
	fds, goroutines := countFDs(t), runtime.NumGoroutine()
	host, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}

	l, err := New(Options{Directors: 3, Servers: 2, Inside: true, Router: true, IPv6: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	lb1 := l.Directors[0]
	p := startRole(t, lb1, "parent")
	orphan := pidfds(t, line(t, p, ""))
	frozen := startRole(t, lb1, "tick")
	line(t, frozen, "3")
	if err := errors.Join(frozen.Freeze(), p.Kill()); err != nil {
		t.Fatal(err)
	}
	c, err := lb1.Capture(LAN, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(lb1.LinkDown(Inside), l.Isolate(LAN, l.Directors...)); err != nil {
		t.Fatal(err)
	}
	var spaces []string
	nodes := l.Nodes()
	for _, dev := range []string{LAN, Inside, Outside} {
		nodes = append(nodes, l.Switch(dev))
	}
	for _, n := range nodes {
		var ns string
		if err := n.Do(func() (err error) { ns, err = os.Readlink("/proc/thread-self/ns/net"); return err }); err != nil {
			t.Fatal(err)
		}
		spaces = append(spaces, ns)
	}
	if n := countIn(t, spaces); n < len(nodes) {
		t.Fatalf("the count of threads in namespaces finds %d, want one for each of %d nodes", n, len(nodes))
	}

	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	wantGone(t, orphan)
	<-p.Done()
	<-frozen.Done()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	// Threads and goroutines are gone a moment after the calls that end them.
	settle(t, "threads in the lab's namespaces", func() bool { return countIn(t, spaces) == 0 })
	settle(t, "goroutines", func() bool { return runtime.NumGoroutine() <= goroutines })
	settle(t, "descriptors", func() bool { return countFDs(t) <= fds+len(orphan) })
	if now, _ := os.Readlink("/proc/thread-self/ns/net"); now != host {
		t.Errorf("this program is in %s now, was in %s", now, host)
	}
	if err := lb1.LinkUp(LAN); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed lab: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}

func countFDs(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// countIn counts the threads of the whole machine that are in one of the network
// namespaces.
func countIn(t *testing.T, spaces []string) (n int) {
	t.Helper()
	threads, err := filepath.Glob("/proc/[0-9]*/task/*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	wanted := strings.Join(spaces, " ")
	for _, name := range threads {
		if ns, err := os.Readlink(name); err == nil && strings.Contains(wanted, ns) {
			n++
		}
	}
	return n
}

func settle(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for !done() {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			t.Errorf("%s are left", what)
			return
		}
	}
}

// A namespace on the program's first thread would stay until the program ends.
func TestOwnThreadIsNotTheFirst(t *testing.T) {
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), roleEnv+"=first")
	if out, err := c.CombinedOutput(); string(out) != "is the first: false\n" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
}

// A program that is killed takes its labs with it, and they are not in the way
// of the next.
func TestSuddenDeathLeavesNothing(t *testing.T) {
	c, _, _, victims := program(t, "lab")
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	wantGone(t, victims)
	Start(t, Options{Servers: 1})
}

// endings are the ways in which a program that runs the test below alone ends
// the subtest.
var endings = map[string]func(*testing.T){
	"panic": func(t *testing.T) { panic("on purpose") },
	"fatal": func(t *testing.T) { t.Fatal("on purpose") },
}

func TestStartClosesWithTheTest(t *testing.T) {
	var l *Lab
	end := endings[os.Getenv(roleEnv)]
	t.Run("sub", func(t *testing.T) {
		if end == nil {
			l = Start(t, Options{})
			return
		}
		l = startVictims(func(o Options) (*Lab, error) { return Start(t, o), nil })
		bufio.NewReader(os.Stdin).ReadString('\n') // until the victims are known
		end(t)
	})
	if err := l.Client.LinkUp(LAN); !errors.Is(err, ErrClosed) {
		t.Errorf("after the subtest: %v", err)
	}
	if end != nil {
		fmt.Println("lives on")
		sleep()
	}
}

func TestPanicInSubtestLeavesNothing(t *testing.T) {
	c, out, in, victims := program(t, "panic", "-test.run=^TestStartClosesWithTheTest$")
	if _, err := io.WriteString(in, "\n"); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(out); err != nil || !strings.Contains(string(rest), "panic: on purpose") {
		t.Errorf("output %q, %v", rest, err)
	}
	if err := c.Wait(); err == nil {
		t.Error("the panic was swallowed")
	}
	wantGone(t, victims)
}

// After t.Fatal the lab is closed while the program goes on.
func TestFatalInSubtestLeavesNothing(t *testing.T) {
	_, out, in, victims := program(t, "fatal", "-test.run=^TestStartClosesWithTheTest$")
	if _, err := io.WriteString(in, "\n"); err != nil {
		t.Fatal(err)
	}
	for {
		s, err := out.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if s == "lives on\n" {
			break
		}
	}
	wantGone(t, victims)
}
