package program

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const long = time.Minute // longer than any of these runs

// start runs a program for so long at most.
func start(ctx context.Context, args []string, timeout time.Duration) <-chan Outcome {
	return Start(ctx, Run{Args: args, Timeout: timeout})
}

func sh(text string, args ...string) []string {
	return append([]string{"/bin/sh", "-c", text, "sh"}, args...)
}

func TestStart(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("#!/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for what, tt := range map[string]struct {
		args []string
		want Outcome
	}{
		"good":                {sh("exit 0"), Outcome{Well: true, Reason: ""}},
		"good, with words":    {sh("echo one; echo two >&2"), Outcome{Well: true, Reason: "two"}},
		"bad":                 {sh("exit 3"), Outcome{Reason: "exit status 3"}},
		"bad, with words":     {sh("echo no route; exit 1"), Outcome{Reason: "exit status 1: no route"}},
		"ends itself":         {sh("kill -9 $$"), Outcome{Reason: "signal: killed"}},
		"absent":              {[]string{dir + "/none"}, Outcome{Reason: "fork/exec " + dir + "/none: no such file or directory"}},
		"not executable":      {[]string{plain}, Outcome{Reason: "fork/exec " + plain + ": permission denied"}},
		"no shell in between": {[]string{"/bin/echo", "$HOME; `id`", "", "x"}, Outcome{Well: true, Reason: "$HOME; `id`  x"}},
		"where it runs":       {sh("pwd"), Outcome{Well: true, Reason: "/"}},
		"nothing to read":     {sh("read x && echo got; echo end"), Outcome{Well: true, Reason: "end"}},
		"its environment":     {sh("unset PWD OLDPWD _ SHLVL; env | sort | tr '\\n' ' '"), Outcome{Well: true, Reason: strings.Join([]string{environment[1], environment[0]}, " ")}},
		// Field 5 of proc_pid_stat(5), with those before the state cut off.
		"a group of its own":   {sh("read -r stat </proc/$$/stat; set -- ${stat##*) }; test $3 = $$"), Outcome{Well: true, Reason: ""}},
		"more than a pipe has": {sh("head -c 1000000 /dev/zero | tr '\\0' x; echo; echo end"), Outcome{Well: true, Reason: "end"}},
	} {
		if got := <-start(t.Context(), tt.args, long); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", what, got, tt.want)
		}
	}
}

// alive says whether a process whose number is in a file runs.
func alive(t *testing.T, pidFile string) bool {
	t.Helper()
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(text)) + "/stat")
	if err != nil {
		return false
	}
	// The state follows the name, which is in parentheses (proc_pid_stat(5)).
	state := stat[bytes.LastIndexByte(stat, ')')+2]
	return state != 'Z' && state != 'X'
}

// wantDead waits for the kernel to carry a SIGKILL out.
func wantDead(t *testing.T, pidFile string) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); alive(t, pidFile); {
		if time.Now().After(end) {
			t.Fatal("a child still runs")
		}
	}
}

func TestTimeout(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	begin := time.Now()
	got := <-start(t.Context(), sh(`trap "" TERM INT HUP; sleep 1000 & echo $! >"$1"; echo waiting; wait; sleep 1000`, pid), 300*time.Millisecond)
	if want := (Outcome{Expired: true, Reason: "killed after 300ms: waiting"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if took := time.Since(begin); took < 300*time.Millisecond || took > 20*time.Second {
		t.Errorf("took %v", took)
	}
	wantDead(t, pid)
}

func TestFlood(t *testing.T) {
	got := <-start(t.Context(), sh("yes flood"), 300*time.Millisecond)
	if want := (Outcome{Expired: true, Reason: "killed after 300ms: flood"}); !strings.HasPrefix(got.Reason, "killed after 300ms: ") || got.Well || !got.Expired {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestLeavesNothing(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	got := <-start(t.Context(), sh(`sleep 1000 & echo $! >"$1"; echo done`, pid), long)
	if want := (Outcome{Well: true, Reason: "done"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	wantDead(t, pid)
}

// A child that left the group is not ours to find, but it holds nothing up.
func TestEscape(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	got := <-start(t.Context(), sh(`setsid sh -c 'echo $$ >"$1"; exec sleep 1000' sh "$1" & while ! test -s "$1"; do :; done; echo away`, pid), long)
	if want := (Outcome{Well: true, Reason: "away"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if !alive(t, pid) {
		t.Error("the child did not escape: the test shows nothing")
	}
	text, _ := os.ReadFile(pid)
	if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
		unix.Kill(n, unix.SIGKILL)
	}
}

func TestCancelled(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancel(t.Context())
	done := start(ctx, sh(`sleep 1000 & echo $! >"$1"; wait`, pid), long)
	for {
		if text, err := os.ReadFile(pid); err == nil && len(text) > 0 {
			break
		}
	}
	cancel()
	if got := <-done; got != (Outcome{Reason: "signal: killed"}) {
		t.Errorf("got %+v", got)
	}
	wantDead(t, pid)
}

// A program is given variables and something to read, and need not read it.
func TestInput(t *testing.T) {
	big := bytes.Repeat([]byte("line\n"), 100_000)
	for what, tt := range map[string]struct {
		text  string
		stdin []byte
		want  Outcome
	}{
		"variables": {`unset PWD OLDPWD _ SHLVL; env | sort | tr '\n' ' '`, nil, Outcome{Well: true, Reason: "A=b c $HOME " + environment[1] + " " + environment[0]}},
		"read":      {"cat", []byte("{}\n"), Outcome{Well: true, Reason: "{}"}},
		"the end":   {"cat >/dev/null; echo end", []byte("{}"), Outcome{Well: true, Reason: "end"}},
		"much":      {"wc -l", big, Outcome{Well: true, Reason: "100000"}},
		"not read":  {"echo end", big, Outcome{Well: true, Reason: "end"}},
	} {
		got := <-Start(t.Context(), Run{Args: sh(tt.text), Env: []string{"A=b c $HOME"}, Stdin: tt.stdin, Timeout: long})
		if got != tt.want {
			t.Errorf("%s: got %+v, want %+v", what, got, tt.want)
		}
	}
}
