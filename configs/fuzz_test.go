package configs

import (
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// large returns a file with so many services of so many servers each.
func large(services, servers int) []byte {
	var b strings.Builder
	b.WriteString(`[[pair.director]]
name     = "lb1"
address  = "10.77.0.1"
priority = 150
[[pair.director]]
name    = "lb2"
address = "10.77.0.2"
[vrrp]
interface = "eth0"
[[virtual_router]]
name      = "web"
vrid      = 51
addresses = ["10.77.0.100"]
`)
	for i := range services {
		fmt.Fprintf(&b, "\n[[service]]\nname = \"s%d\"\nvirtual = [\"10.77.0.100:%d\"]\n", i, 1000+i)
		b.WriteString("  [service.check]\n  type = \"http\"\n  path = \"/healthz\"\n")
		for j := range servers {
			fmt.Fprintf(&b, "  [[service.server]]\n  address = \"10.%d.%d.%d:%d\"\n  weight = %d\n", 80+j/65536, j/256%256, j%256, 1000+i, 1+j)
		}
	}
	return []byte(b.String())
}

func BenchmarkParse(b *testing.B) {
	data := large(300, 10)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse("tandem.toml", data); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzParse(f *testing.F) {
	seed := func(pattern string) {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("no seeds in %s: %v", pattern, err)
		}
		for _, file := range files {
			f.Add(readFile(f, file))
		}
	}
	seed("*.toml")
	seed("examples/*.toml")
	seed("testdata/*.toml")
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("fuzz.toml", data)
		if err != nil {
			if c != nil {
				t.Error("a configuration beside the error")
			}
			checkErrors(t, data, err)
			return
		}
		c.Warnings()
		if again := mustParse(t, "fuzz.toml", data); again.Digest() != c.Digest() {
			t.Error("two digests for one file")
		}
		checkConfig(t, c)
	})
}

// checkConfig checks what the rest of tandem relies on.
func checkConfig(t *testing.T, c *Config) {
	t.Helper()
	if len(c.Directors) < 2 || len(c.Routers) < 1 {
		t.Fatalf("%d directors, %d routers", len(c.Directors), len(c.Routers))
	}
	vips, locals := make(map[netip.Addr]bool), make(map[VirtualAddress]bool)
	for _, r := range c.Routers {
		if len(r.Priority) != len(c.Directors) || slices.Contains(slices.Collect(maps.Values(r.Priority)), 0) {
			t.Errorf("priorities %v", r.Priority)
		}
		if r.VRID == 0 || r.Interface == "" || r.AdvertInterval < 10*time.Millisecond || r.AddressLease < 0 {
			t.Errorf("router %+v", r)
		}
		if (r.Failback == "delay") != (r.FailbackDelay > 0) {
			t.Errorf("failback %q after %v", r.Failback, r.FailbackDelay)
		}
		checkAuth(t, r.Auth)
		if least, most, step := intervals(r.Version); r.AdvertInterval < least || r.AdvertInterval > most || r.AdvertInterval%step != 0 {
			t.Errorf("interval %v of version %d", r.AdvertInterval, r.Version)
		}
		checkAdvertised(t, r)
		if (r.Version == 3 && !r.IPv6()) != (r.Checksum != "") || r.AuthPass != "" && (r.Version == 3 || r.Auth.Mode != "off") {
			t.Errorf("router %+v", r)
		}
		for _, track := range r.Track {
			if !track.readable() || track.Weight != 0 && r.Failback == "never" || track.Kind == TrackScript && track.Script.Args()[0][0] != '/' {
				t.Errorf("track %+v", track)
			}
		}
		if r.StartupDelay < 0 || r.StartupDelay > 10*time.Minute {
			t.Errorf("startup delay %v", r.StartupDelay)
		}
		for _, a := range r.Addresses {
			ip := a.Prefix.Addr()
			local := VirtualAddress{netip.PrefixFrom(ip, 128), a.Interface}
			switch known := ip.Is6() && ip.IsLinkLocalUnicast(); {
			case !a.Prefix.IsValid() || a.Interface == "", known && locals[local], !known && vips[ip]:
				t.Errorf("address %+v", a)
			}
			vips[ip], locals[local] = true, true
		}
	}
	for _, h := range c.Hooks {
		if h.Command.Args()[0][0] != '/' || len(h.Events) == 0 || h.Timeout < 100*time.Millisecond || h.Timeout > maxHookTimeout {
			t.Errorf("hook %+v", h)
		}
	}
	for _, s := range c.Services {
		if len(s.Virtual) == 0 || len(s.Servers) == 0 || s.Check.Interval <= 0 || s.Check.Timeout <= 0 {
			t.Errorf("service %+v", s)
		}
		if s.Check.Type == "http" {
			checkRequest(t, s.Check)
		}
		for _, v := range s.Virtual {
			if !vips[v.Addr()] || v.Port() == 0 || v.Addr().Is4() != s.Virtual[0].Addr().Is4() {
				t.Errorf("virtual %s", v)
			}
		}
		for _, server := range s.Servers {
			if ip := server.Address.Addr(); vips[ip] || server.Address.Port() == 0 || server.Weight < 0 || ip.Is4() != s.Virtual[0].Addr().Is4() {
				t.Errorf("server %+v", server)
			}
		}
	}
}

// checkAdvertised checks that an advert of r can be sent.
func checkAdvertised(t *testing.T, r VirtualRouter) {
	t.Helper()
	own := r.advertised()
	if len(own) == 0 {
		t.Fatalf("nothing to advertise in %+v", r)
	}
	for _, ip := range own {
		if ip.Is4() == r.IPv6() || ip.Zone() != "" {
			t.Errorf("%s in %v", ip, own)
		}
	}
	if r.IPv6() && (r.Version != 3 || !own[0].IsLinkLocalUnicast()) {
		t.Errorf("IPv6 router %+v", r)
	}
}

func checkAuth(t *testing.T, a Auth) {
	t.Helper()
	if a.Mode == "off" {
		if len(a.Keys) > 0 || a.ActiveKey != 0 {
			t.Errorf("auth %+v", a)
		}
		return
	}
	if len(a.Keys) == 0 || a.Keys[0] != "" || a.Signs() && a.Keys[a.ActiveKey] == "" {
		t.Errorf("keys %+v", a)
	}
	if (a.Replay == "time") != (a.Window >= time.Second) || a.Window > 300*time.Second {
		t.Errorf("window %+v", a)
	}
}
