//go:build lab

package native

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tandem/integration/elect"
	"tandem/ipvsctl/kernel"
)

// patience bounds every wait of a drill.
const patience = 20 * time.Second

// prepare makes a segment whose members do not run yet.
func prepare(t *testing.T, o elect.Options) (context.Context, *elect.Segment) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	s, err := elect.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("\n" + s.Logs())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return ctx, s
}

// start is prepare, and starts the members: the first one is active.
func start(t *testing.T, o elect.Options) (context.Context, *elect.Segment) {
	t.Helper()
	ctx, s := prepare(t, o)
	if err := s.StartAll(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx, s
}

// pair is two members that run tandem.
func pair() []elect.Member {
	return []elect.Member{{Speaker: elect.Tandem{}, Priority: 150}, {Speaker: elect.Tandem{}, Priority: 100}}
}

// eventually waits for a yes, and fails the test without one.
func eventually(t *testing.T, s *elect.Segment, what string, ask func() (bool, error)) time.Duration {
	t.Helper()
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.Eventually(ctx, what, ask); err != nil {
		t.Fatal(err)
	}
	return time.Since(begin)
}

// state asks whether the only virtual router of a member that runs tandem is in a
// state.
func state(s *elect.Segment, i int, want string) func() (bool, error) {
	return func() (bool, error) {
		snap, err := s.Status(i)
		return err == nil && len(snap.Routers) == 1 && snap.Routers[0].State == want, err
	}
}

// kernelHasIPVS says whether this machine's kernel has what most machines have.
func kernelHasIPVS(t *testing.T) bool {
	t.Helper()
	h, err := kernel.Open()
	if errors.Is(err, kernel.ErrNoIPVS) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	return true
}

// rewrite replaces a member's configuration file.
func rewrite(t *testing.T, s *elect.Segment, i int, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.Dir(i), "tandem.toml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
