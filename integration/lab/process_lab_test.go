//go:build lab

package lab

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestProcessExit(t *testing.T) {
	l := Start(t, Options{})
	var narrated []string
	p, err := l.Client.Start(Command{
		Path: "/proc/self/exe", Env: []string{roleEnv + "=exit"},
		OnLine: func(line Line) { narrated = append(narrated, line.Text) },
	})
	if err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := p.Wait(timeout(t)); !errors.As(err, &exit) || exit.ExitCode() != 3 || p.ExitCode() != 3 {
		t.Errorf("Wait: %v; status %d", err, p.ExitCode())
	}
	if p.Output() != "out\nerr\n" || !slices.Equal(narrated, []string{"out", "err"}) {
		t.Errorf("output %q, narrated %q", p.Output(), narrated)
	}
	if _, err := p.WaitLine(timeout(t), func(s string) bool { return s == "more" }); !errors.Is(err, ErrEnded) {
		t.Errorf("waiting for a line that cannot come: %v", err)
	}
	if err := p.Signal(syscall.SIGHUP); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("Signal: %v", err)
	}
	if err := p.Kill(); err != nil {
		t.Errorf("Kill: %v", err)
	}
	if _, err := l.Client.Start(Command{Path: "/nonexistent"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("started nothing: %v", err)
	}
}

func TestStop(t *testing.T) {
	l := Start(t, Options{})
	polite := startRole(t, l.Client, "wait")
	line(t, polite, "ready")
	if err := polite.Stop(timeout(t)); !strings.Contains(err.Error(), "terminated") {
		t.Errorf("Stop: %v", err)
	}
	stubborn := startRole(t, l.Client, "stubborn")
	line(t, stubborn, "ready")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := stubborn.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Stop: %v", err)
	}
	<-stubborn.Done()
}

func TestFreezeThaw(t *testing.T) {
	l := Start(t, Options{})
	p := startRole(t, l.Client, "tick")
	freezers := map[string]interface {
		Freeze() error
		Thaw() error
	}{"process": p, "host": l.Client}
	for name, f := range freezers {
		line(t, p, "1")
		if err := f.Freeze(); err != nil {
			t.Fatal(err)
		}
		// What was written before may still be in the pipe, nothing else.
		<-time.After(50 * time.Millisecond)
		before := len(p.Lines())
		<-time.After(100 * time.Millisecond)
		if after := len(p.Lines()); after != before {
			t.Errorf("%s: %d lines while frozen", name, after-before)
		}
		if err := f.Thaw(); err != nil {
			t.Fatal(err)
		}
		seen := 0
		if _, err := p.WaitLine(timeout(t), func(string) bool { seen++; return seen > before+10 }); err != nil {
			t.Errorf("%s: no life after the thaw: %v", name, err)
		}
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if err := p.Freeze(); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("froze the dead: %v", err)
	}
}

// A director runs as nobody with two capabilities, and these suffice.
func TestUnprivileged(t *testing.T) {
	l := Start(t, Options{})
	lb1 := l.Directors[0]
	// nobody cannot enter the folder of the test binary.
	copyFile(t, "/proc/self/exe", lb1.Path("/run/program"))
	p, err := lb1.Start(Command{Path: "/run/program", Env: []string{roleEnv + "=privileges"}, User: Unprivileged()})
	if err != nil {
		t.Fatal(err)
	}
	line(t, p, "end")
	status := map[string]string{}
	for _, l := range p.Lines() {
		key, value, _ := strings.Cut(l.Text, ":")
		status[key] = strings.Join(strings.Fields(value), " ")
	}
	const caps = "0000000000003000" // bits 12 and 13: NET_ADMIN, NET_RAW
	for key, want := range map[string]string{
		"Uid": "65534 65534 65534 65534", "Gid": "65534 65534 65534 65534", "Groups": "",
		"CapInh": caps, "CapPrm": caps, "CapEff": caps, "CapAmb": caps,
		"hostname": "operation not permitted",
	} {
		if got, ok := status[key]; !ok || got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	if got, err := lb1.Sysctl("net/ipv4/ip_forward"); got != "1" {
		t.Errorf("ip_forward %q, %v", got, err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}
