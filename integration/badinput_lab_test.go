//go:build lab

package integration

import (
	"context"
	"strings"
	"testing"
	"time"

	"tandem/integration/drill"
	"tandem/integration/lab"
)

// Every start that cannot work ends with status 1 and a message that names the
// trouble and the remedy, and leaves nothing behind.
func TestRefusedStarts(t *testing.T) {
	nobody := lab.Unprivileged()
	nobody.Caps = nil
	for _, c := range []struct {
		name string
		toml func(string) string
		user *lab.User
		says []string
	}{
		{name: "no capabilities", user: nobody, says: []string{"CAP_NET_ADMIN"}},
		{name: "no such interface", toml: replace(`"eth0"`, `"eth7"`), says: []string{"eth7", "eth0"}},
		{name: "no such scheduler", toml: replace(`"wrr"`, `"twos"`), says: []string{"twos", "ip_vs_twos"}},
		{name: "not in the file", toml: replace(`name = "lb1"`, `name = "other"`), says: []string{"lb1", "--node"}},
		{name: "mistakes", toml: replace(`scheduler = "wrr"`, `schedular = "wrr"`), says: []string{"schedular", "scheduler", "tandem.toml:"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, p := prepare(t, drill.Options{})
			text := p.TOML()
			if c.toml != nil {
				text = c.toml(text)
			}
			p.Use(drill.Tandem{TOML: text, User: c.user})
			proc, err := p.StartDirector(0)
			if err != nil {
				t.Fatal(err)
			}
			select {
			case <-proc.Done():
			case <-ctx.Done():
				t.Fatalf("it runs:\n%s", proc.Output())
			}
			if proc.ExitCode() != 1 {
				t.Errorf("exit status %d, want 1", proc.ExitCode())
			}
			for _, s := range c.says {
				if !strings.Contains(proc.Output(), s) {
					t.Errorf("the message does not name %q:\n%s", s, proc.Output())
				}
			}
			if strings.Contains(proc.Output(), "goroutine ") {
				t.Errorf("it panicked:\n%s", proc.Output())
			}
			leftNothing(t, p, 0)
		})
	}
}

// The VIP is on the director's own interface, put there by another program: a start
// is refused, and the clean-up after it leaves the address alone.
func TestAddressOfAnotherProgram(t *testing.T) {
	ctx, p := prepare(t, drill.Options{})
	if err := p.EditNode(p.Directors[0], func(e *drill.Editor) error { return e.AddAddress(lab.VIP, lab.LAN) }); err != nil {
		t.Fatal(err)
	}
	proc, err := p.StartDirector(0)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-proc.Done():
	case <-ctx.Done():
		t.Fatalf("it runs:\n%s", proc.Output())
	}
	if proc.ExitCode() != 1 || !strings.Contains(proc.Output(), "and not by tandem") {
		t.Errorf("exit status %d:\n%s", proc.ExitCode(), proc.Output())
	}
	if err := p.Release(0); err != nil {
		t.Fatal(err)
	}
	if ok, err := p.Directors[0].Holds(lab.VIP); !ok || err != nil {
		t.Errorf("the other program has lost its address (%v)", err)
	}
}

// A reload that adds an address which another host has is refused by the active,
// and everything goes on as before.
func TestReloadTakesNoUsedAddress(t *testing.T) {
	ctx, p := start(t, drill.Options{})
	used := lab.Addr(lab.LAN, 150)
	if err := p.EditNode(p.Client, func(e *drill.Editor) error { return e.AddAddress(used, lab.LAN) }); err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(p.TOML(), `"10.77.0.100/32"`, `"10.77.0.100/32", "10.77.0.150/32"`, 1)
	if text == p.TOML() {
		t.Fatalf("the configuration has another form:\n%s", text)
	}
	reload(t, p, text)
	mac := p.Client.HardwareAddr(lab.LAN).String()
	within(t, p, 10*time.Second, "the refusal names the other host", func() (bool, error) {
		s, err := p.Status(0)
		return err == nil && strings.Contains(s.Config.Error, mac), err
	})
	if ok, err := p.Directors[0].Holds(used); ok || err != nil {
		t.Errorf("the active took an address that is in use (%v)", err)
	}
	holder(t, ctx, p, 0)
}

// A second tandem on the same machine is refused and does not disturb the first.
func TestSecondInstance(t *testing.T) {
	ctx, p := start(t, drill.Options{})
	first := p.Daemon(0)
	second, err := p.StartDirector(0)
	if err != nil {
		t.Fatal(err)
	}
	<-second.Done()
	if !strings.Contains(second.Output(), "another tandem") || second.ExitCode() != 1 {
		t.Errorf("exit status %d:\n%s", second.ExitCode(), second.Output())
	}
	select {
	case <-first.Done():
		t.Errorf("the first one ended:\n%s", first.Output())
	default:
	}
	holder(t, ctx, p, 0)
}

