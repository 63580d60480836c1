package configs

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestThingString(t *testing.T) {
	for want, thing := range map[string]Thing{
		"interface eth1":           {Kind: TrackInterface, Interface: "eth1"},
		"address 10.0.0.5":         {Kind: TrackAddress, Address: netip.MustParseAddr("10.0.0.5")},
		"address 10.0.0.5 on eth1": {Kind: TrackAddress, Address: netip.MustParseAddr("10.0.0.5"), Interface: "eth1"},
		"route 0.0.0.0/0 on eth1":  {Kind: TrackRoute, Route: netip.MustParsePrefix("0.0.0.0/0"), Interface: "eth1"},
		"script /bin/check a b":    {Kind: TrackScript, Script: commandOf([]string{"/bin/check", "a", "b"})},
		"file /etc/f":              {Kind: TrackFile, File: "/etc/f"},
		"process nginx":            {Kind: TrackProcess, Process: "nginx"},
		"service http":             {Kind: TrackService, Service: "http", Quorum: 5},
	} {
		if got := thing.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestCommandArgs(t *testing.T) {
	for _, args := range [][]string{{"/a"}, {"/a", ""}, {"/a", "", "b c", ""}} {
		if got := commandOf(args).Args(); !slices.Equal(got, args) {
			t.Errorf("%q became %q", args, got)
		}
	}
	if commandOf([]string{"/a", "b"}) == commandOf([]string{"/a b"}) {
		t.Error("two commands that are the same")
	}
}

// Weights that cannot change who is active are most likely a mistake.
func TestTrackWarnings(t *testing.T) {
	minimal := string(readFile(t, "minimal.toml")) // priorities 150 and 100
	for track, useless := range map[string]bool{
		`{ interface = "eth1", weight = -50 }`:                                        true, // 100 against 100: the incumbent stays
		`{ interface = "eth1", weight = -51 }`:                                        false,
		`{ interface = "eth1", weight = 51 }`:                                         false,
		`{ interface = "eth1", weight = -20 }, { process = "nginx", weight = 30 }`:    true,
		`{ interface = "eth1", weight = -20 }, { process = "nginx", weight = 31 }`:    false,
		`{ interface = "eth1" }`:                                                      false,
		`{ file = "/etc/f", weight = -1 }`:                                            false,
		`{ interface = "eth1", weight = -20 }, { process = "nginx" }`:                 true,
		`{ interface = "eth1", weight = -253 }, { interface = "eth2", weight = 253 }`: false,
	} {
		file := strings.Replace(minimal, `["10.77.0.100"]`, "[\"10.77.0.100\"]\ntrack = ["+track+"]", 1)
		list := mustParse(t, "t.toml", []byte(file)).Warnings()
		found := slices.ContainsFunc(list, func(w Warning) bool { return strings.Contains(w.Problem, "the weights never move the role") })
		if found != useless {
			t.Errorf("%s: warnings %v", track, list)
		}
	}
	// What the other router of a group tracks counts, too.
	file := strings.Replace(minimal, `["10.77.0.100"]`, `["10.77.0.100"]
group = "site"
track = [{ interface = "eth1", weight = -30 }]
[[virtual_router]]
name = "mail"
vrid = 52
addresses = ["10.77.0.101"]
group = "site"
track = [{ process = "nginx", weight = 30 }]
`, 1)
	if list := mustParse(t, "t.toml", []byte(file)).Warnings(); len(list) > 0 {
		t.Errorf("a group: warnings %v", list)
	}
}
