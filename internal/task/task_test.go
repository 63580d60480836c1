package task

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var quiet = slog.New(slog.DiscardHandler)

// part is a Task that a test leads.
type part struct {
	name  string
	ready chan struct{}
	fail  chan error
	mu    sync.Mutex
	ended bool
}

func newPart(name string) *part {
	return &part{name: name, ready: make(chan struct{}), fail: make(chan error)}
}

func (p *part) String() string         { return p.name }
func (p *part) Ready() <-chan struct{} { return p.ready }

func (p *part) Run(ctx context.Context) error {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.ended = true
	}()
	select {
	case err := <-p.fail:
		return err
	case <-ctx.Done():
		return nil
	}
}

func (p *part) hasEnded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

// manager is a service manager that listens to what it is told.
type manager struct{ conn *net.UnixConn }

func listenAsManager(t *testing.T) manager {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return manager{conn}
}

// told is what has arrived by now; wait is how long the first may take.
func (m manager) told(t *testing.T, wait time.Duration) []string {
	t.Helper()
	var out []string
	b := make([]byte, 4096)
	if err := m.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := m.conn.Read(b)
		if err != nil {
			return out
		}
		out = append(out, string(b[:n]))
		if err := m.conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
			t.Fatal(err)
		}
	}
}

func neverFails(t *testing.T) func(error) {
	return func(err error) { t.Errorf("failed: %v", err) }
}

func TestReadyWhenAllAre(t *testing.T) {
	m := listenAsManager(t)
	ctx, cancel := context.WithCancel(t.Context())
	a, b := newPart("a"), newPart("b")
	called := make(chan struct{})
	done := make(chan error)
	go func() { done <- Serve(ctx, quiet, func() { close(called) }, neverFails(t), a, b) }()
	close(b.ready)
	if got := m.told(t, 20*time.Millisecond); got != nil {
		t.Errorf("told %q, a is not ready", got)
	}
	close(a.ready)
	<-called
	if got := m.told(t, time.Second); !slices.Equal(got, []string{"READY=1"}) {
		t.Errorf("told %q", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestFirstFailureEndsAll(t *testing.T) {
	for _, ready := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			a, b := newPart("a"), newPart("the b part")
			close(a.ready)
			if ready {
				close(b.ready)
			}
			isReady := false
			done := make(chan error)
			var told []error
			failed := func(err error) {
				if a.hasEnded() {
					t.Error("the other part ended before the failure was told")
				}
				told = append(told, err)
			}
			go func() { done <- Serve(t.Context(), quiet, func() { isReady = true }, failed, a, b) }()
			synctest.Wait()
			cause := errors.New("cause")
			b.fail <- cause
			err := <-done
			if !errors.Is(err, cause) || err.Error() != "the b part: cause" {
				t.Errorf("got %v", err)
			}
			if len(told) != 1 || told[0].Error() != "the b part: cause" {
				t.Errorf("told %v", told)
			}
			if !a.hasEnded() {
				t.Error("the other part runs on")
			}
			if isReady != ready {
				t.Errorf("ready was called: %v", isReady)
			}
		})
	}
}

func TestNoServiceManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	var lines bytes.Buffer
	log := slog.New(slog.NewTextHandler(&lines, nil))
	Notify(log, "READY=1")
	if lines.Len() > 0 {
		t.Errorf("logged: %s", lines.String())
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "absent"))
	Notify(log, "READY=1")
	if !strings.Contains(lines.String(), "the service manager could not be told") {
		t.Errorf("logged: %s", lines.String())
	}
}

func TestReloading(t *testing.T) {
	m := listenAsManager(t)
	Reloading(quiet)
	got := m.told(t, time.Second)
	if len(got) != 1 || !strings.HasPrefix(got[0], "RELOADING=1\nMONOTONIC_USEC=") {
		t.Errorf("told %q", got)
	}
}

func TestWatchdog(t *testing.T) {
	m := listenAsManager(t)
	t.Setenv("WATCHDOG_USEC", "90000000")
	t.Setenv("WATCHDOG_PID", "")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var alive, asked atomic.Bool
		var lines bytes.Buffer
		w := Watchdog{Alive: func(time.Time) bool { asked.Store(true); return alive.Load() }, Log: slog.New(slog.NewTextHandler(&lines, nil))}
		<-w.Ready()
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		for _, is := range []bool{true, false, true} {
			alive.Store(is)
			asked.Store(false)
			time.Sleep(29 * time.Second)
			synctest.Wait()
			if asked.Load() {
				t.Error("asked early")
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if !asked.Load() {
				t.Error("not asked three times in an interval")
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := strings.Count(lines.String(), "the watchdog is not fed"); n != 1 {
			t.Errorf("logged %d times: %s", n, lines.String())
		}
	})
	if got := m.told(t, time.Second); !slices.Equal(got, []string{"WATCHDOG=1", "WATCHDOG=1"}) {
		t.Errorf("told %q, it was alive two times of three", got)
	}
}

func TestNoWatchdog(t *testing.T) {
	t.Setenv("WATCHDOG_USEC", "")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- Watchdog{Alive: func(time.Time) bool { t.Error("asked"); return true }, Log: quiet}.Run(ctx)
		}()
		time.Sleep(time.Hour)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Setenv("WATCHDOG_USEC", "soon")
	err := Watchdog{Log: quiet}.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "WATCHDOG_USEC") {
		t.Errorf("got %v", err)
	}
}
