package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tandem/ipvsctl"
)

func op(verb ipvsctl.Verb) ipvsctl.Op {
	return ipvsctl.Op{
		Verb: verb,
		Service: ipvsctl.Service{
			ServiceKey: ipvsctl.ServiceKey{Protocol: ipvsctl.TCP, Address: netip.MustParseAddrPort("10.77.0.100:80")},
			Scheduler:  "twos",
		},
		Server: ipvsctl.Server{Address: netip.MustParseAddrPort("10.0.0.11:80"), Weight: 1},
	}
}

func TestExplainOp(t *testing.T) {
	tests := []struct {
		verb  ipvsctl.Verb
		errno unix.Errno
		words string
	}{
		{ipvsctl.AddService, unix.ENOENT, "the kernel has no scheduler twos: its module ip_vs_twos is missing"},
		{ipvsctl.SetService, unix.ENOENT, "the kernel has no scheduler twos: its module ip_vs_twos is missing"},
		{ipvsctl.AddService, unix.EEXIST, "the service is there already"},
		{ipvsctl.SetService, unix.ESRCH, "there is no such service"},
		{ipvsctl.AddServer, unix.ESRCH, "there is no such service"},
		{ipvsctl.AddServer, unix.EEXIST, "the service has this server already"},
		{ipvsctl.AddServer, unix.EINVAL, "the server's address is not a unicast address"},
		{ipvsctl.AddServer, unix.ERANGE, "the weight is negative or the lower threshold is above the upper one"},
		{ipvsctl.SetServer, unix.ENOENT, "the service has no such server"},
		{ipvsctl.DelServer, unix.ENOENT, "the service has no such server"},
		{ipvsctl.AddService, unix.EINVAL, "the kernel takes a value for invalid"},
		{ipvsctl.AddService, unix.EAFNOSUPPORT, "this kernel's IPVS does not support the address family"},
		{ipvsctl.DelService, unix.EPERM, ErrNoPermission.Error()},
		{ipvsctl.DelService, unix.EAGAIN, "the kernel did not answer within 10s"},
	}
	for _, tt := range tests {
		err := explainOp(op(tt.verb), tt.errno)
		if want := fmt.Sprintf("%s (%s)", tt.words, tt.errno); err.Error() != want {
			t.Errorf("%s: %q, want %q", tt.verb, err, want)
		}
		if !errors.Is(err, tt.errno) {
			t.Errorf("%s: %q does not wrap %v", tt.verb, err, tt.errno)
		}
	}
}

func TestExplainLookup(t *testing.T) {
	if err := explainLookup(unix.ENOENT); !errors.Is(err, ErrNoIPVS) || !errors.Is(err, unix.ENOENT) {
		t.Errorf("no such family: %v", err)
	}
	if err := explainLookup(unix.EPERM); errors.Is(err, ErrNoIPVS) || !errors.Is(err, unix.EPERM) {
		t.Errorf("another error: %v", err)
	}
}

// TestApplyRefuses checks what never reaches the kernel, where it would change
// another service or server than the one that was meant.
func TestApplyRefuses(t *testing.T) {
	tests := map[string]func(*ipvsctl.Op){
		`not a plain IPv4 or IPv6 address: "[::ffff:10.77.0.100]:80"`: func(op *ipvsctl.Op) {
			op.Service.Address = netip.MustParseAddrPort("[::ffff:10.77.0.100]:80")
		},
		`not a plain IPv4 or IPv6 address: "[fe80::1%eth0]:80"`: func(op *ipvsctl.Op) {
			op.Server.Address = netip.MustParseAddrPort("[fe80::1%eth0]:80")
		},
		`not a plain IPv4 or IPv6 address: "invalid AddrPort"`: func(op *ipvsctl.Op) {
			op.Server.Address = netip.AddrPort{}
		},
		"the server's address is of another family than the service's": func(op *ipvsctl.Op) {
			op.Server.Address = netip.MustParseAddrPort("[fd00::1]:80")
		},
	}
	for want, change := range tests {
		o := op(ipvsctl.AddServer)
		change(&o)
		err := new(Handle).Apply([]ipvsctl.Op{o})
		if err == nil || !strings.HasSuffix(err.Error(), want) || !strings.HasPrefix(err.Error(), "add server ") {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
