package probe

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"tandem/healthcheck"
)

// localError is a failure of this machine, before the network was asked.
type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }
func (e *localError) Unwrap() error { return e.err }

// answerError is a fault of the server's answer that has words of its own.
type answerError string

func (e answerError) Error() string { return string(e) }

// failed says why a check came to an error while it was doing something, such
// as "connecting".
func failed(ctx context.Context, doing string, err error) healthcheck.Result {
	reason, words := classify(ctx, err)
	return healthcheck.Result{Reason: reason, Detail: doing + ": " + words}
}

// classify names the reason of an error, and words for it that hold nothing of
// what the server sent.
func classify(ctx context.Context, err error) (healthcheck.Reason, string) {
	if _, ok := errors.AsType[*localError](err); ok {
		return healthcheck.ReasonLocal, err.Error()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if errors.Is(ctx.Err(), context.Canceled) {
			return healthcheck.ReasonLocal, "cancelled"
		}
		return healthcheck.ReasonTimeout, "no answer in time"
	}
	if errno, ok := errors.AsType[unix.Errno](err); ok {
		return byErrno(errno), errno.Error()
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return healthcheck.ReasonProtocol, "connection closed early"
	}
	if answer, ok := errors.AsType[answerError](err); ok {
		return healthcheck.ReasonProtocol, answer.Error()
	}
	return healthcheck.ReasonProtocol, "malformed response"
}

// byErrno names the reason of an error that the kernel reports on a socket
// after the network was asked. All but the first few stem from ICMP messages
// or from a neighbour that does not answer (icmp(7); net/ipv4/icmp.c,
// icmp_err_convert).
func byErrno(errno unix.Errno) healthcheck.Reason {
	switch errno {
	case unix.ECONNREFUSED:
		return healthcheck.ReasonRefused
	case unix.ECONNRESET, unix.ECONNABORTED, unix.EPIPE:
		return healthcheck.ReasonReset
	case unix.ETIMEDOUT:
		return healthcheck.ReasonTimeout
	case unix.ENOBUFS, unix.ENOMEM:
		return healthcheck.ReasonLocal
	}
	return healthcheck.ReasonUnreachable
}
