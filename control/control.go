// Package control is the daemon's unix socket: HTTP with JSON, for the
// commands of this program and for others. GET /v1/status answers with the
// snapshot of package director, GET /v1/events with what happened, an event of
// package events in each line.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tandem/director"
)

// Server serves the control socket.
type Server struct {
	listener net.Listener
	lock     *os.File // held for as long as this is the only server
	http     *http.Server
	mux      *http.ServeMux
	ready    chan struct{}
}

// Limits of a client: the socket is for short questions of few.
const (
	clientTimeout = 5 * time.Second
	maxHeader     = 16 << 10
)

// Listen opens the socket for the user of the process and, if group is not
// empty, for that group. A socket that a dead process left is replaced. It is an
// error if another server is alive, even one that does not answer: a lock on the
// file path + ".lock" tells, which the kernel drops with the process.
func Listen(path, group string, snapshot func() director.Snapshot, log *slog.Logger) (*Server, error) {
	lock, err := lockFile(path)
	if err != nil {
		return nil, err
	}
	l, err := listen(path, group)
	if err != nil {
		lock.Close()
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(snapshot()); err != nil {
			log.Debug("status was not delivered", "err", err)
		}
	})
	return &Server{
		listener: l,
		lock:     lock,
		mux:      mux,
		http: &http.Server{
			Handler: mux, ReadTimeout: clientTimeout, WriteTimeout: clientTimeout, MaxHeaderBytes: maxHeader,
			ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		},
		ready: make(chan struct{}),
	}, nil
}

func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w (does its directory exist and may this user write to it?)", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("control socket %s: another tandem serves it; stop that one, or set [control] socket", path)
		}
		return nil, fmt.Errorf("control socket: lock %s.lock: %w", path, err)
	}
	return f, nil
}

// listen replaces whatever socket is at path; the caller has the lock.
func listen(path, group string) (net.Listener, error) {
	if err := removeOld(path); err != nil {
		return nil, err
	}
	// The kernel gives the file the mode that the socket has before it is bound:
	// there is no moment at which others may connect.
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var chmodErr error
		err := c.Control(func(fd uintptr) { chmodErr = unix.Fchmod(int(fd), 0o600) })
		return errors.Join(err, chmodErr)
	}}
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	if err := permit(path, group); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// removeOld removes an old socket, and nothing else.
func removeOld(path string) error {
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("control socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("control socket %s: there is a file that is no socket; remove it, or set [control] socket", path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("control socket: replace the old one: %w", err)
	}
	return nil
}

// permit lets a group in, if there is one.
func permit(path, group string) error {
	if group == "" {
		return nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return fmt.Errorf("[control] group: %w; create it or leave the key out", err)
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return fmt.Errorf("[control] group %s: %w", group, err)
	}
	// The own group already has the file, whatever the sandbox makes of chown.
	if gid != os.Getegid() {
		if err := os.Chown(path, -1, gid); err != nil {
			return fmt.Errorf("give the control socket to group %s: %w; make the daemon's user a member of it (SupplementaryGroups= in the unit)", group, err)
		}
	}
	return os.Chmod(path, 0o660)
}

func (s *Server) String() string { return "control socket" }

// Ready is closed when the socket is served.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Run serves until ctx is done.
func (s *Server) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { s.http.Close() })
	defer stop()
	close(s.ready)
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close closes and removes the socket, of a server that ran or never did.
func (s *Server) Close() error {
	err := s.listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return errors.Join(err, s.lock.Close())
}

// ErrNotRunning is the error of Status when no process serves the socket.
var ErrNotRunning = errors.New("no tandem runs")

// Status asks the daemon behind a control socket for its snapshot.
func Status(ctx context.Context, path string) (director.Snapshot, error) {
	var s director.Snapshot
	resp, err := ask(ctx, path, "/v1/status")
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	const most = 64 << 20 // a snapshot of the largest table is far below
	if err := json.NewDecoder(io.LimitReader(resp.Body, most)).Decode(&s); err != nil {
		return director.Snapshot{}, fmt.Errorf("control socket %s: the answer is not a status: %w", path, err)
	}
	return s, nil
}

// ask makes a request and returns the good answer, whose body the caller closes.
func ask(ctx context.Context, path, target string) (*http.Response, error) {
	client := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true,
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://tandem"+target, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, explain(path, err)
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("control socket %s answers %s", path, resp.Status)
	}
	return resp, nil
}

// explain says what a failed request means and what to do.
func explain(path string, err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // the URL means nothing to anyone
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w behind %s; start it, or name another socket with --socket (%w)", ErrNotRunning, path, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("not allowed to use %s; be root, or in the group that [control] group names (%w)", path, err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the tandem behind %s does not answer (%w)", path, err)
	}
	return fmt.Errorf("control socket %s: %w", path, err)
}

// Served says whether a process answers behind a control socket.
func Served(path string) bool {
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
