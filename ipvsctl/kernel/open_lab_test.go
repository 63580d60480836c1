//go:build lab

package kernel

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tandem/internal/sysctl"
	"tandem/ipvsctl"
)

// withCapabilities runs f on a thread of its own that has only the given
// capabilities, a bit mask.
func withCapabilities(mask uint32, f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := keepCapabilities(mask); err != nil {
			result <- err
			return
		}
		result <- f()
	}()
	return <-result
}

// keepCapabilities takes all others from the calling thread.
func keepCapabilities(mask uint32) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{{Effective: mask, Permitted: mask}}
	return unix.Capset(&header, &data[0])
}

func TestOpenWithoutPermission(t *testing.T) {
	err := withCapabilities(0, func() error {
		h, err := Open()
		if err == nil {
			h.Close()
		}
		return err
	})
	if !errors.Is(err, ErrNoPermission) || !errors.Is(err, unix.EPERM) {
		t.Errorf("without capabilities: %v", err)
	}
}

// TestOnlyNetAdmin shows that the one capability of the daemon is enough.
func TestOnlyNetAdmin(t *testing.T) {
	enterNamespace(t)
	here, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	want := everything([]string{"rr", "mh"})
	var handle *Handle
	// Entering the namespace takes one more, which is dropped before opening.
	err = withCapabilities(1<<unix.CAP_NET_ADMIN|1<<unix.CAP_SYS_ADMIN, func() error {
		if err := unix.Setns(int(here.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		if err := keepCapabilities(1 << unix.CAP_NET_ADMIN); err != nil {
			return err
		}
		var err error
		if handle, err = Open(); err != nil {
			return err
		}
		return handle.Apply(ipvsctl.Diff(nil, want, mine))
	})
	if err != nil {
		t.Fatal(err)
	}
	defer handle.Close()
	expectTable(t, handle, want)
}

const quietHelper = "TANDEM_OPEN_AND_CLOSE"

// TestOpenIsQuiet opens in a process where modprobe cannot be found: moby/ipvs
// wants to complain about that.
func TestOpenIsQuiet(t *testing.T) {
	if os.Getenv(quietHelper) != "" {
		h, err := Open()
		if err != nil {
			t.Fatal(err)
		}
		h.Close()
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestOpenIsQuiet$")
	cmd.Env = []string{"PATH=/nonexistent", quietHelper + "=1"}
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil || stderr.Len() > 0 || strings.TrimSpace(stdout.String()) != "PASS" {
		t.Errorf("%v, standard output %q, standard error %q", err, stdout.String(), stderr.String())
	}
}

// TestTimeouts has ipvsadm set them; 0 leaves one as it is.
func TestTimeouts(t *testing.T) {
	enterNamespace(t)
	h := open(t)
	ipvsadm(t, "", "--set", "3600", "0", "30")
	got, err := h.Timeouts()
	// 120 s is the kernel's default, which nobody has changed.
	if want := (Timeouts{TCP: time.Hour, TCPFin: 2 * time.Minute, UDP: 30 * time.Second}); got != want || err != nil {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}

// TestProfile writes each setting of the profile to the kernel, which thereby
// confirms that the key exists, that the value is valid, and that it reads back
// as satisfied. The kernel's own values are not satisfactory throughout.
func TestProfile(t *testing.T) {
	enterNamespace(t)
	open(t) // loads the module
	version, err := Version()
	if err != nil {
		t.Fatal(err)
	}
	in := ipvsctl.ProfileInput{Kernel: version, Interfaces: []string{"lo"}, Masquerade: true, MasqueradeIPv6: true, Sync: true}
	var changed []string
	for _, s := range ipvsctl.Profile(in) {
		before, err := sysctl.Get(s.Key)
		if err != nil {
			t.Error(err)
			continue
		}
		if !s.Satisfied(before) {
			changed = append(changed, s.Key)
		}
		for _, value := range append(s.Accept, s.Want) {
			if err := sysctl.Set(s.Key, value); err != nil {
				t.Error(err)
				continue
			}
			if after, err := sysctl.Get(s.Key); err != nil || !s.Satisfied(after) {
				t.Errorf("%s: after writing %q it is %q, which does not satisfy (%v)", s, value, after, err)
			}
		}
	}
	for _, key := range []string{"net/ipv4/ip_forward", "net/ipv4/vs/sync_threshold", "net/ipv4/vs/expire_nodest_conn", "net/ipv4/conf/lo/send_redirects", "net/ipv4/conf/lo/arp_ignore"} {
		if !slices.Contains(changed, key) {
			t.Errorf("%s counts as satisfied with the kernel's default", key)
		}
	}
}
