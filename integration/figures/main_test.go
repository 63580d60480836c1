package main

import (
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	o, err := parse([]string{"-only", "busy,scale", "-busy", "5m", "-routers", "1"})
	if err != nil || strings.Join(o.only, " ") != "busy scale" || o.busy != 5*time.Minute || o.routers != 1 || o.runs != 50 {
		t.Errorf("%+v, %v", o, err)
	}
	for args, want := range map[string]string{
		"-routers 0":       "1 to 255",
		"-routers 256":     "1 to 255",
		"-only bussy":      "there are takeover, scale, busy",
		"-busy 5":          "parse error",
		"-runs 5 takeover": `"takeover"`,
	} {
		if _, err := parse(strings.Fields(args)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
}

func TestSample(t *testing.T) {
	for _, tt := range []struct {
		of          sample
		median, max time.Duration
	}{{nil, 0, 0}, {sample{3}, 3, 3}, {sample{9, 1, 5}, 5, 9}, {sample{4, 1, 3, 2}, 3, 4}} {
		before := append(sample(nil), tt.of...)
		if tt.of.median() != tt.median || tt.of.max() != tt.max {
			t.Errorf("%v: median %d, maximum %d", tt.of, tt.of.median(), tt.of.max())
		}
		for i := range before {
			if before[i] != tt.of[i] {
				t.Errorf("%v was sorted in place", before)
			}
		}
	}
}

func TestActiveDown(t *testing.T) {
	if got := activeDown(100 * time.Millisecond); got != 360937500 {
		t.Errorf("%v", got)
	}
}

// TestHolding: renewals and losses do not count as takeovers.
func TestHolding(t *testing.T) {
	h := &holding{all: 2, have: make(map[string]bool)}
	for i, step := range []struct {
		ip    string
		added bool
		taken int
		full  bool
	}{
		{"a", true, 1, false}, {"a", true, 1, false}, {"b", true, 2, true}, {"b", true, 2, true},
		{"a", false, 2, false}, {"a", false, 2, false}, {"a", true, 3, true},
	} {
		h.change(step.ip, step.added)
		if taken, full := h.state(); taken != step.taken || full.IsZero() == step.full {
			t.Errorf("step %d: taken %d, full since %v", i, taken, full)
		}
	}
}
