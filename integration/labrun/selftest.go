package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// check is one promise of labrun. Run runs labrun itself, as a user would.
type check struct {
	name   string
	vmOnly bool
	run    func(r runner) error
}

// runner starts this program with the flag for the way under test.
type runner struct {
	self string
	way  string // -vm or -direct
	dir  string // for files; removed at the end
}

// selfTest proves labrun's promises end to end: in the virtual machine, or
// with -direct on this kernel. It prints a line for each and returns the exit
// status.
func selfTest(opts options) int {
	r := runner{way: "-vm"}
	if opts.direct {
		r.way = "-direct"
	}
	var err error
	if r.self, err = os.Executable(); err != nil {
		return fail(err)
	}
	if r.dir, err = os.MkdirTemp("", "labrun-self-test-"); err != nil {
		return fail(err)
	}
	defer os.RemoveAll(r.dir)
	// Processes that labrun leaves behind become our children, and so show up.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fail(fmt.Errorf("become a subreaper: %w", err))
	}
	code := 0
	for _, c := range checks {
		if c.vmOnly && opts.direct {
			continue
		}
		start := time.Now()
		err := errors.Join(c.run(r), nothingLeft())
		verdict := "PASS"
		if err != nil {
			verdict, code = "FAIL", 1
		}
		fmt.Printf("%s  %s  (%.1f s)\n", verdict, c.name, time.Since(start).Seconds())
		if err != nil {
			fmt.Println(indent(err.Error()))
		}
	}
	return code
}

// nothingLeft reports processes that outlived their labrun.
func nothingLeft() error {
	// A process that was killed takes a moment to end.
	for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.ECHILD):
			return nil
		case err != nil:
			return fmt.Errorf("wait for orphans: %w", err)
		case pid == 0:
			time.Sleep(10 * time.Millisecond)
		}
	}
	return errors.New("a process outlived its labrun")
}

// result is what one run of labrun gave.
type result struct {
	code           int
	stdout, stderr string // stderr without labrun's line about where it runs
}

// command prepares a run of labrun.
func (r runner) command(args ...string) *exec.Cmd {
	return exec.Command(r.self, append([]string{r.way}, args...)...)
}

// do runs a prepared command to its end.
func (r runner) do(cmd *exec.Cmd) (result, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		return result{}, err
	}
	where, rest, _ := strings.Cut(stderr.String(), "\n")
	if !strings.HasPrefix(where, "labrun: ") {
		return result{}, fmt.Errorf("standard error does not begin by saying where the command runs: %q", where)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), rest}, nil
}

// shell runs a shell script and wants this exit status.
func (r runner) shell(wantCode int, script string) (result, error) {
	return r.want(wantCode, r.command("sh", "-c", script))
}

// want runs a prepared command and wants this exit status.
func (r runner) want(code int, cmd *exec.Cmd) (result, error) {
	res, err := r.do(cmd)
	if err == nil && res.code != code {
		err = fmt.Errorf("exit status %d, want %d; standard error: %s", res.code, code, res.stderr)
	}
	return res, err
}

var checks = []check{
	{name: "exit status 0", run: exitStatus(0, "exit 0")},
	{name: "exit status 3", run: exitStatus(3, "exit 3")},
	{name: "death by a signal is 128+n", run: exitStatus(128+int(syscall.SIGTERM), "kill -TERM $$")},
	{name: "IPVS is there", vmOnly: true, run: exitStatus(0, "test -e "+ipvsTable)},
	{name: "standard output and error stay apart, complete and binary clean", run: checkStreams},
	{name: "output arrives while the command runs", run: checkLive},
	{name: "arguments, environment and working directory arrive", run: checkSurroundings},
	{name: "files in $LAB_OUT reach the host, others do not", run: checkFiles},
	{name: "the time limit ends the command with status 124", run: checkTimeout},
	{name: "a termination signal ends the command", run: checkInterrupt},
	{name: "SIGQUIT reaches the command", run: checkQuit},
	{name: "a machine that hangs at boot is replaced", vmOnly: true, run: checkHungBoot},
	{name: "a kernel panic is reported with the console", vmOnly: true, run: checkPanic},
}

func exitStatus(code int, script string) func(runner) error {
	return func(r runner) error {
		_, err := r.shell(code, script)
		return err
	}
}

func checkStreams(r runner) error {
	res, err := r.shell(0, `printf '\000\r\n\377\033'; seq 200000 & seq 200000 -1 1 >&2; wait; printf end`)
	if err != nil {
		return err
	}
	var up, down strings.Builder
	for i := range 200000 {
		fmt.Fprintln(&up, i+1)
		fmt.Fprintln(&down, 200000-i)
	}
	return errors.Join(
		same("standard output", res.stdout, "\x00\r\n\xff\x1b"+up.String()+"end"),
		same("standard error", res.stderr, down.String()))
}

// same compares long texts without printing them.
func same(what, got, want string) error {
	if got == want {
		return nil
	}
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	return fmt.Errorf("%s differs from what was written: %d octets, want %d; first at octet %d", what, len(got), len(want), at)
}

