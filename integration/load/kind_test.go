package load

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
)

func TestClassify(t *testing.T) {
	dial := func(errno syscall.Errno) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errno)}
	}
	read := func(err error) error {
		return fmt.Errorf("read response: %w", &net.OpError{Op: "read", Net: "tcp", Err: err})
	}
	tests := []struct {
		err  error
		in   phase
		want Kind
	}{
		{nil, dialling, ""},
		{dial(syscall.ECONNREFUSED), dialling, Refused},
		{dial(syscall.EHOSTUNREACH), dialling, Unreachable},
		{dial(syscall.ENETUNREACH), dialling, Unreachable},
		{dial(syscall.ECONNRESET), dialling, Reset},
		{dial(syscall.EADDRNOTAVAIL), dialling, Local},
		{dial(syscall.EMFILE), dialling, Local},
		{dial(syscall.ETIMEDOUT), dialling, DialTimeout},
		{&net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}, dialling, DialTimeout},
		{read(os.ErrDeadlineExceeded), talking, ResponseTimeout},
		{read(syscall.ETIMEDOUT), talking, ResponseTimeout},
		{read(syscall.ECONNRESET), talking, Reset},
		{read(syscall.EPIPE), talking, Reset},
		{read(syscall.EHOSTUNREACH), talking, Unreachable},
		{fmt.Errorf("read response: %w", io.ErrUnexpectedEOF), talking, EOF},
		{fmt.Errorf("read echo: %w", io.EOF), talking, EOF},
		{statusError(503), talking, BadStatus},
		{fmt.Errorf("%w: checksum", errCorrupt), talking, Corrupt},
		{errors.New("malformed HTTP response"), talking, Other},
		{dial(syscall.EINVAL), dialling, Other},
	}
	for _, tt := range tests {
		if got := classify(tt.err, tt.in); got != tt.want {
			t.Errorf("classify(%v, %d) = %q, want %q", tt.err, tt.in, got, tt.want)
		}
	}
}
