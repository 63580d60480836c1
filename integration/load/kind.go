package load

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
)

// Kind says why a connection attempt or a stream failed. The zero Kind means
// that it did not. The values appear as they are in the JSON result.
type Kind string

const (
	// DialTimeout: no answer to the SYN in time. A black hole.
	DialTimeout Kind = "dial-timeout"
	// Refused: the SYN was answered with a reset.
	Refused Kind = "refused"
	// Reset: an established connection was reset.
	Reset Kind = "reset"
	// Unreachable: the kernel or a router said that there is no way there.
	Unreachable Kind = "unreachable"
	// ResponseTimeout: connected, but no complete answer in time.
	ResponseTimeout Kind = "response-timeout"
	// EOF: the peer closed the connection before the answer was complete.
	EOF Kind = "eof"
	// BadStatus: an HTTP answer with a status other than 2xx.
	BadStatus Kind = "bad-status"
	// Corrupt: a stream returned something other than what was sent.
	Corrupt Kind = "corrupt"
	// Local: the client's own machine is out of ports or file descriptors.
	// The measurement is at fault, not the service: lower the rate or give
	// the client more source addresses.
	Local Kind = "local"
	// Other: none of the above.
	Other Kind = "other"
)

// statusError is an HTTP answer that is not a success.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("HTTP status %d", int(e)) }

// errCorrupt is wrapped by every complaint about the content of a stream.
var errCorrupt = errors.New("corrupt stream")

// phase is how far an attempt had come when it failed; a timeout means
// something else before the connection is established than after.
type phase int

const (
	dialling phase = iota
	talking
)

// classify maps the error of an attempt that was in phase p to its Kind.
func classify(err error, p phase) Kind {
	if err == nil {
		return ""
	}
	if _, ok := errors.AsType[statusError](err); ok {
		return BadStatus
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		if k := classifyErrno(errno); k != "" {
			return k
		}
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		if p == dialling {
			return DialTimeout
		}
		return ResponseTimeout
	}
	switch {
	case errors.Is(err, errCorrupt):
		return Corrupt
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return EOF
	}
	return Other
}

// classifyErrno returns the Kind of an errno that has the same meaning in
// every phase, or "". ETIMEDOUT is not among them.
func classifyErrno(errno syscall.Errno) Kind {
	switch errno {
	case syscall.ECONNREFUSED:
		return Refused
	// EPIPE is what a writer sees of a reset that a reader has already consumed.
	case syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE:
		return Reset
	case syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EHOSTDOWN:
		return Unreachable
	case syscall.EADDRNOTAVAIL, syscall.EADDRINUSE, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM:
		return Local
	}
	return ""
}
