package configs

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite testdata/*.err; read the diff before you commit it")

// TestInvalid holds the exact errors of one file per rule.
func TestInvalid(t *testing.T) {
	files, err := filepath.Glob("testdata/invalid-*.toml")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 100 {
		t.Fatalf("only %d files in testdata", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".toml"), func(t *testing.T) {
			data := readFile(t, file)
			c, err := Parse(filepath.Base(file), data)
			if err == nil {
				t.Fatalf("accepted: %+v", c)
			}
			if c != nil {
				t.Errorf("a configuration beside the error: %+v", c)
			}
			checkErrors(t, data, err)
			golden := strings.TrimSuffix(file, ".toml") + ".err"
			got := err.Error() + "\n"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(readFile(t, golden)), got); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

// TestTooLarge keeps a hostile file from costing more than a look at its size.
func TestTooLarge(t *testing.T) {
	_, err := Parse("tandem.toml", make([]byte, MaxSize+1))
	want := "tandem.toml:1: the file has 4194305 bytes; at most 4194304 are read"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestHostile has files that would exhaust the stack, the memory or the patience
// of a reader without bounds.
func TestHostile(t *testing.T) {
	fill := func(prefix, unit string) []byte {
		return []byte(prefix + strings.Repeat(unit, (MaxSize-len(prefix))/len(unit)))
	}
	half := strings.Repeat("[[pair.director]]\n", MaxSize/2/18)
	for name, data := range map[string][]byte{
		"nested arrays":             fill("a = ", "["),
		"nested arrays and tables":  fill("a = ", "[{a="),
		"nested tables":             fill("", "a={"),
		"a key of many parts":       fill("a", ".a"),
		"a header of many parts":    fill("[a", ".a"),
		"an endless key":            fill("", "a"),
		"an endless quoted key":     fill("\"", "a"),
		"an endless string":         fill("a = \"\"\"", "\n"),
		"many quotes":               fill("a = ", "\""),
		"many directors by routers": fill(half, "[[virtual_router]]\n"),
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Parse("tandem.toml", data)
			if err == nil {
				t.Fatalf("accepted: %+v", c)
			}
			checkErrors(t, data, err)
		})
	}
}

// TestErrorsAs lets callers look at one error.
func TestErrorsAs(t *testing.T) {
	_, err := Parse("tandem.toml", []byte("[vrrp]\n\nfailbak = \"never\"\n"))
	all, ok := errors.AsType[Errors](err)
	if !ok {
		t.Fatalf("%T is not Errors", err)
	}
	i := slices.IndexFunc(all, func(e *Error) bool { return e.Line == 3 })
	if i < 0 {
		t.Fatalf("no error in line 3: %v", err)
	}
	want := &Error{File: "tandem.toml", Line: 3, Key: "vrrp.failbak", Problem: "unknown key", Remedy: "did you mean failback?"}
	if diff := cmp.Diff(want, all[i]); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
	if one, ok := errors.AsType[*Error](err); !ok || one != all[0] {
		t.Errorf("AsType[*Error] = %v, want the first error", one)
	}
}

// checkErrors checks what holds for any error of Parse.
func checkErrors(t *testing.T, data []byte, err error) {
	t.Helper()
	all, ok := errors.AsType[Errors](err)
	if !ok || len(all) == 0 {
		t.Fatalf("not a list of errors: %#v", err)
	}
	lines := 1 + strings.Count(string(data), "\n")
	last := 1
	for _, e := range all {
		if e.Line < last || e.Line > lines {
			t.Errorf("line %d after line %d of %d: %v", e.Line, last, lines, e)
		}
		last = e.Line
		if e.Problem == "" || e.Remedy == "" {
			t.Errorf("no problem or no remedy: %#v", e)
		}
		if strings.Contains(e.Error(), "\n") {
			t.Errorf("more than one line: %q", e.Error())
		}
	}
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
