package vrrp_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tandem/vrrp/transcript"
)

var (
	update   = flag.Bool("update", false, "rewrite testdata/*.txt with what the machine does; understand the difference before you commit it")
	recorded = flag.String("transcript", "", "replay this `file`, which a daemon recorded, instead of testdata/*.txt; an absolute path, or one from this directory")
)

// TestTranscripts replays testdata/*.txt, or a recording: what the machine does is
// what it did. Package transcript has the format.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("transcripts: %v, error %v", files, err)
	}
	if *recorded != "" {
		files = []string{*recorded}
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, gaps, err := transcript.Replay(string(want))
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			for _, g := range gaps {
				t.Logf("lines %d to %d cannot be replayed: steps before them are not in the file", g.Line, g.Until-1)
			}
			if *update && *recorded == "" {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got == string(want) {
				return
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
