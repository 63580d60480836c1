package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"tandem/integration/load"
)

// labload runs the command with the given standard input and arguments.
func labload(t *testing.T, in io.Reader, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, text bytes.Buffer
	cmd := command()
	cmd.SetArgs(args)
	cmd.SetIn(in)
	cmd.SetOut(&out)
	cmd.SetErr(&text)
	err = cmd.ExecuteContext(t.Context())
	return out.String(), text.String(), err
}

// startServer runs a server in this process.
func startServer(t *testing.T) (s *load.Server, admin string) {
	t.Helper()
	admin = filepath.Join(t.TempDir(), "admin.sock")
	s = load.NewServer(load.ServerConfig{Name: "s1", HTTP: "127.0.0.1:0", Echo: "127.0.0.1:0", Admin: admin})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-s.Ready():
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	return s, admin
}

func TestClient(t *testing.T) {
	s, _ := startServer(t)
	// The end of the input ends the run, once the traffic flows.
	in, closeInput := io.Pipe()
	out, w := io.Pipe()
	var text bytes.Buffer
	cmd := command()
	cmd.SetArgs([]string{"client", "--http", s.HTTPAddr().String(), "--echo", s.EchoAddr().String(),
		"--rate", "100", "--streams", "3", "--timeout", "5s", "--events", "--stdin", "--draw", "80"})
	cmd.SetIn(in)
	cmd.SetOut(w)
	cmd.SetErr(&text)
	ended := make(chan error, 1)
	go func() {
		err := cmd.ExecuteContext(t.Context())
		w.CloseWithError(err)
		ended <- err
	}()
	res, err := load.ReadOutput(out, func(e load.Event) {
		if e.Type == load.Ready {
			closeInput.Close()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if res.Connections.OK == 0 || res.Connections.Failed != 0 || res.Streams.Survived != 3 {
		t.Errorf("result: %v", res)
	}
	for _, want := range []string{res.String(), res.Timeline.Draw(80, nil)} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("standard error:\n%s\nwant in it:\n%s", text.String(), want)
		}
	}
}

func TestSetAndState(t *testing.T) {
	_, admin := startServer(t)
	if _, _, err := labload(t, nil, "set", "--admin", admin, "503,health-only"); err != nil {
		t.Fatal(err)
	}
	out, _, err := labload(t, nil, "state", "--admin", admin)
	if err != nil {
		t.Fatal(err)
	}
	var st load.State
	if err := json.Unmarshal([]byte(out), &st); err != nil {
		t.Fatal(err)
	}
	if want := (load.State{Name: "s1", Mode: load.Mode{Behaviour: load.Failing503, HealthOnly: true}}); st != want {
		t.Errorf("state %+v, want %+v", st, want)
	}
}

func TestErrors(t *testing.T) {
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"client"}, "load: no traffic: give a rate"},
		{[]string{"client", "--http", "localhost"}, "--http: "},
		{[]string{"client", "--echo", "192.0.2.10"}, "--echo: "},
		{[]string{"client", "--http", "192.0.2.10:80", "--source", "eth0"}, "--source: "},
		{[]string{"server"}, `required flag(s) "name" not set`},
		{[]string{"server", "--name", "s1", "--http", "", "--echo", ""}, "server s1: nothing to serve"},
		{[]string{"set", "ok"}, `required flag(s) "admin" not set`},
		{[]string{"set", "--admin", "/nowhere/x", "nonsense"}, `mode "nonsense": want ok`},
		{[]string{"state", "--admin", "/nowhere/x"}, "admin /nowhere/x: "},
	}
	for _, tt := range tests {
		_, _, err := labload(t, strings.NewReader(""), tt.args...)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("labload %s: error %v, want %q in it", strings.Join(tt.args, " "), err, tt.want)
		}
	}
}
