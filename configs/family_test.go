package configs

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// families has routers of both families and of every kind that is allowed.
const families = `
[[pair.director]]
name     = "lb1"
address  = "10.77.0.1"
address6 = "fe80::1"
priority = 150
[[pair.director]]
name     = "lb2"
address  = "10.77.0.2"
address6 = "fe80::2"

[vrrp]
interface = "eth0"
checksum  = "rfc9568"
transport = "unicast"

[[virtual_router]]
name      = "four"
vrid      = 51
addresses = ["10.77.0.100", { address = "2001:db8:88::1/64", interface = "eth1" }]

[[virtual_router]]
name      = "six"
vrid      = 51
addresses = [
  { address = "10.88.0.254/24", interface = "eth1" },
  "fe80::200:5eff:fe00:233/64", "2001:db8:77::100", "fe80::9",
]

[[virtual_router]]
name      = "six-elsewhere"
vrid      = 51
interface = "eth1"
transport = "multicast"
addresses = ["fe80::200:5eff:fe00:233/64"]

[[service]]
name       = "http"
forwarding = "masquerade"
virtual    = ["[2001:db8:77::100]:80", "[2001:db8:88::1]:8080"]
  [[service.server]]
  address = "[2001:db8:88::11]:80"
`

func TestFamilies(t *testing.T) {
	c := mustParse(t, "families.toml", []byte(strings.Replace(families, "six-elsewhere", "six-elsewhere", 1)))
	for i, want := range []struct {
		ipv6       bool
		checksum   string
		source     string
		advertised []string
	}{
		{false, "rfc9568", "10.77.0.2", []string{"10.77.0.100"}},
		{true, "", "fe80::2", []string{"fe80::200:5eff:fe00:233", "2001:db8:77::100", "fe80::9"}},
		{true, "", "fe80::2", []string{"fe80::200:5eff:fe00:233"}},
	} {
		r := c.Routers[i]
		var own []string
		for _, ip := range r.advertised() {
			own = append(own, ip.String())
		}
		if r.IPv6() != want.ipv6 || r.Checksum != want.checksum || !slices.Equal(own, want.advertised) {
			t.Errorf("%s: IPv6 %t, checksum %q, advertised %v; want %+v", r.Name, r.IPv6(), r.Checksum, own, want)
		}
		if got := c.Directors[1].AdvertAddress(r); got != netip.MustParseAddr(want.source) {
			t.Errorf("%s: adverts from %s, want %s", r.Name, got, want.source)
		}
	}
	if got := c.Routers[1].Addresses[2].Prefix; got != netip.MustParsePrefix("2001:db8:77::100/128") {
		t.Errorf("prefix length left out: %s", got)
	}
}

// TestIPv6Alone: a pair on a network without IPv4 has no addresses of it.
func TestIPv6Alone(t *testing.T) {
	file := strings.NewReplacer("address  = \"10.77.0.1\"\n", "", "address  = \"10.77.0.2\"\n", "").Replace(families)
	file = file[:strings.Index(file, "[[virtual_router]]")] + `
[[virtual_router]]
name      = "six"
vrid      = 51
addresses = ["fe80::200:5eff:fe00:233/64"]
`
	c := mustParse(t, "alone.toml", []byte(file))
	if d := c.Directors[0]; d.Address.IsValid() || d.AdvertAddress(c.Routers[0]) != netip.MustParseAddr("fe80::1") {
		t.Errorf("director %+v", d)
	}
}

// TestDigestOfFamilies: the order of addresses means nothing but for the first that
// an IPv6 router advertises.
func TestDigestOfFamilies(t *testing.T) {
	file := strings.Replace(families, "six-elsewhere", "six-elsewhere", 1)
	digest := mustParse(t, "families.toml", []byte(file)).Digest()
	const order = `"fe80::200:5eff:fe00:233/64", "2001:db8:77::100", "fe80::9",`
	for _, tt := range []struct {
		order string
		same  bool
	}{
		{`"fe80::200:5eff:fe00:233/64", "fe80::9", "2001:db8:77::100",`, true},
		{`"fe80::9", "2001:db8:77::100", "fe80::200:5eff:fe00:233/64",`, false},
	} {
		got := mustParse(t, "other.toml", []byte(strings.Replace(file, order, tt.order, 1))).Digest()
		if (got == digest) != tt.same {
			t.Errorf("%s: digests %s and %s", tt.order, digest, got)
		}
	}
}

// TestSuggestedLinkLocal is of the virtual MAC 00:00:5e:00:02:33.
func TestSuggestedLinkLocal(t *testing.T) {
	if got := suggestedLinkLocal(51).String(); got != "fe80::200:5eff:fe00:233" {
		t.Error(got)
	}
}

// TestInsideOfFamily: servers of IPv6 do not answer to a gateway of IPv4.
func TestInsideOfFamily(t *testing.T) {
	file := strings.Replace(families, `, "[2001:db8:88::1]:8080"`, "", 1)
	warned := func(file string) bool {
		for _, w := range mustParse(t, "inside.toml", []byte(file)).Warnings() {
			if strings.Contains(w.Problem, "where the servers' answers could come back") {
				return true
			}
		}
		return false
	}
	if !warned(file) {
		t.Error("no warning: six has only an IPv4 address inside")
	}
	if warned(strings.Replace(file, `{ address = "10.88.0.254/24", interface = "eth1" },`, `{ address = "2001:db8:99::1/64", interface = "eth1" },`, 1)) {
		t.Error("warned, with an IPv6 address inside")
	}
}
