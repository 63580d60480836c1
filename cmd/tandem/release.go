package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
and the routes and rules that follow them, and the interfaces of virtual MACs, and
stops the connection-sync daemons, so that the other director owns them alone. The
IPVS table and the sysctls stay,
which a restart takes up again; with --all they go too.

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
	// The configuration may be broken by now, or another one. It only says where a
	// tandem would answer: what was taken is in the ledger, and an address that is
	// merely named may be another program's.
	socket := s.socket
	if cfg, err := s.load(); err == nil {
		socket = cmp.Or(socket, cfg.ControlSocket)
	}
	if socket != "" && control.Served(socket) {
		return fmt.Errorf("a tandem runs behind %s; stop it instead, which hands over first", socket)
	}
	// An address that goes with its interface says no goodbye with the virtual MAC.
	errs := []error{releaseRoutes(out, owned), releaseDevices(out, owned.Devices), releaseAddresses(out, owned), releaseFirewall(out, owned)}
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
	if owned.Addresses == nil && owned.Devices == nil && owned.Services == nil && owned.Sysctls == nil && !owned.Sync && !owned.Routes && !owned.Rules && !owned.Firewall {
		return nil
	}
	return file.Save(left)
}

func releaseAddresses(out io.Writer, owned director.Owned) error {
	if len(owned.Addresses) == 0 {
		return nil
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
		if !slices.Contains(owned.Addresses, configs.VirtualAddress(a.Address)) {
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
	if errors.Is(err, kernel.ErrNoIPVS) {
		return nil // what is not there has nothing of ours in it
	}
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
	for _, key := range director.RestoreOrder(owned.Sysctls) {
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
