package vrrp

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// clause is one demand of RFC 9568 and what proves that it is met.
type clause struct {
	section string
	level   string // must, must not, should, should not; table: a step of section 6.4
	demand  string // in our words
	// does and refuses name tests that show the demanded thing happen, and that the
	// contrary does not. A test of another package has its folder before it:
	// vrrp/wire.TestFrame.
	does, refuses []string
	// oneWay is why nothing is refused: there is no contrary that could be given.
	oneWay string
	// departs is where tandem does something else on purpose, and why. The tests
	// then show what it does.
	departs string
	// notApplicable is why the demand does not concern tandem.
	notApplicable string
}

func tests(names ...string) []string { return names }

// Reasons that come up more than once.
const (
	noRA     = "tandem sends no Router Advertisements: its addresses are those of services, and a gateway's are announced by a daemon made for it"
	kernelR  = "the Router flag is what the kernel answers with: set if it forwards on the interface"
	ownMAC   = "only with virtual_mac; by default neighbours learn the interface's own MAC from announcements at each takeover, because a virtual one needs an interface of its own and a switch that lets it move"
	noSource = "no packet of tandem has that option, and the kernel asks for nobody with a virtual address as its source"
	noV2     = "a router speaks one version, 2 or 3, and never both at a time: a pair that changes it stops its backup first"
	operator = "it is for the operator"
)

