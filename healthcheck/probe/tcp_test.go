package probe_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tandem/healthcheck"
	"tandem/healthcheck/probe"
)

func TestTCP(t *testing.T) {
	check(t, tcpTarget(serve(t, hang)), plenty, healthcheck.ReasonOK, "connected")
}

func TestTCPv6(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	to := l.Addr().(*net.TCPAddr).AddrPort()
	check(t, tcpTarget(to), plenty, healthcheck.ReasonOK, "connected")
	zoned := netip.AddrPortFrom(to.Addr().WithZone("lo"), to.Port())
	check(t, tcpTarget(zoned), plenty, healthcheck.ReasonOK, "connected")
}

// TestTCPMapped: an IPv4 address in IPv6 clothes is an IPv4 address.
func TestTCPMapped(t *testing.T) {
	to := serve(t, hang)
	mapped := netip.AddrPortFrom(netip.AddrFrom16(to.Addr().As16()), to.Port())
	check(t, tcpTarget(mapped), plenty, healthcheck.ReasonOK, "connected")
}

func TestTCPRefused(t *testing.T) {
	check(t, tcpTarget(closedPort(t)), plenty, healthcheck.ReasonRefused, "connecting: connection refused")
}

// closedPort returns a loopback port on which nobody listens: it is bound, so
// that nobody else can.
func closedPort(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return bound(t, fd)
}

// bound binds a socket to a loopback port.
func bound(t *testing.T, fd int) netip.AddrPort {
	t.Helper()
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(sa.(*unix.SockaddrInet4).Port))
}

// TestTCPTimeout: a server whose queue is full does not answer.
func TestTCPTimeout(t *testing.T) {
	check(t, tcpTarget(fullPort(t)), short, healthcheck.ReasonTimeout, "connecting: no answer in time")
}

// fullPort returns a loopback port whose listener has as many connections
// waiting as it allows, so that the kernel drops further attempts.
func fullPort(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	to := bound(t, fd)
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", to.String()) // the one that a backlog of 0 admits
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return to
}

// TestCancelled: a probe that somebody called off says nothing of the server.
func TestCancelled(t *testing.T) {
	accepted := make(chan struct{}, 1)
	hanging := serve(t, func(c *net.TCPConn) {
		accepted <- struct{}{}
		hang(c)
	})
	tests := []struct {
		name   string
		target healthcheck.Target
		when   <-chan struct{} // nil: before the probe
		detail string
	}{
		{"before connecting", tcpTarget(fullPort(t)), nil, "connecting: cancelled"},
		{"while waiting", httpTarget(hanging), accepted, "waiting for the response: cancelled"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan healthcheck.Result, 1)
			if tt.when == nil {
				cancel()
			}
			go func() { done <- probe.Probe(ctx, tt.target) }()
			if tt.when != nil {
				<-tt.when
				cancel()
			}
			if r := <-done; r.Reason != healthcheck.ReasonLocal || r.Detail != tt.detail {
				t.Errorf("%s: %q, want local: %q", r.Reason, r.Detail, tt.detail)
			}
		})
	}
}

// TestLocal: what this machine cannot do is not held against the server.
func TestLocal(t *testing.T) {
	// connect(2) refuses a TCP connection to a group itself.
	group := netip.MustParseAddrPort("224.0.0.1:80")
	check(t, tcpTarget(group), plenty, healthcheck.ReasonLocal, "connecting: connect: network is unreachable")
	check(t, tcpTarget(netip.AddrPort{}), plenty, healthcheck.ReasonLocal, `connecting: "invalid AddrPort" is not an address`)
	check(t, tcpTarget(netip.MustParseAddrPort("[fe80::1%nowhere]:80")), plenty, healthcheck.ReasonLocal,
		"connecting: zone of fe80::1%nowhere: route ip+net: no such network interface")
	check(t, healthcheck.Target{Kind: "gopher"}, plenty, healthcheck.ReasonLocal, `there is no check of kind "gopher"`)
}

// TestLocalNoFiles: without file descriptors there is no probe, and no
// verdict.
func TestLocalNoFiles(t *testing.T) {
	to := serve(t, hang)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := unix.Rlimit{Cur: 1, Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	check(t, tcpTarget(to), plenty, healthcheck.ReasonLocal, "connecting: socket: too many open files")
}

// TestTCPNotSeen: the server's program is not woken for a check without a
// request.
func TestTCPNotSeen(t *testing.T) {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	to := l.Addr().(*net.TCPAddr).AddrPort()
	const probes = 20
	for range probes {
		check(t, tcpTarget(to), plenty, healthcheck.ReasonOK, "connected")
	}
	mark, err := net.Dial("tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer mark.Close()
	seen := 0
	for {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if c.RemoteAddr().String() == mark.LocalAddr().String() {
			break
		}
		seen++
	}
	// A machine that stands still for 40 ms amid a probe sends the delayed
	// segment after all.
	if seen > probes/4 {
		t.Errorf("the server saw %d of %d checks", seen, probes)
	}
}

// TestNoTimeWait: checks leave nothing behind on this side.
func TestNoTimeWait(t *testing.T) {
	for name, target := range map[string]healthcheck.Target{
		"tcp":  tcpTarget(serve(t, hang)),
		"http": httpTarget(serve(t, reply("HTTP/1.1 204 No Content\r\n\r\n"))),
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), plenty)
			defer cancel()
			for range 10 {
				if r := probe.Probe(ctx, target); r.Reason != healthcheck.ReasonOK {
					t.Fatalf("%+v", r)
				}
			}
			if n := timeWait(t, target.Address.Port()); n != 0 {
				t.Errorf("%d sockets in TIME-WAIT after 10 checks", n)
			}
		})
	}
}

// timeWait counts the IPv4 sockets in TIME-WAIT whose remote port it is
// (proc(5), /proc/net/tcp).
func timeWait(t *testing.T, port uint16) int {
	t.Helper()
	f, err := os.Open("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n, in := 0, bufio.NewReader(f)
	for {
		line, err := in.ReadString('\n')
		if err == io.EOF {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		const timeWaitState = "06"
		fields := strings.Fields(line)
		if strings.HasSuffix(fields[2], fmt.Sprintf(":%04X", port)) && fields[3] == timeWaitState {
			n++
		}
	}
}
