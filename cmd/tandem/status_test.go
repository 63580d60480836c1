package main

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tandem/control"
	"tandem/director"
)

// richSnapshot has an example of everything that status shows.
func richSnapshot() director.Snapshot {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return at.Add(-d) }
	server := func(address string) director.ServerStatus {
		return director.ServerStatus{Address: netip.MustParseAddrPort(address), Configured: 100}
	}
	up := server("10.0.0.11:80")
	up.Verdict, up.Reason, up.Since, up.Weight, up.InKernel = "up", "ok", ago(26*time.Hour), 100, true
	up.Why, up.Active, up.Inactive = "up: configured weight", 1234, 56
	down := server("10.0.0.12:80")
	down.Verdict, down.Reason, down.Detail, down.Since = "down", "status", "503 Service Unavailable", ago(12*time.Second)
	down.Why = "down: removed"
	fresh := server("10.0.0.13:80")
	fresh.Verdict, fresh.Why = "unknown", "not probed yet: not in the table"

	return director.Snapshot{
		Version: "1.2.3", Node: "lb1", Pair: "shop", At: at, Started: ago(50 * time.Hour),
		Config: director.ReloadStatus{File: "/etc/tandem/tandem.toml", Digest: "0123456789abcdef"},
		Routers: []director.RouterStatus{
			{
				Name: "web", VRID: 51, Interface: "eth0", State: "active", Cause: "10.0.0.2 was silent for 350ms", Since: ago(90 * time.Minute), Priority: 150,
				Auth:   director.AuthStatus{Mode: "enforce", ActiveKey: 2},
				Device: &director.Device{Name: "vr4-51-eth0", Parent: "eth0", MAC: "00:00:5e:00:01:33"},
				Addresses: []director.AddressStatus{
					{Address: netip.MustParsePrefix("10.0.0.100/32"), Interface: "vr4-51-eth0", Held: true},
					{Address: netip.MustParsePrefix("10.1.0.254/24"), Interface: "eth1", Held: false},
				},
			},
			{
				Name: "mail", VRID: 52, Interface: "eth0", State: "backup", Cause: "startup", Since: ago(1500 * time.Millisecond), Priority: 40, Base: 100,
				Remarks:  []string{"10.0.0.2 advertises every 1s, this router has another advert_interval"},
				Protocol: 2, Transport: "unicast",
				Auth:  director.AuthStatus{Mode: "receive-only", ActiveKey: 2},
				Group: "site", GroupWeight: -60, Ready: true,
				Track: []director.TrackStatus{
					{Thing: "interface eth3", State: "well", Weight: -30, Since: ago(time.Hour)},
					{Thing: "script /usr/lib/tandem/check-uplink eth3", State: "failed", Weight: -60, Effect: -60, Reason: "exit status 1: no route", Since: ago(1700 * time.Millisecond)},
					{Thing: "process postfix", State: "unknown", Weight: 10},
				},
				Peer:      &director.PeerStatus{Address: netip.MustParseAddr("10.0.0.2"), Priority: 150},
				Addresses: []director.AddressStatus{{Address: netip.MustParsePrefix("10.0.0.101/32"), Interface: "eth0"}},
			},
			{
				Name: "dns", VRID: 53, Interface: "eth2", IPv6: true, State: "init", Since: ago(20 * time.Millisecond), Priority: 100, Auth: director.AuthStatus{Mode: "off"},
				Fault:     "interface eth2 is down or has no carrier; file /etc/tandem/maintenance: holds 1",
				Track:     []director.TrackStatus{{Thing: "file /etc/tandem/maintenance", State: "failed", Fault: true, Reason: "holds 1", Since: ago(20 * time.Millisecond)}},
				Addresses: []director.AddressStatus{{Address: netip.MustParsePrefix("2001:db8:2::53/128"), Interface: "eth2", Denied: true}},
				Routes:    []director.FollowStatus{{What: "0.0.0.0/0 via 10.2.0.254", InKernel: true}, {What: "blackhole ::/0 table 7"}},
				Rules:     []director.FollowStatus{{What: "100: from 10.2.0.53/32 lookup 7", InKernel: true}},
			},
			{
				Name: "ntp", VRID: 54, Interface: "eth2", State: "init", Since: ago(20 * time.Second), Priority: 100, Auth: director.AuthStatus{Mode: "off"},
				Waits:     at.Add(9500 * time.Millisecond),
				Addresses: []director.AddressStatus{{Address: netip.MustParsePrefix("10.2.0.123/32"), Interface: "eth2", Label: "eth2:ntp"}},
			},
		},
		Services: []director.ServiceStatus{
			{
				Name: "http", Protocol: "tcp", Address: netip.MustParseAddrPort("10.0.0.100:80"), Scheduler: "wlc", Forwarding: "direct", InKernel: true,
				Servers: []director.ServerStatus{up, down, fresh},
			},
			{Name: "dns", Protocol: "udp", Address: netip.MustParseAddrPort("[2001:db8:2::53]:53"), Scheduler: "mh", Forwarding: "masquerade"},
		},
		Hooks: []director.HookStatus{
			{Program: "/usr/lib/tandem/on-role", Runs: 12, Failures: 3, Timeouts: 1, Merged: 4, Waiting: 1, Running: "backup", LastEvent: "active", LastEnd: ago(2 * time.Second), LastError: "exit status 1: no route"},
			{Program: "/usr/lib/tandem/on-pool", Runs: 1, LastEvent: "server-down", LastEnd: ago(time.Minute)},
			{Program: "/usr/lib/tandem/on-stop"},
		},
		Foreign:   []string{"tcp 10.0.0.7:25", "udp 10.0.0.7:69"},
		Sync:      director.SyncStatus{Mode: "multicast", ID: 51, Interface: "eth0", Master: true, Backup: true},
		Conflicts: []director.Conflict{{Address: netip.MustParseAddr("10.0.0.100"), Interface: "eth0", MAC: "02:00:00:00:00:66", Count: 3, Last: ago(4 * time.Second)}},
		Repairs:   director.RepairStatus{Addresses: 1, Table: 2, Routes: 3, Firewall: 1},
		Drops:     []director.DropStatus{{Interface: "eth0", Reason: "bad-checksum", Packets: 12}, {Interface: "eth0", IPv6: true, Reason: "unknown-vrid", Packets: 3}},
		Problems:  []string{"the last reload was refused, the older configuration runs: /etc/tandem/tandem.toml:3: no"},
	}
}

