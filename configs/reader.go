package configs

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// MaxSize is the size in bytes of the largest file that Parse accepts. It is
// room for more than 50,000 real servers.
const MaxSize = 4 << 20

// decoder gathers what is found while one file is read.
type decoder struct {
	file string
	errs Errors
	// vocabulary is the keys that were asked for in each kind of table, by its
	// path without indices. The tests hold it against reference.toml.
	vocabulary map[string][]string
}

// open parses the TOML and returns its top table, or nil after an error.
func (d *decoder) open(data []byte) *table {
	top := place{d: d, line: 1}
	if len(data) > MaxSize {
		top.fail(fmt.Sprintf("the file has %d bytes", len(data)),
			fmt.Sprintf("at most %d are read", MaxSize))
		return nil
	}
	root, bound, line := scan(string(data))
	top.node = root
	if bound != "" {
		top.line = line
		top.fail(bound, "no key of this file needs that")
		return nil
	}
	var values map[string]any
	if err := toml.Unmarshal(data, &values); err != nil {
		top.syntax(err)
		return nil
	}
	return &table{place: top, values: values}
}

// result returns the errors sorted by line, or nil.
func (d *decoder) result() error {
	if len(d.errs) == 0 {
		return nil
	}
	slices.SortStableFunc(d.errs, func(a, b *Error) int { return cmp.Compare(a.Line, b.Line) })
	return d.errs
}

// place is a spot in the file that an error can point at.
type place struct {
	d    *decoder
	path string
	node *node
	line int // of node, or of the nearest enclosing node
}

// key is the place of a key in the table at p, whether or not it is there.
func (p place) key(k string) place {
	if !isBareKey(k) {
		k = strconv.Quote(k)
	}
	path := k
	if p.path != "" {
		path = p.path + "." + k
	}
	return p.step(path, p.node.key(k))
}

// index is the place of an element of the array at p.
func (p place) index(i int) place {
	return p.step(p.path+"["+strconv.Itoa(i)+"]", p.node.item(i))
}

func (p place) step(path string, n *node) place {
	line := p.line
	if n != nil {
		line = n.line
	}
	return place{d: p.d, path: path, node: n, line: line}
}

// fail records an error at p.
func (p place) fail(problem, remedy string) {
	p.d.errs = append(p.d.errs, &Error{File: p.d.file, Line: p.line, Key: p.path, Problem: problem, Remedy: remedy})
}

// syntax records what the TOML library refused.
func (p place) syntax(err error) {
	problem := err.Error()
	if parse, ok := errors.AsType[toml.ParseError](err); ok {
		// The library may put an error at the end of a file before line 1. Its
		// LastKey is left out, for it is the key before the error's.
		p.line = max(1, parse.Position.Line)
		problem = strings.TrimSuffix(parse.Message, ".")
	}
	p.fail(problem, "the file must be TOML, see https://toml.io")
}

// element is a value and its place.
type element struct {
	place
	value any
}

// refuse records that the value is not what was wanted.
func (e element) refuse(what, remedy string) {
	e.fail(describe(e.value)+" is not "+what, remedy)
}

// elements returns the elements of an array.
func (e element) elements(remedy string) []element {
	var list []element
	switch v := e.value.(type) {
	case []any:
		for i, value := range v {
			list = append(list, element{e.index(i), value})
		}
	case []map[string]any:
		for i, value := range v {
			list = append(list, element{e.index(i), value})
		}
	default:
		e.refuse("a list", remedy)
	}
	return list
}

// table is a TOML table of which each key is asked for once.
type table struct {
	place
	values map[string]any // nil if the table is absent or not a table
	known  []string
}

// get returns the value of a key.
func (t *table) get(key string) (element, bool) {
	t.known = append(t.known, key)
	value, ok := t.values[key]
	if !ok {
		return element{}, false
	}
	return element{t.key(key), value}, true
}

// table returns the table of a key. One that is absent, or is no table, comes
// back empty, so that the defaults hold.
func (t *table) table(key string) *table {
	e, ok := t.get(key)
	if !ok {
		return &table{place: t.key(key)}
	}
	values, ok := e.value.(map[string]any)
	if !ok {
		e.refuse("a table", "write it as ["+schema(e.path)+"], once")
	}
	return &table{place: e.place, values: values}
}

// tables returns the elements of an array of tables.
func (t *table) tables(key string) []*table {
	e, ok := t.get(key)
	if !ok {
		return nil
	}
	remedy := "write each as [[" + schema(e.path) + "]]"
	var list []*table
	for _, e := range e.elements(remedy) {
		values, ok := e.value.(map[string]any)
		if !ok {
			e.refuse("a table", remedy)
		}
		list = append(list, &table{place: e.place, values: values})
	}
	return list
}

// done reports the keys that nobody asked for.
func (t *table) done() {
	t.d.vocabulary[schema(t.path)] = t.known
	for _, key := range slices.Sorted(maps.Keys(t.values)) {
		if !slices.Contains(t.known, key) {
			t.key(key).fail("unknown key", meant(key, t.known, "the keys here are"))
		}
	}
}

// read returns the value of an optional key. One that parse refuses has been
// reported and reads as the default.
func read[T any](t *table, key string, def T, parse func(element) (T, bool)) T {
	if e, ok := t.get(key); ok {
		if v, ok := parse(e); ok {
			return v
		}
	}
	return def
}

// need is read for a key that must be there.
func need[T any](t *table, key, example string, parse func(element) (T, bool)) T {
	var zero T
	t.require(key, example)
	return read(t, key, zero, parse)
}

// needList returns the elements of an array that must be there and not empty.
func (t *table) needList(key, example string) []element {
	t.require(key, example)
	e, ok := t.get(key)
	if !ok {
		return nil
	}
	if list, ok := e.value.([]any); ok && len(list) == 0 {
		e.fail("is empty", remedyFor(key, example))
	}
	return e.elements(remedyFor(key, example))
}

// require records that a key is missing, unless so is its whole table, which
// has been reported then.
func (t *table) require(key, example string) {
	if t.values != nil && !t.has(key) {
		t.key(key).fail("is missing", remedyFor(key, example))
	}
}

func remedyFor(key, example string) string {
	return "write for example " + key + " = " + example
}

// has reports whether the file has the key.
func (t *table) has(key string) bool {
	_, ok := t.values[key]
	return ok
}

// schema is a path without its indices.
func schema(path string) string {
	var b strings.Builder
	for {
		head, rest, ok := strings.Cut(path, "[")
		b.WriteString(head)
		if !ok {
			return b.String()
		}
		_, path, _ = strings.Cut(rest, "]")
	}
}

func isBareKey(k string) bool {
	for i := range len(k) {
		if !isBareKeyByte(k[i]) {
			return false
		}
	}
	return k != ""
}

// describe shows a value in an error.
func describe(value any) string {
	switch v := value.(type) {
	case string:
		const most = 60
		if len(v) > most {
			v = v[:most] + "…"
		}
		return strconv.Quote(v)
	case int64, bool:
		return fmt.Sprint(v)
	case float64:
		s := strconv.FormatFloat(v, 'g', -1, 64)
		if !strings.ContainsAny(s, ".eIN") {
			s += ".0" // which makes it a float in TOML, and wrong
		}
		return s
	case time.Time:
		return "a date"
	case map[string]any:
		return "a table"
	default:
		return "a list"
	}
}