// conformance has every MUST, MUST NOT, SHOULD and SHOULD NOT of RFC 9568, with
// its verified errata, and the steps of the state tables.
var conformance = []clause{
	{section: "2.5", level: "should", demand: "log, at a limited rate, when delays make the router lose its role by itself",
		does: tests("TestPauseGuard", "vrrp/runner.TestLateness"), refuses: tests("vrrp/runner.TestLimiter")},

	{section: "5.1.1.2", level: "must not", demand: "forward a datagram for 224.0.0.18",
		notApplicable: "the kernel never forwards the link-local groups, and tandem forwards nothing itself"},
	{section: "5.1.1.3", level: "must", demand: "send with TTL 255",
		does: tests("vrrp/wire.TestFrame"), oneWay: "no input changes it"},
	{section: "5.1.1.3", level: "must", demand: "discard what does not have TTL 255",
		does: tests("TestAdvertWire"), refuses: tests("TestParseDrops", "vrrp/wire.TestDrops", "vrrp/wire.TestJudge")},
	{section: "5.1.2.2", level: "must not", demand: "forward a datagram for ff02::12",
		notApplicable: "the kernel never forwards the link-local groups, and tandem forwards nothing itself"},
	{section: "5.1.2.3", level: "must", demand: "send with Hop Limit 255",
		does: tests("vrrp/wire.TestExchangeIPv6"), oneWay: "no input changes it"},
	{section: "5.1.2.3", level: "must", demand: "discard what does not have Hop Limit 255",
		does: tests("TestAdvertWire6"), refuses: tests("TestParseDrops")},

	{section: "5.2.2", level: "must", demand: "discard an unknown type",
		does: tests("TestAdvertWire"), refuses: tests("TestParseDrops")},
	{section: "5.2.4", level: "must", demand: "priority 255 for the owner of the addresses",
		does: tests("TestOwnerNeedsNoElection", "configs.TestWarnings"), refuses: tests("TestOwnerNeedsNoElection", "configs.TestInvalid")},
	{section: "5.2.4", level: "must", demand: "priorities 1 to 254 for the others",
		does: tests("TestTimers", "TestOwnerNeedsNoElection"), refuses: tests("TestConfigValidate", "configs.TestInvalid")},
	{section: "5.2.5", level: "must", demand: "ignore an advertisement without an address (erratum 8299)",
		does: tests("TestAdvertWire"), refuses: tests("TestParseDrops", "TestAppendErrors")},
	{section: "5.2.6", level: "must", demand: "send the reserved bits as zero",
		does: tests("TestReserveIsSentAsZero"), refuses: tests("TestAppendErrors")},
	{section: "5.2.6", level: "must", demand: "ignore the reserved bits of what is received",
		does: tests("TestParseReserved"), refuses: tests("TestParseDrops")},
	{section: "5.2.8", level: "must", demand: "over IPv4 compute the checksum over the message alone",
		does: tests("TestAdvertWire", "vrrp/wire.TestExchange"), refuses: tests("TestEveryBitCounts"),
		departs: "sent with the pseudo-header of RFC 5798, as the routers that are deployed do and demand; both forms are accepted"},
	{section: "5.2.8", level: "must", demand: "over IPv6 compute the checksum with a pseudo-header, next header 112",
		does: tests("TestAdvertWire6", "TestParseTrailer6"), refuses: tests("TestEveryBitCounts", "TestParseDrops")},
	{section: "5.2.9", level: "must", demand: "the link-local address first",
		does: tests("TestAdvertWire6"), refuses: tests("TestAppendErrors", "TestConfigValidate")},
	{section: "5.2.9", level: "must", demand: "discard an IPv6 advertisement without the link-local address first (erratum 8300)",
		does: tests("TestAdvertWire6"), refuses: tests("TestParseDrops")},
	{section: "5.2.9", level: "must", demand: "addresses of the family of the packet",
		does: tests("TestAdvertWire", "TestAdvertWire6"), refuses: tests("TestAppendErrors", "TestParseDrops", "configs.TestInvalid")},

	{section: "6.1", level: "must not", demand: "drop Neighbor Solicitations and Advertisements when Accept_Mode is false",
		does: tests("internal/firewall.TestDeny"), refuses: tests("internal/firewall.TestDeny")},
	{section: "6.1", level: "table", demand: "Advertisement_Interval is 1 to 4095 centiseconds (erratum 8301)",
		does: tests("TestAdvertWire", "TestReserveIsSentAsZero"), refuses: tests("TestAppendErrors", "TestConfigValidate", "configs.TestInvalid")},
	{section: "6.1", level: "table", demand: "Skew_Time and Active_Down_Interval",
		does: tests("TestTimers"), oneWay: "they are numbers"},
	{section: "6.1", level: "table", demand: "Preempt_Mode says whether a higher priority takes the role back; the owner always does",
		does: tests("TestFailback"), refuses: tests("TestFailback", "TestFailbackDelayRestarts", "internal/sim.TestScenarios")},

	{section: "6.4.1", level: "table", demand: "the owner starts as active: an advertisement, Adver_Timer, announcements",
		does: tests("TestStateTable", "TestOwnerNeedsNoElection", "director.TestHolderRoles"), refuses: tests("TestOwnerNeedsNoElection")},
	{section: "6.4.1", level: "table", demand: "the others start as backup with their own interval",
		does: tests("TestStateTable", "TestUnlearn"), refuses: tests("TestStateTable")},

	{section: "6.4.2", level: "must not", demand: "a backup answers ARP requests for the addresses",
		does:    tests("director.TestDesiredAddresses", "director.TestHolderRoles", "vrrp/wire.TestProbe"),
		refuses: tests("internal/sim.TestScenarios", "internal/sim.TestMutants"),
		departs: "after a hand-over the addresses are held until the successor has taken over, 100 ms longer than it needs to say so: no instant without them"},
	{section: "6.4.2", level: "must not", demand: "a backup answers Neighbor Solicitations",
		does:    tests("director.TestDesiredAddresses", "director.TestHolderRoles", "vrrp/wire.TestProbe6"),
		refuses: tests("internal/sim.TestScenarios", "internal/sim.TestMutants"),
		departs: "not while they are held after a hand-over, see above"},
	{section: "6.4.2", level: "must not", demand: "a backup sends Router Advertisements", notApplicable: noRA},
	{section: "6.4.2", level: "must", demand: "a backup discards frames for the virtual MAC",
		does: tests("vrrp/wire.TestFloodedFrames", "internal/netif.TestOpenMacvlan", "director.TestVirtualMAC"), refuses: tests("vrrp/wire.TestFloodedFrames"),
		departs: "an election does not survive the daemon: after a crash they are forwarded, if the machine forwards, until tandem release"},
	{section: "6.4.2", level: "must not", demand: "a backup accepts packets for the addresses",
		does:    tests("director.TestDesiredAddresses", "director.TestHolderRoles"),
		refuses: tests("internal/sim.TestScenarios", "internal/sim.TestMutants"),
		departs: "not while they are held after a hand-over, see above"},
	{section: "6.4.2", level: "table", demand: "Shutdown: stop Active_Down_Timer, Initialize",
		does: tests("TestStateTable"), refuses: tests("TestShutdownStopsTimers")},
	{section: "6.4.2", level: "table", demand: "Active_Down_Timer fires: an advertisement, announcements, Adver_Timer, Active",
		does: tests("TestStateTable", "director.TestHolderRoles", "vrrp/runner.TestTakeover"), refuses: tests("TestStaleTimeout", "TestPacketBeforeTimeout")},
	{section: "6.4.2", level: "table", demand: "a gratuitous ARP for each address holds that address and the virtual MAC (errata 7947, 7949)",
		does: tests("vrrp/wire.TestARPPackets", "vrrp/wire.TestAnnounceFrames", "vrrp/wire.TestVirtualMAC"), refuses: tests("vrrp/wire.TestARPPackets"), departs: ownMAC},
	{section: "6.4.2", level: "table", demand: "an unsolicited Neighbor Advertisement for each address: Router and Override set, Solicited clear, the virtual MAC in it",
		does: tests("vrrp/wire.TestNDPPackets", "vrrp/wire.TestAnnounceMovesNeighbour6"), refuses: tests("vrrp/wire.TestNDPPackets"),
		departs: kernelR + "; " + ownMAC},
	{section: "6.4.2", level: "table", demand: "priority 0: Active_Down_Timer is Skew_Time",
		does: tests("TestStateTable", "vrrp/runner.TestHandOver"), refuses: tests("TestReleaseNeverDelays"),
		departs: "never later than the timer would fire anyway: a stream of releases must not keep everybody from taking over"},
	{section: "6.4.2", level: "table", demand: "priority not lower, or Preempt_Mode false: adopt the interval, recompute Skew_Time and Active_Down_Interval, start the timer anew",
		does: tests("TestStateTable", "TestFailback"), refuses: tests("TestStateTable", "internal/sim.TestMutants")},
	{section: "6.4.2", level: "table", demand: "lower priority and Preempt_Mode true: discard",
		does: tests("TestStateTable"), refuses: tests("TestFailbackDelayRestarts", "internal/sim.TestMutants")},

	{section: "6.4.3", level: "must", demand: "the active router answers ARP requests for the addresses",
		does:    tests("director.TestHolderRoles", "vrrp/wire.TestProbe"),
		refuses: tests("director.TestHolderRoles"), departs: ownMAC},
	{section: "6.4.3", level: "must", demand: "it is a member of the Solicited-Node groups",
		does: tests("vrrp/wire.TestProbe6"), refuses: tests("vrrp/wire.TestProbe6")},
	{section: "6.4.3", level: "must", demand: "it answers Neighbor Solicitations with the Router flag",
		does: tests("vrrp/wire.TestProbe6"), refuses: tests("vrrp/wire.TestProbe6"), departs: kernelR + "; " + ownMAC},
	{section: "6.4.3", level: "must", demand: "it sends Router Advertisements", notApplicable: noRA},
	{section: "6.4.3", level: "must", demand: "it forwards frames for the virtual MAC",
		does: tests("vrrp/wire.TestFloodedFrames"), refuses: tests("internal/netif.TestOpenMacvlan"), departs: "if the interface does, for masquerading"},
	{section: "6.4.3", level: "must", demand: "it accepts packets for the addresses if it owns them or Accept_Mode is true",
		does: tests("director.TestHolderRoles", "integration.TestFailback"), oneWay: "Accept_Mode is always true: IPVS balances what is local"},
	{section: "6.4.3", level: "must not", demand: "it accepts packets for the addresses otherwise",
		notApplicable: "Accept_Mode is always true"},
	{section: "6.4.3", level: "table", demand: "Shutdown: stop Adver_Timer, an advertisement with priority 0, Initialize",
		does: tests("TestStateTable", "TestHandOver", "TestFault"), refuses: tests("TestShutdownStopsTimers", "TestPauseGuard")},
	{section: "6.4.3", level: "table", demand: "Adver_Timer fires: an advertisement, the timer anew",
		does: tests("TestStateTable", "TestAdverTimerGoesOn"), refuses: tests("TestAdverTimerGoesOn", "TestPauseGuard"),
		departs: "not after three intervals of silence, when a backup may have taken over: then it listens first"},
	{section: "6.4.3", level: "table", demand: "priority 0: an advertisement at once, the timer anew",
		does: tests("TestStateTable", "TestReleaseFlood"), refuses: tests("internal/sim.TestMutants", "TestReleaseFlood"),
		departs: "not within 1 ms of the latest one, but then: anybody can send releases, and an answer to each would double a flood"},
	{section: "6.4.3", level: "table", demand: "a better router: stop Adver_Timer, adopt its interval, recompute, Active_Down_Timer, Backup",
		does: tests("TestStateTable", "TestYield", "TestTieBreakIsUnsigned"), refuses: tests("TestYieldStopsAdverTimer", "TestTieBreakIsUnsigned"),
		departs: "before it becomes a backup it advertises once more, so that the better router knows of a rival whose announcements are in caches"},
	{section: "6.4.3", level: "table", demand: "any other advertisement: discard it, and advertise at once",
		does: tests("TestStateTable", "TestAssert"), refuses: tests("TestAddressConfusion", "TestAssert"),
		departs: "not within 10 ms of the last one: two routers that both believe to have won would answer each other without end"},

	{section: "7.1", level: "must", demand: "verify that the version is 3",
		does: tests("TestAdvertWire"), refuses: tests("TestParseDrops", "vrrp/wire.TestDrops")},
	{section: "7.1", level: "must", demand: "verify that the type is 1",
		does: tests("TestAdvertWire"), refuses: tests("TestParseDrops")},
	{section: "7.1", level: "must", demand: "verify that the message is complete",
		does: tests("TestAdvertWire", "TestParseTrailer"), refuses: tests("TestParseDrops", "FuzzParse")},
	{section: "7.1", level: "must", demand: "verify the checksum",
		does: tests("TestAdvertWire"), refuses: tests("TestEveryBitCounts", "TestParseDrops")},
	{section: "7.1", level: "must", demand: "verify that the VRID is configured on the interface",
		does: tests("vrrp/wire.TestJudge", "TestStateTable"), refuses: tests("vrrp/wire.TestJudge", "TestDiscards")},
	{section: "7.1", level: "should", demand: "verify that this router is not the owner, and log (erratum 8298: do not discard)",
		does: tests("TestTwoOwners", "TestStateTable"), refuses: tests("TestTwoOwners")},
	{section: "7.1", level: "must", demand: "verify that there is an address (erratum 8299)",
		does: tests("TestAdvertWire"), refuses: tests("TestParseDrops")},
	{section: "7.1", level: "must", demand: "verify that the first address is link-local (erratum 8300)",
		does: tests("TestAdvertWire6"), refuses: tests("TestParseDrops")},
	{section: "7.1", level: "must", demand: "verify that the interval is not zero (erratum 8301)",
		does: tests("TestAdvertWire"), refuses: tests("TestParseDrops")},
	{section: "7.1", level: "must", demand: "discard what fails one of these",
		does: tests("TestAdvertWire"), refuses: tests("TestParseDrops", "vrrp/wire.TestDrops")},
	{section: "7.1", level: "should", demand: "log such a failure, at a limited rate",
		does: tests("vrrp/wire.TestDrops", "vrrp/wire.TestDropReportsAreRare"), refuses: tests("vrrp/wire.TestDropReportsAreRare")},
	{section: "7.1", level: "should", demand: "compare the interval with the own, and do not drop",
		does: tests("TestMismatchIsNotDropped", "TestNotes"), refuses: tests("TestMismatchIsNotDropped")},
	{section: "7.1", level: "should", demand: "log another interval or other addresses, at a limited rate",
		does: tests("TestMismatchIsNotDropped", "TestNotes"), refuses: tests("TestNotes", "TestSameAddresses")},

	{section: "7.2", level: "must", demand: "fill in the fields from the configuration, compute the checksum",
		does: tests("TestFieldsComeFromTheConfiguration", "TestAdvertWire"), refuses: tests("TestAppendErrors"),
		departs: "the last advertisement of a router that yields names the winner's interval (TestYieldSpeaksForTheWinner)"},
	{section: "7.2", level: "must", demand: "send from the virtual MAC",
		does: tests("vrrp/wire.TestOutlet", "cmd/tandem.TestDevices"), refuses: tests("internal/netif.TestMacvlanSilence"),
		departs: ownMAC + "; and then not by unicast, nor before the addresses are announced: a switch must not send to who does not have them yet"},
	{section: "7.2", level: "must", demand: "send from the primary address of the interface",
		does: tests("vrrp/wire.TestFrame", "vrrp/wire.TestPrimaryFollowsInterface"), refuses: tests("vrrp/wire.TestPrimaryFollowsInterface")},
	{section: "7.2", level: "must", demand: "protocol 112, to 224.0.0.18",
		does: tests("vrrp/wire.TestFrame"), oneWay: "no input changes it"},
	{section: "7.2", level: "must", demand: "over IPv6 protocol 112, from the link-local address, to ff02::12",
		does: tests("vrrp/wire.TestExchangeIPv6", "TestStartup6"), refuses: tests("TestStartup6")},

	{section: "7.4", level: "must not", demand: "the virtual MAC in interface identifiers",
		does: tests("internal/netif.TestPrimaryIPv6"), refuses: tests("internal/netif.TestPrimaryIPv6")},

	{section: "8.1.2", level: "must not", demand: "answer ARP requests for the addresses with the physical MAC",
		does: tests("vrrp/wire.TestVirtualMAC"), refuses: tests("vrrp/wire.TestVirtualMACSettings"), departs: ownMAC},
	{section: "8.1.2", level: "should not", demand: "after a restart send ARP packets with the physical MAC for owned addresses",
		does: tests("vrrp/wire.TestVirtualMAC"), refuses: tests("vrrp/wire.TestVirtualMACSettings"), departs: ownMAC},
	{section: "8.1.2", level: "should", demand: "announce each address when an interface is configured",
		does: tests("director.TestHolderRoles", "vrrp/wire.TestRepeats"), refuses: tests("vrrp/wire.TestNotHeld")},
	{section: "8.1.2", level: "must", demand: "delay announcements until the address is configured",
		does: tests("director.TestHolderRoles"), refuses: tests("director.TestHolderRoles", "vrrp/wire.TestNotHeld")},
	{section: "8.1.2", level: "should", demand: "reach one particular router by an address of its own", notApplicable: operator},
	{section: "8.1.3", level: "must", demand: "proxy ARP with the virtual MAC", notApplicable: "tandem proxies for nobody"},

	{section: "8.2.1", level: "should", demand: "the source of ICMPv6 redirects", notApplicable: "redirects are the kernel's"},
	{section: "8.2.2", level: "must not", demand: "answer Neighbor Solicitations with the physical MAC",
		does: tests("vrrp/wire.TestProbe6"), oneWay: "the kernel answers", departs: ownMAC},
	{section: "8.2.2", level: "must", demand: "the virtual MAC in the source link-layer address option", notApplicable: noSource},
	{section: "8.2.2", level: "must not", demand: "the physical MAC in that option", notApplicable: noSource},
	{section: "8.2.2", level: "must", demand: "delay neighbour discovery until the address is configured",
		does: tests("director.TestHolderRoles"), refuses: tests("director.TestHolderRoles", "vrrp/wire.TestNotHeld")},
	{section: "8.2.2", level: "should not", demand: "after a restart send neighbour discovery with the physical MAC",
		does: tests("vrrp/wire.TestAnnounceFrames6"), oneWay: "there is no other MAC", departs: ownMAC},
	{section: "8.2.2", level: "should", demand: "an unsolicited Neighbor Advertisement when an interface is configured",
		does: tests("director.TestHolderRoles", "vrrp/wire.TestRepeats"), refuses: tests("vrrp/wire.TestNotHeld")},
	{section: "8.2.3", level: "must", demand: "the same Router Advertisement options on all routers", notApplicable: noRA},
	{section: "8.2.3", level: "should not", demand: "options for services that the backups do not offer", notApplicable: noRA},
	{section: "8.2.4", level: "should", demand: "accept unsolicited Neighbor Advertisements in both states",
		does: tests("vrrp/wire.TestAnnounceMovesNeighbour6", "vrrp/wire.TestConflict6"), oneWay: "the kernel accepts them, whatever the state"},

	{section: "8.3.1", level: "should not", demand: "forward packets for addresses that it holds and does not own",
		notApplicable: "an address that is held is local: its packets are balanced or accepted"},
	{section: "8.3.2", level: "should", demand: "one router with priority 255 at most",
		does: tests("configs.TestWarnings"), refuses: tests("TestTwoOwners")},
	{section: "8.3.2", level: "should", demand: "log several owners, at a limited rate",
		does: tests("TestTwoOwners"), refuses: tests("TestTwoOwners", "vrrp/runner.TestLimiter")},
	{section: "8.3.2", level: "should", demand: "priorities that differ enough, so that two do not take over together",
		does: tests("configs.TestWarnings", "TestTimers"), refuses: tests("internal/sim.TestScenarios")},

	{section: "8.4.2", level: "must", demand: "send both versions, at the configured rate", notApplicable: noV2},
	{section: "8.4.2", level: "must", demand: "time out by the rate of the active router, whatever its version", notApplicable: noV2},
	{section: "8.4.2", level: "must", demand: "translate seconds to centiseconds", notApplicable: noV2},
	{section: "8.4.2", level: "should", demand: "ignore version 2 from a router that sends version 3, too", notApplicable: noV2},
	{section: "8.4.2", level: "should not", demand: "both versions for good", notApplicable: noV2},
	{section: "8.4.2.1.1", level: "should not", demand: "a higher priority for a router of version 2", notApplicable: noV2},

	{section: "9", level: "should", demand: "follow RFC 9099, section 2.3", notApplicable: operator},
}

