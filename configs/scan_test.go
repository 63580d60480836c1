package configs

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
)

// lines renders the tree of places, one "path line" each.
func lines(n *node, path string) []string {
	var list []string
	for k, c := range n.keys {
		p := strings.TrimPrefix(path+"."+k, ".")
		list = append(list, fmt.Sprintf("%s %d", p, c.line))
		list = append(list, lines(c, p)...)
	}
	for i, c := range n.items {
		p := fmt.Sprintf("%s[%d]", path, i)
		list = append(list, fmt.Sprintf("%s %d", p, c.line))
		list = append(list, lines(c, p)...)
	}
	slices.Sort(list)
	return list
}

func TestScan(t *testing.T) {
	for _, tt := range []struct {
		name, src string
		want      []string
	}{
		{"empty", "", nil},
		{"blank", " \t\r\n# only a = 1\n", nil},
		{"comment at the end", "a = 1\n# b", []string{"a 1"}},
		{"open array", "a = [1, 2", []string{"a 1", "a[0] 1", "a[1] 1"}},
		{"open array after comma", "a = [1,\n", []string{"a 1", "a[0] 1"}},
		{"open inline table", "a = { b = 1,\n", []string{"a 1", "a.b 1"}},
		{"no value", "a =", []string{"a 1"}},
		{"keys", "a = 1\n\nb=2 # c = 3\n\td = 4", []string{"a 1", "b 3", "d 4"}},
		{"crlf", "a = 1\r\n[b]\r\nc = 2\r\n", []string{"a 1", "b 2", "b.c 3"}},
		{"byte order mark", "\xef\xbb\xbfa = 1\nb = 2", []string{"a 1", "b 2"}},
		{"tables", "[a]\nx = 1\n[a.b]\nx = 2\n[ c . \"d e\" ]\nx = 3\n", []string{"a 1", "a.x 2", "a.b 3", "a.b.x 4", "c 5", "c.d e 5", "c.d e.x 6"}},
		{"child before parent", "[a.b]\n[a]\nx = 1\n", []string{"a 2", "a.b 1", "a.x 3"}},
		{"array of tables", "[[a]]\nx = 1\n[a.b]\ny = 1\n[[a]]\nx = 2\n[[a.c]]\nz = 1\n[[a.c]]\nz = 2\n", []string{
			"a 1", "a[0] 1", "a[0].x 2", "a[0].b 3", "a[0].b.y 4", "a[1] 5", "a[1].x 6",
			"a[1].c 7", "a[1].c[0] 7", "a[1].c[0].z 8", "a[1].c[1] 9", "a[1].c[1].z 10",
		}},
		{"dotted key", "a.b.c = 1\na.'b'.d = 2\n", []string{"a 1", "a.b 1", "a.b.c 1", "a.b.d 2"}},
		{"quoted key", "\"a#b\" = 1\n'c = d' = 2\n\"\\u0065\\\"\" = 3\n", []string{"a#b 1", "c = d 2", "e\" 3"}},
		{"array", "a = [ # one\n  1, # two\n\n  [2,\n3],\n]\nb = 1", []string{"a 1", "a[0] 2", "a[1] 4", "a[1][0] 4", "a[1][1] 5", "b 7"}},
		{"inline table", "a = { b = 1, c.d = [\n2], e = {} }\nf = 1", []string{"a 1", "a.b 1", "a.c 1", "a.c.d 1", "a.c.d[0] 2", "a.e 2", "f 3"}},
		{"inline table of many lines", "a = {\n  b = 1, # x\n  c = 2,\n}\nd = 1", []string{"a 1", "a.b 2", "a.c 3", "d 5"}},
		{"strings", `a = "# \" ] "` + "\nb = '\\'\nc = ''\nd = \"\"\ne = 1", []string{"a 1", "b 2", "c 3", "d 4", "e 5"}},
		{"long strings", "a = \"\"\"\n x = 1 \\\"\"\"\\\n \"\" # \"\"\"\"\"\nb = '''\n'' \\\n'''\nc = ''''a'''''\nd = 1",
			[]string{"a 1", "b 4", "c 7", "d 8"}},
		{"dates", "a = 1979-05-27 07:32:00 # x\nb = [1979-05-27 07:32:00]", []string{"a 1", "b 2", "b[0] 2"}},
		{"broken", "a = 1\nb = \"x\nc = 1\n", []string{"a 1", "b 2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root, bound, _ := scan(tt.src)
			if bound != "" {
				t.Fatal(bound)
			}
			slices.Sort(tt.want)
			if diff := cmp.Diff(tt.want, lines(root, "")); diff != "" {
				t.Errorf("places (-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzScan compares with the TOML library: whatever that reads, each key and
// each element must have a place. A scanner that lost its way would miss some.
func FuzzScan(f *testing.F) {
	for _, seed := range []string{
		"a.b = [1, { c = 'x', \"d\\t\" = \"\"\"\n\\\"\"\"\" }]\n[[e]]\n[e.f]\ng = 1979-05-27 07:32:00\n[[e]]\n",
		"a = ''' ''''' # '''\nb = [ # ]\n]\n[\"c.d\".'e']\n",
		"[a]\nb.c = {}\n[a.b.d]\n", "\xef\xbb\xbfa = inf\n", "a = \"\"\"\\\\\"\"\"\"\"\"\nb = 1\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, src string) {
		root, bound, line := scan(src)
		if line < 1 || line > 1+strings.Count(src, "\n") {
			t.Errorf("line %d", line)
		}
		if bound != "" {
			return // not for the library
		}
		var values map[string]any
		if err := toml.Unmarshal([]byte(src), &values); err != nil {
			return
		}
		checkPlaces(t, root, values, "", 1+strings.Count(src, "\n"))
	})
}

// checkPlaces checks that the tree of places has what the tree of values has.
func checkPlaces(t *testing.T, n *node, value any, path string, lines int) {
	if n == nil {
		t.Errorf("no place for %q", path)
		return
	}
	if n.line < 1 || n.line > lines {
		t.Errorf("%q in line %d of %d", path, n.line, lines)
	}
	switch v := value.(type) {
	case map[string]any:
		for k, value := range v {
			checkPlaces(t, n.key(k), value, path+"."+k, lines)
		}
	case []any:
		for i, value := range v {
			checkPlaces(t, n.item(i), value, fmt.Sprintf("%s[%d]", path, i), lines)
		}
	case []map[string]any:
		for i, value := range v {
			checkPlaces(t, n.item(i), value, fmt.Sprintf("%s[%d]", path, i), lines)
		}
	}
}
