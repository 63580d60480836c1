package main

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	unitCommand   = regexp.MustCompile(`(?m)^Exec\w+=/usr/sbin/tandem (.+)$`)
	unitDirectory = regexp.MustCompile(`(?m)^RuntimeDirectory=(.+)$`)
)

// TestUnits: what the packaged units call exists, and each keeps its state in
// its own runtime directory. systemd gives such a directory to the unit's user
// at each start, so two units must not share one.
func TestUnits(t *testing.T) {
	units, err := filepath.Glob("../../packaging/*.service")
	if err != nil || len(units) < 2 {
		t.Fatalf("units: %v, %v", units, err)
	}
	owner := make(map[string]string)
	for _, unit := range units {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		directory := unitDirectory.FindSubmatch(text)
		commands := unitCommand.FindAllSubmatch(text, -1)
		if directory == nil || len(commands) == 0 {
			t.Errorf("%s: runtime directory %q, %d commands", unit, directory, len(commands))
			continue
		}
		own := path.Join("/run", string(directory[1]))
		if other, taken := owner[own]; taken {
			t.Errorf("%s and %s share %s", other, unit, own)
		}
		owner[own] = unit
		for _, c := range commands {
			cmd, args, err := command().Find(strings.Fields(string(c[1])))
			if err == nil {
				err = cmd.ParseFlags(args)
			}
			if err != nil || !cmd.Runnable() {
				t.Errorf("%s: tandem %s: %v", unit, c[1], err)
				continue
			}
			if dir, err := cmd.Flags().GetString("state-dir"); dir != own || err != nil {
				t.Errorf("%s: tandem %s keeps its state in %s (%v), want %s", unit, c[1], dir, err, own)
			}
		}
	}
}
