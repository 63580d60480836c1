//go:build lab

package program

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A daemon as the unit starts it, an ordinary user with two ambient
// capabilities, runs a script: that is the same user and may do nothing.
func TestNoCapabilities(t *testing.T) {
	const asked = "TANDEM_TEST_PROGRAM_CAPABILITIES"
	const show = `sed -n 's/^Cap\(Prm\|Eff\|Amb\):\t0*//p' /proc/self/status | tr '\n' ' '; id -u | tr '\n' ' '; cat "$1" 2>/dev/null || echo refused`
	if secret := os.Getenv(asked); secret != "" { // this is the daemon
		own, err := exec.Command("/bin/sh", "-c", show, "sh", secret).CombinedOutput()
		fmt.Printf("daemon: %s, %v\n", strings.TrimSpace(string(own)), err)
		for range 3 { // on threads that come and go
			fmt.Printf("script: %s\n", (<-start(t.Context(), sh(show, secret), long)).Reason)
		}
		again, err := exec.Command("/bin/sh", "-c", show, "sh", secret).CombinedOutput()
		fmt.Printf("daemon: %s, %v\n", strings.TrimSpace(string(again)), err)
		return
	}
	dir, err := os.MkdirTemp("", "program")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	secret, program := filepath.Join(dir, "secret"), filepath.Join(dir, "program.test")
	self, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(program, self, 0o755)
	}
	if err == nil {
		err = os.WriteFile(secret, []byte("read\n"), 0o600)
	}
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-test.run=^TestNoCapabilities$")
	cmd.Dir, cmd.Env = "/", append(os.Environ(), asked+"="+secret)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: 65534, Gid: 65534},
		// CAP_DAC_READ_SEARCH shows that a capability would have worked.
		AmbientCaps: []uintptr{unix.CAP_NET_ADMIN, unix.CAP_DAC_READ_SEARCH},
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v (needs root): %s", err, out)
	}
	const daemon, script = "daemon: 1004 1004 1004 65534 read, <nil>\n", "script: 65534 refused\n"
	if got, want := strings.TrimSuffix(string(out), "PASS\n"), daemon+strings.Repeat(script, 3)+daemon; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
