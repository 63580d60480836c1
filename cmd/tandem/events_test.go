package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tandem/control"
	"tandem/internal/events"
)

// The whole way, through a socket.
func TestEventsCommand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s, err := control.Listen(path, "", richSnapshot, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	log := events.New("lb1", nil)
	s.ServeEvents(log)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done; s.Close() })

	at := time.Date(2026, 3, 1, 12, 0, 0, 250e6, time.Local)
	for i, e := range []events.Event{
		{Kind: events.Start, Cause: "configuration 0123456789abcdef"},
		{Kind: events.Role, Router: "web", From: "init", To: "backup", Priority: 150, Cause: "startup"},
		{Kind: events.Verdict, Service: "http", Server: "10.0.0.11:80", From: "up", To: "down", Cause: "status: 503 Service Unavailable"},
	} {
		e.At = at.Add(time.Duration(i) * time.Second)
		log.Publish(e)
	}
	const first = "2026-03-01 12:00:00.250     1  director lb1: start (configuration 0123456789abcdef)\n"
	const rest = "2026-03-01 12:00:01.250     2  router web: role init -> backup, priority 150 (startup)\n" +
		"2026-03-01 12:00:02.250     3  server 10.0.0.11:80 of http: verdict up -> down (status: 503 Service Unavailable)\n"
	for args, want := range map[string]string{"": first + rest, "--after 1": rest, "--after 3": ""} {
		status, out, errOut := tandem(append([]string{"events", "--socket", path}, strings.Fields(args)...)...)
		if status != 0 || errOut != "" || out != want {
			t.Errorf("%s: status %d, %s, got\n%s", args, status, errOut, out)
		}
	}
	status, out, errOut := tandem("events", "--json", "--after", "2", "--socket", path)
	var e events.Event
	if err := json.Unmarshal([]byte(out), &e); status != 0 || errOut != "" || err != nil || e.Seq != 3 || !regexp.MustCompile(`^\{"seq":3,[^\n]*\}\n$`).MatchString(out) {
		t.Errorf("status %d, %s, %v, got %s", status, errOut, err, out)
	}
	status, _, errOut = tandem("events", "--socket", path+"-absent")
	if status != 1 || !strings.HasPrefix(errOut, "tandem: no tandem runs behind ") {
		t.Errorf("nobody: status %d, %s", status, errOut)
	}
	// The end of the daemon ends those who follow.
	time.AfterFunc(100*time.Millisecond, cancel)
	status, out, errOut = tandem("events", "--follow", "--socket", path)
	if status != 1 || out != first+rest || !strings.Contains(errOut, path) {
		t.Errorf("followed: status %d, %s, got\n%s", status, errOut, out)
	}
}
