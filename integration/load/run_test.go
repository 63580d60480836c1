package load

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"testing"
	"time"
)

// startServer runs a server on free ports of the loopback for the test.
func startServer(t testing.TB) (s *Server, admin string) {
	t.Helper()
	admin = filepath.Join(t.TempDir(), "admin.sock")
	s = NewServer(ServerConfig{Name: "s1", HTTP: "127.0.0.1:0", Echo: "127.0.0.1:0", Admin: admin})
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
		t.Fatalf("server ended early: %v", err)
	}
	return s, admin
}

// serve runs handle for every connection to a port of the loopback.
func serve(t *testing.T, handle func(net.Conn)) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				handle(conn)
			}()
		}
	}()
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

// closedPort is an address of the loopback where nobody listens.
func closedPort(t *testing.T) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

// A healthy server, all kinds of traffic: everything adds up.
func TestRun(t *testing.T) {
	s, _ := startServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var seen []EventType
	progressed := make(chan Progress, 10)
	c := Client{
		HTTP: s.HTTPAddr(), Rate: 200, Timeout: 5 * time.Second,
		Sources: []netip.Addr{netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.3")},
		Echo:    s.EchoAddr(), Streams: 10, StreamInterval: 10 * ms,
		OnEvent:    func(e Event) { seen = append(seen, e.Type) },
		OnProgress: func(p Progress) { progressed <- p; cancel() },
	}
	res, err := c.Run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	con := res.Connections
	if con.Total < 100 || con.OK != con.Total || con.Servers["s1"] != con.OK || con.Failed != 0 {
		t.Errorf("connections: %+v", con)
	}
	if got := s.State().Requests; got != int64(con.Total) {
		t.Errorf("the server counted %d requests, the client %d", got, con.Total)
	}
	st := res.Streams
	if st.Count != 10 || st.Survived != 10 || st.Echoes == 0 || len(st.Each) != 10 {
		t.Errorf("streams: %+v", st)
	}
	if got := s.State().EchoedBytes; got != int64(st.Echoes)*frameLen {
		t.Errorf("the server echoed %d bytes, the client got %d frames of %d", got, st.Echoes, frameLen)
	}
	sum := 0
	for _, b := range res.Timeline.Buckets {
		sum += b.OK + b.Failed
	}
	if sum != con.Total {
		t.Errorf("the timeline has %d attempts, the total is %d", sum, con.Total)
	}
	if p := <-progressed; p.At < time.Second || p.Streams != 10 || p.OK == 0 {
		t.Errorf("progress: %+v", p)
	}
	for _, want := range []EventType{ServerSeen, Ready} {
		n := 0
		for _, e := range seen {
			if e == want {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d events %q in %q, want 1", n, want, seen)
		}
	}
	if res.CPU <= 0 || res.Lateness.Max <= 0 || res.StartUnixNS <= 0 {
		t.Errorf("no measure of the client itself: %+v", res)
	}
}

// An open loop makes as many attempts as were due, whatever becomes of them.
func TestRunMakesEveryAttempt(t *testing.T) {
	c := Client{HTTP: closedPort(t), Rate: 1000, Duration: 100 * ms, Timeout: 5 * time.Second}
	res, err := c.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if res.Connections.Total != 100 || res.Connections.Failures[Refused] != 100 || res.Duration != 100 {
		t.Errorf("result: %+v", res.Connections)
	}
}

// reply handles a connection with a fixed answer to whatever is asked.
func reply(text string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1024))
		_, _ = io.WriteString(c, text)
	}
}

func TestExchangeFailures(t *testing.T) {
	tests := []struct {
		name   string
		handle func(net.Conn)
		want   Kind
	}{
		{"answer", reply("HTTP/1.1 200 OK\r\nServer: s1\r\nContent-Length: 2\r\n\r\nok"), ""},
		{"answer without a length", reply("HTTP/1.1 204 No Content\r\n\r\n"), ""},
		{"status", reply("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"), BadStatus},
		{"no answer", reply(""), EOF},
		{"half an answer", reply("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), EOF},
		{"not HTTP", reply("SSH-2.0-OpenSSH_9.2\r\n"), Other},
		{"silence", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, ResponseTimeout},
		{"reset", func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1024))
			_ = c.(*net.TCPConn).SetLinger(0)
		}, Reset},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := Client{HTTP: serve(t, tt.handle), Rate: 1, Timeout: 5 * time.Second}.withDefaults()
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == ResponseTimeout {
				c.ResponseTimeout = 20 * ms
			}
			if _, _, got := newExchanger(c).do(0); got != tt.want {
				t.Errorf("kind %q, want %q", got, tt.want)
			}
		})
	}
}

