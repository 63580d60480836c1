package configs

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const virtualMACFile = `
[[pair.director]]
name = "lb1"
address = "10.77.0.1"
priority = 150
[[pair.director]]
name = "lb2"
address = "10.77.0.2"
[vrrp]
interface = "eth0"
virtual_mac = true
[[virtual_router]]
name = "web"
vrid = 51
addresses = ["10.77.0.100/32", { address = "10.77.0.200/24", interface = "eth1" }]
[[virtual_router]]
name = "plain"
vrid = 52
virtual_mac = false
addresses = ["10.77.0.101/24"]
`

func TestVirtualMAC(t *testing.T) {
	c := mustParse(t, "t.toml", []byte(virtualMACFile))
	if !c.Routers[0].VirtualMAC || c.Routers[1].VirtualMAC {
		t.Errorf("web %t, plain %t", c.Routers[0].VirtualMAC, c.Routers[1].VirtualMAC)
	}
	if list := c.Warnings(); len(list) > 0 {
		t.Errorf("warnings %v", list)
	}
	other := mustParse(t, "t.toml", []byte(strings.Replace(virtualMACFile, "virtual_mac = true", "", 1)))
	if other.Digest() == c.Digest() {
		t.Error("the digest does not tell it")
	}
}

func TestVirtualMACWarnings(t *testing.T) {
	for _, tt := range []struct{ old, new, want string }{
		{"100/32", "100/24", `virtual_router web: with virtual_mac, 10.77.0.100/24 gives the active director a second route to the network that its own address is on; write "10.77.0.100/32"`},
		{"10.77.0.100/32", "10.78.0.100/24", ""},
		{"[vrrp]", "[sysctl]\nprofile = \"none\"\n[vrrp]", `virtual_router web: virtual_mac needs net/ipv4/conf/eth0/arp_ignore = 1, arp_announce = 2 there, and an rp_filter of "all" other than 1, and profile = "none" leaves them as they are; set them, or write profile = "director" in [sysctl]`},
	} {
		var got []string
		for _, w := range mustParse(t, "t.toml", []byte(strings.Replace(virtualMACFile, tt.old, tt.new, 1))).Warnings() {
			got = append(got, w.String())
		}
		if diff := cmp.Diff(tt.want, strings.Join(got, "\n")); diff != "" {
			t.Errorf("with %s (-want +got):\n%s", tt.new, diff)
		}
	}
}
