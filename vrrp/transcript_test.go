package vrrp

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite testdata/*.txt with what the machine does; understand the difference before you commit it")

// TestTranscripts replays testdata/*.txt. A transcript is the life of one
// machine:
//
//	# a comment
//	config priority=100 interval=100ms failback=delay delay=30s addresses=10.77.0.100
//	@0ms startup 10.77.0.1
//	-> backup hold=false number=1 cause="startup"
//	deadline 360.9375ms
//	@100ms receive 10.77.0.2 priority=200
//	@400ms shutdown hand-over maintenance
//	@500ms reconfigure priority=50
//	@600ms timeout
//
// Lines that begin with "->" and "deadline" are what the machine did, all others
// are written by hand. Times count from the start.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("transcripts: %v, error %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := replay(string(want))
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// replay runs the inputs of a transcript and writes it anew.
func replay(text string) (string, error) {
	var out strings.Builder
	cfg := config(nil)
	var m *Machine
	for n, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if strings.HasPrefix(line, "->") || strings.HasPrefix(line, "deadline") {
			continue
		}
		fmt.Fprintln(&out, line)
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] == "#" {
			continue
		}
		if fields[0] == "config" {
			if err := parseConfig(&cfg, fields[1:]); err != nil {
				return "", fmt.Errorf("line %d: %w", n+1, err)
			}
			m = NewMachine(cfg)
			continue
		}
		at, ev, err := parseEvent(&cfg, fields)
		if err != nil {
			return "", fmt.Errorf("line %d: %w", n+1, err)
		}
		for _, a := range m.Step(epoch.Add(at), ev) {
			fmt.Fprintln(&out, "->", actionText(a))
		}
		if d, ok := m.Deadline(); ok {
			fmt.Fprintf(&out, "deadline %s\n", millis(d.Sub(epoch)))
		} else {
			fmt.Fprintln(&out, "deadline none")
		}
	}
	return out.String(), nil
}

// millis writes a duration in milliseconds, all of its digits.
func millis(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/float64(ms), 'f', -1, 64) + "ms"
}

func actionText(a Action) string {
	switch a := a.(type) {
	case SendAdvert:
		return fmt.Sprintf("advert priority=%d", a.Priority)
	case SetRole:
		r := a.Role
		return fmt.Sprintf("%v hold=%v number=%d cause=%q", r.State, r.Hold, r.Number, r.Cause)
	case Announce:
		return fmt.Sprintf("announce %q", a.Cause)
	case Note:
		return fmt.Sprintf("note %q", a.Text)
	}
	return fmt.Sprintf("unknown action %T", a)
}

// parseEvent reads "@<time> <event> <arguments>".
func parseEvent(cfg *Config, f []string) (time.Duration, Event, error) {
	if len(f) < 2 || !strings.HasPrefix(f[0], "@") {
		return 0, nil, fmt.Errorf("want @<time> <event>, have %q", f)
	}
	at, err := time.ParseDuration(f[0][1:])
	if err != nil {
		return 0, nil, err
	}
	args := f[2:]
	switch f[1] {
	case "timeout":
		return at, Timeout{}, nil
	case "send-failed":
		return at, SendFailed{}, nil
	case "startup":
		addr, err := netip.ParseAddr(strings.Join(args, " "))
		return at, Startup{addr}, err
	case "shutdown":
		ev := Shutdown{HandOver: len(args) > 0 && args[0] == "hand-over"}
		if ev.HandOver {
			args = args[1:]
		}
		ev.Cause = strings.Join(args, " ")
		return at, ev, nil
	case "reconfigure":
		err := parseConfig(cfg, args)
		return at, Reconfigure{*cfg}, err
	case "receive":
		ev, err := parseReceived(*cfg, args)
		return at, ev, err
	}
	return 0, nil, fmt.Errorf("unknown event %q", f[1])
}

// parseReceived reads "<source> priority=…": what is not given is as in cfg.
func parseReceived(cfg Config, args []string) (Event, error) {
	if len(args) == 0 {
		return nil, fmt.Errorf("receive without a source")
	}
	src, err := netip.ParseAddr(args[0])
	if err != nil {
		return nil, err
	}
	if err := parseConfig(&cfg, args[1:]); err != nil {
		return nil, err
	}
	return Received{Src: src, Advert: cfg.advert(cfg.Priority)}, nil
}

// parseConfig changes cfg as the key=value pairs say.
func parseConfig(cfg *Config, pairs []string) error {
	for _, pair := range pairs {
		key, value, _ := strings.Cut(pair, "=")
		var err error
		switch key {
		case "vrid":
			cfg.VRID, err = parseUint8(value)
		case "priority":
			cfg.Priority, err = parseUint8(value)
		case "version":
			versions := map[string]Version{"2": V2, "3": V3}
			v, ok := versions[value]
			if !ok {
				err = fmt.Errorf("unknown version %q", value)
			}
			cfg.Version = v
		case "interval":
			cfg.Interval, err = time.ParseDuration(value)
		case "delay":
			cfg.FailbackDelay, err = time.ParseDuration(value)
		case "addresses":
			cfg.Addresses = addrs(strings.Split(value, ",")...)
		case "failback":
			modes := map[string]Failback{"immediate": FailbackImmediate, "delay": FailbackDelayed, "never": FailbackNever}
			mode, ok := modes[value]
			if !ok {
				err = fmt.Errorf("unknown failback %q", value)
			}
			cfg.Failback = mode
		default:
			err = fmt.Errorf("unknown key %q", key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func parseUint8(s string) (uint8, error) {
	n, err := strconv.ParseUint(s, 10, 8)
	return uint8(n), err
}
