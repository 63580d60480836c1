package track

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/configs"
	"tandem/director"
	"tandem/internal/program"
)

const long = time.Minute // longer than any of these runs

// A run that is cut short says nothing about the thing.
func TestScriptCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := &script{args: []string{"/bin/sleep", "1000"}, timeout: long, rise: 1, fall: 1}
	if got, err := s.see(ctx); err == nil {
		t.Errorf("a result: %+v", got)
	}
}

// A run that cannot be killed is reported in time, and no second one starts.
func TestScriptThatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan program.Outcome, 1)
		s := &script{args: []string{"/none"}, timeout: time.Second, rise: 1, fall: 1, running: stuck}
		for range 3 {
			start := time.Now()
			got, err := s.see(t.Context())
			if want := (director.ThingState{Known: true, Reason: "was killed after its timeout and does not end"}); got != want || err != nil {
				t.Errorf("got %+v, %v", got, err)
			}
			if took := time.Since(start); took != time.Second+program.Grace {
				t.Errorf("took %v", took)
			}
		}
		stuck <- program.Outcome{Expired: true, Reason: "killed after 1s"}
		if got, _ := s.see(t.Context()); got.Reason != "killed after 1s" || s.running != nil {
			t.Errorf("at last: %+v", got)
		}
	})
}

func TestScriptEye(t *testing.T) {
	flag := filepath.Join(t.TempDir(), "flag")
	e := scriptEye(configs.Thing{Kind: configs.TrackScript, Script: configs.Command("/usr/bin/test\x00-e\x00" + flag + "\x00"),
		Interval: 3 * time.Second, Timeout: long, Rise: 2, Fall: 2})
	if e.every != 3*time.Second {
		t.Errorf("every %v", e.every)
	}
	var got []string
	for i := range 6 {
		switch i {
		case 1:
			write(t, flag, "")
		case 4:
			os.Remove(flag)
		}
		s, err := e.see(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, strconv.FormatBool(s.Well)+" "+s.Reason)
	}
	want := "false exit status 1,false (1 in a row),true ,true ,true exit status 1 (1 in a row),false exit status 1"
	if s := strings.Join(got, ","); s != want {
		t.Errorf("got %s, want %s", s, want)
	}
}