// checkLive has the guest wait between two lines, and measures the wait here.
func checkLive(r runner) error {
	cmd := r.command("sh", "-c", "echo one; sleep 1; echo two")
	cmd.Stderr = io.Discard
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	line := make([]byte, 4)
	if _, err := io.ReadFull(out, line); err != nil {
		return err
	}
	first := time.Now()
	if _, err := io.ReadFull(out, line); err != nil {
		return err
	}
	gap := time.Since(first)
	if err := cmd.Wait(); err != nil {
		return err
	}
	if gap < 900*time.Millisecond {
		return fmt.Errorf("the lines arrived %v apart, but were written 1s apart", gap)
	}
	return nil
}

func checkSurroundings(r runner) error {
	strange := "a b\n\"c\" 'd' $e \\ é \xff"
	cmd := r.command("sh", "-c", `printf '%s|' "$PWD" "$TANDEM_SELF_TEST" "$#" "$@"`, "sh", strange, "", "-x")
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "TANDEM_SELF_TEST="+strange)
	res, err := r.want(0, cmd)
	if err != nil {
		return err
	}
	want := strings.Join([]string{r.dir, strange, "3", strange, "", "-x", ""}, "|")
	if res.stdout != want {
		return fmt.Errorf("got %q, want %q", res.stdout, want)
	}
	return nil
}

func checkFiles(r runner) error {
	out := filepath.Join(r.dir, "out, with a comma", "sub")
	cmd := r.command("sh", "-c", `echo kept >"$LAB_OUT/file" && echo lost >../other && cat ../other`)
	cmd.Dir = filepath.Join(r.dir, "here")
	if err := os.Mkdir(cmd.Dir, 0o755); err != nil {
		return err
	}
	cmd.Env = append(os.Environ(), "LAB_OUT="+out)
	res, err := r.want(0, cmd)
	if err != nil {
		return err
	}
	kept, err := os.ReadFile(filepath.Join(out, "file"))
	if err != nil || string(kept) != "kept\n" {
		return fmt.Errorf("the file in LAB_OUT holds %q (%v), want %q", kept, err, "kept\n")
	}
	if res.stdout != "lost\n" {
		return fmt.Errorf("the command could not read its own file back: %q", res.stdout)
	}
	if r.way == "-vm" && exists(filepath.Join(r.dir, "other")) {
		return errors.New("a file outside LAB_OUT reached the host")
	}
	return nil
}

func checkTimeout(r runner) error {
	cmd := r.command("-timeout=3s", "sh", "-c", "trap '' QUIT; echo started; sleep 1000; sleep 1000")
	start := time.Now()
	res, err := r.want(exitTimeout, cmd)
	if err != nil {
		return err
	}
	if took := time.Since(start); took > defaultBootLimit {
		return fmt.Errorf("it took %v to end after 3s", took)
	}
	if res.stdout != "started\n" || !strings.Contains(res.stderr, "time limit of 3s") {
		return fmt.Errorf("output %q, message %q", res.stdout, res.stderr)
	}
	return nil
}

func checkInterrupt(r runner) error {
	return r.signalled(syscall.SIGTERM, 128+int(syscall.SIGTERM), "echo started; sleep 1000")
}

func checkQuit(r runner) error {
	return r.signalled(syscall.SIGQUIT, 42, "trap 'exit 42' QUIT; echo started; while :; do sleep 0.2; done")
}

// signalled runs a script, sends labrun a signal when the script has printed
// its first line, and wants this exit status.
func (r runner) signalled(sig syscall.Signal, code int, script string) error {
	cmd := r.command("sh", "-c", script)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if _, err := io.ReadFull(out, make([]byte, len("started\n"))); err != nil {
		return err
	}
	if err := cmd.Process.Signal(sig); err != nil {
		return err
	}
	cmd.Wait() // the exit status follows
	if got := cmd.ProcessState.ExitCode(); got != code {
		return fmt.Errorf("exit status %d, want %d", got, code)
	}
	return nil
}

func checkPanic(r runner) error {
	res, err := r.shell(exitLabrun, "echo c >/proc/sysrq-trigger; sleep 60")
	if err != nil {
		return err
	}
	if !strings.Contains(res.stderr, "Kernel panic") {
		return errors.New("no kernel panic in the message: " + strconv.Quote(res.stderr))
	}
	return nil
}

// checkHungBoot gives labrun a QEMU that does nothing when it is first started.
func checkHungBoot(r runner) error {
	real, err := exec.LookPath(qemuProgram)
	if err != nil {
		return missingTool(qemuProgram)
	}
	bin := filepath.Join(r.dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return err
	}
	script := `#!/bin/sh
if mkdir "$0.hung" 2>/dev/null; then exec sleep 1000; fi
exec ` + real + ` "$@"
`
	if err := os.WriteFile(filepath.Join(bin, qemuProgram), []byte(script), 0o755); err != nil {
		return err
	}
	cmd := r.command("-boot-limit=15s", "echo", "booted")
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	res, err := r.want(0, cmd)
	if err != nil {
		return err
	}
	if res.stdout != "booted\n" || !strings.Contains(res.stderr, "not ready in time") {
		return fmt.Errorf("output %q, message %q", res.stdout, res.stderr)
	}
	return nil
}
