package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"tandem/configs"
	"tandem/control"
	"tandem/director"
	"tandem/internal/netif"
	"tandem/internal/sysctl"
	"tandem/ipvsctl"
	"tandem/ipvsctl/kernel"
)

func releaseCommand(s *settings) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "release",
		Short: "Take away what a crashed tandem left behind",
		Long: `Release fences this machine after the daemon died: it removes the virtual IPs
and stops the connection-sync daemons, so that the other director owns them
alone. The IPVS table and the sysctls stay, which a restart takes up again; with
--all they go too.

It refuses while a tandem runs, and does nothing when there is nothing to do.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.release(cmd.OutOrStdout(), all)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "also remove the IPVS services and restore the sysctls")
	return cmd
}

func (s *settings) release(out io.Writer, all bool) error {
	file := s.ledger()
	owned, err := file.Load()
	if err != nil {
		return err
	}
	// The ledger says what was taken; the configuration may be broken by now.
	cfg, cfgErr := s.load()
	if cfgErr != nil && len(owned.Addresses) == 0 {
		return fmt.Errorf("there is no ledger of an earlier run in %s, and %w", s.stateDir, cfgErr)
	}
	socket := s.socket
	if socket == "" && cfg != nil {
		socket = cfg.ControlSocket
	}
	if socket != "" && control.Served(socket) {
		return fmt.Errorf("a tandem runs behind %s; stop it instead, which hands over first", socket)
	}
	errs := []error{releaseAddresses(out, cfg, owned)}
	if owned.Sync || all {
		errs = append(errs, releaseTable(out, owned, all))
	}
	left := director.Owned{Services: owned.Services, Sysctls: owned.Sysctls}
	if all {
		errs = append(errs, releaseSysctls(out, owned))
		left = director.Owned{}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if owned.Addresses == nil && owned.Services == nil && owned.Sysctls == nil {
		return nil
	}
	return file.Save(left)
}

func releaseAddresses(out io.Writer, cfg *configs.Config, owned director.Owned) error {
	ours := make(map[configs.VirtualAddress]bool)
	for _, a := range owned.Addresses {
		ours[a] = true
	}
	if cfg != nil {
		for _, r := range cfg.Routers {
			for _, a := range r.Addresses {
				ours[a] = true
			}
		}
	}
	h, err := netif.Open()
	if err != nil {
		return err
	}
	defer h.Close()
	held, err := h.Addresses()
	if err != nil {
		return err
	}
	var errs []error
	for _, a := range held {
		if !ours[configs.VirtualAddress(a.Address)] {
			continue
		}
		if err := h.Remove(a.Address); err != nil {
			errs = append(errs, err)
			continue
		}
		fmt.Fprintf(out, "removed %s\n", a.Address)
	}
	return errors.Join(errs...)
}

func releaseTable(out io.Writer, owned director.Owned, all bool) error {
	h, err := kernel.Open()
	if err != nil {
		return err
	}
	defer h.Close()
	errs := []error{h.StopDaemon(kernel.Master), h.StopDaemon(kernel.Backup)}
	if all {
		have, _, err := h.Table()
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		ours := make(map[ipvsctl.ServiceKey]bool)
		for _, k := range owned.Services {
			ours[k] = true
		}
		ops := ipvsctl.Diff(have, ipvsctl.Table{}, func(k ipvsctl.ServiceKey) bool { return ours[k] })
		for _, op := range ops {
			fmt.Fprintln(out, op)
		}
		errs = append(errs, h.Apply(ops))
	}
	return errors.Join(errs...)
}

func releaseSysctls(out io.Writer, owned director.Owned) error {
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(owned.Sysctls)) {
		old := owned.Sysctls[key]
		err := sysctl.Set(key, old)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it is gone with its interface
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		fmt.Fprintf(out, "sysctl %s restored to %s\n", key, old)
	}
	return errors.Join(errs...)
}
