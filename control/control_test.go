package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tandem/director"
)

var quiet = slog.New(slog.DiscardHandler)

func snapshot() director.Snapshot {
	return director.Snapshot{
		Version: "1", Node: "lb1", At: time.Now().Round(0),
		Routers: []director.RouterStatus{{Name: "web", State: "active", Peer: &director.PeerStatus{Address: netip.MustParseAddr("10.0.0.2")},
			Addresses: []director.AddressStatus{{Address: netip.MustParsePrefix("10.0.0.100/32"), Held: true}}}},
		Services: []director.ServiceStatus{{Name: "http", Servers: []director.ServerStatus{{
			Address: netip.MustParseAddrPort("10.0.0.11:80"), BytesIn: 1 << 63}}}},
	}
}

// serve runs a server until the test ends. alter may change it before.
func serve(t *testing.T, path string, status func() director.Snapshot, alter ...func(*Server)) {
	t.Helper()
	s, err := Listen(path, "", status, quiet)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range alter {
		f(s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, s.Close()); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the socket is left behind: %v", err)
		}
	})
	<-s.Ready()
}

func TestStatus(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	want := snapshot()
	serve(t, path, func() director.Snapshot { return want })
	got, err := Status(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{})); d != "" {
		t.Error(d)
	}
	if !Served(path) {
		t.Error("not served")
	}
}

// get sends a request as it is and returns the first line of the answer.
func get(t *testing.T, path, request string) string {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil && !errors.Is(err, syscall.EPIPE) {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

func TestHostileClients(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	serve(t, path, snapshot)
	for _, tt := range []struct{ name, request, want string }{
		{"not HTTP", "\x00\xff\r\n\r\n", "HTTP/1.1 400 Bad Request"},
		{"another path", "GET /etc/passwd HTTP/1.0\r\n\r\n", "HTTP/1.0 404 Not Found"},
		{"another method", "POST /v1/status HTTP/1.0\r\nContent-Length: 0\r\n\r\n", "HTTP/1.0 405 Method Not Allowed"},
		{"huge headers", "GET /v1/status HTTP/1.0\r\nX: " + strings.Repeat("x", 2*maxHeader) + "\r\n\r\n", "HTTP/1.1 431 Request Header Fields Too Large"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := get(t, path, tt.request); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	t.Run("silent clients do not keep others out", func(t *testing.T) {
		for range 100 {
			conn, err := net.Dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
		}
		if _, err := Status(t.Context(), path); err != nil {
			t.Error(err)
		}
	})
	t.Run("and are cut off", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s")
		serve(t, path, snapshot, func(s *Server) { s.http.ReadTimeout = 20 * time.Millisecond })
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, "GET /v1/st")
		if _, err := io.ReadAll(conn); err != nil {
			t.Errorf("got %v, want the end", err)
		}
	})
}

func TestOneServerAtATime(t *testing.T) {
	dir := t.TempDir()
	t.Run("a living one", func(t *testing.T) {
		path := filepath.Join(dir, "living")
		serve(t, path, snapshot)
		if _, err := Listen(path, "", snapshot, quiet); err == nil || !strings.Contains(err.Error(), "another tandem serves it") {
			t.Fatalf("got %v", err)
		}
		if _, err := Status(t.Context(), path); err != nil {
			t.Errorf("the first one was disturbed: %v", err)
		}
	})
	t.Run("one that does not serve yet", func(t *testing.T) {
		path := filepath.Join(dir, "starting")
		s, err := Listen(path, "", snapshot, quiet)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Listen(path, "", snapshot, quiet); err == nil {
			t.Error("a second server")
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		serve(t, path, snapshot)
	})
	t.Run("one that died", func(t *testing.T) {
		path := filepath.Join(dir, "dead")
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		l.Close()
		if Served(path) {
			t.Error("nobody serves it")
		}
		serve(t, path, snapshot)
		if _, err := Status(t.Context(), path); err != nil {
			t.Error(err)
		}
	})
	t.Run("a file that is no socket", func(t *testing.T) {
		path := filepath.Join(dir, "precious")
		if err := os.WriteFile(path, []byte("data"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Listen(path, "", snapshot, quiet); err == nil || !strings.Contains(err.Error(), "is no socket") {
			t.Errorf("got %v", err)
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != "data" {
			t.Errorf("the file was touched: %q, %v", data, err)
		}
	})
	t.Run("no directory", func(t *testing.T) {
		_, err := Listen(filepath.Join(dir, "absent", "s"), "", snapshot, quiet)
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "does its directory exist") {
			t.Errorf("got %v", err)
		}
	})
}

func TestPermissions(t *testing.T) {
	dir := t.TempDir()
	defer syscall.Umask(syscall.Umask(0)) // the mode must not depend on it
	mode := func(path string) fs.FileMode {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	serve(t, filepath.Join(dir, "user"), snapshot)
	if got := mode(filepath.Join(dir, "user")); got != 0o600 {
		t.Errorf("for the user: %v", got)
	}

	gid, err := user.LookupGroupId(fmt.Sprint(os.Getgid()))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Listen(filepath.Join(dir, "group"), gid.Name, snapshot, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := mode(filepath.Join(dir, "group")); got != 0o660 {
		t.Errorf("for a group: %v", got)
	}

	_, err = Listen(filepath.Join(dir, "nobody"), "no-such-group", snapshot, quiet)
	if err == nil || !strings.Contains(err.Error(), "create it or leave the key out") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "nobody")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a socket is left behind: %v", err)
	}
}

// answering serves one connection with a fixed answer.
func answering(t *testing.T, answer string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		conn.Read(make([]byte, 4096))
		io.WriteString(conn, answer)
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return path
}

func TestStatusErrors(t *testing.T) {
	absent := filepath.Join(t.TempDir(), "absent")
	for _, tt := range []struct {
		name, path, want string
	}{
		{"nobody", absent, "no tandem runs behind " + absent + "; start it, or name another socket with --socket"},
		{"an error", answering(t, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"), "answers 500 No"},
		{"another program", answering(t, "220 mail.example.com ESMTP\r\n"), "malformed HTTP"},
		{"no JSON", answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlala"), "the answer is not a status"},
		{"half a status", answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n{\"node\":\"lb1\","), "the answer is not a status"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Status(t.Context(), tt.path)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want … %s …", err, tt.want)
			}
			if got.Node != "" {
				t.Errorf("half a status: %+v", got)
			}
			if notRunning := tt.name == "nobody"; errors.Is(err, ErrNotRunning) != notRunning {
				t.Errorf("ErrNotRunning: %v", err)
			}
		})
	}
	t.Run("nobody answers", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, err := Status(ctx, path); err == nil || !strings.Contains(err.Error(), "does not answer") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("not allowed", func(t *testing.T) {
		err := explain("/run/s", &url.Error{Op: "Get", URL: "http://tandem", Err: &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EACCES)}})
		want := "not allowed to use /run/s; be root, or in the group that [control] group names (dial: connect: permission denied)"
		if err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	})
}
