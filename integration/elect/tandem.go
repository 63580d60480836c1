package elect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"tandem/control"
	"tandem/director"
	"tandem/integration/lab"
)

// Tandem is the program under test.
type Tandem struct {
	VRRP string // further lines of its [vrrp] table
	TOML string // instead of the generated configuration
}

func (Tandem) String() string { return "tandem" }

const stateDir = "/run/tandem"

// Start runs tandem as a user with two capabilities, as the packaged unit does.
func (t Tandem) Start(s *Segment, i int, dir string) (*lab.Process, error) {
	user, run := lab.Unprivileged(), s.Directors[i].Path(stateDir)
	if err := os.Mkdir(run, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := os.Chown(run, int(user.UID), int(user.GID)); err != nil {
		return nil, err
	}
	text := t.TOML
	if text == "" {
		text = s.TOML(i)
	}
	if err := os.WriteFile(filepath.Join(dir, "tandem.toml"), []byte(text), 0o644); err != nil {
		return nil, err
	}
	return s.Directors[i].Start(lab.Command{
		Path: s.tandem(), User: user,
		Args: []string{"run", "--config", filepath.Join(dir, "tandem.toml"), "--node", s.Directors[i].Name},
	})
}

// Listens says whether every virtual router is a backup that hears an active one.
func (Tandem) Listens(s *Segment, i int) (bool, error) {
	snap, err := s.Status(i)
	if err != nil || len(snap.Routers) == 0 {
		return false, err
	}
	for _, r := range snap.Routers {
		if r.State != "backup" || r.Peer == nil {
			return false, nil
		}
	}
	return true, nil
}

// TOML is the configuration of tandem as member i: one file for all members that
// run it, and the virtual routers of this one.
func (s *Segment) TOML(i int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[pair]\nname = \"lab\"\n")
	for j, d := range s.Directors {
		fmt.Fprintf(&b, "[[pair.director]]\nname = %q\naddress = %q\npriority = %d\n", d.Name, d.Addr(lab.LAN), s.options.Members[j].Priority)
		if s.options.IPv6 {
			fmt.Fprintf(&b, "address6 = %q\n", linkLocal(d.HardwareAddr(lab.LAN)))
		}
	}
	fmt.Fprintf(&b, "[connection_sync]\nmode = \"off\"\n")
	fmt.Fprintf(&b, "[vrrp]\ninterface = %q\nadvert_interval = %q\nfailback = \"immediate\"\n", lab.LAN, s.options.Advert)
	if t, ok := s.options.Members[i].Speaker.(Tandem); ok {
		b.WriteString(t.VRRP)
	}
	for _, r := range s.options.Members[i].Routers {
		name := fmt.Sprintf("v%d", r.VRID)
		if r.Addresses[0].Is6() {
			name += "-ipv6" // beside one of IPv4 with the same VRID
		}
		fmt.Fprintf(&b, "[[virtual_router]]\nname = %q\nvrid = %d\naddresses = [", name, r.VRID)
		for _, ip := range r.Addresses {
			fmt.Fprintf(&b, "\"%v/%d\", ", ip, ip.BitLen())
		}
		fmt.Fprintf(&b, "]\n")
	}
	return b.String()
}

// linkLocal is the address that the kernel gives an interface (RFC 4291, appendix
// A).
func linkLocal(mac net.HardwareAddr) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]})
}

// Status asks a member's tandem for its snapshot.
func (s *Segment) Status(i int) (director.Snapshot, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return control.Status(ctx, s.Directors[i].Path(stateDir+"/control.sock"))
}

// Run runs a short command of tandem on a member, as root, with the member's
// configuration, and returns what it wrote and its exit status.
func (s *Segment) Run(i int, args ...string) (output string, status int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	args = append(args, "--config", filepath.Join(s.Dir(i), "tandem.toml"), "--node", s.Directors[i].Name)
	proc, err := s.Directors[i].Start(lab.Command{Path: s.tandem(), Args: args})
	if err != nil {
		return "", 0, err
	}
	if err := proc.Wait(ctx); err != nil && !errors.As(err, new(*exec.ExitError)) {
		return proc.Output(), 0, err
	}
	return proc.Output(), proc.ExitCode(), nil
}
