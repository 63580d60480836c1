package main

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"tandem/configs"
	"tandem/director"
	"tandem/healthcheck"
)

var update = flag.Bool("update", false, "write testdata/*.txt anew; read the difference before it is committed")

// golden compares a text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Error(d)
	}
}

// tandem runs a command line.
func tandem(args ...string) (status int, out, errOut string) {
	var o, e bytes.Buffer
	status = execute(args, &o, &e)
	return status, o.String(), e.String()
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tandem.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const goodConfig = `
[[pair.director]]
name = "lb1"
address = "10.0.0.1"
[[pair.director]]
name = "lb2"
address = "10.0.0.2"
[vrrp]
interface = "eth0"
[[virtual_router]]
name = "web"
vrid = 51
addresses = ["10.0.0.100"]
[[service]]
name = "http"
virtual = ["10.0.0.100:80"]
[[service.server]]
address = "10.0.0.11:80"
[[service.server]]
address = "10.0.0.12:80"
[control]
socket = "/nonexistent/tandem.sock"
`

func TestCheck(t *testing.T) {
	good := write(t, goodConfig)
	bad := write(t, strings.NewReplacer("vrid = 51", "vrid = 0", `"10.0.0.12:80"`, `"10.0.0.12:99999"`).Replace(goodConfig))
	absent := filepath.Join(t.TempDir(), "absent.toml")
	for _, tt := range []struct {
		name        string
		args        []string
		status      int
		out, errOut string
	}{
		{"good", []string{"check", good}, 0, good + ": good: 2 directors, 1 virtual router, 1 service, 2 servers; digest ", "warning: "},
		{"good, by flag", []string{"check", "--config", good}, 0, good + ": good: ", ""},
		{"two mistakes", []string{"check", bad}, 1, "", bad + ": 2 mistakes\n"},
		{"absent", []string{"check", absent}, 1, "", "tandem: configuration: open " + absent + ": no such file or directory (name another file with --config)\n"},
		{"a directory", []string{"check", t.TempDir()}, 1, "", "is a directory"},
		{"endless", []string{"check", "/dev/zero"}, 1, "", "/dev/zero"},
		{"two files", []string{"check", good, bad}, 1, "", "tandem: accepts at most 1 arg(s), received 2\n"},
		{"unknown command", []string{"chekc"}, 1, "", `tandem: unknown command "chekc" for "tandem"`},
		{"unknown flag", []string{"check", "--strict"}, 1, "", "tandem: unknown flag: --strict\n"},
		{"unknown node", []string{"run", "--config", good, "--node", "lb9"}, 1, "", `tandem: "lb9" is no director of pair`},
		{"log level", []string{"run", "--log-level", "loud"}, 1, "", "tandem: --log-level: "},
		{"status, nobody", []string{"status", "--config", good}, 1, "", "tandem: no tandem runs behind /nonexistent/tandem.sock; start it"},
		{"status, no config", []string{"status", "--config", absent}, 1, "", "tandem: where is the control socket? configuration: open " + absent},
		{"version", []string{"version"}, 0, "tandem unknown\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, out, errOut := tandem(tt.args...)
			if status != tt.status || !strings.Contains(out, tt.out) || !strings.Contains(errOut, tt.errOut) {
				t.Errorf("status %d\nout: %s\nerr: %s", status, out, errOut)
			}
			if (tt.out == "") != (out == "") {
				t.Errorf("out: %q", out)
			}
		})
	}
}

func TestCheckNamesEveryMistake(t *testing.T) {
	bad := write(t, strings.NewReplacer("vrid = 51", "vrid = 0", `"10.0.0.12:80"`, `"10.0.0.12:99999"`).Replace(goodConfig))
	_, _, errOut := tandem("check", bad)
	lines := strings.Split(strings.TrimSpace(errOut), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], bad+":12: ") || !strings.HasPrefix(lines[1], bad+":20: ") {
		t.Errorf("got\n%s", errOut)
	}
}

// Every command's help, as a reader of the terminal sees it.
func TestHelp(t *testing.T) {
	var all strings.Builder
	var walk func(c *cobra.Command, path ...string)
	walk = func(c *cobra.Command, path ...string) {
		status, out, errOut := tandem(append(path, "--help")...)
		if status != 0 || errOut != "" {
			t.Errorf("%v: status %d, %s", path, status, errOut)
		}
		fmt.Fprintf(&all, "$ %s --help\n%s\n", strings.Join(append([]string{"tandem"}, path...), " "), out)
		for _, sub := range c.Commands() {
			if sub.Name() != "help" && sub.Name() != "completion" {
				walk(sub, append(path, sub.Name())...)
			}
		}
	}
	walk(command())
	golden(t, "help.txt", all.String())
}

func TestPlannedVerdicts(t *testing.T) {
	cfg, err := configs.Parse("t.toml", []byte(goodConfig))
	if err != nil {
		t.Fatal(err)
	}
	svc := cfg.Services[0]
	server := func(address, verdict string) director.ServerStatus {
		return director.ServerStatus{Address: netip.MustParseAddrPort(address), Verdict: verdict}
	}
	for _, tt := range []struct {
		name string
		snap director.Snapshot
		want [2]healthcheck.State
	}{
		{"nothing runs", director.Snapshot{}, [2]healthcheck.State{healthcheck.Up, healthcheck.Up}},
		{"all known", director.Snapshot{Services: []director.ServiceStatus{
			{Name: "http", Servers: []director.ServerStatus{server("10.0.0.11:80", "down"), server("10.0.0.12:80", "unknown")}},
		}}, [2]healthcheck.State{healthcheck.Down, healthcheck.Unknown}},
		{"another service's servers", director.Snapshot{Services: []director.ServiceStatus{
			{Name: "https", Servers: []director.ServerStatus{server("10.0.0.11:80", "down")}},
			{Name: "http", Servers: []director.ServerStatus{server("10.0.0.99:80", "down")}},
		}}, [2]healthcheck.State{healthcheck.Up, healthcheck.Up}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := plannedVerdicts(cfg, tt.snap)
			for i, want := range tt.want {
				if state := got[director.TargetOf(svc, svc.Servers[i])].State; state != want {
					t.Errorf("server %d: got %v, want %v", i, state, want)
				}
			}
		})
	}
}

// A control socket that moved would make the daemon look dead.
func TestSameControl(t *testing.T) {
	a := &configs.Config{ControlSocket: "/run/tandem/control.sock"}
	if err := sameControl(a, a); err != nil {
		t.Error(err)
	}
	for _, b := range []*configs.Config{{ControlSocket: "/run/other.sock"}, {ControlSocket: a.ControlSocket, ControlGroup: "ops"}} {
		if err := sameControl(a, b); err == nil || !strings.Contains(err.Error(), "takes a restart") {
			t.Errorf("got %v", err)
		}
	}
}
