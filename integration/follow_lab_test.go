//go:build lab

package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tandem/integration/drill"
	"tandem/integration/lab"
	"tandem/internal/firewall"
	"tandem/internal/netif"
)

// gate is an address that is not to be accepted.
var gate = lab.Addr(lab.LAN, 110)

// follows is what follows the role of a pair: routes from its address, a rule, and
// a router whose address is no host's.
func follows() string {
	return fmt.Sprintf(`
[[virtual_router.route]]
destination = "198.51.100.0/24"
via = "10.77.0.254"
source = %[1]q
[[virtual_router.route]]
destination = "203.0.113.0/24"
via = "10.77.0.254"
source = %[1]q
table = 100
[[virtual_router.rule]]
priority = 1000
from = %[1]q
table = 100
[[virtual_router]]
name = "gate"
vrid = 60
addresses = [%[2]q]
accept = false
[[virtual_router.rule]]
priority = 1001
fwmark = 7
type = "prohibit"
`, lab.VIP, gate)
}

// kernelHas is what a director's kernel has that followed a role: the number of
// tandem's routes, rules, and addresses to which packets are dropped.
func kernelHas(p *drill.Pair, i int) (has [3]int, err error) {
	err = p.Directors[i].Do(func() error {
		h, err := netif.Open()
		if err != nil {
			return err
		}
		defer h.Close()
		routes, err := h.Routes()
		if err != nil {
			return err
		}
		rules, err := h.Rules()
		if err != nil {
			return err
		}
		denied, _, err := firewall.Table{}.Denied()
		has = [3]int{len(routes), len(rules), len(denied)}
		return err
	})
	return has, err
}

func wantKernel(t *testing.T, p *drill.Pair, i int, why string, want [3]int) {
	t.Helper()
	var last [3]int
	within(t, p, 8*time.Second, fmt.Sprintf("%s, %s: %v routes, rules and denied addresses", p.Directors[i].Name, why, want), func() (has bool, err error) {
		last, err = kernelHas(p, i)
		return last == want, err
	})
}

// Whatever ends a role, its routes and rules go with it, and appear where the
// role goes.
func TestFollowTheRole(t *testing.T) {
	ctx, p := prepare(t, drill.Options{})
	p.Use(drill.Tandem{TOML: strings.Replace(p.TOML(), "[[service]]", follows()+"[[service]]", 1)})
	if err := p.StartAll(ctx); err != nil {
		t.Fatal(err)
	}
	active, backup := [3]int{2, 2, 1}, [3]int{0, 0, 1}
	wantKernel(t, p, 0, "active", active)
	wantKernel(t, p, 1, "backup", backup)
	dropped(t, ctx, p, gate, true)
	dropped(t, ctx, p, lab.VIP, false)

	if err := p.Crash(0); err != nil {
		t.Fatal(err)
	}
	wantKernel(t, p, 1, "after a crash of its peer", active)
	// The kernel took the address, and with it the route of the main table.
	wantKernel(t, p, 0, "crashed", [3]int{1, 2, 1})
	if err := p.Release(0); err != nil {
		t.Fatal(err)
	}
	wantKernel(t, p, 0, "released", [3]int{})
	dropped(t, ctx, p, gate, true)

	if _, err := p.StartDirector(0); err != nil {
		t.Fatal(err)
	}
	if err := p.Settled(ctx); err != nil {
		t.Fatal(err)
	}
	wantKernel(t, p, 0, "back", backup)
	if err := p.Daemon(1).Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wantKernel(t, p, 0, "after a stop of its peer", active)
	wantKernel(t, p, 1, "stopped", [3]int{})

	// A restart after a crash, with nobody to release anything: a backup takes the
	// rules away, and has them again as soon as it is active.
	if err := p.Crash(0); err != nil {
		t.Fatal(err)
	}
	if _, err := p.StartDirector(0); err != nil {
		t.Fatal(err)
	}
	within(t, p, 8*time.Second, "lb1 is active again", func() (bool, error) {
		s, err := p.Status(0)
		return err == nil && s.Routers[0].State == "active" && s.Routers[1].State == "active", err
	})
	wantKernel(t, p, 0, "restarted", active)
	s, err := p.Status(0)
	if err != nil || len(s.Problems) > 0 {
		t.Errorf("problems %v, %v", s.Problems, err)
	}
	if log := p.Daemon(0).Output(); strings.Count(log, `msg="rule removed"`) != 2 || strings.Count(log, `msg="rule added"`) != 2 {
		t.Error("the restarted director was active with what the dead one had left")
	}
}

// dropped checks whether an address answers a connection to a port where nobody
// listens: a host that accepts the packet refuses.
func dropped(t *testing.T, ctx context.Context, p *drill.Pair, a netip.Addr, want bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c, err := p.Client.DialContext(ctx, "tcp", netip.AddrPortFrom(a, 9).String())
	if err == nil {
		c.Close()
	}
	timeout, ok := errors.AsType[net.Error](err)
	silent := ok && timeout.Timeout()
	if silent != want || !want && !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("connection to %v: %v, want silence %t", a, err, want)
	}
}
