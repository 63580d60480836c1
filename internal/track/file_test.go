package track

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tandem/director"
)

func TestReadNumber(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n")
	zero := func(reason string) director.ThingState {
		return director.ThingState{Known: true, Well: true, Reason: reason}
	}
	number := func(n int64, reason string) director.ThingState {
		return director.ThingState{Known: true, Number: n, Reason: reason}
	}
	if got, err := readNumber(path); err != nil || got != zero("absent") {
		t.Errorf("absent: %+v, %v", got, err)
	}
	for text, want := range map[string]director.ThingState{
		"": zero("empty"), " \n": zero("empty"), "0\n": zero("holds 0"), "1": number(1, "holds 1"), " -3 \n": number(-3, "holds -3"), "+5": number(5, "holds 5"),
	} {
		write(t, path, text)
		if got, err := readNumber(path); err != nil || got != want {
			t.Errorf("%q: got %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"yes", "1 2", "0x10", "1.5", "99999999999999999999", strings.Repeat(" ", 64) + "1", strings.Repeat(" ", 100)} {
		write(t, path, text)
		if got, err := readNumber(path); err == nil || !strings.Contains(err.Error(), "not a whole number") || got.Known {
			t.Errorf("%q: got %+v, %v", text, got, err)
		}
	}
	for what, make := range map[string]func(string) error{
		"a directory": func(p string) error { return os.Mkdir(p, 0o755) },
		"a pipe":      func(p string) error { return unix.Mkfifo(p, 0o644) }, // which must not block
	} {
		p := filepath.Join(t.TempDir(), "x")
		if err := make(p); err != nil {
			t.Fatal(err)
		}
		if got, err := readNumber(p); err == nil {
			t.Errorf("%s: got %+v", what, got)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Whatever is done to the file is told, and nothing of its neighbours.
func TestWatchFile(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "n"), filepath.Join(dir, "other")
	ctx, cancel := context.WithCancel(t.Context())
	told, done := make(chan struct{}, 100), make(chan error, 1)
	go func() { done <- watchFile(ctx, path, func() { told <- struct{}{} }) }()
	wait := func(what string) {
		t.Helper()
		select {
		case <-told:
		case err := <-done:
			t.Fatalf("%s: ended: %v", what, err)
		case <-time.After(5 * time.Second):
			t.Fatalf("%s: not told", what)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	wait("start")
	write(t, path, "1")
	wait("made")
	write(t, path, "2")
	wait("written")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	must(err)
	write(t, other, "x")
	must(os.Remove(other))
	must(os.Rename(path, path+"2"))
	wait("moved away")
	if len(told) > 0 {
		t.Error("told of a file that is open for writing, or of another")
	}
	must(f.Close())
	must(os.Rename(path+"2", path))
	wait("moved here")
	must(os.Remove(path))
	wait("removed")
	cancel()
	if err := <-done; err != nil {
		t.Errorf("at the end: %v", err)
	}

	go func() { done <- watchFile(t.Context(), path, func() { told <- struct{}{} }) }()
	wait("start again")
	must(os.Remove(dir))
	if err := <-done; err == nil || !strings.Contains(err.Error(), "has gone") {
		t.Errorf("without its directory: %v", err)
	}
	if err := watchFile(t.Context(), path, func() {}); err == nil || !strings.Contains(err.Error(), "watch "+dir) {
		t.Errorf("no directory: %v", err)
	}
}

func TestJudge(t *testing.T) {
	event := func(mask uint32, name string) []byte {
		b := binary.NativeEndian.AppendUint32(nil, 1)
		b = binary.NativeEndian.AppendUint32(b, mask)
		b = binary.NativeEndian.AppendUint32(b, 0)
		b = binary.NativeEndian.AppendUint32(b, 16)
		return append(b, (name + strings.Repeat("\x00", 16))[:16]...)
	}
	for _, tt := range []struct {
		what      string
		events    []byte
		hit, gone bool
	}{
		{"nothing", nil, false, false},
		{"another file", event(unix.IN_CLOSE_WRITE, "nn"), false, false},
		{"the file", event(unix.IN_CLOSE_WRITE, "n"), true, false},
		{"the file, second", append(event(unix.IN_CLOSE_WRITE, "nn"), event(unix.IN_DELETE, "n")...), true, false},
		{"overflow", event(unix.IN_Q_OVERFLOW, ""), true, false},
		{"directory removed", event(unix.IN_DELETE_SELF, ""), true, true},
		{"directory moved, then more", append(event(unix.IN_MOVE_SELF, ""), event(unix.IN_DELETE, "x")...), true, true},
		{"cut short", event(unix.IN_DELETE, "x")[:20], true, false},
	} {
		if hit, gone := judge(tt.events, "n"); hit != tt.hit || gone != tt.gone {
			t.Errorf("%s: hit %t, gone %t", tt.what, hit, gone)
		}
	}
}