// A client that closes first would run out of ports: see exchanger.do.
func TestExchangeLetsServerCloseFirst(t *testing.T) {
	closedBy := make(chan string, 1)
	addr := serve(t, func(c net.Conn) {
		reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")(c)
		_ = c.SetReadDeadline(time.Now().Add(100 * ms))
		if _, err := c.Read(make([]byte, 1)); err == io.EOF {
			closedBy <- "client"
		} else {
			closedBy <- "server"
		}
	})
	c, err := Client{HTTP: addr, Rate: 1, Timeout: 5 * time.Second}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, kind := newExchanger(c).do(0); kind != "" {
		t.Fatalf("failed: %s", kind)
	}
	if got := <-closedBy; got != "server" {
		t.Errorf("the %s closed first, want the server", got)
	}
}

func TestStreamOutcomes(t *testing.T) {
	tests := []struct {
		name    string
		handle  func(net.Conn)
		outcome Outcome
		kind    Kind
	}{
		{"echo", func(c net.Conn) { _, _ = io.Copy(c, c) }, Survived, ""},
		{"closes", func(c net.Conn) {
			_, _ = io.CopyN(c, c, 2*frameLen)
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, c) // or what is unread would reset it
		}, Lost, EOF},
		{"never answers", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, Lost, ResponseTimeout},
		{"resets", func(c net.Conn) {
			_, _ = io.CopyN(c, c, 2*frameLen)
			_ = c.(*net.TCPConn).SetLinger(0)
		}, Lost, Reset},
		{"damages", func(c net.Conn) {
			b := make([]byte, 2*frameLen)
			_, _ = io.ReadFull(c, b)
			b[frameLen+9] ^= 1
			_, _ = c.Write(b)
			_, _ = io.Copy(io.Discard, c)
		}, Lost, Corrupt},
		{"keeps the last frame", func(c net.Conn) {
			all, _ := io.ReadAll(c) // the client half-closes
			_, _ = c.Write(all[:max(0, len(all)-frameLen)])
		}, Lost, EOF},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			res, err := Client{
				Echo: serve(t, tt.handle), Streams: 3, StreamInterval: 10 * ms,
				Duration: 300 * ms, StreamTimeout: streamTimeout(tt.kind),
			}.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for i, s := range res.Streams.Each {
				if s.Outcome != tt.outcome || s.Kind != tt.kind {
					t.Errorf("stream %d: %+v, want %s %s", i, s, tt.outcome, tt.kind)
				}
			}
		})
	}
}

// streamTimeout is short only where the test waits for it.
func streamTimeout(k Kind) time.Duration {
	if k == ResponseTimeout {
		return 50 * ms
	}
	return 10 * time.Second
}

func TestStreamNeverConnected(t *testing.T) {
	res, err := Client{Echo: closedPort(t), Streams: 2, Duration: 50 * ms}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s := res.Streams; s.NeverConnected != 2 || s.Failures[Refused] != 2 {
		t.Errorf("streams: %+v", s)
	}
}

// An echo that is late, but complete, is a survivor: the end of the run waits.
func TestStreamEndWaitsForEchoes(t *testing.T) {
	addr := serve(t, func(c net.Conn) {
		all, _ := io.ReadAll(c) // nothing is returned before the client closes
		_, _ = io.Copy(c, bytes.NewReader(all))
	})
	res, err := Client{Echo: addr, Streams: 2, StreamInterval: 10 * ms, Duration: 200 * ms}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s := res.Streams; s.Survived != 2 || s.LongestStall.Length < 100 {
		t.Errorf("streams: %+v", s)
	}
}

// BenchmarkExchange is one new connection, request and answer after another,
// with the server in the same process.
func BenchmarkExchange(b *testing.B) {
	s, _ := startServer(b)
	c, err := Client{HTTP: s.HTTPAddr(), Rate: 1, Timeout: 5 * time.Second}.withDefaults()
	if err != nil {
		b.Fatal(err)
	}
	x := newExchanger(c)
	b.ReportAllocs()
	for i := range b.N {
		if _, _, kind := x.do(i); kind != "" {
			b.Fatal(kind)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "connections/s")
}
