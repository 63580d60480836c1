//go:build lab

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tandem/vrrp"
	"tandem/vrrp/transcript"
)

// What running elections recorded replays to the letter: a start, adverts, a
// hand-over, a takeover.
func TestRecordedPair(t *testing.T) {
	cfg := parseConfig(t, goodConfig)
	ns := newNamespaces(t)
	a, b := join(t, ns[0], "lb1", 200, cfg), join(t, ns[1], "lb2", 100, cfg)
	a.waitFor(t, "active", func() bool { return a.election.Status().Role.State == vrrp.Active })
	b.hears(t)
	a.election.Shutdown("stopping", true)
	b.waitFor(t, "active", func() bool { return b.election.Status().Role.State == vrrp.Active })
	a.waitFor(t, "free", func() bool { return !a.election.Status().Role.Hold })
	for s, want := range map[*side][]string{
		a: {" startup 10.0.0.1\n-> backup ", "-> active ", " shutdown hand-over stopping\n-> advert priority=0\n-> init hold=true ", "-> init hold=false "},
		b: {" startup 10.0.0.2\n-> backup ", " receive 10.0.0.1 priority=200\n", " receive 10.0.0.1 priority=0\n", "-> active "},
	} {
		s.election.Close()
		files, err := filepath.Glob(filepath.Join(s.record, "*"))
		if err != nil || !slices.Equal(files, []string{filepath.Join(s.record, "vrid51-eth0.txt")}) {
			t.Fatalf("%s: files %v, %v", s.node, files, err)
		}
		text, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		again, gaps, err := transcript.Replay(string(text))
		if err != nil || gaps != nil || again != string(text) {
			t.Errorf("%s: gaps %v, error %v; recorded\n%s\nreplayed\n%s", s.node, gaps, err, text, again)
		}
		rest := string(text)
		for _, w := range want {
			_, after, ok := strings.Cut(rest, w)
			if !ok {
				t.Errorf("%s: no %q in\n%s", s.node, w, text)
			}
			rest = after
		}
	}
}
