package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"path/filepath"

	"github.com/spf13/cobra"

	"tandem/configs"
	"tandem/control"
	"tandem/director"
	"tandem/healthcheck"
	"tandem/internal/ledger"
	"tandem/internal/sysctl"
	"tandem/ipvsctl"
)

// planChanges is the exit status of plan when something would change.
const planChanges = 2

func planCommand(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "plan",
		Short: "Show which interfaces, sysctls, IPVS entries and firewall rules a start or a reload would change, and change nothing",
		Long: `Plan compares the configuration with the kernel: the interfaces of virtual
MACs, the sysctls that LVS needs, each with its reason, those that an earlier
configuration changed and that would be put back, the IPVS table, and the nftables
table of accept = false. The virtual IPs, the routes and rules that follow them and
the connection-sync daemons are not in it: they go where the election goes.

The verdicts are those of the running tandem; without one, every server is taken
to be up. The exit status is 0 if none of these would change, 2 if some would, 1
on an error.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := s.load()
			if err != nil {
				return err
			}
			n, err := s.plan(cmd.Context(), cmd.OutOrStdout(), cfg)
			if err != nil {
				return err
			}
			if n > 0 {
				return exitCode(planChanges)
			}
			fmt.Fprintln(cmd.OutOrStdout(), "nothing would change")
			return nil
		},
	}
}

func (s *settings) plan(ctx context.Context, out io.Writer, cfg *configs.Config) (int, error) {
	owned, err := s.ledger().Load()
	if err != nil {
		return 0, err
	}
	table, err := openIPVS(openKernel, cfg, owned)
	if err != nil {
		return 0, err
	}
	defer table.Close()
	have, _, err := table.Table()
	if err != nil {
		return 0, err
	}
	ours := make(map[ipvsctl.ServiceKey]bool)
	for _, k := range owned.Services {
		ours[k] = true
	}
	var settings []ipvsctl.Sysctl
	if cfg.SysctlProfile == "director" {
		settings = profile(cfg)
	}
	changes, err := planSysctls(sysctl.Get, settings, owned.Sysctls)
	if err != nil {
		return 0, err
	}
	interfaces, err := planDevices(out, cfg, owned.Devices)
	if err != nil {
		return 0, err
	}
	for _, c := range changes {
		fmt.Fprintf(out, "sysctl %s: %s -> %s (%s)\n", c.Key, c.Have, c.Want, c.Why)
	}
	snap, err := s.snapshot(ctx, cfg)
	if err != nil {
		return 0, err
	}
	want := director.DesiredTable(cfg, plannedVerdicts(cfg, snap), have)
	ops := ipvsctl.Diff(have, want, func(k ipvsctl.ServiceKey) bool { return ours[k] })
	for _, op := range ops {
		fmt.Fprintln(out, op)
	}
	denials, err := s.planFirewall(out, cfg, owned)
	return interfaces + len(changes) + len(ops) + denials, err
}

// planSysctls lists what would be put back, which is what was changed before and
// is not in the profile now, and then what the profile changes, in the order in
// which a director does it. A setting that is gone with its interface is passed
// over.
func planSysctls(get func(string) (string, error), profile []ipvsctl.Sysctl, before map[string]string) ([]director.SysctlChange, error) {
	var out []director.SysctlChange
	var errs []error
	named := director.NamedSysctls(profile)
	for _, key := range director.RestoreOrder(before) {
		if named[key] {
			continue
		}
		have, err := get(key)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			errs = append(errs, err)
		case have != before[key]:
			out = append(out, director.SysctlChange{Key: key, Have: have, Want: before[key],
				Why: "as it was before tandem changed it; the configuration no longer asks for that"})
		}
	}
	changes, err := director.PlanSysctls(get, profile)
	return append(out, changes...), errors.Join(append(errs, err)...)
}

// snapshot is that of the running daemon, empty if none runs.
func (s *settings) snapshot(ctx context.Context, cfg *configs.Config) (director.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	snap, err := control.Status(ctx, cmp.Or(s.socket, cfg.ControlSocket))
	if errors.Is(err, control.ErrNotRunning) {
		return director.Snapshot{}, nil
	}
	return snap, err
}

// plannedVerdicts are those of a snapshot. A server that is not in it counts as
// up: that is what it is configured for.
func plannedVerdicts(cfg *configs.Config, snap director.Snapshot) map[healthcheck.Target]healthcheck.Verdict {
	type server struct {
		service string
		address netip.AddrPort
	}
	states := make(map[server]healthcheck.State)
	for _, svc := range snap.Services {
		for _, srv := range svc.Servers {
			for _, state := range []healthcheck.State{healthcheck.Unknown, healthcheck.Up, healthcheck.Down} {
				if state.String() == srv.Verdict {
					states[server{svc.Name, srv.Address}] = state
				}
			}
		}
	}
	verdicts := make(map[healthcheck.Target]healthcheck.Verdict)
	for _, svc := range cfg.Services {
		for _, srv := range svc.Servers {
			state, known := states[server{svc.Name, srv.Address}]
			if !known {
				state = healthcheck.Up
			}
			verdicts[director.TargetOf(svc, srv)] = healthcheck.Verdict{State: state}
		}
	}
	return verdicts
}

func (s *settings) ledger() ledger.File { return ledger.File(filepath.Join(s.stateDir, "ledger.json")) }
