package configs

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
)

// shipped is every configuration that comes with tandem.
func shipped(t testing.TB) map[string][]byte {
	t.Helper()
	examples, err := filepath.Glob("examples/*.toml")
	if err != nil || len(examples) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	files := make(map[string][]byte)
	for _, file := range append(examples, "reference.toml", "minimal.toml") {
		files[file] = readFile(t, file)
	}
	return files
}

func TestShippedFilesAreGood(t *testing.T) {
	for file, data := range shipped(t) {
		c := mustParse(t, file, data)
		if w := c.Warnings(); len(w) > 0 {
			t.Errorf("%s: %v", file, w)
		}
	}
}

// TestReferenceIsComplete fails when a key is not explained in reference.toml.
func TestReferenceIsComplete(t *testing.T) {
	vocabulary := make(map[string]bool)
	for file, data := range shipped(t) {
		_, tables, err := parse(file, data)
		if err != nil {
			t.Fatal(err)
		}
		for table, keys := range tables {
			for _, key := range keys {
				vocabulary[strings.TrimPrefix(table+"."+key, ".")] = true
			}
		}
	}
	var tree map[string]any
	if err := toml.Unmarshal(readFile(t, "reference.toml"), &tree); err != nil {
		t.Fatal(err)
	}
	reference := make(map[string]bool)
	keysOf(tree, "", reference)
	for _, d := range []string{"lb1", "lb2"} { // names, not keys
		delete(reference, "virtual_router.priority."+d)
	}
	delete(reference, "vrrp.auth.keys.1") // a number
	// Only with another version than the one that [vrrp] shows.
	delete(vocabulary, "vrrp.auth_pass")
	if diff := cmp.Diff(slices.Sorted(maps.Keys(vocabulary)), slices.Sorted(maps.Keys(reference))); diff != "" {
		t.Errorf("keys (-read by Parse +in reference.toml):\n%s", diff)
	}
}

// keysOf collects the paths of all keys below value, without indices.
func keysOf(value any, path string, into map[string]bool) {
	switch v := value.(type) {
	case map[string]any:
		for k, value := range v {
			p := strings.TrimPrefix(path+"."+k, ".")
			into[p] = true
			keysOf(value, p, into)
		}
	case []map[string]any:
		for _, value := range v {
			keysOf(value, path, into)
		}
	case []any:
		for _, value := range v {
			keysOf(value, path, into)
		}
	}
}

// TestReferenceShowsDefaults takes each line out of reference.toml in turn: the
// meaning must stay, or the line is among those whose comment tells that it is
// required or not the default.
func TestReferenceShowsDefaults(t *testing.T) {
	data := string(readFile(t, "reference.toml"))
	digest := mustParse(t, "reference.toml", []byte(data)).Digest()
	required := []string{"name", "address", "addresses", "vrid", "virtual", "route", "script", "file", "process", "service", "command", "events", "destination", "table"}
	different := []string{"priority", "interface", "type", "port", "host", "group     = \"site\"", "weight   = -60", "address  = \"10.77.0.1\""} // keys, or whole lines
	key := regexp.MustCompile(`^([a-z_]+)\s*=.*[^\[,]$`)
	tried := 0
	lines := strings.SplitAfter(data, "\n")
	for i, line := range lines {
		text := strings.TrimSpace(strings.SplitN(line, "#", 2)[0])
		m := key.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		mayDiffer := slices.Contains(different, m[1]) || slices.Contains(different, text)
		tried++
		c, err := Parse("reference.toml", []byte(strings.Join(slices.Delete(slices.Clone(lines), i, i+1), "")))
		if strings.Contains(line, "not the default") {
			continue
		}
		switch {
		case err != nil && !slices.Contains(required, m[1]) && !mayDiffer:
			t.Errorf("without line %d, %q: %v", i+1, m[1], err)
		case err == nil && c.Digest() != digest && !mayDiffer:
			t.Errorf("line %d does not show the default of %q", i+1, m[1])
		}
	}
	if tried < 40 {
		t.Errorf("only %d lines were found", tried)
	}
}
