package vrrp

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Reasons that come up more than once in the table of RFC 3768.
const (
	tokenRing = "there is no FDDI and no token ring"
	oneSocket = "no input changes it; one socket serves both versions"
)

// conformance3768 has every MUST, MUST NOT, SHOULD and SHOULD NOT of RFC 3768, by
// which version 2 is spoken, and the steps of its state tables. What has the same
// words in RFC 9568 is here once more where the version could make a difference.
var conformance3768 = []clause{
	{section: "5.2.2", level: "must not", demand: "forward a datagram for 224.0.0.18",
		notApplicable: "the kernel never forwards the link-local groups, and tandem forwards nothing itself"},
	{section: "5.2.3", level: "must", demand: "send with TTL 255",
		does: tests("vrrp/wire.TestFrame"), oneWay: oneSocket},
	{section: "5.2.3", level: "must", demand: "discard what does not have TTL 255",
		does: tests("TestReceiveV2"), refuses: tests("TestReceiveV2")},

	{section: "5.3.2", level: "must", demand: "discard an unknown type",
		does: tests("TestReceiveV2"), refuses: tests("TestReceiveV2")},
	{section: "5.3.4", level: "must", demand: "priority 255 for the owner of the addresses",
		does: tests("TestStateTableV2", "configs.TestWarnings"), refuses: tests("TestPrioritiesV2", "configs.TestInvalid")},
	{section: "5.3.4", level: "must", demand: "priorities 1 to 254 for the others",
		does: tests("TestTimersV2", "TestPrioritiesV2"), refuses: tests("TestPrioritiesV2", "configs.TestInvalid")},
	{section: "5.3.6", level: "must", demand: "discard an unknown type of authentication, and one that is not configured",
		does: tests("TestReceiveV2", "TestAcceptV2"), refuses: tests("TestReceiveV2", "TestAcceptV2"),
		departs: "auth_pass asks for type 1 of RFC 2338, which this RFC took away: routers that still use it are why version 2 is spoken"},
	{section: "5.3.7", level: "table", demand: "the interval is in seconds, 1 to 255",
		does: tests("TestAdvertWire", "configs.TestVersions"), refuses: tests("TestAppendErrors", "TestReceiveV2", "configs.TestInvalid")},
	{section: "5.3.8", level: "table", demand: "the checksum covers the message from its version to the end of the authentication data, and nothing else",
		does: tests("TestAdvertWire"), refuses: tests("TestParseDrops", "TestEveryBitCountsV2")},
	{section: "5.3.10", level: "should", demand: "send the authentication data as zero",
		does: tests("TestAuthenticationIsZero"), refuses: tests("TestPasswordWire"),
		departs: "not with auth_pass, see 5.3.6"},
	{section: "5.3.10", level: "should", demand: "ignore the authentication data of what is received",
		does: tests("TestReceiveV2"), refuses: tests("TestAcceptV2"),
		departs: "not with auth_pass, see 5.3.6"},

	{section: "6.1", level: "table", demand: "Skew_Time is in seconds and does not depend on the interval; Master_Down_Interval is three intervals more",
		does: tests("TestTimersV2", "TestStateTableV2"), oneWay: "they are numbers"},
	{section: "6.1", level: "table", demand: "Preempt_Mode says whether a higher priority takes the role back; the owner always does",
		does: tests("TestStateTableV2"), refuses: tests("TestStateTableV2", "TestFailback")},

	{section: "6.4.1", level: "table", demand: "the owner starts as master: an advertisement, announcements, Adver_Timer",
		does: tests("TestStateTableV2", "director.TestHolderRoles"), refuses: tests("TestPrioritiesV2")},
	{section: "6.4.1", level: "table", demand: "the others start as backup",
		does: tests("TestStateTableV2"), refuses: tests("TestStateTableV2")},

	{section: "6.4.2", level: "must not", demand: "a backup answers ARP requests for the addresses",
		does:    tests("director.TestDesiredAddresses", "director.TestHolderRoles", "vrrp/wire.TestProbe"),
		refuses: tests("internal/sim.TestScenarios", "internal/sim.TestMutants"),
		departs: "after a hand-over the addresses are held until the successor has taken over, as in version 3"},
	{section: "6.4.2", level: "must", demand: "a backup discards frames for the virtual MAC",
		does: tests("vrrp/wire.TestFloodedFrames", "internal/netif.TestOpenMacvlan"), refuses: tests("vrrp/wire.TestFloodedFrames"),
		departs: "as in version 3: not between a crash of the daemon and tandem release"},
	{section: "6.4.2", level: "must not", demand: "a backup accepts packets for the addresses",
		does:    tests("director.TestDesiredAddresses", "director.TestHolderRoles"),
		refuses: tests("internal/sim.TestScenarios", "internal/sim.TestMutants"),
		departs: "not while they are held after a hand-over, see above"},
	{section: "6.4.2", level: "table", demand: "Shutdown: stop Master_Down_Timer, Initialize",
		does: tests("TestStateTableV2"), refuses: tests("TestShutdownStopsTimers")},
	{section: "6.4.2", level: "table", demand: "Master_Down_Timer fires: an advertisement, announcements, Adver_Timer, Master",
		does: tests("TestStateTableV2", "director.TestHolderRoles"), refuses: tests("TestStateTableV2")},
	{section: "6.4.2", level: "table", demand: "priority 0: Master_Down_Timer is Skew_Time",
		does: tests("TestStateTableV2"), refuses: tests("TestReleaseNeverDelays"),
		departs: "never later than the timer would fire anyway, as in version 3"},
	{section: "6.4.2", level: "table", demand: "priority not lower, or Preempt_Mode false: start Master_Down_Timer anew",
		does: tests("TestStateTableV2"), refuses: tests("TestStateTableV2")},
	{section: "6.4.2", level: "table", demand: "lower priority and Preempt_Mode true: discard",
		does: tests("TestStateTableV2"), refuses: tests("TestStateTableV2")},

	{section: "6.4.3", level: "must", demand: "the master answers ARP requests for the addresses",
		does: tests("director.TestHolderRoles", "vrrp/wire.TestProbe"), refuses: tests("director.TestHolderRoles"), departs: ownMAC},
	{section: "6.4.3", level: "must", demand: "it forwards frames for the virtual MAC",
		does: tests("vrrp/wire.TestFloodedFrames"), refuses: tests("internal/netif.TestOpenMacvlan"), departs: "if the interface does, for masquerading"},
	{section: "6.4.3", level: "must not", demand: "it accepts packets for the addresses if it does not own them",
		does: tests("director.TestHolderRoles", "integration.TestFailback"), oneWay: "the addresses are always local",
		departs: "it does accept them, as RFC 9568 allows with Accept_Mode: IPVS balances what is local"},
	{section: "6.4.3", level: "must", demand: "it accepts packets for the addresses if it owns them",
		does: tests("director.TestHolderRoles"), oneWay: "the addresses are always local"},
	{section: "6.4.3", level: "table", demand: "Shutdown: stop Adver_Timer, an advertisement with priority 0, Initialize",
		does: tests("TestStateTableV2"), refuses: tests("TestShutdownStopsTimers", "TestPauseGuard")},
	{section: "6.4.3", level: "table", demand: "Adver_Timer fires: an advertisement, the timer anew",
		does: tests("TestStateTableV2"), refuses: tests("TestStateTableV2", "TestPauseGuard"),
		departs: "not after three intervals of silence, as in version 3"},
	{section: "6.4.3", level: "table", demand: "priority 0: an advertisement at once, the timer anew",
		does: tests("TestStateTableV2"), refuses: tests("internal/sim.TestMutants", "TestReleaseFlood"),
		departs: "not within 1 ms of the latest one, but then, as in version 3"},
	{section: "6.4.3", level: "table", demand: "a better router: stop Adver_Timer, Master_Down_Timer, Backup",
		does: tests("TestStateTableV2", "TestTieBreakIsUnsigned"), refuses: tests("TestStateTableV2", "TestYieldStopsAdverTimer"),
		departs: "before it becomes a backup it advertises once more, as in version 3"},
	{section: "6.4.3", level: "table", demand: "any other advertisement: discard it, in silence",
		does: tests("TestStateTableV2"), refuses: tests("TestAddressConfusion", "TestAssert"),
		departs: "it advertises at once, as RFC 9568 demands, so that the other steps down without waiting for the next interval, which is seconds here"},

	{section: "7.1", level: "must", demand: "verify that the version is 2",
		does: tests("TestReceiveV2", "TestAcceptV2"), refuses: tests("TestReceiveV2", "TestAcceptV2")},
	{section: "7.1", level: "must", demand: "verify that the message is complete, with its authentication data",
		does: tests("TestReceiveV2"), refuses: tests("TestReceiveV2", "TestParseDrops")},
	{section: "7.1", level: "must", demand: "verify the checksum",
		does: tests("TestReceiveV2"), refuses: tests("TestEveryBitCountsV2", "TestParseDrops")},
	{section: "7.1", level: "must", demand: "verify that the VRID is configured on the interface",
		does: tests("vrrp/wire.TestJudge", "TestStateTableV2"), refuses: tests("vrrp/wire.TestJudge", "TestDiscards")},
	{section: "7.1", level: "must", demand: "verify that this router is not the owner of the addresses",
		does: tests("TestTwoOwnersV2"), refuses: tests("TestTwoOwnersV2"),
		departs: "erratum 8298 of RFC 9568 is followed in both versions: two owners that discard what they hear of each other stay masters for ever"},
	{section: "7.1", level: "must", demand: "verify that the authentication is the configured one, and perform it",
		does: tests("TestAcceptV2", "vrrp/wire.TestInteropKeepalivedActive"), refuses: tests("TestAcceptV2", "vrrp/wire.TestInteropMismatch")},
	{section: "7.1", level: "must", demand: "discard what fails one of these",
		does: tests("TestReceiveV2"), refuses: tests("TestReceiveV2", "vrrp/wire.TestDrops")},
	{section: "7.1", level: "should", demand: "log such a failure",
		does: tests("vrrp/wire.TestDrops"), refuses: tests("vrrp/wire.TestDropReportsAreRare")},
	{section: "7.1", level: "must", demand: "if the addresses are compared, drop what differs and is not of the owner",
		does: tests("TestAddressesV2"), refuses: tests("TestAddressesV2"),
		departs: "the comparison is optional and made for the log and for status alone, as in version 3: dropped, a pair in the middle of a change of its addresses would have two masters"},
	{section: "7.1", level: "should", demand: "log other addresses",
		does: tests("TestAddressesV2"), refuses: tests("TestAddressesV2", "TestSameAddresses")},
	{section: "7.1", level: "must", demand: "verify that the interval is the own, discard what has another",
		does: tests("TestReceiveV2", "TestAcceptV2"), refuses: tests("TestReceiveV2", "TestAcceptV2", "vrrp/wire.TestInteropMismatch")},
	{section: "7.1", level: "should", demand: "log another interval",
		does: tests("vrrp/wire.TestDrops"), refuses: tests("vrrp/wire.TestDropReportsAreRare")},

	{section: "7.2", level: "must", demand: "fill in the fields from the configuration, compute the checksum",
		does: tests("TestFieldsV2", "TestAdvertWire"), refuses: tests("TestAppendErrors")},
	{section: "7.2", level: "must", demand: "send from the virtual MAC",
		does: tests("vrrp/wire.TestFrame"), oneWay: oneSocket, departs: ownMAC},
	{section: "7.2", level: "must", demand: "send from the primary address of the interface",
		does: tests("vrrp/wire.TestFrame", "vrrp/wire.TestPrimaryFollowsInterface"), refuses: tests("vrrp/wire.TestPrimaryFollowsInterface")},
	{section: "7.2", level: "must", demand: "protocol 112, to 224.0.0.18",
		does: tests("vrrp/wire.TestFrame"), oneWay: oneSocket},

	{section: "8.1", level: "must", demand: "know by the virtual MAC whose address a redirect has to come from",
		notApplicable: "the profile turns redirects off"},
	{section: "8.2", level: "must", demand: "answer ARP requests for the addresses with the virtual MAC",
		does: tests("vrrp/wire.TestAnnounceMovesNeighbour"), oneWay: "the kernel answers", departs: ownMAC},
	{section: "8.2", level: "must not", demand: "answer them with the physical MAC",
		does: tests("vrrp/wire.TestAnnounceMovesNeighbour"), oneWay: "the kernel answers", departs: ownMAC},
	{section: "8.2", level: "should not", demand: "after a restart send ARP packets with the physical MAC for owned addresses",
		does: tests("vrrp/wire.TestAnnounceFrames"), oneWay: "there is no other MAC", departs: ownMAC},
	{section: "8.2", level: "should", demand: "announce each address when an interface is configured, not before the address is there",
		does: tests("director.TestHolderRoles", "vrrp/wire.TestRepeats"), refuses: tests("director.TestHolderRoles", "vrrp/wire.TestNotHeld")},
	{section: "8.3", level: "must", demand: "proxy ARP with the virtual MAC", notApplicable: "tandem proxies for nobody"},
	{section: "8.4", level: "should not", demand: "forward packets for addresses that it is master for and does not own",
		notApplicable: "an address that is held is local: its packets are balanced or accepted"},

	{section: "9.1", level: "should", demand: "the virtual MAC as a filter of an FDDI device", notApplicable: tokenRing},
	{section: "9.2", level: "must", demand: "functional addresses on token ring", notApplicable: tokenRing},
}

