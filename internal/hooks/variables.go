package hooks

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// variables is what a hook finds in its environment. All are always there: what
// says nothing is empty.
func variables(c call) []string {
	e := c.event
	priority := ""
	if e.Priority > 0 {
		priority = fmt.Sprint(e.Priority)
	}
	var out []string
	for _, v := range [...]struct{ name, value string }{
		{"EVENT", c.word},
		{"NODE", e.Node},
		{"OBJECT", c.kind},
		{"ROUTER", e.Router},
		{"GROUP", e.Group},
		{"SERVICE", e.Service},
		{"SERVER", e.Server},
		{"ROLE", c.role},
		{"PRIORITY", priority},
		{"CAUSE", e.Cause},
		{"SEQ", fmt.Sprint(e.Seq)},
		{"AT", e.At.UTC().Format(time.RFC3339Nano)},
	} {
		out = append(out, "TANDEM_"+v.name+"="+plain(v.value))
	}
	return out
}

// plain is s without control characters, which a program may not expect and an
// environment cannot have.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

// input is what a hook can read: the event, in a line.
func input(c call) []byte {
	text, err := json.Marshal(c.event)
	if err != nil {
		panic("hooks: " + err.Error()) // an Event is plain data
	}
	return append(text, '\n')
}
