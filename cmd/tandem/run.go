package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"tandem/configs"
	"tandem/control"
	"tandem/director"
	"tandem/healthcheck"
	"tandem/healthcheck/probe"
	healthrunner "tandem/healthcheck/runner"
	"tandem/internal/events"
	"tandem/internal/firewall"
	"tandem/internal/hooks"
	"tandem/internal/netif"
	"tandem/internal/program"
	"tandem/internal/realtime"
	"tandem/internal/task"
	"tandem/internal/track"
)

func runCommand(s *settings) *cobra.Command {
	var level, record string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Be a director until told to stop",
		Long: `Run is the daemon. It needs the capabilities CAP_NET_ADMIN and CAP_NET_RAW, and
a kernel with IPVS unless there is no service and connection_sync is "off".

SIGTERM hands the virtual IPs over, waits until the last connection sync has
left, takes everything back and ends. SIGHUP reads the configuration again; a
file with a mistake is refused and the old one stays in force.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLogger(level)
			if err != nil {
				return err
			}
			return s.run(cmd.Context(), log, record)
		},
	}
	cmd.Flags().StringVar(&record, "record", "", "record what each election goes through in this `directory`, for a replay")
	cmd.Flags().StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return cmd
}

// newLogger writes to standard error. Under the journal, which has its own
// clock, lines carry no time.
func newLogger(level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level: %w", err)
	}
	o := &slog.HandlerOptions{Level: l}
	if os.Getenv("JOURNAL_STREAM") != "" {
		o.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	return slog.New(slog.NewTextHandler(os.Stderr, o)), nil
}

func (s *settings) run(parent context.Context, log *slog.Logger, record string) error {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	self, err := s.self(cfg)
	if err != nil {
		return err
	}
	log = log.With("node", self.Name)
	for _, w := range cfg.Warnings() {
		log.Warn("configuration", "warning", w.String())
	}

	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	notify := hooks.New(cfg, hooks.Options{Start: program.Start, Log: log.With("part", "hooks")})
	happened := events.New(self.Name, notify.Offer)
	// The control socket is first: only one tandem may get past it.
	var running atomic.Pointer[director.Director]
	var table *balancing // set before running is
	snapshot := func() director.Snapshot {
		var snap director.Snapshot
		if d := running.Load(); d != nil {
			snap = d.Snapshot(time.Now())
			snap.NoIPVS = table.absent()
		}
		snap.Version, snap.Hooks = version, notify.Status()
		return snap
	}
	socket := cfg.ControlSocket
	if s.socket != "" {
		socket = s.socket
	}
	ctl, err := control.Listen(socket, cfg.ControlGroup, snapshot, log)
	if err != nil {
		return err
	}
	defer ctl.Close()
	ctl.ServeEvents(happened)

	owned, err := s.ledger().Load()
	if err != nil {
		return err
	}
	if table, err = openBalancing(openKernel, cfg, owned, log); err != nil {
		return err
	}
	defer table.Close()
	links, err := netif.Open()
	if err != nil {
		return err
	}
	defer links.Close()

	checks := healthrunner.New(healthrunner.Options{
		Probe: probe.Probe,
		OnVerdict: func(t healthcheck.Target, v healthcheck.Verdict) {
			if d := running.Load(); d != nil {
				d.Judged(t, v)
			}
		},
		Log: log.With("part", "checks"),
	})
	// Handles of their own: one that reads a table of a million routes must not keep
	// an address waiting.
	tracked, err := netif.Open()
	if err != nil {
		return err
	}
	defer tracked.Close()
	seen, err := netif.Open()
	if err != nil {
		return err
	}
	defer seen.Close()
	things := track.New(track.Options{
		Network: tracked,
		OnChange: func() {
			if d := running.Load(); d != nil {
				d.ThingsChanged()
			}
		},
		Log: log.With("part", "tracking"),
	})
	net, err := newNetwork(self.Name, seen, things.NetworkChanged, realtime.OnFirstThread, log)
	if err != nil {
		return err
	}
	defer net.close()
	net.record = record
	d, err := director.New(director.Options{
		Node:        self.Name,
		Config:      cfg,
		Addresses:   addresses{links},
		Routes:      routes{links},
		Rules:       rules{links},
		Firewall:    firewall.Table{},
		Devices:     devices{net},
		Announcer:   net,
		Links:       net.state,
		Probe:       net.probe,
		Table:       table,
		Sync:        newSyncDaemons(table, links),
		Sysctls:     sysctls{},
		Ledger:      s.ledger(),
		Checks:      checks,
		Things:      things,
		Profile:     profile,
		Prepare:     net.prepare,
		Commit:      net.commit,
		Drops:       net.drops,
		NewElection: net.newElection,
		Events:      happened,
		Log:         log,
	})
	if err != nil {
		return err
	}
	d.Loaded(s.config, cfg.Digest(), time.Now())
	net.attach(d)
	running.Store(d)

	work := work{Director: d, hooks: notify}
	signals := s.watchSignals(ctx, log, work, table, cfg, func() { cancel() })
	ready := func() { log.Info("ready", "version", version, "config", s.config, "digest", cfg.Digest()) }
	// A process that fails in one part is well enough to hand over.
	failed := func(err error) {
		log.Error("giving up the role, because a part failed", "err", err)
		if err := work.Stop(); err != nil {
			log.Error("not everything could be taken back; tandem release does it", "err", err)
		}
	}
	err = task.Serve(ctx, log, ready, failed, checks, things, notify, d, ctl, net, task.Watchdog{Alive: d.Alive, Log: log})
	cancel()
	return errors.Join(err, <-signals)
}

// work is the director and those who are told what it does.
type work struct {
	*director.Director
	hooks *hooks.Hooks
}

// Stop stops the director and has hooks told everything, each of which may take its
// timeout for that.
func (w work) Stop() error {
	defer w.hooks.Drain()
	return w.Director.Stop()
}

// Reload puts a configuration in place, hooks included.
func (w work) Reload(cfg *configs.Config) error {
	if err := w.Director.Reload(cfg); err != nil {
		return err
	}
	w.hooks.SetConfig(cfg)
	return nil
}

// watchSignals carries out signals, and sends the result of the stop when ctx is
// done.
func (s *settings) watchSignals(ctx context.Context, log *slog.Logger, d work, table *balancing, started *configs.Config, cancel func()) <-chan error {
	// Two channels: reloads, of which one more may wait, must not fill the one that
	// a stop comes by.
	hangups, ends := make(chan os.Signal, 1), make(chan os.Signal, 2)
	signal.Notify(hangups, syscall.SIGHUP)
	signal.Notify(ends, syscall.SIGTERM, syscall.SIGINT)
	result := make(chan error, 1)
	go func() {
		defer signal.Stop(ends)
		for {
			select {
			case <-ctx.Done():
				result <- nil
				return
			case <-hangups:
				s.reload(log, d, table, started)
			case sig := <-ends:
				log.Info("stopping", "signal", sig.String())
				task.Notify(log, daemon.SdNotifyStopping)
				result <- stop(d, ends, log)
				cancel()
				return
			}
		}
	}()
	return result
}

// stop hands over and takes back. A second signal ends the process at once: the
// leases and `tandem release` clean up.
func stop(d work, again <-chan os.Signal, log *slog.Logger) error {
	done := make(chan error, 1)
	go func() { done <- d.Stop() }()
	select {
	case err := <-done:
		if err == nil {
			log.Info("stopped")
		}
		return err
	case sig := <-again:
		return fmt.Errorf("stopped in the middle by a second %s; run tandem release", sig)
	}
}

// reload reads the configuration again. Whatever is wrong with the new one, the
// old one runs on. started is the one that the process started with.
func (s *settings) reload(log *slog.Logger, d work, table *balancing, started *configs.Config) {
	task.Reloading(log)
	defer task.Notify(log, daemon.SdNotifyReady)
	cfg, err := s.load()
	if err == nil {
		err = sameControl(started, cfg)
	}
	if err == nil {
		err = table.check(cfg)
	}
	if err == nil {
		err = d.Reload(cfg)
	}
	if err != nil {
		d.ReloadFailed(err, time.Now())
		var list configs.Errors
		if errors.As(err, &list) {
			for _, e := range list {
				log.Error("reload refused", "err", e)
			}
			return
		}
		log.Error("reload refused, the running configuration stays", "err", strings.ReplaceAll(err.Error(), "\n", "; "))
		return
	}
	d.Loaded(s.config, cfg.Digest(), time.Now())
	log.Info("reloaded", "config", s.config, "digest", cfg.Digest())
	for _, w := range cfg.Warnings() {
		log.Warn("configuration", "warning", w.String())
	}
}

// sameControl refuses another control socket: the commands would look for the
// daemon where it is not, and tandem release take it for dead.
func sameControl(started, cfg *configs.Config) error {
	if cfg.ControlSocket == started.ControlSocket && cfg.ControlGroup == started.ControlGroup {
		return nil
	}
	return fmt.Errorf("[control] is %q, group %q, and was %q, group %q: a change of it takes a restart",
		cfg.ControlSocket, cfg.ControlGroup, started.ControlSocket, started.ControlGroup)
}
