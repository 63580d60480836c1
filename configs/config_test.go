package configs

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDirector(t *testing.T) {
	c := mustParse(t, "minimal.toml", readFile(t, "minimal.toml"))
	d, err := c.Director("lb2")
	if err != nil || d != c.Directors[1] {
		t.Errorf("Director(lb2) = %v, %v", d, err)
	}
	_, err = c.Director("www")
	want := `"www" is no director of pair "tandem", which has lb1, lb2; say which one this host is with --node`
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestDigest(t *testing.T) {
	data := string(readFile(t, "minimal.toml"))
	digest := mustParse(t, "minimal.toml", []byte(data)).Digest()
	if !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(digest) {
		t.Errorf("digest %q", digest)
	}
	replace := func(old, new string) string {
		t.Helper()
		if !strings.Contains(data, old) {
			t.Fatalf("minimal.toml has no %q", old)
		}
		return strings.Replace(data, old, new, 1)
	}
	for _, same := range []string{
		"# comment\n" + strings.ReplaceAll(data, "\n", "\r\n"),
		replace("\n[[virtual_router]]", "advert_interval = \"0.1s\"\n[[virtual_router]]"),
		replace(`"10.77.0.100"`, `"10.77.0.100/32"`),
		strings.NewReplacer("0.11:80", "0.12:80", "0.12:80", "0.11:80").Replace(data),
	} {
		if got := mustParse(t, "same.toml", []byte(same)).Digest(); got != digest {
			t.Errorf("digest %s, want %s, of a file that means the same:\n%s", got, digest, same)
		}
	}
	a := "[[virtual_router]]\nname = \"a\"\nvrid = 52\naddresses = [\"10.77.1.100\", \"10.77.1.101\"]\n"
	b := "[[virtual_router]]\nname = \"b\"\nvrid = 53\naddresses = [\"10.77.2.100\"]\n"
	ab := mustParse(t, "ab.toml", []byte(data+a+b)).Digest()
	ba := mustParse(t, "ba.toml", []byte(data+b+strings.Replace(a, `"10.77.1.100", "10.77.1.101"`, `"10.77.1.101", "10.77.1.100"`, 1))).Digest()
	if ab != ba || ab == digest {
		t.Errorf("digests %s and %s of the same routers in another order, %s without", ab, ba, digest)
	}
	const on, off = "[[hook]]\ncommand = [\"/on\"]\nevents = [\"active\", \"backup\"]\n", "[[hook]]\ncommand = [\"/off\"]\nevents = [\"fault\"]\n"
	hooks := mustParse(t, "hooks.toml", []byte(data+on+off)).Digest()
	sameHooks := mustParse(t, "hooks.toml", []byte(data+off+strings.Replace(on, `"active", "backup"`, `"backup", "active"`, 1))).Digest()
	if hooks != sameHooks || hooks == digest {
		t.Errorf("digests %s and %s of the same hooks in another order, %s without", hooks, sameHooks, digest)
	}
	for _, other := range []string{
		replace("vrid      = 51", "vrid      = 51\nstartup_delay = \"1s\""),
		replace("priority = 150", "priority = 151"),
		replace(`"10.77.0.100"`, `"10.77.0.100/24"`),
		replace("10.77.0.12:80\"", "10.77.0.12:80\"\nweight = 99"),
		replace("vrid      = 51", "vrid      = 52"),
		data + "[connection_sync]\nid = 52\n",
		data + authTable("enforce"),
		replace("vrid      = 51", "vrid      = 51\nversion = 2\nadvert_interval = \"1s\"\nauth_pass = \"abc\""),
	} {
		if mustParse(t, "other.toml", []byte(other)).Digest() == digest {
			t.Errorf("the same digest for a file that means something else:\n%s", other)
		}
	}
}

func authTable(mode string) string {
	return "[vrrp.auth]\nmode = \"" + mode + "\"\nkeys = { 1 = \"/etc/tandem/vrrp.key\" }\n"
}

func TestWarnings(t *testing.T) {
	const routerKey, serviceKey = "vrid      = 51", "[[service]]\n"
	for _, tt := range []struct{ name, old, new, want string }{
		{"equal priorities", "priority = 150", "", "virtual_router web: lb1 and lb2 both have priority 100, so the higher address decides; give the preferred director the higher priority"},
		{"owner", "priority = 150", "priority = 255", `virtual_router web: lb1 has priority 255 and takes the role without an election, so failback = "delay" does not hold for it; write a priority of 254 at most`},
		{"failback", routerKey, routerKey + "\nfailback = \"immediate\"", `virtual_router web: a director that comes back takes the role before it knows the connections, which then break; write failback = "delay"`},
		{"cold failback", routerKey, routerKey + "\nfailback_delay = \"5s\"", `virtual_router web: after failback_delay 5s a director that comes back may not know the connections yet: the active's kernel sends each one again within 10s; write at least "12s"`},
		{"lease", routerKey, routerKey + "\nadvert_interval = \"1s\"\naddress_lease = \"3s\"", `virtual_router web: address_lease 3s may end before the peer takes over; write at least "6s", or "auto"`},
		{"no lease", routerKey, routerKey + "\naddress_lease = \"off\"", `virtual_router web: without address_lease a frozen director keeps its addresses while its peer takes them too; write address_lease = "auto"`},
		{"receive-only", serviceKey, authTable("receive-only") + serviceKey, `vrrp.auth: adverts are not signed, and those of others are accepted without a signature; write mode = "permissive" once every director runs with this mode`},
		{"permissive", serviceKey, authTable("permissive") + serviceKey, `vrrp.auth: adverts are accepted without a signature; write mode = "enforce" once every director runs with this mode`},
		{"long password", routerKey, routerKey + "\nversion = 2\nauth_pass = \"123456789\"", "virtual_router web: version 2 sends only the first 8 characters of auth_pass; write those, as every other router does"},
		{"timeout", serviceKey, serviceKey + "check.timeout = \"2s\"\n", "service http: check.timeout 2s is above check.interval 1s, so a failure is noticed late; write a timeout below the interval"},
		{"udp", serviceKey, serviceKey + "protocol = \"udp\"\n", "service http: the check speaks TCP to the servers' udp ports; write check.port, a TCP port whose answer tells that the server is well"},
		{"no inside", serviceKey, serviceKey + "forwarding = \"masquerade\"\n", `service http: router web has no IPv4 address on another interface, where the servers' answers could come back; add the servers' gateway, for example { address = "10.88.0.254/24", interface = "eth1" }`},
		{"director as server", "10.77.0.12:80", "10.77.0.2:80", "service http: server 10.77.0.2:80 is director lb2, and both directors hold the IPVS table: packets can go round in circles; use a server of its own"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data := string(readFile(t, "minimal.toml"))
			if !strings.Contains(data, tt.old) {
				t.Fatalf("minimal.toml has no %q", tt.old)
			}
			c := mustParse(t, "minimal.toml", []byte(strings.Replace(data, tt.old, tt.new, 1)))
			var got []string
			for _, w := range c.Warnings() {
				got = append(got, w.String())
			}
			if diff := cmp.Diff([]string{tt.want}, got); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSecret: a password shows itself neither printed nor encoded, nor in the
// errors of a file that has it.
func TestSecret(t *testing.T) {
	const secret = "hunter22"
	file := strings.Replace(string(readFile(t, "minimal.toml")), "vrid ", "version = 2\nauth_pass = \""+secret+"\"\nvrid ", 1)
	c := mustParse(t, "minimal.toml", []byte(file))
	if string(c.Routers[0].AuthPass) != secret {
		t.Fatalf("password %s", string(c.Routers[0].AuthPass))
	}
	shown := []string{c.Digest()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		shown = append(shown, fmt.Sprintf(verb, c.Routers[0]), fmt.Sprintf(verb, c.Routers[0].AuthPass))
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	shown = append(shown, string(text))
	for _, bad := range []string{"hunter22\\u0007", "hunter22 ä", strings.Repeat("hunter22", 9)} {
		_, err := Parse("bad.toml", []byte(strings.Replace(file, secret, bad, 1)))
		if err == nil {
			t.Fatalf("accepted %q", bad)
		}
		shown = append(shown, err.Error())
	}
	for _, s := range shown {
		for _, leak := range []string{"hunter", fmt.Sprintf("%x", "hunter")} {
			if strings.Contains(s, leak) {
				t.Errorf("shows the password: %s", s)
			}
		}
	}
	other := mustParse(t, "minimal.toml", []byte(strings.Replace(file, secret, "another", 1)))
	if other.Digest() != c.Digest() {
		t.Error("the digest tells about the password")
	}
}
