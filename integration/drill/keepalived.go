package drill

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"tandem/integration/lab"
)

// Keepalived is the peer that figures are compared with, configured to do the
// same: version 3 adverts, the same priorities, checks, servers and kernel
// connection sync.
type Keepalived struct{}

func (Keepalived) String() string { return "keepalived" }

// Config writes keepalived.conf of a director.
func (Keepalived) Config(p *Pair, dir string, i int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "global_defs {\n  router_id %s\n  vrrp_version 3\n  lvs_sync_daemon %s web id 51\n}\n", p.Directors[i].Name, lab.LAN)
	fmt.Fprintf(&b, "vrrp_instance web {\n  state BACKUP\n  interface %s\n  virtual_router_id 51\n  priority %d\n  advert_int %.2f\n",
		lab.LAN, 150-50*i, p.options.Advert.Seconds())
	if p.options.Failback == "never" {
		fmt.Fprintf(&b, "  nopreempt\n")
	}
	fmt.Fprintf(&b, "  virtual_ipaddress {\n    %s/32 dev %s\n", lab.VIP, lab.LAN)
	if p.options.inside() {
		fmt.Fprintf(&b, "    %s/32 dev %s\n", lab.GatewayVIP, lab.Inside)
	}
	fmt.Fprintf(&b, "  }\n}\n")
	keepalivedService(&b, p, 80, fmt.Sprintf("HTTP_GET {\n      url {\n        path /healthz\n        status_code 200\n      }\n      connect_timeout %.2f\n      retry %d\n      delay_before_retry %.2f\n    }",
		(p.options.CheckInterval/2).Seconds(), p.options.Fall-1, p.options.CheckInterval.Seconds()))
	keepalivedService(&b, p, 7, fmt.Sprintf("TCP_CHECK {\n      connect_timeout %.2f\n      retry %d\n      delay_before_retry %.2f\n    }",
		(p.options.CheckInterval/2).Seconds(), p.options.Fall-1, p.options.CheckInterval.Seconds()))
	if p.options.inside() {
		// keepalived sets no sysctl; its users do.
		if err := p.Directors[i].SetSysctl("net/ipv4/ip_forward", "1"); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "keepalived.conf"), []byte(b.String()), 0o644)
}

func keepalivedService(b *strings.Builder, p *Pair, port int, check string) {
	kind := "DR"
	if p.options.inside() {
		kind = "NAT"
	}
	fmt.Fprintf(b, "virtual_server %s %d {\n  delay_loop %.2f\n  lvs_sched wrr\n  lvs_method %s\n  protocol TCP\n", lab.VIP, port, p.options.CheckInterval.Seconds(), kind)
	for i := range p.Servers {
		fmt.Fprintf(b, "  real_server %s %d {\n    weight 100\n    %s\n  }\n", p.ServerAddr(i, uint16(port)).Addr(), port, check)
	}
	fmt.Fprintf(b, "}\n")
}

// Command runs keepalived in the foreground with files of its own.
func (Keepalived) Command(_ *Pair, dir string, _ int) lab.Command {
	file := func(name string) string { return filepath.Join(dir, name) }
	return lab.Command{Path: "keepalived", Args: []string{
		"--dont-fork", "--log-console", "--log-detail", "--use-file", file("keepalived.conf"),
		"--pid", file("main.pid"), "--vrrp_pid", file("vrrp.pid"), "--checkers_pid", file("checkers.pid"),
	}}
}
