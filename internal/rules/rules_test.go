// Package rules has no code, only the test that the source keeps the rules of
// docs/design.md: which packages are pure, and who may import whom.
package rules

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "tandem"

// pure packages have no clock, socket, goroutine or logger.
var pure = []string{"vrrp", "vrrp/transcript", "healthcheck", "ipvsctl", "configs", "internal/sim"}

// seeded packages are pure and draw random numbers, but only from a seed.
var seeded = []string{"internal/sim"}

// Imports and calls that a pure package must not have.
var (
	impureImports = []string{
		"context", "crypto/rand", "golang.org/x/sys/unix", "log", "log/slog", "math/rand", "math/rand/v2",
		"net", "net/http", "os", "os/exec", "os/signal", "sync", "sync/atomic", "syscall",
	}
	impureCalls = map[string][]string{"time": {"Now", "Sleep", "After", "NewTimer", "NewTicker", "AfterFunc", "Tick", "Since", "Until"}}
)

// unseeded are the members of math/rand/v2 that draw from a seed of their own.
var unseeded = map[string][]string{"math/rand/v2": {
	"ExpFloat64", "Float32", "Float64", "Int", "Int32", "Int32N", "Int64", "Int64N", "IntN", "N",
	"NormFloat64", "Perm", "Shuffle", "Uint", "Uint32", "Uint32N", "Uint64", "Uint64N", "UintN",
}}

// cores know nothing of one another: package director brings them together.
var cores = []string{"vrrp", "healthcheck", "ipvsctl"}

// edges do real IO. Package director imports none: they are its Options.
var edges = []string{
	"vrrp/wire", "vrrp/recorder", "healthcheck/probe", "ipvsctl/kernel",
	"internal/netif", "internal/sysctl", "internal/realserver", "internal/ledger", "internal/program", "internal/track", "internal/realtime", "control",
}

// exits are the calls that end the process.
var exits = map[string][]string{"os": {"Exit"}, "log": {"Fatal", "Fatalf", "Fatalln", "Panic", "Panicf", "Panicln"}}

// file is one source file as the rules see it.
type file struct {
	dir     string // of the package, with slashes, relative to the module
	main    bool   // of package main
	test    bool
	imports map[string]string // path by the name it has in the file
	syntax  *ast.File
	fset    *token.FileSet
}

func parse(dir, name string, src any) (*file, error) {
	f := &file{dir: dir, test: strings.HasSuffix(name, "_test.go"), imports: map[string]string{}, fset: token.NewFileSet()}
	syntax, err := parser.ParseFile(f.fset, name, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	f.syntax, f.main = syntax, syntax.Name.Name == "main"
	for _, spec := range syntax.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		name := path.Base(p)
		if name == "v2" {
			name = path.Base(path.Dir(p))
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if name == "." || name == "_" {
			name += p // several of them may be in a file
		}
		f.imports[name] = p
	}
	return f, nil
}

// within says whether dir is root or below it.
func within(dir, root string) bool { return dir == root || strings.HasPrefix(dir, root+"/") }

// check lists what in a file breaks a rule.
func check(f *file) []string {
	var found []string
	report := func(pos token.Pos, format string, args ...any) {
		at := f.fset.Position(pos)
		found = append(found, fmt.Sprintf("%s:%d: ", at.Filename, at.Line)+fmt.Sprintf(format, args...))
	}
	for _, spec := range f.syntax.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		for _, complaint := range checkImport(f, p) {
			report(spec.Pos(), "%s", complaint)
		}
		if spec.Name != nil && spec.Name.Name == "." {
			report(spec.Pos(), "imports with a dot hide what is used")
		}
	}
	isPure := !f.test && slices.Contains(pure, f.dir)
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			if isPure {
				report(n.Pos(), "a pure package starts a goroutine")
			}
		case *ast.SelectorExpr:
			if isPure && f.refersTo(n, impureCalls) {
				report(n.Pos(), "a pure package asks for the time: it comes as an argument")
			}
			if isPure && f.refersTo(n, unseeded) {
				report(n.Pos(), "a pure package draws a number without a seed")
			}
			if !f.mayExit() && f.refersTo(n, exits) {
				report(n.Pos(), "only a command may end the process")
			}
		}
		return true
	})
	return found
}