// TestConformance: every row is complete, and every test that it names exists.
func TestConformance(t *testing.T) {
	names, err := testNames(filepath.Join(".."))
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < 200 {
		t.Fatalf("only %d tests were found in the module", len(names))
	}
	for _, c := range conformance {
		for _, problem := range c.problems(names) {
			t.Errorf("section %s, %s %s: %s", c.section, c.level, c.demand, problem)
		}
	}
}

// problems says what is wrong with a row.
func (c clause) problems(exists map[string]bool) []string {
	var out []string
	fail := func(wrong bool, format string, args ...any) {
		if wrong {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	levels := []string{"must", "must not", "should", "should not", "table"}
	fail(c.section == "" || c.demand == "", "no section or no demand")
	fail(!slices.Contains(levels, c.level), "unknown level %q", c.level)
	if c.notApplicable != "" {
		fail(len(c.does)+len(c.refuses) > 0 || c.oneWay != "" || c.departs != "", "not applicable, and yet proved")
		return out
	}
	fail(len(c.does) == 0, "no test shows that it is met")
	fail(len(c.refuses) == 0 && c.oneWay == "", "no test shows that the contrary does not happen, and no reason")
	fail(len(c.refuses) > 0 && c.oneWay != "", "a test shows that the contrary does not happen, and a reason why none does")
	for _, name := range slices.Concat(c.does, c.refuses) {
		if !strings.Contains(name, ".") {
			name = "vrrp." + name
		}
		fail(!exists[name], "there is no test %s", name)
	}
	return out
}

// testNames finds the test functions of the module, whatever their build tags are,
// as folder.Name.
func testNames(root string) (map[string]bool, error) {
	names := make(map[string]bool)
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || file != root && strings.HasPrefix(d.Name(), ".")):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(file, "_test.go"):
			return nil
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range syntax.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if ok && f.Recv == nil && (strings.HasPrefix(f.Name.Name, "Test") || strings.HasPrefix(f.Name.Name, "Fuzz")) {
				names[path.Dir(filepath.ToSlash(rel))+"."+f.Name.Name] = true
			}
		}
		return nil
	})
	return names, err
}