// TestConformance3768: every row is complete, and every test that it names exists.
func TestConformance3768(t *testing.T) {
	names, err := testNames(filepath.Join(".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range conformance3768 {
		for _, problem := range c.problems(names) {
			t.Errorf("section %s, %s %s: %s", c.section, c.level, c.demand, problem)
		}
	}
}

// configV2 is config with version 2 and its shortest interval: its skew is 609.375
// ms and its Master_Down_Interval 3609.375 ms.
func configV2(edit func(*Config)) Config {
	c := Config{VRID: 51, Priority: 100, Version: V2, Interval: time.Second, Addresses: vip}
	if edit != nil {
		edit(&c)
	}
	return c
}

// TestStateTableV2 has one row for each sentence of RFC 3768, section 6.4. The
// deadline shows the timer.
func TestStateTableV2(t *testing.T) {
	const (
		skew = 609375 * time.Microsecond
		down = 3*time.Second + skew
	)
	every := func(p uint8) Received { return heardEvery(lower, p, time.Second) }
	slow := func(c *Config) { c.Interval = 10 * time.Second }
	toMaster := []input{startup, {4 * time.Second, Timeout{}}}
	for _, tt := range []struct {
		section, name string
		cfg           Config
		before        []input
		last          input
		want          string
		deadline      time.Duration
	}{
		{"6.4.1", "address owner starts", configV2(priority(255)), nil, startup, "advert 255, active hold", time.Second},
		{"6.4.1", "other starts", configV2(nil), nil, startup, "backup", down},
		{"6.4.1", "nothing but a startup matters", configV2(nil), nil, input{0, every(200)}, "", -1},

		{"6.4.2", "shutdown", configV2(nil), []input{startup}, input{10 * ms, Shutdown{}}, "init", -1},
		{"6.4.2", "Master_Down_Timer fires", configV2(nil), []input{startup}, input{down, Timeout{}}, "advert 100, active hold", down + time.Second},
		{"6.4.2", "a nanosecond before that", configV2(nil), []input{startup}, input{down - 1, Timeout{}}, "", down},
		{"6.4.2", "priority 0: Skew_Time", configV2(nil), []input{startup}, input{10 * ms, every(0)}, "", 10*ms + skew},
		{"6.4.2", "priority 0 with a long interval: the same Skew_Time", configV2(slow), []input{startup},
			input{10 * ms, heardEvery(lower, 0, 10*time.Second)}, "", 10*ms + skew},
		{"6.4.2", "a long interval, started anew", configV2(slow), []input{startup},
			input{10 * ms, heardEvery(lower, 200, 10*time.Second)}, "", 10*ms + 30*time.Second + skew},
		{"6.4.2", "higher priority", configV2(nil), []input{startup}, input{10 * ms, every(200)}, "", 10*ms + down},
		{"6.4.2", "equal priority", configV2(nil), []input{startup}, input{10 * ms, every(100)}, "", 10*ms + down},
		{"6.4.2", "lower priority, Preempt_Mode true: discarded", configV2(nil), []input{startup}, input{10 * ms, every(99)}, "", down},
		{"6.4.2", "lower priority, Preempt_Mode false: followed", configV2(failback(FailbackNever)), []input{startup}, input{10 * ms, every(99)}, "", 10*ms + down},
		{"6.4.2", "an interval is not learned", configV2(nil), []input{startup}, input{10 * ms, heardEvery(lower, 200, 9*time.Second)}, "note", 10*ms + down},

		{"6.4.3", "shutdown: priority 0", configV2(nil), toMaster, input{4100 * ms, Shutdown{}}, "advert 0, init", -1},
		{"6.4.3", "Adver_Timer fires", configV2(nil), toMaster, input{5 * time.Second, Timeout{}}, "advert 100", 6 * time.Second},
		{"6.4.3", "a nanosecond before that", configV2(nil), toMaster, input{5*time.Second - 1, Timeout{}}, "", 5 * time.Second},
		{"6.4.3", "priority 0: advertise now", configV2(nil), toMaster, input{4100 * ms, every(0)}, "advert 100", 5100 * ms},
		{"6.4.3", "higher priority", configV2(nil), toMaster, input{4100 * ms, every(101)}, "advert 100, backup hold", 4100*ms + HandOverOverlap},
		{"6.4.3", "equal priority, higher address", configV2(nil), toMaster,
			input{4100 * ms, heardEvery(higher, 100, time.Second)}, "advert 100, backup hold", 4100*ms + HandOverOverlap},
		{"6.4.3", "Master_Down_Timer after that", configV2(nil), append(toMaster[:2:2], input{4100 * ms, every(101)}),
			input{4100*ms + HandOverOverlap, Timeout{}}, "note, backup", 4100*ms + down},
		{"6.4.3", "equal priority, lower address: not silent (RFC 9568)", configV2(nil), toMaster, input{4050 * ms, every(100)}, "advert 100", 5050 * ms},
		{"6.4.3", "lower priority: not silent (RFC 9568)", configV2(nil), toMaster, input{4050 * ms, every(99)}, "advert 100", 5050 * ms},
	} {
		t.Run(tt.section+" "+tt.name, func(t *testing.T) {
			m, actions := run(tt.cfg, append(tt.before[:len(tt.before):len(tt.before)], tt.last)...)
			if got := brief(actions); got != tt.want {
				t.Errorf("actions %q, want %q", got, tt.want)
			}
			if got := deadline(m); got != tt.deadline {
				t.Errorf("deadline %v, want %v", got, tt.deadline)
			}
		})
	}
}

// TestReceiveV2 is section 7.1: each thing that is wrong with a packet, alone, and
// with a checksum that is right where it is not the checksum that is wrong.
func TestReceiveV2(t *testing.T) {
	const good = "21336401 0001 b865 c0000264 0000000000000000"
	sealed := func(edit func(b []byte)) []byte {
		b := unhex(t, good)
		edit(b)
		b[checksumAt], b[checksumAt+1] = 0, 0
		sum := fold(onesSum(b))
		b[checksumAt], b[checksumAt+1] = byte(sum>>8), byte(sum)
		return b
	}
	set := func(at int, v byte) []byte { return sealed(func(b []byte) { b[at] = v }) }
	type packet struct {
		name string
		b    []byte
		ttl  uint8
		want DropReason // 0: accepted
	}
	packets := []packet{
		{"as it should be", unhex(t, good), TTL, 0},
		{"authentication data without a type", set(19, 0xff), TTL, 0},
		{"the owner's", set(2, 255), TTL, 0},
		{"a release", set(2, 0), TTL, 0},
		{"TTL 254", unhex(t, good), 254, DropBadTTL},
		{"TTL 1", unhex(t, good), 1, DropBadTTL},
		{"version 1", set(0, 0x11), TTL, DropBadVersion},
		{"version 3", set(0, 0x31), TTL, DropVersionMismatch},
		{"version 4", set(0, 0x41), TTL, DropBadVersion},
		{"no address", set(3, 0), TTL, DropZeroCount},
		{"more addresses than there are", set(3, 2), TTL, DropTruncated},
		{"another checksum", append(unhex(t, good)[:checksumAt], unhex(t, "b864 c0000264 0000000000000000")...), TTL, DropBadChecksum},
		{"interval 0", set(5, 0), TTL, DropZeroInterval},
		{"another interval", set(5, 2), TTL, DropIntervalMismatch},
	}
	for _, typ := range []byte{0, 2, 15} {
		packets = append(packets, packet{fmt.Sprint("type ", typ), set(0, 0x20|typ), TTL, DropBadType})
	}
	for _, auth := range []byte{1, 2, 3, 255} {
		packets = append(packets, packet{fmt.Sprint("authentication ", auth), set(4, auth), TTL, DropAuthType})
	}
	for n := range len(unhex(t, good)) {
		packets = append(packets, packet{fmt.Sprint(n, " bytes"), unhex(t, good)[:n], TTL, DropTruncated})
	}
	codec := NewCodec(formatV2(nil))
	for _, p := range packets {
		h := Header{Src: src1, Dst: group, TTL: p.ttl}
		a, _, err := Parse(p.b, h)
		if err == nil {
			err = codec.Accept(epoch, p.b, h, a)
		}
		if reason, _ := errors.AsType[DropReason](err); reason != p.want {
			t.Errorf("%s: %v, want %v", p.name, err, p.want)
		}
	}
}

// TestEveryBitCountsV2 is sections 5.3.8 and 7.1: whatever bit of a message is
// damaged, the authentication data included, it is discarded.
func TestEveryBitCountsV2(t *testing.T) {
	good := unhex(t, "21336401 0001 b865 c0000264 0000000000000000")
	codec := NewCodec(formatV2(nil))
	if err := accept(codec, epoch, good, src1); err != nil {
		t.Fatal(err)
	}
	for bit := range 8 * len(good) {
		b := append([]byte(nil), good...)
		b[bit/8] ^= 1 << (bit % 8)
		if err := accept(codec, epoch, b, src1); err == nil {
			t.Errorf("bit %d flipped is accepted", bit)
		}
	}
}

// TestAuthenticationIsZero is section 5.3.10.
func TestAuthenticationIsZero(t *testing.T) {
	a := Advert{Version: V2, VRID: 51, Priority: 100, Interval: time.Second, Addresses: addrs("192.0.2.100", "192.0.2.101")}
	b, err := NewCodec(formatV2(nil)).Append(nil, epoch, a, src1, group)
	if err != nil {
		t.Fatal(err)
	}
	if b[4] != 0 || string(b[len(b)-passwordLen:]) != strings.Repeat("\x00", passwordLen) || len(b) != 8+2*4+8 {
		t.Errorf("%x", b)
	}
}

// TestPrioritiesV2 is sections 5.3.4 and 6.4.1: priority 255 and no other starts as
// the master, and 0 is not one.
func TestPrioritiesV2(t *testing.T) {
	for p := range 256 {
		cfg := configV2(priority(uint8(p)))
		if err := cfg.Validate(); (err != nil) != (p == 0) {
			t.Errorf("priority %d: %v", p, err)
		}
		if p == 0 {
			continue
		}
		want := Backup
		if p == 255 {
			want = Active
		}
		m, _ := run(cfg, startup)
		if got := m.Role().State; got != want {
			t.Errorf("priority %d starts as %v, want %v", p, got, want)
		}
	}
}

// TestFieldsV2 is section 7.2.
func TestFieldsV2(t *testing.T) {
	m, _ := run(configV2(func(c *Config) { c.Interval = 7 * time.Second }), startup, input{30 * time.Second, Timeout{}})
	for _, p := range []uint8{100, 0} {
		want := Advert{Version: V2, VRID: 51, Priority: p, Interval: 7 * time.Second, Addresses: vip}
		if diff := cmp.Diff(want, m.Advert(p), cmpAddr); diff != "" {
			t.Errorf("priority %d (-want +got):\n%s", p, diff)
		}
	}
}

// TestAddressesV2 is section 7.1: other addresses are worth a note, once, and the
// advertisement counts; the same ones in another order are not.
func TestAddressesV2(t *testing.T) {
	other := heardEvery(lower, 200, time.Second)
	other.Advert.Addresses = addrs("10.77.0.101")
	m, _ := run(configV2(nil), startup)
	step(t, m, 100*ms, other, "note")
	wantDeadline(t, m, 100*ms+V2.activeDownInterval(100, time.Second))
	step(t, m, 1100*ms, other, "")
	if got := m.Status(); got.Counters.AdvertsReceived != 2 || !got.Heard.AddressesDiffer {
		t.Errorf("status %+v", got)
	}
	same, _ := run(configV2(func(c *Config) { c.Addresses = addrs("10.77.0.100", "10.77.0.101") }), startup)
	other.Advert.Addresses = addrs("10.77.0.101", "10.77.0.100")
	step(t, same, 100*ms, other, "")
}

// TestTwoOwnersV2 is erratum 8298 of RFC 9568 in version 2: two routers with
// priority 255 hear each other, and the addresses decide.
func TestTwoOwnersV2(t *testing.T) {
	low, _ := run(configV2(priority(255)), input{0, Startup{lower}})
	high, _ := run(configV2(priority(255)), input{0, Startup{higher}})
	step(t, low, 150*ms, heardEvery(higher, 255, time.Second), "advert 255, backup hold")
	step(t, high, 150*ms, heardEvery(lower, 255, time.Second), "advert 255, note, announce")
}
