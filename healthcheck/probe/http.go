package probe

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"net/netip"
	"strconv"

	"tandem/healthcheck"
)

// Bounds on what is read of a response.
const (
	maxHeader  = 64 << 10 // bytes of status line and header fields
	maxBody    = 64 << 10 // bytes of body; a longer one is good enough
	maxInterim = 5        // responses of status 1xx before the real one

	headerBuffer = 1 << 10 // most responses to a check fit
)

// userAgent lets the servers' logs tell checks from clients.
const userAgent = "tandem-healthcheck"

// What a response may be beyond malformed.
const (
	errTooLong = answerError("response header longer than 64 KiB")
	errInterim = answerError("no final response, only interim ones")
)

// checkHTTP passes when the server answers one HTTP/1.1 request with a status
// in the expected range and a body that is whole, or longer than maxBody.
// Redirects are answers like any other. It does not use http.Client: a check
// needs no pool, no redirects, no proxy and no cookies, and must be able to
// bound every byte and to tell its own faults from the server's.
func checkHTTP(ctx context.Context, t healthcheck.Target) healthcheck.Result {
	req, wire, err := request(ctx, t)
	if err != nil {
		return failed(ctx, "composing the request", err)
	}
	c, err := dial(ctx, t.Address)
	if err != nil {
		return failed(ctx, "connecting", err)
	}
	defer c.Close()
	if _, err := c.Write(wire); err != nil {
		return failed(ctx, "sending the request", err)
	}
	in := &input{r: c, left: maxHeader}
	resp, err := response(req, in)
	if err != nil {
		return failed(ctx, "waiting for the response", err)
	}
	detail := status(resp.StatusCode)
	if resp.StatusCode < t.HTTP.StatusMin || resp.StatusCode > t.HTTP.StatusMax {
		return healthcheck.Result{Reason: healthcheck.ReasonStatus, Detail: detail}
	}
	if err := drain(resp.Body, in); err != nil {
		return failed(ctx, "reading the body of "+detail, err)
	}
	return healthcheck.Result{Reason: healthcheck.ReasonOK, Detail: detail}
}

// request builds what is sent, and the bytes of it. It fails on a
// specification that makes no valid request.
func request(ctx context.Context, t healthcheck.Target) (*http.Request, []byte, error) {
	host := t.HTTP.Host
	if host == "" {
		host = authority(t.Address)
	}
	req, err := http.NewRequestWithContext(ctx, t.HTTP.Method, "http://"+host+t.HTTP.Path, nil)
	if err != nil {
		return nil, nil, &localError{err}
	}
	req.Header.Set("User-Agent", userAgent)
	req.Close = true // one request per connection
	var wire bytes.Buffer
	if err := req.Write(&wire); err != nil {
		return nil, nil, &localError{err}
	}
	return req, wire.Bytes(), nil
}

// authority is the Host of an address: without the port when it is the
// protocol's own (RFC 9110, section 4.2.3).
func authority(a netip.AddrPort) string {
	if a.Port() != 80 {
		return a.String()
	}
	if a.Addr().Is6() {
		return "[" + a.Addr().String() + "]"
	}
	return a.Addr().String()
}

// response reads the header of the final response.
func response(req *http.Request, in *input) (*http.Response, error) {
	buffered := bufio.NewReaderSize(in, headerBuffer)
	for range 1 + maxInterim {
		resp, err := http.ReadResponse(buffered, req)
		if err != nil {
			return nil, in.cause(err)
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, nil
		}
	}
	return nil, errInterim
}

// drain reads the body, to see that it is whole, up to maxBody.
func drain(body io.Reader, in *input) error {
	in.left = maxBody
	_, err := io.CopyN(io.Discard, body, maxBody)
	if err == nil || err == io.EOF || in.err == errTooLong {
		return nil
	}
	return in.cause(err)
}

// input is what comes from a server, up to a bound. Its first error stays:
// the parsers above it peek, and some errors of a socket are reported once.
type input struct {
	r    io.Reader
	left int // bytes that may still be read
	err  error
}

// Read reads from the server.
func (in *input) Read(p []byte) (n int, err error) {
	if in.err == nil && in.left <= 0 {
		in.err = errTooLong
	}
	if in.err != nil {
		return 0, in.err
	}
	n, in.err = in.r.Read(p[:min(len(p), in.left)])
	in.left -= n
	return n, in.err
}

// cause returns what lies behind a parser's error. A line that the network or
// the bound cut short looks malformed to it.
func (in *input) cause(err error) error {
	if in.err != nil && in.err != io.EOF {
		return in.err
	}
	return err
}

// status words a status code. The server's own words stay unread: they may be
// anything.
func status(code int) string {
	if text := http.StatusText(code); text != "" {
		return strconv.Itoa(code) + " " + text
	}
	return strconv.Itoa(code)
}
