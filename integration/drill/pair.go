package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"tandem/integration/lab"
	"tandem/integration/load"
)

// Options describe a pair.
type Options struct {
	Balancer   Balancer // nil: Tandem{}
	Forwarding string   // "direct" (default) or "masquerade"
	Directors  int      // default 2
	Servers    int      // default 2
	IPv6       bool     // machines have IPv6 addresses, too, and real servers the IPv6 VIP
	Advert     time.Duration
	Failback   string        // default "never", so that a drill ends where it led
	Delay      time.Duration // with Failback "delay"

	CheckInterval time.Duration // default 1 s; timeout is half of it
	Fall          int           // default 3

	// OnLine, if set, sees each line that a director writes.
	OnLine func(node string, l lab.Line)
}

// defaultAdvert lets a director wait for 0.6 s before it takes over: an emulated
// machine stands still for a few tenths of a second now and then.
const defaultAdvert = 200 * time.Millisecond

func (o Options) withDefaults() Options {
	if o.Balancer == nil {
		o.Balancer = Tandem{}
	}
	if o.Forwarding == "" {
		o.Forwarding = "direct"
	}
	if o.Directors == 0 {
		o.Directors = 2
	}
	if o.Servers == 0 {
		o.Servers = 2
	}
	if o.Advert == 0 {
		o.Advert = defaultAdvert
	}
	if o.Failback == "" {
		o.Failback = "never"
	}
	if o.CheckInterval == 0 {
		o.CheckInterval = time.Second
	}
	if o.Fall == 0 {
		o.Fall = 3
	}
	return o
}

func (o Options) inside() bool { return o.Forwarding == "masquerade" }

// Balancer is the software that makes the directors a pair.
type Balancer interface {
	String() string
	// Config writes the configuration files of director i of a pair into dir.
	Config(p *Pair, dir string, i int) error
	// Command starts that director.
	Command(p *Pair, dir string, i int) lab.Command
}

// Pair is a running director pair with its real servers.
type Pair struct {
	*lab.Lab
	options Options
	dir     string
	daemons []*lab.Process // by director; nil: not started
}

