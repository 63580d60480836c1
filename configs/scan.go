package configs

import (
	"fmt"
	"strings"

	"github.com/BurntSushi/toml"
)

// Bounds on what is handed to the TOML library. Its parser recurses into nested
// values and joins the whole path of every key, so a small hostile file could
// otherwise exhaust the stack or the memory. The vocabulary needs 3 levels and
// keys of 15 bytes. It has no empty key either, which TOML allows: in a table in an
// array such a key makes the library lose the elements before it.
const (
	maxDepth  = 8
	maxKeyLen = 64
)

// node is where a key, a table or an element of an array stands in the source.
// The nodes form the same tree as the decoded values. A nil node is one that
// the source does not have.
type node struct {
	line  int
	keys  map[string]*node
	items []*node // elements of an array, or of an array of tables
}

// key returns the node of a key below n, or nil.
func (n *node) key(k string) *node {
	if n == nil {
		return nil
	}
	return n.keys[k]
}

// item returns the node of an array's element, or nil.
func (n *node) item(i int) *node {
	if n == nil || i >= len(n.items) {
		return nil
	}
	return n.items[i]
}

// child returns the node of a key below n and makes it if need be.
func (n *node) child(k string, line int) *node {
	c := n.keys[k]
	if c == nil {
		c = &node{line: line}
		if n.keys == nil {
			n.keys = make(map[string]*node)
		}
		n.keys[k] = c
	}
	return c
}

// last is the table that a header or a dotted key through n goes on in: for an
// array of tables the one that was opened last.
func (n *node) last() *node {
	if len(n.items) > 0 {
		return n.items[len(n.items)-1]
	}
	return n
}

// scanner finds the keys of a TOML source. It accepts a superset of TOML, for
// the library judges the syntax; where it cannot go on, the library cannot
// either.
type scanner struct {
	src   string
	pos   int
	line  int
	bound string // which bound the source exceeds, if any
}

// scan returns the tree of places in src. If src exceeds the bounds of what may
// be parsed, bound says which and line where.
func scan(src string) (root *node, bound string, line int) {
	root = &node{line: 1}
	s := scanner{src: trimByteOrderMark(src), line: 1}
	table, ok := root, true
	for ok && s.skipBlank() {
		if s.src[s.pos] == '[' {
			table, ok = s.header(root)
		} else {
			ok = s.pair(table, 0)
		}
	}
	return root, s.bound, s.line
}

// trimByteOrderMark drops what the library drops.
func trimByteOrderMark(src string) string {
	for _, mark := range []string{"\xff\xfe", "\xfe\xff", "\xef\xbb\xbf"} {
		if rest, ok := strings.CutPrefix(src, mark); ok {
			return rest
		}
	}
	return src
}

// header scans [a.b] or [[a.b]] and returns the node of that table.
func (s *scanner) header(root *node) (*node, bool) {
	line := s.line
	s.pos++
	array := s.take('[')
	path, ok := s.keyPath()
	if !ok || !s.take(']') || array && !s.take(']') {
		return nil, false
	}
	n := root
	for _, k := range path {
		n = n.last().child(k, line)
	}
	if array {
		n.items = append(n.items, &node{line: line})
	} else {
		n.line = line // it may have been made by a header of one of its children
	}
	return n.last(), true
}

// pair scans a.b = value inside table.
func (s *scanner) pair(table *node, depth int) bool {
	line := s.line
	path, ok := s.keyPath()
	if !ok || !s.take('=') {
		return false
	}
	n := table
	for _, k := range path {
		n = n.last().child(k, line)
	}
	return s.value(n, depth)
}

// keyPath scans a dotted key and the blanks around it.
func (s *scanner) keyPath() ([]string, bool) {
	var path []string
	for {
		s.skipSpace()
		part, ok := s.keyPart()
		if !ok {
			return nil, false
		}
		path = append(path, part)
		if part == "" {
			s.bound = "a key is empty"
			return nil, false
		}
		if len(part) > maxKeyLen {
			return nil, s.exceed("a key is longer than %d bytes", maxKeyLen)
		}
		if len(path) > maxDepth {
			return nil, s.exceed("a key has more than %d parts", maxDepth)
		}
		s.skipSpace()
		if !s.take('.') {
			return path, true
		}
	}
}

