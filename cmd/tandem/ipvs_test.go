package main

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"tandem/configs"
	"tandem/director"
	"tandem/ipvsctl"
	"tandem/ipvsctl/kernel"
)

// fakeIPVS has one scheduler, wlc.
type fakeIPVS struct {
	noIPVS
	closed *bool
}

func (f fakeIPVS) MissingSchedulers(names []string) ([]string, error) {
	var missing []string
	for _, name := range names {
		if name != "wlc" {
			missing = append(missing, name)
		}
	}
	return missing, nil
}

func (f fakeIPVS) Apply([]ipvsctl.Op) error { return nil }

func (f fakeIPVS) Close() error {
	*f.closed = true
	return nil
}

// machine is a kernel that may have IPVS.
type machine struct {
	err    error // of opening it
	opened int
	closed bool
}

func (m *machine) open() (ipvsHandle, error) {
	m.opened++
	if m.err != nil {
		return nil, m.err
	}
	return fakeIPVS{closed: &m.closed}, nil
}

var errAbsent = fmt.Errorf("open IPVS: %w", kernel.ErrNoIPVS)

// quietConfig needs no IPVS.
func quietConfig() *configs.Config {
	return &configs.Config{ConnectionSync: configs.ConnectionSync{Mode: configs.SyncOff}}
}

func serviceConfig(scheduler string) *configs.Config {
	cfg := quietConfig()
	cfg.Services = []configs.Service{{Name: "http", Scheduler: scheduler}}
	return cfg
}

func TestOpenBalancing(t *testing.T) {
	sync := quietConfig()
	sync.ConnectionSync.Mode = configs.SyncMulticast
	errOther := errors.New("no memory")
	for _, tt := range []struct {
		name   string
		err    error // of the kernel
		cfg    *configs.Config
		owned  director.Owned
		absent bool
		want   string // a part of the error; empty: none
	}{
		{"there, needed", nil, serviceConfig("wlc"), director.Owned{}, false, ""},
		{"there, not needed", nil, quietConfig(), director.Owned{}, false, ""},
		{"no such scheduler", nil, serviceConfig("twos"), director.Owned{}, false, "ip_vs_twos"},
		{"absent, not needed", errAbsent, quietConfig(), director.Owned{}, true, ""},
		{"absent, addresses and sysctls are owned", errAbsent, quietConfig(),
			director.Owned{Addresses: []configs.VirtualAddress{{}}, Sysctls: map[string]string{"net/x": "1"}}, true, ""},
		{"absent, a service", errAbsent, serviceConfig("wlc"), director.Owned{}, false, "service http needs IPVS"},
		{"absent, connection sync", errAbsent, sync, director.Owned{}, false, `[connection_sync] mode "multicast" needs IPVS`},
		{"absent, services are owned", errAbsent, quietConfig(), director.Owned{Services: []ipvsctl.ServiceKey{{}}}, false, "tandem release --all"},
		{"absent, daemons are owned", errAbsent, quietConfig(), director.Owned{Sync: true}, false, "tandem release --all"},
		{"broken, not needed", errOther, quietConfig(), director.Owned{}, false, "no memory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := &machine{err: tt.err}
			b, err := openBalancing(m.open, tt.cfg, tt.owned, slog.New(slog.DiscardHandler))
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("error %v, want %q", err, tt.want)
				}
				if tt.err != nil && !errors.Is(err, tt.err) {
					t.Errorf("%v does not wrap %v, which has the remedy", err, tt.err)
				}
				if tt.err == nil && !m.closed {
					t.Error("it was not closed")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if b.absent() != tt.absent {
				t.Errorf("absent %t, want %t", b.absent(), tt.absent)
			}
		})
	}
}

// TestIPVSAppears: a reload that needs IPVS is refused with the remedy, and the
// same one is taken after the remedy.
func TestIPVSAppears(t *testing.T) {
	m := &machine{err: errAbsent}
	b, err := openBalancing(m.open, quietConfig(), director.Owned{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.check(quietConfig()); err != nil || m.opened != 1 {
		t.Errorf("a reload that needs none: %v, opened %d times", err, m.opened)
	}
	if err := b.check(serviceConfig("wlc")); !errors.Is(err, kernel.ErrNoIPVS) || !strings.Contains(err.Error(), "modprobe ip_vs") || !b.absent() {
		t.Errorf("a reload that needs it: %v, absent %t", err, b.absent())
	}
	m.err = nil
	if err := b.check(serviceConfig("twos")); err == nil {
		t.Error("a scheduler that is missing is accepted")
	}
	if err := b.check(serviceConfig("wlc")); err != nil || b.absent() {
		t.Errorf("after the module was loaded: %v, absent %t", err, b.absent())
	}
	if err := b.Apply([]ipvsctl.Op{{}}); err != nil {
		t.Errorf("the new one is not used: %v", err)
	}
	if err := b.Close(); err != nil || !m.closed || m.opened != 3 {
		t.Errorf("close: %v, closed %t, opened %d times", err, m.closed, m.opened)
	}
}

// TestNoIPVS: nothing is there, nothing can be put there, and the reason is said.
func TestNoIPVS(t *testing.T) {
	n := noIPVS{errAbsent}
	table, stats, err := n.Table()
	if len(table) > 0 || len(stats) > 0 || err != nil {
		t.Errorf("table %v, %v, %v", table, stats, err)
	}
	if daemons, err := n.Daemons(); len(daemons) > 0 || err != nil {
		t.Errorf("daemons %v, %v", daemons, err)
	}
	op := ipvsctl.Op{Verb: ipvsctl.AddService}
	for what, err := range map[string]error{
		op.String():               n.Apply([]ipvsctl.Op{op}),
		"start the sync master":   n.StartDaemon(kernel.Daemon{Role: kernel.Master}),
		"the kernel has no IPVS:": func() error { _, err := n.MissingSchedulers([]string{"rr"}); return err }(),
	} {
		if !errors.Is(err, kernel.ErrNoIPVS) || !strings.Contains(err.Error(), what) {
			t.Errorf("error %v, want %q and the reason", err, what)
		}
	}
	for _, err := range []error{n.Apply(nil), n.StopDaemon(kernel.Backup), n.Close()} {
		if err != nil {
			t.Error(err)
		}
	}
}
