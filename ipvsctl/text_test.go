package ipvsctl

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestParseWords(t *testing.T) {
	for _, p := range []Protocol{TCP, UDP, SCTP} {
		if got, err := ParseProtocol(p.String()); got != p || err != nil {
			t.Errorf("ParseProtocol(%q) = %v, %v", p, got, err)
		}
	}
	for _, f := range []Forwarding{Direct, Masquerade, Tunnel} {
		if got, err := ParseForwarding(f.String()); got != f || err != nil {
			t.Errorf("ParseForwarding(%q) = %v, %v", f, got, err)
		}
	}
	errs := map[string]func(string) error{
		`unknown protocol "icmp": use tcp, udp or sctp`: func(string) error { _, err := ParseProtocol("icmp"); return err },
		// The kernel reports local; nobody configures it.
		`unknown forwarding "local": use direct, masquerade or tunnel`: func(string) error { _, err := ParseForwarding("local"); return err },
	}
	for want, parse := range errs {
		if err := parse(""); err == nil || err.Error() != want {
			t.Errorf("error %q, want %q", err, want)
		}
	}
}

func TestParseFlags(t *testing.T) {
	tests := []struct {
		protocol  Protocol
		scheduler string
		names     string
		flags     Flags
		err       string
	}{
		{TCP, "rr", "", 0, ""},
		{TCP, "sh", "sh-fallback", Sched1, ""},
		{TCP, "sh", "sh-port sh-fallback", Sched1 | Sched2, ""},
		{TCP, "mh", "mh-fallback", Sched1, ""},
		{TCP, "mh", "mh-port", Sched2, ""},
		{UDP, "rr", "ops", OnePacket, ""},
		{UDP, "mh", "ops mh-port", OnePacket | Sched2, ""},
		{TCP, "rr", "ops", 0, `flag "ops" works with protocol udp only, not with tcp`},
		{TCP, "mh", "sh-port", 0, `flag "sh-port" belongs to scheduler sh, not to mh`},
		{TCP, "sh", "mh-fallback", 0, `flag "mh-fallback" belongs to scheduler mh, not to sh`},
		{TCP, "sh", "sh-ports", 0, `unknown flag "sh-ports": use ops, sh-port, sh-fallback, mh-port or mh-fallback`},
	}
	for _, tt := range tests {
		names := strings.Fields(tt.names)
		flags, err := ParseFlags(tt.protocol, tt.scheduler, names)
		if flags != tt.flags || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
			t.Errorf("ParseFlags(%s, %s, %q) = %#x, %v, want %#x, %s", tt.protocol, tt.scheduler, tt.names, flags, err, tt.flags, tt.err)
		}
		if err != nil {
			continue
		}
		back := Service{Scheduler: tt.scheduler, Flags: flags}.FlagNames()
		slices.Sort(names)
		slices.Sort(back)
		if !slices.Equal(back, names) {
			t.Errorf("flags %q came back as %q", names, back)
		}
	}
}

func TestStrings(t *testing.T) {
	service := Service{ServiceKey: key(TCP, "[fd00::1]:80"), Scheduler: "wlc", Flags: Persistent | Sched1 | Sched3, Persistence: 300, Netmask: 64}
	server := Server{Address: netip.MustParseAddrPort("[fd00::2]:80"), Weight: 1, Forwarding: Tunnel}
	tests := []struct{ got, want string }{
		{service.String(), "tcp [fd00::1]:80 scheduler wlc persistent 300s mask 64 flags flag-1,flag-3"},
		{service.ServiceKey.String(), "tcp [fd00::1]:80"},
		{server.String(), "[fd00::2]:80 weight 1 tunnel"},
		{LocalNode.String(), "local"},
		{Forwarding(7).String(), "forwarding-7"},
		{Protocol(1).String(), "protocol-1"},
		{Verb(9).String(), "verb-9"},
		{Op{Verb: DelService, Service: service}.String(), "delete service tcp [fd00::1]:80"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}
