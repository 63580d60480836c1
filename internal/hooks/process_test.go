package hooks

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tandem/internal/events"
	"tandem/internal/program"
)

// onFile is a hook that runs a shell script with real processes.
func onFile(t *testing.T, script string, more ...string) (*events.Log, *Hooks, string) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "on")
	if err := os.WriteFile(path, []byte("#!/bin/sh\ncd "+dir+"\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	h := New(config(t, hookText(path, allRoles, more...)), Options{Start: program.Start, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); h.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	<-h.Ready()
	return events.New("lb1", h.Offer), h, dir
}

// until waits for what real processes do.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatal(what + " does not happen")
		}
	}
}

func TestProcess(t *testing.T) {
	log, h, dir := onFile(t, `env | grep ^TANDEM_ | sort >env; cat >stdin; echo done; exit 3`)
	e := events.Event{Kind: events.Role, Router: "web", From: "init", To: "backup", Priority: 100, At: time.Unix(1e9, 5e6).UTC(), Cause: "a\x00b\n$(id) \"ü\""}
	log.Publish(e)
	until(t, "a run", func() bool { return h.Status()[0].Runs == 1 })
	if s := h.Status()[0]; s.Failures != 1 || s.LastError != "exit status 3: done" {
		t.Errorf("status %+v", s)
	}
	env, err := os.ReadFile(filepath.Join(dir, "env"))
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"TANDEM_AT=2001-09-09T01:46:40.005Z", `TANDEM_CAUSE=a b $(id) "ü"`, "TANDEM_EVENT=backup", "TANDEM_GROUP=", "TANDEM_NODE=lb1", "TANDEM_OBJECT=router",
		"TANDEM_PRIORITY=100", "TANDEM_ROLE=backup", "TANDEM_ROUTER=web", "TANDEM_SEQ=1", "TANDEM_SERVER=", "TANDEM_SERVICE=", "",
	}, "\n")
	if string(env) != want {
		t.Errorf("got\n%swant\n%s", env, want)
	}
	text, err := os.ReadFile(filepath.Join(dir, "stdin"))
	if err != nil {
		t.Fatal(err)
	}
	var got events.Event
	e.Seq, e.Node = 1, "lb1"
	if err := json.Unmarshal(text, &got); err != nil || got != e {
		t.Errorf("got %s, %v", text, err)
	}
}

// A hook that hangs, children and all, is over in time, and the stop is told.
func TestProcessThatHangs(t *testing.T) {
	log, h, dir := onFile(t, `
echo "$TANDEM_EVENT" >>told
test "$TANDEM_EVENT" = stopping || { sleep 1000 & echo $! >child; wait; }
`, `timeout = "30s"`)
	log.Publish(events.Event{Kind: events.Role, Router: "web", To: "active"})
	child := filepath.Join(dir, "child")
	until(t, "a child", func() bool { text, err := os.ReadFile(child); return err == nil && len(text) > 0 })
	begin := time.Now()
	log.Publish(events.Event{Kind: events.Stopping})
	h.Drain()
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("the stop took %v", took)
	}
	told, err := os.ReadFile(filepath.Join(dir, "told"))
	if err != nil || string(told) != "active\nstopping\n" {
		t.Errorf("told %q, %v", told, err)
	}
	pid, _ := os.ReadFile(child)
	until(t, "the child's end", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%s/stat", strings.TrimSpace(string(pid))))
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}
