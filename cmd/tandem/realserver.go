package main

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"tandem/internal/realserver"
	"tandem/ipvsctl"
)

// realserverFlags say which addresses a real server serves.
type realserverFlags struct {
	*settings
	addresses []string
	// stateDir is not that of the daemon, whose user must not own this file.
	stateDir string
}

func realserverCommand(s *settings) *cobra.Command {
	f := &realserverFlags{settings: s}
	cmd := &cobra.Command{
		Use:   "realserver",
		Short: "Prepare this machine as a real server for direct routing",
		Long: `With direct routing the real server answers clients itself, from the virtual IP.
It needs that address, on lo, and must not answer ARP for it.

The addresses are those of the configuration's direct-routing services, or those
of --address, for which no configuration is needed.`,
	}
	cmd.PersistentFlags().StringSliceVar(&f.addresses, "address", nil, "virtual IPs (default: those of the configuration)")
	cmd.PersistentFlags().StringVar(&f.stateDir, "state-dir", "/run/tandem-realserver", "`directory` for what clear takes back; a reboot may empty it")
	sub := func(use, short string, run func(*cobra.Command, []netip.Addr) error) {
		cmd.AddCommand(&cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			vips, err := f.vips()
			if err != nil {
				return err
			}
			return run(cmd, vips)
		}})
	}
	sub("apply", "Add the virtual IPs to lo and keep the interfaces from answering for them", f.apply)
	sub("check", "Say exactly what is wrong; exit with status 1 if something is", f.check)
	cmd.AddCommand(&cobra.Command{
		Use: "clear", Short: "Take back what apply changed", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return realserver.Clear(f.state()) },
	})
	return cmd
}

func (f *realserverFlags) state() string { return filepath.Join(f.stateDir, "realserver.json") }

func (f *realserverFlags) vips() ([]netip.Addr, error) {
	var out []netip.Addr
	for _, text := range f.addresses {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("--address: %w; write for example 192.0.2.10", err)
		}
		out = append(out, a)
	}
	if out != nil {
		return out, nil
	}
	cfg, err := f.load()
	if err != nil {
		return nil, fmt.Errorf("%w\nor name the virtual IPs with --address", err)
	}
	for _, svc := range cfg.Services {
		if svc.Forwarding != ipvsctl.Direct.String() {
			continue
		}
		for _, v := range svc.Virtual {
			if !slices.Contains(out, v.Addr()) {
				out = append(out, v.Addr())
			}
		}
	}
	if out == nil {
		return nil, fmt.Errorf("%s has no service with direct routing: there is nothing to prepare here", f.config)
	}
	return out, nil
}

func (f *realserverFlags) apply(cmd *cobra.Command, vips []netip.Addr) error {
	if err := realserver.Apply(vips, f.state()); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "real server of %v\n", vips)
	return nil
}

func (f *realserverFlags) check(cmd *cobra.Command, vips []netip.Addr) error {
	findings, err := realserver.Check(vips)
	if err != nil {
		return err
	}
	fatal := false
	for _, x := range findings {
		word := "warning"
		if x.Fatal {
			word, fatal = "WRONG", true
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n  %s\n", word, x.Problem, x.Remedy)
	}
	if fatal {
		return exitCode(1)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "ready as a real server of %v\n", vips)
	return nil
}
