//go:build lab

package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tandem/control"
	"tandem/integration/drill"
	"tandem/integration/lab"
	"tandem/internal/events"
)

// hookFile is where the hook of a director writes, below /run of its node.
const hookFile = "/run/tandem/told"

// withHook is a pair's configuration with a hook that notes what it is told, one
// line for each run, and takes so many seconds.
func withHook(t *testing.T, p *drill.Pair, takes string) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "on")
	script := "#!/bin/sh\nread -r event\necho \"$TANDEM_EVENT $TANDEM_NODE ${TANDEM_SERVER:-$TANDEM_ROUTER} $(id -u) $event\" >>" + hookFile + "\nsleep " + takes + "\n"
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return p.TOML() + fmt.Sprintf("[[hook]]\ncommand = [%q]\nevents = [\"active\", \"backup\", \"fault\", \"server-down\", \"stopping\"]\ntimeout = \"15s\" # an emulated machine stalls\n", path)
}

// told is the events that the hook of a director was told of routers and of the
// director, in order, each checked.
func told(t *testing.T, p *drill.Pair, i int) []string {
	t.Helper()
	text, err := os.ReadFile(p.Directors[i].Path(hookFile))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), " ", 5)
		var e events.Event
		if len(fields) != 5 || fields[1] != p.Directors[i].Name || fields[3] != "65534" {
			t.Errorf("the hook was told %q", line)
			continue
		}
		if err := json.Unmarshal([]byte(fields[4]), &e); err != nil || e.Node != fields[1] {
			t.Errorf("the hook has read %s: %+v, %v", fields[4], e, err)
		}
		if !strings.HasPrefix(fields[0], "server-") {
			out = append(out, fields[0])
		}
	}
	return out
}

// A pair tells its hooks what becomes of it: the switch to the other director, a
// stop, a crash. A hook that is slow holds up neither.
func TestHooks(t *testing.T) {
	ctx, p := prepare(t, drill.Options{})
	p.Use(drill.Tandem{TOML: withHook(t, p, "0.3")})
	if err := p.StartAll(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for i := range p.Directors {
			if t.Failed() {
				s, err := p.Status(i)
				t.Logf("%s: told %v, hooks %+v, %v", p.Directors[i].Name, told(t, p, i), s.Hooks, err)
			}
		}
	})
	want := func(i int, words ...string) {
		t.Helper()
		within(t, p, 40*time.Second, fmt.Sprintf("%s tells %v", p.Directors[i].Name, words), func() (bool, error) {
			return slices.Equal(told(t, p, i), words), nil
		})
	}
	want(1, "backup")
	f := under(t, ctx, p, 3*time.Second, drill.Step{Name: "SIGTERM", Wait: time.Second, Do: func() error {
		return p.Daemon(0).Signal(syscall.SIGTERM)
	}})
	expect(t, f, 2*time.Second, 5, 1)
	holder(t, ctx, p, 1)
	if err := p.Daemon(0).Wait(ctx); err != nil {
		t.Error(err)
	}
	// A state that was over before the hook was free may be missing, the last is not.
	if got := told(t, p, 0); len(got) == 0 || got[len(got)-1] != "stopping" || !slices.Contains(got, "active") {
		t.Errorf("lb1 told %v", got)
	}
	want(1, "backup", "active")

	// The link of the other one goes: nobody is there, and it knows.
	if err := p.Directors[1].LinkDown(lab.LAN); err != nil {
		t.Fatal(err)
	}
	want(1, "backup", "active", "fault")
	if err := p.Directors[1].LinkUp(lab.LAN); err != nil {
		t.Fatal(err)
	}
	holder(t, ctx, p, 1)
	within(t, p, 20*time.Second, "lb2 is told to be active again", func() (bool, error) {
		got := told(t, p, 1)
		return got[len(got)-1] == "active", nil
	})
	s, err := p.Status(1)
	if err != nil || len(s.Hooks) != 1 || s.Hooks[0].Runs == 0 || s.Hooks[0].Failures != 0 {
		t.Errorf("status %+v, %v", s.Hooks, err)
	}
}

// What happens to a server and to a director can be followed from outside, in
// order and without a gap.
func TestEvents(t *testing.T) {
	ctx, p := start(t, drill.Options{})
	following, cancel := context.WithCancel(ctx)
	var mu sync.Mutex
	var seen []events.Event
	done := make(chan error, 1)
	go func() {
		done <- control.Events(following, p.Directors[1].Path("/run/tandem/control.sock"), 0, true, func(e events.Event, _ []byte) error {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, e)
			return nil
		})
	}()
	has := func(match func(events.Event) bool) func() (bool, error) {
		return func() (bool, error) {
			mu.Lock()
			defer mu.Unlock()
			return slices.ContainsFunc(seen, match), nil
		}
	}
	if err := p.SetServer(0, "503"); err != nil {
		t.Fatal(err)
	}
	within(t, p, 20*time.Second, "a verdict", has(func(e events.Event) bool {
		return e.Kind == events.Verdict && e.Server == p.ServerAddr(0, 80).String() && e.To == "down" && strings.Contains(e.Cause, "503")
	}))
	if err := p.Daemon(0).Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	within(t, p, 20*time.Second, "a takeover", has(func(e events.Event) bool {
		return e.Kind == events.Role && e.Router == "web" && e.From == "backup" && e.To == "active" && e.Priority == 100
	}))
	within(t, p, 20*time.Second, "an address", has(func(e events.Event) bool { return e.Kind == events.Address && e.To == "held" }))
	if err := p.Daemon(1).Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	within(t, p, 20*time.Second, "the stop", has(func(e events.Event) bool { return e.Kind == events.Stopping }))
	if err := <-done; err == nil {
		t.Error("the end of the daemon is no end of a client that follows")
	}
	cancel()
	mu.Lock()
	defer mu.Unlock()
	for i, e := range seen {
		if e.Seq != uint64(i+1) || e.Node != "lb2" {
			t.Errorf("event %d is %+v", i+1, e)
		}
	}
	if seen[0].Kind != events.Start {
		t.Errorf("the first event is %+v", seen[0])
	}
}