// Another program has the port of the connection sync: the pair works without,
// and says what is wrong.
func TestSyncPortBusy(t *testing.T) {
	ctx, p := prepare(t, drill.Options{})
	busy, err := p.Directors[1].ListenPacket("udp4", "0.0.0.0:8848")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	if err := p.StartAll(ctx); err != nil {
		t.Fatal(err)
	}
	within(t, p, 5*time.Second, "the trouble is in the status", func() (bool, error) {
		s, err := p.Status(1)
		return err == nil && strings.Contains(strings.Join(s.Problems, "\n"), "in use"), err
	})
	if err := busy.Close(); err != nil {
		t.Fatal(err)
	}
	within(t, p, 10*time.Second, "the backup receives", func() (bool, error) {
		s, err := p.Status(1)
		return err == nil && s.Sync.Backup && len(s.Problems) == 0, err
	})
}

// The VIP is on another host that takes no part in the election: the router
// stays out, says so, and joins when the address is free.
func TestAddressInUse(t *testing.T) {
	ctx, p := prepare(t, drill.Options{})
	squatter := p.Client
	if err := p.EditNode(squatter, func(e *drill.Editor) error { return e.AddAddress(lab.VIP, lab.LAN) }); err != nil {
		t.Fatal(err)
	}
	if _, err := p.StartDirector(0); err != nil {
		t.Fatal(err)
	}
	mac := squatter.HardwareAddr(lab.LAN).String()
	err := p.Eventually(ctx, "the fault names the other host", func() (bool, error) {
		s, err := p.Status(0)
		return err == nil && len(s.Routers) == 1 && strings.Contains(s.Routers[0].Fault, mac), err
	})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	if ok, err := p.Directors[0].Holds(lab.VIP); ok || err != nil {
		t.Fatalf("the director took an address that is in use (%v)", err)
	}
	if err := p.EditNode(squatter, func(e *drill.Editor) error { return e.RemoveAddress(lab.VIP, lab.LAN) }); err != nil {
		t.Fatal(err)
	}
	within(t, p, 15*time.Second, "the director takes the free address", func() (bool, error) { return p.Directors[0].Holds(lab.VIP) })
}

// Another host claims the VIP while a director holds it: counted, shown, and
// answered, but the director keeps its role.
func TestAddressClaimed(t *testing.T) {
	ctx, p := start(t, drill.Options{})
	if err := p.Claim(p.Servers[0], lab.VIP); err != nil {
		t.Fatal(err)
	}
	within(t, p, 5*time.Second, "the conflict is in the status", func() (bool, error) {
		s, err := p.Status(0)
		return err == nil && len(s.Conflicts) == 1 && s.Conflicts[0].MAC == p.Servers[0].HardwareAddr(lab.LAN).String(), err
	})
	holder(t, ctx, p, 0)
}

// Packets of every bad kind arrive by the thousands; the election does not
// notice, nothing panics, and each reason is logged once in a while.
func TestHostilePackets(t *testing.T) {
	ctx, p := start(t, drill.Options{})
	f := under(t, ctx, p, time.Second, drill.Step{Name: "flood", Wait: time.Second, Do: func() error {
		return p.Flood(p.Servers[0], 3*time.Second)
	}})
	expect(t, f, time.Second, 10, 0)
	holder(t, ctx, p, 0)
	s, err := p.Status(0)
	if err != nil || s.Routers[0].Transitions != 1 {
		t.Errorf("the active became so %d times (%v)", s.Routers[0].Transitions, err)
	}
	if n := len(p.Daemon(0).Lines()); n > 200 {
		t.Errorf("%d log lines: a flood must not fill the log", n)
	}
	if !strings.Contains(p.Daemon(0).Output(), "bad-checksum") {
		t.Error("the log does not name the reason of the drops")
	}
	running(t, ctx, p)
}

// running checks that no director has ended.
func running(t *testing.T, _ context.Context, p *drill.Pair) {
	t.Helper()
	for i, d := range p.Directors {
		select {
		case <-p.Daemon(i).Done():
			t.Errorf("%s ended:\n%s", d.Name, p.Daemon(i).Output())
		default:
		}
	}
}

func replace(old, with string) func(string) string {
	return func(s string) string { return strings.ReplaceAll(s, old, with) }
}
