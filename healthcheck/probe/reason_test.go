package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"tandem/healthcheck"
)

func TestClassify(t *testing.T) {
	live := t.Context()
	cancelled, cancel := context.WithCancel(live)
	cancel()
	expired, cancel := context.WithTimeout(live, 0)
	defer cancel()
	connect := func(err error) error { return os.NewSyscallError("connect", err) }
	tests := []struct {
		ctx    context.Context
		err    error
		reason healthcheck.Reason
		words  string
	}{
		{live, connect(unix.ECONNREFUSED), healthcheck.ReasonRefused, "connection refused"},
		{live, connect(unix.ECONNRESET), healthcheck.ReasonReset, "connection reset by peer"},
		{live, connect(unix.ECONNABORTED), healthcheck.ReasonReset, "software caused connection abort"},
		{live, connect(unix.ETIMEDOUT), healthcheck.ReasonTimeout, "connection timed out"},
		{live, connect(unix.EHOSTUNREACH), healthcheck.ReasonUnreachable, "no route to host"},
		{live, connect(unix.ENETUNREACH), healthcheck.ReasonUnreachable, "network is unreachable"},
		{live, connect(unix.ENOPROTOOPT), healthcheck.ReasonUnreachable, "protocol not available"},
		{live, connect(unix.EACCES), healthcheck.ReasonUnreachable, "permission denied"}, // ICMPv6 administratively prohibited
		{live, connect(unix.ENOBUFS), healthcheck.ReasonLocal, "no buffer space available"},
		{live, &os.PathError{Op: "write", Path: "tcp", Err: unix.EPIPE}, healthcheck.ReasonReset, "broken pipe"},
		{live, fmt.Errorf("reading: %w", &os.PathError{Op: "read", Path: "tcp", Err: unix.ECONNRESET}), healthcheck.ReasonReset, "connection reset by peer"},

		{live, &localError{connect(unix.ENETUNREACH)}, healthcheck.ReasonLocal, "connect: network is unreachable"},
		{live, &localError{connect(unix.EHOSTUNREACH)}, healthcheck.ReasonLocal, "connect: no route to host"},
		{live, &localError{connect(unix.EADDRNOTAVAIL)}, healthcheck.ReasonLocal, "connect: cannot assign requested address"},
		{live, &localError{connect(unix.EPERM)}, healthcheck.ReasonLocal, "connect: operation not permitted"},

		{expired, os.ErrDeadlineExceeded, healthcheck.ReasonTimeout, "no answer in time"},
		{expired, &os.PathError{Op: "read", Path: "tcp", Err: os.ErrDeadlineExceeded}, healthcheck.ReasonTimeout, "no answer in time"},
		{cancelled, os.ErrDeadlineExceeded, healthcheck.ReasonLocal, "cancelled"},
		{expired, connect(unix.ECONNREFUSED), healthcheck.ReasonRefused, "connection refused"}, // an answer, if a late one

		{live, io.EOF, healthcheck.ReasonProtocol, "connection closed early"},
		{live, io.ErrUnexpectedEOF, healthcheck.ReasonProtocol, "connection closed early"},
		{live, errInterim, healthcheck.ReasonProtocol, "no final response, only interim ones"},
		{live, errors.New("malformed status line \"\x07\""), healthcheck.ReasonProtocol, "malformed response"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.err), func(t *testing.T) {
			reason, words := classify(tt.ctx, tt.err)
			if reason != tt.reason || words != tt.words {
				t.Errorf("%s: %q, want %s: %q", reason, words, tt.reason, tt.words)
			}
		})
	}
}

func TestAuthority(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1:80":       "192.0.2.1",
		"192.0.2.1:8080":     "192.0.2.1:8080",
		"[2001:db8::1]:80":   "[2001:db8::1]",
		"[2001:db8::1]:8080": "[2001:db8::1]:8080",
	} {
		if got := authority(netip.MustParseAddrPort(address)); got != want {
			t.Errorf("authority(%s) = %q, want %q", address, got, want)
		}
	}
}
