package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxBody bounds how much of an answer is read.
const maxBody = 1 << 20

// readers saves a 4 KiB allocation for each attempt.
var readers = sync.Pool{New: func() any { return bufio.NewReader(nil) }}

// exchanger makes new connections, each for one HTTP request.
type exchanger struct {
	addr            string
	request         []byte
	dialers         []net.Dialer // one for each source address
	timeout         time.Duration
	responseTimeout time.Duration
}

func newExchanger(c Client) *exchanger {
	return &exchanger{
		addr:            c.HTTP.String(),
		request:         fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", c.Path, c.HTTP),
		dialers:         dialers(c.Sources, c.Timeout),
		timeout:         c.Timeout,
		responseTimeout: c.ResponseTimeout,
	}
}

// do makes attempt n. It returns when the answer was complete, the name that
// the server gave itself, and the kind of failure if there was one.
func (x *exchanger) do(n int) (done time.Time, server string, kind Kind) {
	conn, err := x.dialers[n%len(x.dialers)].DialContext(context.Background(), "tcp", x.addr)
	if err != nil {
		return time.Now(), "", classify(err, dialling)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(x.responseTimeout)); err != nil {
		return time.Now(), "", classify(err, talking)
	}
	br := readers.Get().(*bufio.Reader)
	br.Reset(conn)
	defer readers.Put(br)

	server, err = x.talk(conn, br)
	done = time.Now()
	if err == nil {
		// Let the server close first, as the request asks it to: the port of
		// the side that closes first is unusable for a minute (TIME_WAIT),
		// and at hundreds of connections a second the client would run out.
		_, _ = br.ReadByte()
	}
	return done, server, classify(err, talking)
}

// talk sends the request and reads the whole answer.
func (x *exchanger) talk(w io.Writer, br *bufio.Reader) (server string, err error) {
	if _, err := w.Write(x.request); err != nil {
		return "", fmt.Errorf("send request: %w", err)
	}
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		return "", fmt.Errorf("read response: %w", err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxBody)); err != nil {
		return "", fmt.Errorf("read body: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		return "", statusError(resp.StatusCode)
	}
	return resp.Header.Get("Server"), nil
}

// dialers returns a dialer for each source address, or one that leaves the
// choice to the kernel.
func dialers(sources []netip.Addr, timeout time.Duration) []net.Dialer {
	// Keep-alive probes would be three system calls for each connection.
	plain := net.Dialer{Timeout: timeout, KeepAliveConfig: net.KeepAliveConfig{Enable: false}, KeepAlive: -1}
	if len(sources) == 0 {
		return []net.Dialer{plain}
	}
	ds := make([]net.Dialer, 0, len(sources))
	for _, a := range sources {
		d := plain
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, 0))
		d.Control = lateBind
		ds = append(ds, d)
	}
	return ds
}

// lateBind lets the kernel choose the port at connect(2), when it knows the
// destination, and not at bind(2). A port is then used up for one destination
// only (ip(7), IP_BIND_ADDRESS_NO_PORT; it serves IPv6 sockets too).
func lateBind(_, _ string, raw syscall.RawConn) error {
	var serr error
	err := raw.Control(func(fd uintptr) {
		serr = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	})
	if err := errors.Join(err, serr); err != nil {
		return fmt.Errorf("set IP_BIND_ADDRESS_NO_PORT: %w", err)
	}
	return nil
}
