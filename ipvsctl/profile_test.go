package ipvsctl

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite testdata; read the difference before committing it")

func TestProfile(t *testing.T) {
	tests := map[string]ProfileInput{
		"direct":      {Kernel: KernelVersion{6, 1}, Interfaces: []string{"eth0", "eth1.100"}, Sync: true},
		"masquerade":  {Kernel: KernelVersion{6, 1}, Interfaces: []string{"eth0"}, Masquerade: true, Sync: true, Conntrack: true},
		"ipv6-hashed": {Kernel: KernelVersion{6, 1}, MasqueradeIPv6: true, AllHashed: true},
		"old-kernel":  {Kernel: KernelVersion{5, 8}, Conntrack: true},
	}
	for name, in := range tests {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			for _, s := range Profile(in) {
				fmt.Fprintf(&b, "%s", s)
				if len(s.Accept) > 0 {
					fmt.Fprintf(&b, " (or %s)", strings.Join(s.Accept, ", "))
				}
				fmt.Fprintf(&b, "\n\t%s\n", s.Why)
			}
			golden(t, filepath.Join("testdata", "profile-"+name+".txt"), b.String())
		})
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestSysctlSatisfied(t *testing.T) {
	tests := []struct {
		setting Sysctl
		current string
		want    bool
	}{
		{Sysctl{Want: "0 0"}, "0\t0\n", true},
		{Sysctl{Want: "0 0"}, "3\t50\n", false},
		{Sysctl{Want: "2", Accept: []string{"0"}}, "0\n", true},
		{Sysctl{Want: "2", Accept: []string{"0"}}, "2\n", true},
		{Sysctl{Want: "2", Accept: []string{"0"}}, "1\n", false},
		{Sysctl{Want: "1"}, "", false},
	}
	for _, tt := range tests {
		if got := tt.setting.Satisfied(tt.current); got != tt.want {
			t.Errorf("%+v.Satisfied(%q) = %v", tt.setting, tt.current, got)
		}
	}
}

// TestConnReuseMode walks around the two conditions: the delay is a matter of
// old kernels with conntrack.
func TestConnReuseMode(t *testing.T) {
	tests := []struct {
		kernel    KernelVersion
		conntrack bool
		want      string
	}{
		{KernelVersion{5, 8}, true, "0"},
		{KernelVersion{4, 19}, true, "0"},
		{KernelVersion{5, 8}, false, "1"},
		{KernelVersion{5, 9}, true, "1"},
		{KernelVersion{6, 1}, true, "1"},
		{KernelVersion{6, 1}, false, "1"},
	}
	for _, tt := range tests {
		got := connReuseMode(ProfileInput{Kernel: tt.kernel, Conntrack: tt.conntrack})
		if got.Want != tt.want {
			t.Errorf("Linux %v, conntrack %v: %s, want %s", tt.kernel, tt.conntrack, got, tt.want)
		}
	}
}

func TestParseKernelVersion(t *testing.T) {
	for release, want := range map[string]KernelVersion{
		"6.1.0-32-amd64": {6, 1},
		"5.15":           {5, 15},
		"7.0-rc1":        {7, 0},
		"6.12.9+":        {6, 12},
	} {
		if got, err := ParseKernelVersion(release); got != want || err != nil {
			t.Errorf("ParseKernelVersion(%q) = %v, %v", release, got, err)
		}
	}
	for _, release := range []string{"", "6", "6.", "six.one", ".1", "-6.1", "6.x"} {
		if got, err := ParseKernelVersion(release); err == nil {
			t.Errorf("ParseKernelVersion(%q) = %v, want an error", release, got)
		}
	}
}