func TestRenderStatus(t *testing.T) {
	var out bytes.Buffer
	if err := renderStatus(&out, richSnapshot()); err != nil {
		t.Fatal(err)
	}
	golden(t, "status.txt", out.String())
}

func TestRenderQuietStatus(t *testing.T) {
	s := richSnapshot()
	s.Problems, s.Conflicts, s.Foreign, s.Services, s.Drops, s.Hooks, s.Repairs = nil, nil, nil, nil, nil, nil, director.RepairStatus{}
	s.Routers, s.Sync = s.Routers[:1], director.SyncStatus{Mode: "off"}
	var out bytes.Buffer
	if err := renderStatus(&out, s); err != nil {
		t.Fatal(err)
	}
	golden(t, "status-quiet.txt", out.String())
}

// TestStatusWithoutIPVS: that the kernel has none is said.
func TestStatusWithoutIPVS(t *testing.T) {
	var with, without bytes.Buffer
	s := richSnapshot()
	if err := renderStatus(&with, s); err != nil {
		t.Fatal(err)
	}
	s.NoIPVS = true
	if err := renderStatus(&without, s); err != nil {
		t.Fatal(err)
	}
	const said = "the kernel has none"
	if strings.Contains(with.String(), said) || !strings.Contains(without.String(), said) {
		t.Errorf("with:\n%s\nwithout:\n%s", with.String(), without.String())
	}
}

// The whole way, through a socket.
func TestStatusCommand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s, err := control.Listen(path, "", richSnapshot, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done; s.Close() })

	status, out, errOut := tandem("status", "--socket", path)
	if status != 0 || errOut != "" {
		t.Fatalf("status %d, %s", status, errOut)
	}
	golden(t, "status.txt", out)
	if _, out, _ = tandem("status", "--json", "--socket", path); !strings.HasPrefix(out, "{\n  \"version\": \"1.2.3\",\n") {
		t.Errorf("got %.200s", out)
	}
}
