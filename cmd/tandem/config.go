package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tandem/configs"
)

// load reads and checks the configuration.
func (s *settings) load() (*configs.Config, error) {
	data, err := readBounded(s.config)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w (name another file with --config)", err)
	}
	return configs.Parse(s.config, data)
}

// readBounded reads a file of at most one byte more than a configuration may
// have, so that a device or a wrong file does not fill the memory.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, configs.MaxSize+1))
}

// self is the director of the configuration that this machine is.
func (s *settings) self(cfg *configs.Config) (configs.Director, error) {
	name := s.node
	if name == "" {
		host, err := os.Hostname()
		if err != nil {
			return configs.Director{}, fmt.Errorf("host name: %w (name the director with --node)", err)
		}
		name = host
	}
	return cfg.Director(name)
}

func checkCommand(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check a configuration file and list every mistake in it",
		Long: `Check reads the configuration as run would and changes nothing.

It prints every mistake with its line and a remedy and exits with status 1 if
there is one. Warnings do not change the status. The file may be another
machine's, so key files are not looked for; check says which they are.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				s.config = args[0]
			}
			cfg, err := s.load()
			var list configs.Errors
			if errors.As(err, &list) {
				for _, e := range list {
					fmt.Fprintln(cmd.ErrOrStderr(), e)
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", s.config, count(len(list), "mistake"))
				return exitCode(1)
			}
			if err != nil {
				return err
			}
			for _, w := range cfg.Warnings() {
				fmt.Fprintln(cmd.ErrOrStderr(), "warning:", w)
			}
			servers := 0
			for _, svc := range cfg.Services {
				servers += len(svc.Servers)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: good: %s, %s, %s, %s; digest %s\n", s.config,
				count(len(cfg.Directors), "director"), count(len(cfg.Routers), "virtual router"),
				count(len(cfg.Services), "service"), count(servers, "server"), cfg.Digest())
			if auth := cfg.Routers[0].Auth; len(auth.Keys) > 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "%s: not checked: the key files, which run and reload read: %s\n", s.config,
					strings.Join(slices.Sorted(maps.Values(auth.Keys)), ", "))
			}
			return nil
		},
	}
}

func count(n int, what string) string {
	if n == 1 {
		return fmt.Sprintf("1 %s", what)
	}
	return fmt.Sprintf("%d %ss", n, what)
}
