package load

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func mustMode(t *testing.T, text string) Mode {
	t.Helper()
	m, err := ParseMode(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// ask makes one request and says how it went: the kind of failure or "served".
func ask(t *testing.T, s *Server, path string, patience time.Duration) string {
	t.Helper()
	c, err := Client{HTTP: s.HTTPAddr(), Rate: 1, Path: path, Timeout: 5 * time.Second, ResponseTimeout: patience}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	_, name, kind := newExchanger(c).do(0)
	if kind != "" {
		return string(kind)
	}
	if name != "s1" {
		t.Errorf("answer of server %q, want s1", name)
	}
	return "served"
}

func TestServerModes(t *testing.T) {
	s, admin := startServer(t)
	const long, short = 5 * time.Second, 30 * ms
	tests := []struct {
		mode           string
		patience       time.Duration
		users, checks  string
		newConnections bool // echo accepts them
	}{
		{"ok", long, "served", "served", true},
		{"503", long, "bad-status", "bad-status", true},
		{"503,health-only", long, "served", "bad-status", true},
		{"hang", short, "response-timeout", "response-timeout", true},
		{"refuse", long, "refused", "refused", false},
		{"refuse", long, "refused", "refused", false}, // again: nothing to close
		{"slow=1ms", long, "served", "served", true},
		{"slow=1h", short, "response-timeout", "response-timeout", true},
		{"ok", long, "served", "served", true},
	}
	for _, tt := range tests {
		st, err := SetMode(t.Context(), admin, mustMode(t, tt.mode))
		if err != nil {
			t.Fatalf("set %s: %v", tt.mode, err)
		}
		if st.Mode != mustMode(t, tt.mode) || st.Name != "s1" {
			t.Errorf("set %s: state %+v", tt.mode, st)
		}
		if got := ask(t, s, "/", tt.patience); got != tt.users {
			t.Errorf("%s: users are %s, want %s", tt.mode, got, tt.users)
		}
		if got := ask(t, s, HealthPath, tt.patience); got != tt.checks {
			t.Errorf("%s: checks are %s, want %s", tt.mode, got, tt.checks)
		}
		conn, err := net.Dial("tcp", s.EchoAddr().String())
		if (err == nil) != tt.newConnections {
			t.Errorf("%s: echo: %v", tt.mode, err)
		}
		if err == nil {
			conn.Close()
		}
	}
}

// Who hangs is let go, without an answer, when the mode changes.
func TestServerDropsHangingRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(ServerConfig{Name: "s1"})
		if err := s.SetMode(mustMode(t, "hang")); err != nil {
			t.Fatal(err)
		}
		end := make(chan any, 1)
		w := httptest.NewRecorder()
		go func() {
			defer func() { end <- recover() }()
			s.answer(w, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
		}()
		synctest.Wait()
		select {
		case e := <-end:
			t.Fatalf("the request ended with %v, want it to hang", e)
		default:
		}
		if err := s.SetMode(Mode{}); err != nil {
			t.Fatal(err)
		}
		if e := <-end; e != http.ErrAbortHandler || w.Body.Len() > 0 {
			t.Errorf("the request ended with %v and %q, want it dropped", e, w.Body)
		}
		if st := s.State(); st.Unserved != 1 || st.Requests != 1 {
			t.Errorf("state %+v, want 1 request, unserved", st)
		}
	})
}

// A stream outlives every mode.
func TestServerKeepsStreams(t *testing.T) {
	s, _ := startServer(t)
	conn, err := net.Dial("tcp", s.EchoAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"ok", "503", "hang", "refuse", "ok"} {
		if err := s.SetMode(mustMode(t, mode)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, mode); err != nil {
			t.Fatalf("%s: %v", mode, err)
		}
		echo := make([]byte, len(mode))
		if _, err := io.ReadFull(conn, echo); err != nil || string(echo) != mode {
			t.Errorf("%s: echo %q, %v", mode, echo, err)
		}
	}
	if st := s.State(); st.Streams != 1 || st.OpenStreams != 1 || st.EchoedBytes != int64(len("ok503hangrefuseok")) {
		t.Errorf("state %+v", st)
	}
}

func TestServerErrors(t *testing.T) {
	taken, _ := startServer(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		cfg  ServerConfig
		want string
	}{
		{"nothing", ServerConfig{}, "nothing to serve: give an HTTP or an echo address"},
		{"port in use", ServerConfig{HTTP: taken.HTTPAddr().String()}, "address already in use"},
		{"second port in use", ServerConfig{HTTP: "127.0.0.1:0", Echo: taken.EchoAddr().String()}, "address already in use"},
		{"admin is a file", ServerConfig{HTTP: "127.0.0.1:0", Admin: file}, "exists and is not a socket"},
		{"admin in no folder", ServerConfig{HTTP: "127.0.0.1:0", Admin: file + "/x"}, "not a directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Name = "s2"
			err := NewServer(tt.cfg).Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "server s2") {
				t.Errorf("error %v, want one of server s2 with %q", err, tt.want)
			}
		})
	}
	if b, err := os.ReadFile(file); string(b) != "precious" {
		t.Errorf("the file is %q, %v", b, err)
	}
}

// A socket that a killed server has left behind is no obstacle.
func TestServerReplacesStaleSocket(t *testing.T) {
	admin := filepath.Join(t.TempDir(), "admin.sock")
	ln, err := net.Listen("unix", admin)
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	ln.Close()
	s := NewServer(ServerConfig{Name: "s1", HTTP: "127.0.0.1:0", Admin: admin})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	select {
	case <-s.Ready():
	case err := <-ended:
		t.Fatal(err)
	}
	st, err := ReadState(ctx, admin)
	if err != nil || st.Name != "s1" {
		t.Errorf("state %+v, %v", st, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := s.SetMode(Mode{}); err == nil {
		t.Error("a stopped server takes a mode")
	}
	if _, err := ReadState(context.Background(), admin); err == nil {
		t.Error("a stopped server tells its state")
	}
}

func TestAdminRefusesNonsense(t *testing.T) {
	_, admin := startServer(t)
	_, err := SetMode(t.Context(), admin, Mode{Behaviour: "crash"})
	if err == nil || !strings.Contains(err.Error(), `mode "crash": want ok`) {
		t.Errorf("error %v", err)
	}
	st, err := ReadState(t.Context(), admin)
	if err != nil || st.Mode.Behaviour != Healthy {
		t.Errorf("state after it: %+v, %v", st, err)
	}
}
