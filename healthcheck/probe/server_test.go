package probe_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"tandem/healthcheck"
	"tandem/healthcheck/probe"
)

const (
	// plenty is for probes that are to end by themselves.
	plenty = 20 * time.Second
	// short is for probes that are to run into their deadline.
	short = 80 * time.Millisecond
)

// serve handles each connection on a loopback port until the test ends, and
// waits for its handlers then. Their connections are closed under them.
func serve(t testing.TB, handle func(*net.TCPConn)) netip.AddrPort {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	var (
		handlers sync.WaitGroup
		mu       sync.Mutex
		conns    []*net.TCPConn
	)
	handlers.Go(func() {
		for {
			c, err := l.AcceptTCP()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			handlers.Go(func() {
				defer c.Close()
				handle(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		handlers.Wait()
	})
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// reply reads one request and answers it with these bytes.
func reply(answer string) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		if swallow(c) {
			io.WriteString(c, answer)
		}
	}
}

// swallow reads one request.
func swallow(c *net.TCPConn) bool {
	req, err := http.ReadRequest(bufio.NewReader(c))
	return err == nil && req.Body.Close() == nil
}

// hang keeps a connection until the other side ends it.
func hang(c *net.TCPConn) { io.Copy(io.Discard, c) }

// reset ends a connection with a RST.
func reset(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}

// flood sends the same bytes until the other side has enough.
func flood(c *net.TCPConn, head, again string) {
	if !swallow(c) {
		return
	}
	_, err := io.WriteString(c, head)
	for err == nil {
		_, err = io.WriteString(c, again)
	}
}

// drip sends the same bytes every few milliseconds.
func drip(c *net.TCPConn, head, again string) {
	if !swallow(c) {
		return
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	_, err := io.WriteString(c, head)
	for err == nil {
		<-tick.C
		_, err = io.WriteString(c, again)
	}
}

func tcpTarget(to netip.AddrPort) healthcheck.Target {
	return healthcheck.Target{Kind: healthcheck.TCP, Address: to}
}

func httpTarget(to netip.AddrPort) healthcheck.Target {
	return healthcheck.Target{Kind: healthcheck.HTTP, Address: to, HTTP: healthcheck.HTTPSpec{
		Method: "GET", Path: "/healthz", StatusMin: 200, StatusMax: 299,
	}}
}

// check probes a target and compares the outcome, and the time it took with
// what the timeout allows.
func check(t *testing.T, target healthcheck.Target, timeout time.Duration, reason healthcheck.Reason, detail string) {
	t.Helper()
	start := time.Now() // before the timeout begins
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	r := probe.Probe(ctx, target)
	took := time.Since(start)
	if r.Reason != reason || r.Detail != detail {
		t.Errorf("%s: %q, want %s: %q", r.Reason, r.Detail, reason, detail)
	}
	if r.Latency <= 0 || r.Latency > took {
		t.Errorf("latency %v of a probe that took %v", r.Latency, took)
	}
	switch {
	case timeout == short && took > plenty/2:
		t.Errorf("took %v with a timeout of %v", took, timeout)
	case reason == healthcheck.ReasonTimeout && took < timeout:
		t.Errorf("timed out after %v, before the timeout of %v", took, timeout)
	}
}