func checkImport(f *file, p string) []string {
	var found []string
	fail := func(wrong bool, format string, args ...any) {
		if wrong {
			found = append(found, fmt.Sprintf(format, args...))
		}
	}
	drawn := slices.Contains(seeded, f.dir) && p == "math/rand/v2"
	fail(!f.test && !drawn && slices.Contains(pure, f.dir) && slices.Contains(impureImports, p), "a pure package imports %s", p)
	target, ours := strings.CutPrefix(p, module+"/")
	if !ours {
		return found
	}
	of := func(roots []string, dir string) string {
		i := slices.IndexFunc(roots, func(root string) bool { return within(dir, root) })
		if i < 0 {
			return ""
		}
		return roots[i]
	}
	from, to := of(cores, f.dir), of(cores, target)
	fail(from != "" && to != "" && from != to, "%s imports %s: the cores know nothing of one another", f.dir, target)
	fail(slices.Contains(pure, f.dir) && !f.test && !slices.Contains(pure, target), "a pure package imports %s, which is not pure", target)
	fail(within(f.dir, "director") && of(edges, target) != "", "director imports the edge %s: it belongs into Options", target)
	fail(within(target, "integration") && !within(f.dir, "integration"), "%s imports %s: nothing outside of integration may", f.dir, target)
	mayDirect := []string{"cmd", "control", "internal", "director", "integration"}
	fail(within(target, "director") && of(mayDirect, f.dir) == "", "%s imports director", f.dir)
	return found
}

// refersTo says whether an expression names one of the members of a package.
func (f *file) refersTo(e *ast.SelectorExpr, members map[string][]string) bool {
	x, ok := e.X.(*ast.Ident)
	return ok && slices.Contains(members[f.imports[x.Name]], e.Sel.Name)
}

// mayExit says whether a file may end the process: that of a program, or a test
// of the drills, which starts itself as one.
func (f *file) mayExit() bool {
	return f.main && within(f.dir, "cmd") || (f.main || f.test) && within(f.dir, "integration")
}

func TestSource(t *testing.T) {
	root := filepath.Join("..", "..")
	n := 0
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || name != root && strings.HasPrefix(d.Name(), ".") && d.Name() != ".."):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(name) != ".go":
			return nil
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		f, err := parse(path.Dir(filepath.ToSlash(rel)), name, nil)
		if err != nil {
			return err
		}
		n++
		for _, line := range check(f) {
			t.Error(line)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n < 100 {
		t.Errorf("only %d files were found", n)
	}
}

// The packages that the rules name must exist, or the rules say nothing.
func TestNamedPackagesExist(t *testing.T) {
	for _, dir := range slices.Concat(pure, seeded, cores, edges, []string{"director", "integration", "cmd"}) {
		if info, err := os.Stat(filepath.Join("..", "..", filepath.FromSlash(dir))); err != nil || !info.IsDir() {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

var update = flag.Bool("update", false, "write testdata/*.want anew; read the difference before it is committed")

// Each fixture breaks rules, or seems to. Its first line says where it lies.
func TestFixtures(t *testing.T) {
	names, err := filepath.Glob("testdata/*.go.txt")
	if err != nil || len(names) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			src, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(string(src), "\n")
			at, ok := strings.CutPrefix(first, "// ")
			if !ok {
				t.Fatal("the first line must be a comment with the path of the file")
			}
			f, err := parse(path.Dir(at), at, src)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(append(check(f), ""), "\n")
			golden := strings.TrimSuffix(name, ".go.txt") + ".want"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}
