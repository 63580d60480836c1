package sim

import (
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"strings"
	"testing"
)

// TestCopies: what the model has copied, because it is not exported or belongs to
// a package that it must not import, is still what it was copied from.
func TestCopies(t *testing.T) {
	for _, c := range []struct {
		file, name, text string
		same             bool
	}{
		{"vrrp/runner/loop.go", "patience", "5 * time.Millisecond", patience == 5*ms},
		{"vrrp/timers.go", "minHandOver", "500 * time.Millisecond", minHandOver == 500*ms},
		{"vrrp/timers.go", "assertGap", "MinInterval", assertGap == 10*ms},
		{"vrrp/timers.go", "releaseGap", "time.Millisecond", releaseGap == ms},
		{"director/holder.go", "retryAfter", "50 * time.Millisecond", retryAfter == 50*ms},
		{"configs/sections.go", "minLease", "2 * time.Second", leaseFor(0) == 2000*ms},
	} {
		if got := constant(t, c.file, c.name); got != c.text || !c.same {
			t.Errorf("%s in %s is %q now, not %q as when it was copied; same here: %v", c.name, c.file, got, c.text, c.same)
		}
	}
}

// constant is the text of a constant's value in a source file of the module.
func constant(t *testing.T, file, name string) string {
	t.Helper()
	fset := token.NewFileSet()
	syntax, err := parser.ParseFile(fset, "../../"+file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	ast.Inspect(syntax, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if ok && len(spec.Values) == 1 && spec.Names[0].Name == name {
			if err := printer.Fprint(&text, fset, spec.Values[0]); err != nil {
				t.Fatal(err)
			}
		}
		return true
	})
	return text.String()
}
