package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tandem/configs"
	"tandem/vrrp"
	"tandem/vrrp/transcript"
)

// An election of a director is recorded so that it can be replayed, and is not
// unless that was asked for.
func TestRecording(t *testing.T) {
	cfg, err := configs.Parse("t.toml", []byte(goodConfig))
	if err != nil {
		t.Fatal(err)
	}
	router := cfg.Routers[0]
	c := vrrp.Config{VRID: router.VRID, Priority: 150, Interval: router.AdvertInterval, Addresses: transcript.Default().Addresses}
	n := &network{node: "lb1", log: slog.New(slog.DiscardHandler)}
	record, end, err := n.recording(router, c)
	if record != nil || err != nil {
		t.Errorf("recorded without being asked: %v", err)
	}
	end()

	n.record = t.TempDir()
	if record, end, err = n.recording(router, c); err != nil {
		t.Fatal(err)
	}
	m, at := vrrp.NewMachine(c), time.Now()
	for _, ev := range []vrrp.Event{vrrp.Startup{PrimaryAddr: cfg.Directors[0].Address}, vrrp.Timeout{}, vrrp.Shutdown{Cause: "stopping"}} {
		if d, ok := m.Deadline(); ok {
			at = d
		}
		out := m.Step(at, ev)
		deadline, _ := m.Deadline()
		record(at, ev, out, deadline)
	}
	end()
	text, err := os.ReadFile(filepath.Join(n.record, "vrid51-eth0.txt"))
	if err != nil {
		t.Fatal(err)
	}
	again, gaps, err := transcript.Replay(string(text))
	if err != nil || gaps != nil || again != string(text) || !strings.HasPrefix(again, "# virtual router web, vrid 51 on eth0, of director lb1\n") || !strings.Contains(again, "-> active ") {
		t.Errorf("gaps %v, error %v, recorded\n%s", gaps, err, text)
	}
	n.record = filepath.Join(n.record, "absent")
	if _, _, err := n.recording(router, c); err == nil {
		t.Error("recorded in a directory that is not there")
	}
}
