package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"tandem/integration/load"
)

func serverCommand() *cobra.Command {
	var cfg load.ServerConfig
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Be a real server: HTTP that says its name, and an echo service",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return load.NewServer(cfg).Run(cmd.Context())
		},
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.StringVar(&cfg.Name, "name", "", "name in every answer")
	fl.StringVar(&cfg.HTTP, "http", ":80", "address of the HTTP service; empty for none")
	fl.StringVar(&cfg.Echo, "echo", ":7", "address of the echo service; empty for none")
	fl.StringVar(&cfg.Admin, "admin", "", "where set and state reach this server: path of a unix socket or TCP address")
	if err := cmd.MarkFlagRequired("name"); err != nil {
		panic(err) // no such flag
	}
	return cmd
}

func setCommand() *cobra.Command {
	var admin string
	cmd := &cobra.Command{
		Use:   "set --admin ADDR MODE",
		Short: "Change how a server behaves",
		Long: `Set changes how a running server behaves, from now on:

  ok          answers
  503         answers with status 503
  hang        accepts connections and never answers
  refuse      accepts no new connections, HTTP or echo
  slow=200ms  answers after this time

A mode is for every path; with ",health-only" behind it, such as
"503,health-only", it is for /healthz alone. Echo streams are left alone.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := load.ParseMode(args[0])
			if err != nil {
				return err
			}
			_, err = load.SetMode(cmd.Context(), admin, m)
			return err
		},
	}
	adminFlag(cmd, &admin)
	return cmd
}

func stateCommand() *cobra.Command {
	var admin string
	cmd := &cobra.Command{
		Use:   "state --admin ADDR",
		Short: "Print a server's mode and counters as JSON",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := load.ReadState(cmd.Context(), admin)
			if err != nil {
				return err
			}
			if err := json.NewEncoder(cmd.OutOrStdout()).Encode(s); err != nil {
				return fmt.Errorf("write state: %w", err)
			}
			return nil
		},
	}
	adminFlag(cmd, &admin)
	return cmd
}

func adminFlag(cmd *cobra.Command, admin *string) {
	cmd.Flags().StringVar(admin, "admin", "", "admin address of the server: path of a unix socket or TCP address")
	if err := cmd.MarkFlagRequired("admin"); err != nil {
		panic(err) // no such flag
	}
}
