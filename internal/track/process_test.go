package track

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestParseStat(t *testing.T) {
	for _, tt := range []struct {
		stat, comm string
		alive      bool
	}{
		{"7 (nginx) S 1 7 7 0", "nginx", true},
		{"7 (tmux: server) R 1", "tmux: server", true},
		{"7 (a) b) D 1", "a) b", true},
		{"7 (nginx) Z 1 7", "nginx", false},
		{"7 (nginx) X 1 7", "nginx", false},
		{"7 (nginx)", "", false}, {"7 nginx S", "", false}, {"", "", false}, {")(", "", false},
	} {
		if comm, alive := parseStat([]byte(tt.stat)); comm != tt.comm || alive != tt.alive {
			t.Errorf("%q: got %q, %t", tt.stat, comm, alive)
		}
	}
}

func TestProcessEye(t *testing.T) {
	dir := t.TempDir()
	put := func(pid, stat string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, pid), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, pid, "stat"), stat)
	}
	see := func() string {
		s, err := processEye(dir, "nginx").see(t.Context())
		if err != nil {
			return err.Error()
		}
		return strconv.FormatBool(s.Well) + " " + s.Reason
	}
	put("self", "9 (nginx) S 1")
	put("70", "70 (nginx) Z 1")
	put("71", "71 (nginx-debug) S 1")
	if got := see(); got != errHidden.Error() {
		t.Errorf("without PID 1: %s", got)
	}
	put("1", "1 (systemd) S 0")
	if got := see(); got != "false does not run" {
		t.Errorf("not there: %s", got)
	}
	put("72", "72 (nginx) S 1")
	if got := see(); got != "true PID 72" {
		t.Errorf("there: %s", got)
	}
	if _, err := processEye(filepath.Join(dir, "none"), "nginx").see(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no procfs: %v", err)
	}
}

// The real /proc, with a process of a name that nothing else has.
func TestProcessOfThisKernel(t *testing.T) {
	name := "tandem-tr" + strconv.Itoa(os.Getpid()%10000)
	program := filepath.Join(t.TempDir(), name)
	if err := os.Symlink("/bin/cat", program); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if pid, err := findProcess("/proc", name); pid != "" || err != nil {
		t.Errorf("before: %q, %v", pid, err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if pid, err := findProcess("/proc", name); pid != strconv.Itoa(cmd.Process.Pid) || err != nil {
		t.Errorf("%d runs: got %q, %v", cmd.Process.Pid, pid, err)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if pid, err := findProcess("/proc", name); pid != "" || err != nil {
		t.Errorf("after: %q, %v", pid, err)
	}
	if strings.Contains(name, " ") || len(name) > 15 {
		t.Errorf("%q is no name of a process", name)
	}
}