// New builds the network and starts the real servers; StartDirector does the
// rest. Close it.
func New(o Options) (*Pair, error) {
	o = o.withDefaults()
	for _, program := range []string{"tandem", "labload"} {
		if _, err := os.Stat(Program(program)); err != nil {
			return nil, fmt.Errorf("the program under test is missing, run make first: %w", err)
		}
	}
	l, err := lab.New(lab.Options{Directors: o.Directors, Servers: o.Servers, Inside: o.inside(), IPv6: o.IPv6})
	if err != nil {
		return nil, err
	}
	p := &Pair{Lab: l, options: o, daemons: make([]*lab.Process, o.Directors)}
	if p.dir, err = os.MkdirTemp("", "drill-"); err == nil {
		err = p.installTandem()
	}
	for i := range o.Servers {
		if err == nil {
			err = p.StartServer(i)
		}
	}
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Forwarding is how the pair forwards.
func (p *Pair) Forwarding() string { return p.options.Forwarding }

// installTandem puts the program where directors, who are not root, can run it:
// the source tree may be in a home directory that only its owner can enter.
func (p *Pair) installTandem() error {
	if err := os.Chmod(p.dir, 0o755); err != nil {
		return err
	}
	data, err := os.ReadFile(Program("tandem"))
	if err != nil {
		return err
	}
	return os.WriteFile(p.tandem(), data, 0o755)
}

func (p *Pair) tandem() string { return filepath.Join(p.dir, "tandem") }

// Close ends everything.
func (p *Pair) Close() error {
	return errors.Join(p.Lab.Close(), os.RemoveAll(p.dir))
}

func (p *Pair) directorDir(i int) string { return filepath.Join(p.dir, p.Directors[i].Name) }

func (p *Pair) prepareDirector(i int) error {
	if err := os.MkdirAll(p.directorDir(i), 0o755); err != nil {
		return err
	}
	return p.options.Balancer.Config(p, p.directorDir(i), i)
}

// StartServer starts a real server and, for direct routing, prepares its host.
func (p *Pair) StartServer(i int) error {
	s := p.Servers[i]
	if !p.options.inside() {
		dir := filepath.Join(p.dir, s.Name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		vips := lab.VIP.String()
		if p.options.IPv6 {
			vips += "," + lab.VIP6.String()
		}
		if err := p.runTandem(s, "realserver", "apply", "--address", vips, "--state-dir", "/run"); err != nil {
			return err
		}
	}
	proc, err := s.Start(lab.Command{
		Path: Program("labload"),
		Args: []string{"server", "--name", s.Name, "--http", ":80", "--echo", ":7", "--admin", "/run/labload.sock"},
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for {
		if _, err = load.ReadState(ctx, s.Path("/run/labload.sock")); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("real server %s: %w\n%s", s.Name, err, proc.Output())
		case <-proc.Done():
			return fmt.Errorf("real server %s ended:\n%s", s.Name, proc.Output())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Tandem runs a short command of the program in a node, as root, and returns
// what it wrote and its exit status.
func (p *Pair) Tandem(n *lab.Node, args ...string) (output string, status int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	proc, err := n.Start(lab.Command{Path: p.tandem(), Args: args})
	if err != nil {
		return "", 0, err
	}
	var exit *exec.ExitError
	if err := proc.Wait(ctx); err != nil && !errors.As(err, &exit) {
		return proc.Output(), 0, fmt.Errorf("tandem %s on %s: %w", strings.Join(args, " "), n.Name, err)
	}
	return proc.Output(), proc.ExitCode(), nil
}

// runTandem is Tandem for a command that must succeed.
func (p *Pair) runTandem(n *lab.Node, args ...string) error {
	out, status, err := p.Tandem(n, args...)
	if err == nil && status != 0 {
		err = fmt.Errorf("tandem %s on %s: exit status %d: %s", strings.Join(args, " "), n.Name, status, out)
	}
	return err
}

// SetServer changes how a real server behaves.
func (p *Pair) SetServer(i int, mode string) error {
	m, err := load.ParseMode(mode)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err = load.SetMode(ctx, p.Servers[i].Path("/run/labload.sock"), m)
	return err
}

// StartDirector starts the balancer of a director.
func (p *Pair) StartDirector(i int) (*lab.Process, error) {
	if err := p.prepareDirector(i); err != nil {
		return nil, err
	}
	c := p.options.Balancer.Command(p, p.directorDir(i), i)
	if p.options.OnLine != nil {
		c.OnLine = func(l lab.Line) { p.options.OnLine(p.Directors[i].Name, l) }
	}
	proc, err := p.Directors[i].Start(c)
	if err != nil {
		return nil, err
	}
	p.daemons[i] = proc
	return proc, nil
}

// Use makes the directors that are started from now on run something else.
func (p *Pair) Use(b Balancer) { p.options.Balancer = b }

// Crash kills the balancer of a director, with all its processes.
func (p *Pair) Crash(i int) error {
	var errs []error
	for _, proc := range p.Directors[i].Processes() {
		if err := proc.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			errs = append(errs, err)
		}
		<-proc.Done()
	}
	return errors.Join(errs...)
}

// Daemon is the running balancer of a director, nil if it was never started.
func (p *Pair) Daemon(i int) *lab.Process { return p.daemons[i] }

// StartAll starts every director and waits until the pair is settled: one holds
// the VIP, and all have every real server in their table.
func (p *Pair) StartAll(ctx context.Context) error {
	for i := range p.Directors {
		if _, err := p.StartDirector(i); err != nil {
			return err
		}
		if i == 0 {
			// The first is to win whatever its peer's software thinks of ties.
			if err := p.Eventually(ctx, "lb1 holds the VIP", func() (bool, error) { return p.Directors[0].Holds(lab.VIP) }); err != nil {
				return err
			}
		}
	}
	return p.Settled(ctx)
}

// Settled waits until one living director holds the VIP and all living ones
// have every real server in their table.
func (p *Pair) Settled(ctx context.Context) error {
	return p.Eventually(ctx, "the pair is settled", func() (bool, error) {
		holders, err := p.Holders()
		if err != nil || len(holders) != 1 {
			return false, err
		}
		for i := range p.Directors {
			if !p.running(i) {
				continue
			}
			n, err := p.TableServers(i)
			if err != nil || n < 2*len(p.Servers) {
				return false, err
			}
		}
		return true, nil
	})
}

func (p *Pair) running(i int) bool {
	if p.daemons[i] == nil {
		return false
	}
	select {
	case <-p.daemons[i].Done():
		return false
	default:
		return true
	}
}

// Holders lists the directors that have the VIP.
func (p *Pair) Holders() ([]int, error) {
	var out []int
	for i, d := range p.Directors {
		ok, err := d.Holds(lab.VIP)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, i)
		}
	}
	return out, nil
}

// Active is the one director that has the VIP.
func (p *Pair) Active() (int, error) {
	h, err := p.Holders()
	if err != nil {
		return 0, err
	}
	if len(h) != 1 {
		return 0, fmt.Errorf("%d directors hold the VIP", len(h))
	}
	return h[0], nil
}

// Eventually asks until the answer is yes. The error says what was waited for,
// and what every director wrote.
func (p *Pair) Eventually(ctx context.Context, what string, ask func() (bool, error)) error {
	var last error
	for {
		ok, err := ask()
		if ok {
			return nil
		}
		if err != nil {
			last = err
		}
		select {
		case <-ctx.Done():
			err := ctx.Err()
			if last != nil {
				err = fmt.Errorf("%w (last: %w)", err, last)
			}
			return fmt.Errorf("waiting until %s: %w\n%s", what, err, p.Logs())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Logs is what every director wrote, the newest lines of each.
func (p *Pair) Logs() string {
	const most = 40
	var b strings.Builder
	for i, proc := range p.daemons {
		if proc == nil {
			continue
		}
		lines := proc.Lines()
		fmt.Fprintf(&b, "--- %s\n", p.Directors[i].Name)
		for _, l := range lines[max(0, len(lines)-most):] {
			fmt.Fprintln(&b, l.At.Format("15:04:05.000"), l.Text)
		}
	}
	return b.String()
}
