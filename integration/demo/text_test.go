package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSideBySide(t *testing.T) {
	toml := `[pair]
name = "lab"
[vrrp]
[[service]]
name = "http"
[[service]]
name = "echo"
`
	want := `
  [pair]                                [[service]]
  name = "lab"                          name = "http"
  [vrrp]
`
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), sideBySide(toml)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := sideBySide("[pair]\n"); got != "[pair]\n" {
		t.Errorf("without a service: %q", got)
	}
}

func TestWantColor(t *testing.T) {
	tests := []struct {
		env      map[string]string
		terminal bool
		want     bool
	}{
		{nil, false, false},
		{nil, true, true},
		{map[string]string{"NO_COLOR": "1"}, true, false},
		{map[string]string{"TERM": "dumb"}, true, false},
		{map[string]string{"CLICOLOR_FORCE": "1"}, false, true},
		{map[string]string{"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, true, false},
	}
	for _, tt := range tests {
		getenv := func(name string) string { return tt.env[name] }
		if got := wantColor(getenv, tt.terminal); got != tt.want {
			t.Errorf("%v, terminal %v: %v", tt.env, tt.terminal, got)
		}
	}
}
