package elect

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"tandem/integration/lab"
)

// Keepalived is the peer that figures are compared with: version 3, as Debian
// ships it, with only its VRRP process.
type Keepalived struct{}

func (Keepalived) String() string { return "keepalived" }

// Start runs keepalived in the foreground with files of its own.
func (Keepalived) Start(s *Segment, i int, dir string) (*lab.Process, error) {
	var b strings.Builder
	m := s.options.Members[i]
	fmt.Fprintf(&b, "global_defs {\n  router_id %s\n  vrrp_version 3\n}\n", s.Directors[i].Name)
	for _, r := range m.Routers {
		fmt.Fprintf(&b, "vrrp_instance v%d {\n  state BACKUP\n  interface %s\n  virtual_router_id %d\n  priority %d\n  advert_int %.2f\n  virtual_ipaddress {\n",
			r.VRID, lab.LAN, r.VRID, m.Priority, s.options.Advert.Seconds())
		for _, ip := range r.Addresses {
			fmt.Fprintf(&b, "    %v/%d dev %s\n", ip, ip.BitLen(), lab.LAN)
		}
		fmt.Fprintf(&b, "  }\n}\n")
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(file("keepalived.conf"), []byte(b.String()), 0o600); err != nil {
		return nil, err
	}
	return s.Directors[i].Start(lab.Command{Path: "keepalived", Args: []string{
		"--dont-fork", "--log-console", "--vrrp", "--use-file", file("keepalived.conf"),
		"--pid", file("main.pid"), "--vrrp_pid", file("vrrp.pid"),
	}})
}

// Listens says whether every virtual router has entered its backup state. It does
// so once its sockets are open.
func (Keepalived) Listens(s *Segment, i int) (bool, error) {
	entered := strings.Count(s.daemons[i].Output(), "Entering BACKUP STATE")
	return entered >= len(s.options.Members[i].Routers), nil
}
