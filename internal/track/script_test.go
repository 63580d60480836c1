package track

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"tandem/configs"
	"tandem/director"
)

const long = time.Minute // longer than any of these runs

func sh(text string, args ...string) []string {
	return append([]string{"/bin/sh", "-c", text, "sh"}, args...)
}

func TestRunScript(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	write(t, plain, "#!/bin/sh\n")
	for what, tt := range map[string]struct {
		args []string
		want outcome
	}{
		"good":                {sh("exit 0"), outcome{true, ""}},
		"good, with words":    {sh("echo one; echo two >&2"), outcome{true, "two"}},
		"bad":                 {sh("exit 3"), outcome{false, "exit status 3"}},
		"bad, with words":     {sh("echo no route; exit 1"), outcome{false, "exit status 1: no route"}},
		"ends itself":         {sh("kill -9 $$"), outcome{false, "signal: killed"}},
		"absent":              {[]string{dir + "/none"}, outcome{false, "fork/exec " + dir + "/none: no such file or directory"}},
		"not executable":      {[]string{plain}, outcome{false, "fork/exec " + plain + ": permission denied"}},
		"no shell in between": {[]string{"/bin/echo", "$HOME; `id`", "", "x"}, outcome{true, "$HOME; `id`  x"}},
		"where it runs":       {sh("pwd"), outcome{true, "/"}},
		"nothing to read":     {sh("read x && echo got; echo end"), outcome{true, "end"}},
		"its environment":     {sh("unset PWD OLDPWD _ SHLVL; env | sort | tr '\\n' ' '"), outcome{true, strings.Join([]string{scriptEnv[1], scriptEnv[0]}, " ")}},
		// Field 5 of proc_pid_stat(5), with those before the state cut off.
		"a group of its own":   {sh("read -r stat </proc/$$/stat; set -- ${stat##*) }; test $3 = $$"), outcome{true, ""}},
		"more than a pipe has": {sh("head -c 1000000 /dev/zero | tr '\\0' x; echo; echo end"), outcome{true, "end"}},
	} {
		if got := <-startScript(t.Context(), tt.args, long); got != tt.want {
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
	_, alive := parseStat(stat)
	return alive
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

func TestScriptTimeout(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	start := time.Now()
	got := <-startScript(t.Context(), sh(`trap "" TERM INT HUP; sleep 1000 & echo $! >"$1"; echo waiting; wait; sleep 1000`, pid), 300*time.Millisecond)
	if want := (outcome{false, "killed after 300ms: waiting"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if took := time.Since(start); took < 300*time.Millisecond || took > 20*time.Second {
		t.Errorf("took %v", took)
	}
	wantDead(t, pid)
}

func TestScriptFlood(t *testing.T) {
	got := <-startScript(t.Context(), sh("yes flood"), 300*time.Millisecond)
	if want := (outcome{false, "killed after 300ms: flood"}); !strings.HasPrefix(got.reason, "killed after 300ms: ") || got.well {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestScriptLeavesNothing(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	got := <-startScript(t.Context(), sh(`sleep 1000 & echo $! >"$1"; echo done`, pid), long)
	if want := (outcome{true, "done"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	wantDead(t, pid)
}

// A child that left the group is not ours to find, but it holds nothing up.
func TestScriptEscape(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	got := <-startScript(t.Context(), sh(`setsid sh -c 'echo $$ >"$1"; exec sleep 1000' sh "$1" & while ! test -s "$1"; do :; done; echo away`, pid), long)
	if want := (outcome{true, "away"}); got != want {
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

func TestScriptCancelled(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	s := &script{args: sh(`echo $$ >"$1"; exec sleep 1000`, pid), timeout: long, rise: 1, fall: 1}
	go func() {
		_, err := s.see(ctx)
		done <- err
	}()
	for {
		if text, err := os.ReadFile(pid); err == nil && len(text) > 0 {
			break
		}
	}
	cancel()
	if err := <-done; err == nil {
		t.Error("a run that was cut short has a result")
	}
	wantDead(t, pid)
}

// A run that cannot be killed is reported in time, and no second one starts.
func TestScriptThatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan outcome, 1)
		s := &script{args: []string{"/none"}, timeout: time.Second, rise: 1, fall: 1, running: stuck}
		for range 3 {
			start := time.Now()
			got, err := s.see(t.Context())
			if want := (director.ThingState{Known: true, Reason: "was killed after its timeout and does not end"}); got != want || err != nil {
				t.Errorf("got %+v, %v", got, err)
			}
			if took := time.Since(start); took != time.Second+outputGrace+killGrace {
				t.Errorf("took %v", took)
			}
		}
		stuck <- outcome{reason: "killed after 1s"}
		if got, _ := s.see(t.Context()); got.Reason != "killed after 1s" || s.running != nil {
			t.Errorf("at last: %+v", got)
		}
	})
}

func TestScriptEye(t *testing.T) {
	flag := filepath.Join(t.TempDir(), "flag")
	e := scriptEye(configs.Thing{Kind: configs.TrackScript, Script: configs.Command("/usr/bin/test\x00-e\x00" + flag + "\x00"),
		Interval: 3 * time.Second, Timeout: long, Rise: 2, Fall: 2})
	if e.every != 3*time.Second {
		t.Errorf("every %v", e.every)
	}
	var got []string
	for i := range 6 {
		switch i {
		case 1:
			write(t, flag, "")
		case 4:
			os.Remove(flag)
		}
		s, err := e.see(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, strconv.FormatBool(s.Well)+" "+s.Reason)
	}
	want := "false exit status 1,false (1 in a row),true ,true ,true exit status 1 (1 in a row),false exit status 1"
	if s := strings.Join(got, ","); s != want {
		t.Errorf("got %s, want %s", s, want)
	}
}