// TestConformanceProblems: a row that proves nothing is found out.
func TestConformanceProblems(t *testing.T) {
	exists := map[string]bool{"vrrp.TestA": true, "vrrp/wire.TestB": true}
	good := clause{section: "1", level: "must", demand: "something", does: tests("TestA"), refuses: tests("vrrp/wire.TestB")}
	for _, tt := range []struct {
		name string
		edit func(*clause)
		want string
	}{
		{"good", func(*clause) {}, ""},
		{"not applicable", func(c *clause) { *c = clause{section: "1", level: "must", demand: "x", notApplicable: "y"} }, ""},
		{"no contrary", func(c *clause) { c.refuses, c.oneWay = nil, "none" }, ""},
		{"no section", func(c *clause) { c.section = "" }, "no section or no demand"},
		{"level", func(c *clause) { c.level = "may" }, `unknown level "may"`},
		{"no test", func(c *clause) { c.does = nil }, "no test shows that it is met"},
		{"no contrary, no reason", func(c *clause) { c.refuses = nil }, "no test shows that the contrary does not happen, and no reason"},
		{"a test that is gone", func(c *clause) { c.does = tests("TestB") }, "there is no test vrrp.TestB"},
		{"a test of another package", func(c *clause) { c.refuses = tests("vrrp/wire.TestA") }, "there is no test vrrp/wire.TestA"},
		{"both", func(c *clause) { c.notApplicable = "x" }, "not applicable, and yet proved"},
		{"both reasons", func(c *clause) { c.oneWay = "x" }, "a test shows that the contrary does not happen, and a reason why none does"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := good
			tt.edit(&c)
			if got := strings.Join(c.problems(exists), "; "); got != tt.want {
				t.Errorf("problems %q, want %q", got, tt.want)
			}
		})
	}
}
