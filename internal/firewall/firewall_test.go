package firewall

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestExplain(t *testing.T) {
	for want, err := range map[string]error{
		"module nf_tables":  os.NewSyscallError("recvmsg", unix.EINVAL),
		"the inet family":   unix.EAFNOSUPPORT,
		"module nf_tables,": os.NewSyscallError("socket", unix.EPROTONOSUPPORT),
		"CAP_NET_ADMIN":     unix.EPERM,
		"EOF":               io.EOF,
	} {
		if got := explain(err); !errors.Is(got, err) || !strings.Contains(got.Error(), want) {
			t.Errorf("%v: got %v, want %s", err, got, want)
		}
	}
}

// nft shows a comment that has this form.
func TestComment(t *testing.T) {
	if got := string(comment("ab")); got != "\x00\x03ab\x00" {
		t.Errorf("got %q", got)
	}
}
