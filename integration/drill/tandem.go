package drill

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tandem/control"
	"tandem/director"
	"tandem/integration/lab"
)

// Tandem is the program under test.
type Tandem struct {
	TOML string    // instead of the generated configuration
	User *lab.User // instead of the one that the packaged unit has
}

func (Tandem) String() string { return "tandem" }

const stateDir = "/run/tandem"

// ConfigPath is a director's configuration file.
func (p *Pair) ConfigPath(i int) string { return filepath.Join(p.directorDir(i), "tandem.toml") }

// Config writes the same file for every director, and makes the directories
// that a package would.
func (t Tandem) Config(p *Pair, dir string, i int) error {
	user := lab.Unprivileged()
	run := p.Directors[i].Path(stateDir)
	if err := os.Mkdir(run, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := os.Chown(run, int(user.UID), int(user.GID)); err != nil {
		return err
	}
	text := t.TOML
	if text == "" {
		text = p.TOML()
	}
	return os.WriteFile(filepath.Join(dir, "tandem.toml"), []byte(text), 0o644)
}

// Command runs the director as a user with two capabilities, as the packaged
// unit does.
func (t Tandem) Command(p *Pair, dir string, i int) lab.Command {
	user := t.User
	if user == nil {
		user = lab.Unprivileged()
	}
	args := []string{"run", "--config", filepath.Join(dir, "tandem.toml"), "--node", p.Directors[i].Name}
	return lab.Command{Path: p.tandem(), Args: args, User: user}
}

// TOML is the configuration of a pair.
func (p *Pair) TOML() string {
	var b strings.Builder
	fmt.Fprintf(&b, "[pair]\nname = \"lab\"\n")
	for i, d := range p.Directors {
		fmt.Fprintf(&b, "[[pair.director]]\nname = %q\naddress = %q\npriority = %d\n", d.Name, d.Addr(lab.LAN), 150-50*i)
	}
	fmt.Fprintf(&b, "[vrrp]\ninterface = %q\nadvert_interval = %q\nfailback = %q\n", lab.LAN, p.options.Advert, p.options.Failback)
	if p.options.Failback == "delay" {
		fmt.Fprintf(&b, "failback_delay = %q\n", p.options.Delay)
	}
	fmt.Fprintf(&b, "[[virtual_router]]\nname = \"web\"\nvrid = 51\n")
	if p.options.inside() {
		fmt.Fprintf(&b, "addresses = [\"%s/32\", { address = \"%s/32\", interface = %q }]\n", lab.VIP, lab.GatewayVIP, lab.Inside)
	} else {
		fmt.Fprintf(&b, "addresses = [\"%s/32\"]\n", lab.VIP)
	}
	p.service(&b, "http", 80, "type = \"http\"\npath = \"/healthz\"")
	p.service(&b, "echo", 7, "type = \"tcp\"")
	return b.String()
}

func (p *Pair) service(b *strings.Builder, name string, port int, check string) {
	fmt.Fprintf(b, "[[service]]\nname = %q\nvirtual = [\"%s:%d\"]\nscheduler = \"wrr\"\nforwarding = %q\n", name, lab.VIP, port, p.options.Forwarding)
	fmt.Fprintf(b, "[service.check]\n%s\ninterval = %q\ntimeout = %q\nrise = 2\nfall = %d\n", check, p.options.CheckInterval, p.options.CheckInterval/2, p.options.Fall)
	for i := range p.Servers {
		fmt.Fprintf(b, "[[service.server]]\naddress = %q\nweight = 100\n", p.ServerAddr(i, uint16(port)))
	}
}

// Status asks a director's tandem for its snapshot.
func (p *Pair) Status(i int) (director.Snapshot, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return control.Status(ctx, p.Directors[i].Path(stateDir+"/control.sock"))
}

// Release runs tandem release on a director, as the service manager does after
// a crash.
func (p *Pair) Release(i int, flags ...string) error {
	args := []string{"release", "--config", p.ConfigPath(i), "--node", p.Directors[i].Name}
	return p.runTandem(p.Directors[i], append(args, flags...)...)
}
