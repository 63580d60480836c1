package probe_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tandem/healthcheck"
	"tandem/healthcheck/probe"
)

// TestHTTPAnswers: what a server says, to the byte, and what is made of it.
func TestHTTPAnswers(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	tests := []struct {
		name   string
		answer string
		reason healthcheck.Reason
		detail string
	}{
		{"empty body", "HTTP/1.1 204 No Content\r\n\r\n", healthcheck.ReasonOK, "204 No Content"},
		{"body with a length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", healthcheck.ReasonOK, "200 OK"},
		{"body to the end", "HTTP/1.1 200 OK\r\n\r\nok", healthcheck.ReasonOK, "200 OK"},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", healthcheck.ReasonOK, "200 OK"},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nok", healthcheck.ReasonOK, "200 OK"},
		{"huge body", "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n" + long, healthcheck.ReasonOK, "200 OK"},
		{"huge body in small chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("64\r\n"+long[:100]+"\r\n", 2000), healthcheck.ReasonOK, "200 OK"},
		{"interim responses", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", healthcheck.ReasonOK, "200 OK"},
		{"unusual status", "HTTP/1.1 299 Whatever\r\n\r\n", healthcheck.ReasonOK, "299"},

		{"unavailable", "HTTP/1.1 503 \x1b[2J\x07 sorry\r\n\r\n", healthcheck.ReasonStatus, "503 Service Unavailable"},
		{"unavailable, body cut short", "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 99\r\n\r\nso", healthcheck.ReasonStatus, "503 Service Unavailable"},
		{"redirect", "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", healthcheck.ReasonStatus, "302 Found"},
		{"interim response, then a bad status", "HTTP/1.1 199 Low\r\n\r\nHTTP/1.1 300 Multiple Choices\r\n\r\n", healthcheck.ReasonStatus, "300 Multiple Choices"},
		{"another protocol agreed on", "HTTP/1.1 101 Switching Protocols\r\n\r\n", healthcheck.ReasonStatus, "101 Switching Protocols"},

		{"nothing", "", healthcheck.ReasonProtocol, "waiting for the response: connection closed early"},
		{"garbage", "SSH-2.0-OpenSSH_9.2\r\n", healthcheck.ReasonProtocol, "waiting for the response: malformed response"},
		{"status of letters", "HTTP/1.1 abc OK\r\n\r\n", healthcheck.ReasonProtocol, "waiting for the response: malformed response"},
		{"header cut short", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", healthcheck.ReasonProtocol, "waiting for the response: connection closed early"},
		{"line cut short", "HTTP/1.1 200 OK\r\nContent-Le", healthcheck.ReasonProtocol, "waiting for the response: malformed response"},
		{"field without a colon", "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", healthcheck.ReasonProtocol, "waiting for the response: malformed response"},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", healthcheck.ReasonProtocol, "waiting for the response: malformed response"},
		{"body cut short", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", healthcheck.ReasonProtocol, "reading the body of 200 OK: connection closed early"},
		{"chunk cut short", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok", healthcheck.ReasonProtocol, "reading the body of 200 OK: connection closed early"},
		{"malformed chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n", healthcheck.ReasonProtocol, "reading the body of 200 OK: malformed response"},
		{"long status line", "HTTP/1.1 200 " + long, healthcheck.ReasonProtocol, "waiting for the response: response header longer than 64 KiB"},
		{"only interim responses", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 10), healthcheck.ReasonProtocol, "waiting for the response: no final response, only interim ones"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			check(t, httpTarget(serve(t, reply(tt.answer))), plenty, tt.reason, tt.detail)
		})
	}
}

// TestHTTPBehaviour: what a server does with the connection.
func TestHTTPBehaviour(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\n"
	tests := []struct {
		name   string
		handle func(*net.TCPConn)
		ends   bool // by itself
		reason healthcheck.Reason
		detail string
	}{
		{"hangs", hang, false,
			healthcheck.ReasonTimeout, "waiting for the response: no answer in time"},
		{"hangs amid the header", func(c *net.TCPConn) { reply(head)(c); hang(c) }, false,
			healthcheck.ReasonTimeout, "waiting for the response: no answer in time"},
		{"hangs amid a line", func(c *net.TCPConn) { reply(head + "Content-Le")(c); hang(c) }, false,
			healthcheck.ReasonTimeout, "waiting for the response: no answer in time"},
		{"hangs amid the body", func(c *net.TCPConn) { reply(head + "Content-Length: 3\r\n\r\nok")(c); hang(c) }, false,
			healthcheck.ReasonTimeout, "reading the body of 200 OK: no answer in time"},
		{"drips the header", func(c *net.TCPConn) { drip(c, head, "X: y\r\n") }, false,
			healthcheck.ReasonTimeout, "waiting for the response: no answer in time"},
		{"drips the body", func(c *net.TCPConn) { drip(c, head+"\r\n", "x") }, false,
			healthcheck.ReasonTimeout, "reading the body of 200 OK: no answer in time"},
		{"endless header", func(c *net.TCPConn) { flood(c, head, "X: y\r\n") }, true,
			healthcheck.ReasonProtocol, "waiting for the response: response header longer than 64 KiB"},
		{"endless body", func(c *net.TCPConn) { flood(c, head+"\r\n", "xxxxxxxx") }, true,
			healthcheck.ReasonOK, "200 OK"},
		{"endless chunk extension", func(c *net.TCPConn) {
			flood(c, head+"Transfer-Encoding: chunked\r\n\r\n1", ";a=b")
		}, true,
			healthcheck.ReasonProtocol, "reading the body of 200 OK: malformed response"},
		{"resets instead of an answer", func(c *net.TCPConn) { swallow(c); reset(c) }, true,
			healthcheck.ReasonReset, "waiting for the response: connection reset by peer"},
		{"resets amid the header", func(c *net.TCPConn) { replyAndReset(c, head) }, true,
			healthcheck.ReasonReset, "waiting for the response: connection reset by peer"},
		{"resets amid a line", func(c *net.TCPConn) { replyAndReset(c, head+"Content-Le") }, true,
			healthcheck.ReasonReset, "waiting for the response: connection reset by peer"},
		{"resets amid the body", func(c *net.TCPConn) { replyAndReset(c, head+"Content-Length: 3\r\n\r\nok") }, true,
			healthcheck.ReasonReset, "reading the body of 200 OK: connection reset by peer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			timeout := short
			if tt.ends {
				timeout = plenty
			}
			check(t, httpTarget(serve(t, tt.handle)), timeout, tt.reason, tt.detail)
		})
	}
}

// replyAndReset answers and resets. What was sent before the reset is not
// lost: the other side's kernel hands out what it has received first.
func replyAndReset(c *net.TCPConn, answer string) {
	reply(answer)(c)
	reset(c)
}

func TestHTTPNoConnection(t *testing.T) {
	check(t, httpTarget(closedPort(t)), plenty, healthcheck.ReasonRefused, "connecting: connection refused")
	check(t, httpTarget(fullPort(t)), short, healthcheck.ReasonTimeout, "connecting: no answer in time")
}

// TestHTTPRange: the range of good statuses is the target's, ends included.
func TestHTTPRange(t *testing.T) {
	to := serve(t, reply("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"))
	for _, tt := range []struct {
		min, max int
		reason   healthcheck.Reason
	}{
		{302, 302, healthcheck.ReasonOK},
		{200, 302, healthcheck.ReasonOK},
		{302, 399, healthcheck.ReasonOK},
		{200, 301, healthcheck.ReasonStatus},
		{303, 399, healthcheck.ReasonStatus},
	} {
		target := httpTarget(to)
		target.HTTP.StatusMin, target.HTTP.StatusMax = tt.min, tt.max
		check(t, target, plenty, tt.reason, "302 Found")
	}
}

// TestHTTPRequest: what the server is asked.
func TestHTTPRequest(t *testing.T) {
	type asked struct {
		line, host string
		header     http.Header
		rest       string
	}
	got := make(chan asked, 1)
	to := serve(t, func(c *net.TCPConn) {
		in := bufio.NewReader(c)
		req, err := http.ReadRequest(in)
		if err != nil {
			got <- asked{line: err.Error()}
			return
		}
		rest, _ := in.Peek(in.Buffered())
		got <- asked{req.Method + " " + req.RequestURI + " " + req.Proto, req.Host, req.Header, string(rest)}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n")
		if req.Method == "GET" {
			io.WriteString(c, "healthy")
		}
	})
	header := http.Header{"User-Agent": {"tandem-healthcheck"}, "Connection": {"close"}}
	tests := []struct {
		name string
		spec healthcheck.HTTPSpec
		want asked
	}{
		{"plain", healthcheck.HTTPSpec{Method: "GET", Path: "/"},
			asked{"GET / HTTP/1.1", to.String(), header, ""}},
		{"host", healthcheck.HTTPSpec{Method: "GET", Host: "www.example.com", Path: "/healthz"},
			asked{"GET /healthz HTTP/1.1", "www.example.com", header, ""}},
		{"query", healthcheck.HTTPSpec{Method: "GET", Path: "/a%20b?deep=1&x=%2F"},
			asked{"GET /a%20b?deep=1&x=%2F HTTP/1.1", to.String(), header, ""}},
		{"head", healthcheck.HTTPSpec{Method: "HEAD", Path: "/"},
			asked{"HEAD / HTTP/1.1", to.String(), header, ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			target := httpTarget(to)
			target.HTTP = tt.spec
			target.HTTP.StatusMin, target.HTTP.StatusMax = 200, 200
			check(t, target, plenty, healthcheck.ReasonOK, "200 OK")
			if diff := cmp.Diff(tt.want, <-got, cmp.AllowUnexported(asked{})); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}

// TestHTTPNoRequest: a specification that makes no request is our own fault,
// and nothing of it reaches the server.
func TestHTTPNoRequest(t *testing.T) {
	to := serve(t, func(*net.TCPConn) { t.Error("the server was asked") })
	for name, spec := range map[string]healthcheck.HTTPSpec{
		"method": {Method: "GE T", Path: "/"},
		"path":   {Method: "GET", Path: "/\r\nX-Injected: 1"},
		"host":   {Method: "GET", Host: "a\r\nX-Injected: 1", Path: "/"},
	} {
		t.Run(name, func(t *testing.T) {
			target := httpTarget(to)
			target.HTTP = spec
			if r := probe.Probe(t.Context(), target); r.Reason != healthcheck.ReasonLocal || !strings.HasPrefix(r.Detail, "composing the request: ") {
				t.Errorf("%+v, want a local one", r)
			}
		})
	}
}
