//go:build lab

package native

import (
	"strings"
	"syscall"
	"testing"

	"tandem/integration/elect"
)

// A pair that only holds addresses needs no IPVS: it starts, says so, plans,
// hands over and releases without. What needs IPVS is refused with the remedy,
// and the pair goes on. Where the kernel has IPVS, the same is taken.
func TestAddressesOnly(t *testing.T) {
	has := kernelHasIPVS(t)
	_, s := start(t, elect.Options{Members: pair()})
	snap, err := s.Status(0)
	if err != nil || snap.NoIPVS == has || len(snap.Problems) > 0 {
		t.Errorf("no IPVS: %t, problems %q (%v); the kernel has it: %t", snap.NoIPVS, snap.Problems, err, has)
	}
	const said = "the kernel has no IPVS"
	if strings.Contains(s.Daemon(0).Output(), said) == has {
		t.Errorf("the log says %q, or does not, and the kernel has it: %t", said, has)
	}
	if out, status, err := s.Run(0, "status"); err != nil || status != 0 || strings.Contains(out, "the kernel has none") == has {
		t.Errorf("status: %d, %v:\n%s", status, err, out)
	}
	if out, status, err := s.Run(0, "plan"); err != nil || status != 0 || !strings.Contains(out, "nothing would change") {
		t.Errorf("plan: %d, %v:\n%s", status, err, out)
	}

	old := s.TOML(0)
	for name, needs := range map[string]string{
		"a service":       old + "[[service]]\nname = \"http\"\nvirtual = [\"10.177.0.51:80\"]\n[[service.server]]\naddress = \"10.77.0.200:80\"\n",
		"connection sync": strings.Replace(old, `mode = "off"`, `mode = "multicast"`, 1),
	} {
		rewrite(t, s, 0, needs)
		before, err := s.Status(0)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Daemon(0).Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, s, "the reload with "+name+" is judged", func() (bool, error) {
			snap, err := s.Status(0)
			return err == nil && (snap.Config.Loaded != before.Config.Loaded || snap.Config.Failed != before.Config.Failed), err
		})
		snap, err := s.Status(0)
		if err != nil || (snap.Config.Error == "") != has || !has && !strings.Contains(snap.Config.Error, "modprobe ip_vs") {
			t.Errorf("%s: error %q (%v); the kernel has IPVS: %t", name, snap.Config.Error, err, has)
		}
		if out, status, err := s.Run(0, "plan"); err != nil || !has && (status != 1 || !strings.Contains(out, "modprobe ip_vs")) {
			t.Errorf("plan with %s: %d, %v:\n%s", name, status, err, out)
		}
	}
	if ok, err := s.HoldsAll(0)(); !ok || err != nil {
		t.Errorf("the address is gone after the reloads (%v)", err)
	}
	rewrite(t, s, 0, old)

	// A crash, and what takes its leftovers away.
	if err := s.Daemon(0).Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.Daemon(0).Done()
	for _, flags := range [][]string{{"release"}, {"release", "--all"}} {
		if out, status, err := s.Run(0, flags...); err != nil || status != 0 {
			t.Errorf("%v: %d, %v:\n%s", flags, status, err, out)
		}
		if ok, err := s.HoldsNone(0)(); !ok || err != nil {
			t.Errorf("%v left the address (%v)", flags, err)
		}
	}
	eventually(t, s, "the other takes over", s.HoldsAll(1))

	// Back, and an orderly end.
	if _, err := s.Start(0); err != nil {
		t.Fatal(err)
	}
	eventually(t, s, "it takes the role back", s.HoldsAll(0))
	if err := s.Daemon(0).Stop(t.Context()); err != nil {
		t.Error(err)
	}
	eventually(t, s, "the other holds the address again", s.HoldsAll(1))
	if ok, err := s.HoldsNone(0)(); !ok || err != nil {
		t.Errorf("a stop left the address (%v)", err)
	}
}

// TestServiceNeedsIPVS: a start with a service ends at once and names the remedy.
func TestServiceNeedsIPVS(t *testing.T) {
	ctx, s := prepare(t, elect.Options{Members: pair()})
	text := s.TOML(0) + "[[service]]\nname = \"http\"\nvirtual = [\"10.177.0.51:80\"]\n[[service.server]]\naddress = \"10.77.0.200:80\"\n"
	proc, err := s.StartAs(0, elect.Tandem{TOML: text})
	if err != nil {
		t.Fatal(err)
	}
	if kernelHasIPVS(t) {
		eventually(t, s, "it runs", s.HoldsAll(0))
		return
	}
	if err := proc.Wait(ctx); err == nil || proc.ExitCode() != 1 {
		t.Errorf("exit status %d, %v", proc.ExitCode(), err)
	}
	for _, want := range []string{"service http needs IPVS", "modprobe ip_vs"} {
		if !strings.Contains(proc.Output(), want) {
			t.Errorf("the message does not name %q:\n%s", want, proc.Output())
		}
	}
}
