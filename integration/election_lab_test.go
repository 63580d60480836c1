//go:build lab

package integration

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tandem/integration/drill"
	"tandem/integration/lab"
)

// The same pair, with adverts that are signed and sent by unicast, fails over as
// any other; one in version 2 does, too.
func TestWaysOfAdvertising(t *testing.T) {
	key := filepath.Join(t.TempDir(), "vrrp.key")
	for name, vrrp := range map[string]string{
		"signed unicast": fmt.Sprintf("transport = \"unicast\"\n[vrrp.auth]\nmode = \"enforce\"\nkeys = { 1 = %q }\nactive_key = 1\n", key),
		"version 2":      "version = 2\nauth_pass = \"k33paliv\"\n",
	} {
		t.Run(name, func(t *testing.T) {
			o := drill.Options{}
			if name == "version 2" {
				o.Advert = time.Second // its shortest
			}
			writeKey(t, key)
			ctx, p := prepare(t, o)
			p.Use(drill.Tandem{TOML: strings.Replace(p.TOML(), "[[virtual_router]]", vrrp+"[[virtual_router]]", 1)})
			if err := p.StartAll(ctx); err != nil {
				t.Fatal(err)
			}
			f := under(t, ctx, p, 3*time.Second, drill.Step{Name: "SIGTERM", Wait: time.Second, Do: func() error {
				return p.Daemon(0).Signal(syscall.SIGTERM)
			}})
			expect(t, f, 2*time.Second, 5, 1)
			holder(t, ctx, p, 1)
			if err := p.Daemon(0).Wait(ctx); err != nil {
				t.Error(err)
			}
			if _, err := p.StartDirector(0); err != nil {
				t.Fatal(err)
			}
			if err := p.Settled(ctx); err != nil {
				t.Fatal(err)
			}
			holder(t, ctx, p, 1)
			if err := p.Directors[1].Kill(); err != nil {
				t.Fatal(err)
			}
			err := p.Eventually(ctx, "lb1 has taken over from the dead", func() (bool, error) { return p.Directors[0].Holds(lab.VIP) })
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// writeKey makes a key that only the daemon's user can read.
func writeKey(t *testing.T, path string) {
	t.Helper()
	for dir := filepath.Dir(path); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	text := base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))
	if err := os.WriteFile(path, []byte(text+"\n"), 0o400); err != nil {
		t.Fatal(err)
	}
	user := lab.Unprivileged()
	if err := os.Chown(path, int(user.UID), int(user.GID)); err != nil {
		t.Fatal(err)
	}
}

// A tracked file takes a director out of its election, by hand: the role moves
// without a gap, and status says why.
func TestTrackedFile(t *testing.T) {
	each(t, drill.Options{}, func(t *testing.T, ctx context.Context, p *drill.Pair) {
		const file = "/run/maintenance"
		reload(t, p, strings.Replace(p.TOML(), "[[service]]", fmt.Sprintf("[[virtual_router.track]]\nfile = %q\n[[service]]", file), 1))
		within(t, p, 5*time.Second, "both track the file", func() (bool, error) {
			for i := range p.Directors {
				s, err := p.Status(i)
				if err != nil || len(s.Routers[0].Track) != 1 {
					return false, err
				}
			}
			return true, nil
		})
		f := under(t, ctx, p, 3*time.Second, drill.Step{Name: "maintenance", Wait: time.Second, Do: func() error {
			return os.WriteFile(p.Directors[0].Path(file), []byte("1\n"), 0o644)
		}})
		expect(t, f, time.Second, 5, 1)
		holder(t, ctx, p, 1)
		s, err := p.Status(0)
		if err != nil || !strings.Contains(s.Routers[0].Fault, file) {
			t.Errorf("fault %q (%v)", s.Routers[0].Fault, err)
		}
		if err := os.Remove(p.Directors[0].Path(file)); err != nil {
			t.Fatal(err)
		}
		within(t, p, 10*time.Second, "lb1 takes part again", func() (bool, error) {
			s, err := p.Status(0)
			return err == nil && s.Routers[0].State == "backup" && s.Routers[0].Fault == "", err
		})
		holder(t, ctx, p, 1) // failback is "never"
	})
}

// The inside and the outside have a virtual router each, and move together.
func TestGroupMovesTogether(t *testing.T) {
	ctx, p := prepare(t, drill.Options{Forwarding: "masquerade"})
	one := fmt.Sprintf("name = \"web\"\nvrid = 51\naddresses = [\"%s/32\", { address = \"%s/32\", interface = %q }]\n", lab.VIP, lab.GatewayVIP, lab.Inside)
	two := fmt.Sprintf("name = \"outside\"\nvrid = 51\ngroup = \"site\"\naddresses = [\"%s/32\"]\n", lab.VIP) +
		fmt.Sprintf("[[virtual_router]]\nname = \"inside\"\nvrid = 52\ngroup = \"site\"\ninterface = %q\naddresses = [\"%s/32\"]\n", lab.Inside, lab.GatewayVIP)
	text := strings.Replace(p.TOML(), one, two, 1)
	if text == p.TOML() {
		t.Fatalf("the configuration has another form:\n%s", text)
	}
	p.Use(drill.Tandem{TOML: text})
	if err := p.StartAll(ctx); err != nil {
		t.Fatal(err)
	}
	holdsBoth := func(i int) func() (bool, error) {
		return func() (bool, error) {
			for _, ip := range []netip.Addr{lab.VIP, lab.GatewayVIP} {
				if ok, err := p.Directors[i].Holds(ip); !ok || err != nil {
					return false, err
				}
			}
			return true, nil
		}
	}
	if err := p.Eventually(ctx, "lb1 has the inside, too", holdsBoth(0)); err != nil {
		t.Fatal(err)
	}
	f := under(t, ctx, p, 4*time.Second, drill.Step{Name: "inside link down", Wait: 2 * time.Second, Do: func() error {
		return p.Directors[0].LinkDown(lab.Inside)
	}})
	expect(t, f, takeover, 100, len(f.Result.Streams.Each)/4)
	holder(t, ctx, p, 1)
	if err := p.Eventually(ctx, "lb2 has both", holdsBoth(1)); err != nil {
		t.Error(err)
	}
	s, err := p.Status(0)
	if err != nil || len(s.Routers) != 2 || s.Routers[0].State == "active" || s.Routers[1].State == "active" {
		t.Errorf("lb1: %+v (%v)", s.Routers, err)
	}
}
