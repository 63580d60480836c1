package wire

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"tandem/internal/netif"
)

// errNoRouter says that Options.Router does not know what is to be sent.
var errNoRouter = errors.New("no such virtual router here")

// closedSocket stands for one that is not there any more.
var closedSocket = newClosedSocket()

func newClosedSocket() *rawSocket {
	s := &rawSocket{}
	s.fd.Store(-1)
	return s
}

// retryable says that waiting may help: nil, an interface that is not there, or
// any refusal of the kernel except for want of a privilege. A socket that was
// closed by Close stays closed.
func retryable(err error) bool {
	if err == nil || errors.Is(err, netif.ErrNoInterface) {
		return true
	}
	if errors.Is(err, fs.ErrPermission) {
		return false
	}
	_, ok := errors.AsType[syscall.Errno](err)
	return ok
}

// explain adds to a socket's error what to do about it.
func explain(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: needs CAP_NET_RAW", err)
	}
	return err
}
