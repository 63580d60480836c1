package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/events"
)

// serveEvents serves a log until the test ends.
func serveEvents(t *testing.T, alter ...func(*Server)) (path string, log *events.Log) {
	t.Helper()
	path, log = filepath.Join(t.TempDir(), "s"), events.New("lb1", nil)
	serve(t, path, snapshot, append(alter, func(s *Server) { s.ServeEvents(log) })...)
	return path, log
}

func publish(log *events.Log, n int) {
	for range n {
		log.Publish(events.Event{Kind: events.Role, Router: "web", To: "active", Cause: strings.Repeat("x", 200)})
	}
}

// numbers asks for events and returns their numbers.
func numbers(t *testing.T, path string, after uint64) (got []uint64) {
	t.Helper()
	err := Events(t.Context(), path, after, false, func(e events.Event, line []byte) error {
		var again events.Event
		if err := json.Unmarshal(line, &again); err != nil || again != e || e.Node != "lb1" {
			t.Errorf("%s: %+v, %v", line, e, err)
		}
		got = append(got, e.Seq)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestEvents(t *testing.T) {
	path, log := serveEvents(t)
	if got := numbers(t, path, 0); got != nil {
		t.Errorf("of an empty log: %v", got)
	}
	publish(log, 200)
	if got := numbers(t, path, 0); len(got) != 200 || got[0] != 1 || got[199] != 200 {
		t.Errorf("got %v", got)
	}
	if got := numbers(t, path, 198); !slices.Equal(got, []uint64{199, 200}) {
		t.Errorf("after 198: %v", got)
	}
	publish(log, events.Kept)
	if got := numbers(t, path, 0); len(got) != 1+events.Kept || got[0] != 200 {
		t.Errorf("%d events, the first is %d", len(got), got[0])
	}
}

func TestFollow(t *testing.T) {
	path, log := serveEvents(t)
	publish(log, 2)
	ctx, cancel := context.WithCancel(t.Context())
	seen := make(chan uint64)
	ended := make(chan error, 1)
	go func() {
		ended <- Events(ctx, path, 1, true, func(e events.Event, _ []byte) error { seen <- e.Seq; return nil })
	}()
	for want := uint64(2); want < 200; want++ {
		if got := <-seen; got != want {
			t.Errorf("got %d, want %d", got, want)
		}
		publish(log, 1)
	}
	cancel()
	go func() {
		for range seen { // what is still on its way
		}
	}()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	close(seen)
	boom := errors.New("enough")
	if err := Events(t.Context(), path, 0, true, func(events.Event, []byte) error { return boom }); err != boom {
		t.Errorf("got %v", err)
	}
}

// The limits of short answers do not end a client that follows and reads.
func TestFollowForLong(t *testing.T) {
	const limit = 20 * time.Millisecond
	path, log := serveEvents(t, func(s *Server) { s.http.ReadTimeout, s.http.WriteTimeout = limit, limit })
	conn, r := follow(t, path)
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(3 * limit))
	if line, err := r.ReadString('\n'); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("while nothing happens: %q, %v", line, err)
	}
	conn.SetReadDeadline(time.Time{})
	for begin := time.Now(); time.Since(begin) < 5*limit; {
		publish(log, 1)
		if line, err := r.ReadString('\n'); err != nil {
			t.Fatalf("%q, %v", line, err)
		}
	}
}

// The end of the daemon is told from the end of the client.
func TestFollowEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s, err := Listen(path, "", snapshot, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	log := events.New("lb1", nil)
	s.ServeEvents(log)
	publish(log, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	err = Events(t.Context(), path, 0, true, func(events.Event, []byte) error { cancel(); return <-done })
	if err == nil || !strings.Contains(err.Error(), "has ended") && !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}

func TestFollowers(t *testing.T) {
	path, log := serveEvents(t)
	var conns []net.Conn
	for range maxFollowers {
		conn, _ := follow(t, path)
		conns = append(conns, conn)
	}
	if got := get(t, path, "GET /v1/events?follow=1 HTTP/1.0\r\n\r\n"); got != "HTTP/1.0 503 Service Unavailable" {
		t.Errorf("got %q", got)
	}
	publish(log, 1)
	if got := numbers(t, path, 0); !slices.Equal(got, []uint64{1}) {
		t.Errorf("others get %v", got)
	}
	for _, c := range conns {
		c.Close()
	}
	for end := time.Now().Add(10 * time.Second); get(t, path, "GET /v1/events?follow=1 HTTP/1.0\r\n\r\n") != "HTTP/1.0 200 OK"; {
		if time.Now().After(end) {
			t.Fatal("the places are not free again")
		}
	}
}

func TestEventsQuery(t *testing.T) {
	path, _ := serveEvents(t)
	for _, query := range []string{"after=-1", "after=x", "after=", "follow=x", "before=1"} {
		if got := get(t, path, "GET /v1/events?"+query+" HTTP/1.0\r\n\r\n"); got != "HTTP/1.0 400 Bad Request" {
			t.Errorf("%s: got %q", query, got)
		}
	}
	if got := get(t, path, "POST /v1/events HTTP/1.0\r\nContent-Length: 0\r\n\r\n"); got != "HTTP/1.0 405 Method Not Allowed" {
		t.Errorf("got %q", got)
	}
}

// A client that never reads holds up neither those who publish nor the end.
func TestFollowerThatDoesNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s, err := Listen(path, "", snapshot, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	log := events.New("lb1", nil)
	s.ServeEvents(log)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /v1/events?follow=1 HTTP/1.0\r\n\r\n")
	begin := time.Now()
	publish(log, 100*events.Kept)
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("publishing took %v", took)
	}
	begin = time.Now()
	cancel()
	if err := <-done; err != nil || time.Since(begin) > time.Second {
		t.Errorf("the end took %v, %v", time.Since(begin), err)
	}
	// What is in the socket is its last.
	text, err := io.ReadAll(conn)
	if n := strings.Count(string(text), "\n"); err != nil || n > 20*events.Kept {
		t.Errorf("%d lines were kept for it, %v", n, err)
	}
}

// follow opens a connection that follows, and reads the head of the answer.
func follow(t *testing.T, path string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprint(conn, "GET /v1/events?follow=1 HTTP/1.0\r\n\r\n")
	r := bufio.NewReader(conn)
	for first := true; ; first = false {
		line, err := r.ReadString('\n')
		if err != nil || first && line != "HTTP/1.0 200 OK\r\n" {
			t.Fatalf("%q, %v", line, err)
		}
		if line == "\r\n" {
			return conn, r
		}
	}
}