// keyPart scans one part of a key, bare or quoted.
func (s *scanner) keyPart() (string, bool) {
	start := s.pos
	if s.pos < len(s.src) && (s.src[s.pos] == '"' || s.src[s.pos] == '\'') {
		if !s.shortString() {
			return "", false
		}
		return unquote(s.src[start:s.pos])
	}
	for s.pos < len(s.src) && isBareKeyByte(s.src[s.pos]) {
		s.pos++
	}
	return s.src[start:s.pos], s.pos > start
}

// unquote returns what a quoted key means. Escapes are rare in keys and the
// library knows them all.
func unquote(quoted string) (string, bool) {
	if quoted[0] == '\'' || !strings.Contains(quoted, `\`) {
		return quoted[1 : len(quoted)-1], true
	}
	var v struct{ Key string }
	err := toml.Unmarshal([]byte("Key = "+quoted), &v)
	return v.Key, err == nil
}

// value scans the value of n.
func (s *scanner) value(n *node, depth int) bool {
	s.skipSpace()
	if s.pos >= len(s.src) {
		return false
	}
	switch c := s.src[s.pos]; c {
	case '"', '\'':
		if strings.HasPrefix(s.src[s.pos+1:], string([]byte{c, c})) {
			return s.longString()
		}
		return s.shortString()
	case '[', '{':
		if depth == maxDepth {
			return s.exceed("values are nested more than %d deep", maxDepth)
		}
		if c == '[' {
			return s.array(n, depth+1)
		}
		return s.inlineTable(n, depth+1)
	}
	// A number, a boolean or a date, which may hold a space.
	end := strings.IndexAny(s.src[s.pos:], ",]}#\n")
	if end < 0 {
		end = len(s.src) - s.pos
	}
	s.pos += end
	return true
}

func (s *scanner) array(n *node, depth int) bool {
	s.pos++
	for s.skipBlank() {
		if s.take(']') {
			return true
		}
		item := &node{line: s.line}
		n.items = append(n.items, item)
		if !s.value(item, depth) || !s.skipBlank() {
			return false
		}
		if !s.take(',') {
			return s.take(']')
		}
	}
	return false
}

func (s *scanner) inlineTable(n *node, depth int) bool {
	s.pos++
	for s.skipBlank() {
		if s.take('}') {
			return true
		}
		if !s.pair(n, depth) || !s.skipBlank() {
			return false
		}
		if !s.take(',') {
			return s.take('}')
		}
	}
	return false
}

// shortString scans "…" or '…', which end in their line.
func (s *scanner) shortString() bool {
	quote := s.src[s.pos]
	for i := s.pos + 1; i < len(s.src); i++ {
		switch c := s.src[i]; {
		case c == quote:
			s.pos = i + 1
			return true
		case c == '\\' && quote == '"':
			i++
		case c == '\n':
			return false
		}
	}
	return false
}

// longString scans """…""" or three single quotes. Up to two quotes may stand
// directly before the closing three, so it ends with a run of three or more.
func (s *scanner) longString() bool {
	quote := s.src[s.pos]
	run := 0
	for s.pos += 3; s.pos < len(s.src); s.pos++ {
		c := s.src[s.pos]
		if c == quote {
			run++
			continue
		}
		if run >= 3 {
			return true
		}
		run = 0
		if c == '\\' && quote == '"' && s.pos+1 < len(s.src) {
			s.pos++
			c = s.src[s.pos]
		}
		if c == '\n' {
			s.line++
		}
	}
	return run >= 3
}

// skipBlank goes to the next thing that is not white space or a comment, and
// reports whether there is one.
func (s *scanner) skipBlank() bool {
	for ; s.pos < len(s.src); s.pos++ {
		switch s.src[s.pos] {
		case ' ', '\t', '\r':
		case '\n':
			s.line++
		case '#':
			end := strings.IndexByte(s.src[s.pos:], '\n')
			if end < 0 {
				s.pos = len(s.src)
				return false
			}
			s.pos += end - 1
		default:
			return true
		}
	}
	return false
}

func (s *scanner) skipSpace() {
	for s.pos < len(s.src) && (s.src[s.pos] == ' ' || s.src[s.pos] == '\t') {
		s.pos++
	}
}

// take goes past c if it is next.
func (s *scanner) take(c byte) bool {
	if s.pos < len(s.src) && s.src[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

// exceed ends the scan.
func (s *scanner) exceed(format string, bound int) bool {
	s.bound = fmt.Sprintf(format, bound)
	return false
}

func isBareKeyByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}
