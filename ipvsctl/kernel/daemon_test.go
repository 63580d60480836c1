package kernel

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDaemonBothWays(t *testing.T) {
	for _, d := range []Daemon{
		{Role: Master, Interface: "eth0", SyncID: 51, MaxLen: 44, Group: defaultGroup, Port: 8848, TTL: 1},
		{Role: Backup, Interface: "abcdefghijklmno", SyncID: 255, MaxLen: 1472, Group: netip.MustParseAddr("ff02::81"), Port: 9000, TTL: 16},
	} {
		if got, err := parseDaemon(message(d.attr())); got != d || err != nil {
			t.Errorf("%+v came back as %+v, %v", d, got, err)
		}
	}
	if d, err := parseDaemon(message(Daemon{Role: 3, Interface: "eth0", Group: defaultGroup}.attr())); err == nil {
		t.Errorf("role 3 is understood: %+v", d)
	}
}

func TestDaemonComplete(t *testing.T) {
	got, err := Daemon{Role: Master, Interface: "eth0", SyncID: 1}.complete()
	want := Daemon{Role: Master, Interface: "eth0", SyncID: 1, Group: netip.MustParseAddr("224.0.0.81"), Port: 8848, TTL: 1}
	if got != want || err != nil {
		t.Errorf("defaults: %+v, %v", got, err)
	}
	running := got
	running.MaxLen = 1472
	if !got.sameAs(running) {
		t.Error("the kernel's choice of MaxLen counts as a difference")
	}
	running.SyncID = 2
	if got.sameAs(running) {
		t.Error("another sync id counts as the same")
	}
	// The kernel raises a backup's length, so asking for less must compare as
	// what it becomes.
	if got, err := (Daemon{Role: Backup, Interface: "eth0", MaxLen: 44}).complete(); got.MaxLen != 1024 || err != nil {
		t.Errorf("backup of 44 bytes: %d, %v", got.MaxLen, err)
	}

	good := Daemon{Role: Master, Interface: "eth0"}
	for want, change := range map[string]func(*Daemon){
		"the role must be master or backup":                  func(d *Daemon) { d.Role = 3 },
		`interface "": a name has 1 to 15 bytes`:             func(d *Daemon) { d.Interface = "" },
		`interface "abcdefghijklmnop": a name`:               func(d *Daemon) { d.Interface = "abcdefghijklmnop" },
		"group 10.0.0.1 is not a multicast address":          func(d *Daemon) { d.Group = netip.MustParseAddr("10.0.0.1") },
		"a payload of 65508 bytes: at most 65507 fit":        func(d *Daemon) { d.MaxLen = 65508 },
		"a payload of 65488 bytes: at most 65487 fit":        func(d *Daemon) { d.MaxLen, d.Group = 65488, netip.MustParseAddr("ff02::81") },
		"group ::ffff:224.0.0.81 is not a multicast address": func(d *Daemon) { d.Group = netip.MustParseAddr("::ffff:224.0.0.81") },
	} {
		d := good
		change(&d)
		if _, err := d.complete(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestExplainDaemon(t *testing.T) {
	d := Daemon{Role: Master, Interface: "eth7"}
	for errno, want := range map[unix.Errno]string{
		unix.ENODEV:       "there is no interface eth7",
		unix.EEXIST:       "another program has just started one",
		unix.ENETUNREACH:  "the interface is down or has no address",
		unix.EINVAL:       "refused, perhaps because some service has servers of the other address family",
		unix.EAFNOSUPPORT: "this kernel's IPVS does not support the group's address family",
		unix.EPERM:        "IPVS needs the capability CAP_NET_ADMIN",
	} {
		if err := explainDaemon(d, errno); !strings.HasPrefix(err.Error(), want) || !errors.Is(err, errno) {
			t.Errorf("%v: %v, want %s", errno, err, want)
		}
	}
}
