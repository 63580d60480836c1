package main

import (
	"errors"
	"flag"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseArgs(t *testing.T) {
	opts, command, err := parseArgs([]string{"--timeout", "5s", "-vm", "-memory=512", "prog", "-vm", "--", "-x"}, "1m")
	if err != nil {
		t.Fatal(err)
	}
	want := options{vm: true, timeout: 5 * time.Second, machine: machine{memoryMiB: 512, cpus: 2, bootLimit: defaultBootLimit}}
	if opts != want {
		t.Errorf("options %+v, want %+v", opts, want)
	}
	if w := []string{"prog", "-vm", "--", "-x"}; !slices.Equal(command, w) {
		t.Errorf("command %q, want %q", command, w)
	}
}

func TestParseArgsTimeout(t *testing.T) {
	for env, want := range map[string]time.Duration{"": defaultTimeout, "90s": 90 * time.Second} {
		if opts, _, err := parseArgs([]string{"true"}, env); err != nil || opts.timeout != want {
			t.Errorf("LABRUN_TIMEOUT=%q: limit %v, %v, want %v", env, opts.timeout, err, want)
		}
	}
}

func TestParseArgsErrors(t *testing.T) {
	tests := []struct {
		args, env, want string
	}{
		{"", "", "no command given; see labrun -help"},
		{"-direct -vm true", "", "-direct and -vm exclude each other"},
		{"-timeout=0 true", "", "time limit 0s: must be positive"},
		{"-boot-limit=0 true", "", "boot limit 0s: must be positive"},
		{"true", "-1s", "time limit -1s: must be positive"},
		{"true", "90", `LABRUN_TIMEOUT="90": want a duration such as 90s or 10m`},
	}
	for _, tt := range tests {
		if _, _, err := parseArgs(strings.Fields(tt.args), tt.env); text(err) != tt.want {
			t.Errorf("parseArgs(%q, %q): got error %q, want %q", tt.args, tt.env, text(err), tt.want)
		}
	}
	if _, _, err := parseArgs([]string{"-help"}, ""); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-help: got error %v", err)
	}
}

func TestRunCommandNotFound(t *testing.T) {
	tests := map[string]int{
		"no-such-program":       exitNotFound,
		"/no/such/program":      exitNotFound,
		"/proc/version":         exitNotExecutable,
		"/proc/version/program": exitNotExecutable, // not a directory
	}
	for program, want := range tests {
		if got := runCommand(options{direct: true}, []string{program}); got != want {
			t.Errorf("%s: exit status %d, want %d", program, got, want)
		}
	}
}
