package elect

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/bpf"
)

// frames are what a tap may see, and what it makes of them.
var frames = []struct {
	name, hex string
	passes    bool // the filter
	want      Event
	ok        bool
}{
	{"advertisement", "01005e000012 02000a4d0001 0800 45c00020000040 00ff709876 0a4d0001 e0000012 3133960100640572 0ab10033", true,
		Event{Sender: [6]byte{2, 0, 10, 77, 0, 1}, Src: netip.MustParseAddr("10.77.0.1"), VRID: 51, Priority: 150}, true},
	{"advertisement, cut in its header", "01005e000012 02000a4d0001 0800 45c00020000040 00ff709876 0a4d0001 e0000012 313396", true, Event{}, false},
	{"VRID 0", "01005e000012 02000a4d0001 0800 45c00020000040 00ff709876 0a4d0001 e0000012 3100960100640572 0ab10033", true, Event{}, false},
	{"gratuitous ARP", "ffffffffffff 02000a4d0002 0806 0001080006040001 02000a4d0002 0ab10033 000000000000 0ab10033", true,
		Event{Sender: [6]byte{2, 0, 10, 77, 0, 2}, Address: netip.MustParseAddr("10.177.0.51")}, true},
	{"a question", "ffffffffffff 02000a4d0002 0806 0001080006040001 02000a4d0002 0ab10033 000000000000 0ab10034", true, Event{}, false},
	{"a probe", "ffffffffffff 02000a4d0002 0806 0001080006040001 02000a4d0002 00000000 000000000000 00000000", true, Event{}, false},
	{"UDP", "ffffffffffff 02000a4d0002 0800 45c00020000040 00ff119876 0a4d0001 e0000012 3133960100640572 0ab10033", false, Event{}, false},
	{"advertisement over IPv6", "333300000012 02000a4d0002 86dd 60000000 0028 70 ff fe8000000000000000000afffe4d0002 ff020000000000000000000000000012 313396020064dfc9 fe80", true,
		Event{Sender: [6]byte{2, 0, 10, 77, 0, 2}, Src: netip.MustParseAddr("fe80::aff:fe4d:2"), VRID: 51, Priority: 150}, true},
	{"neighbour discovery", "333300000012 02000a4d0002 86dd 60000000 0028 3a ff fe8000000000000000000afffe4d0002 ff020000000000000000000000000012 8800000000000000 fe80", false, Event{}, false},
	{"advertisement over IPv6, cut", "333300000012 02000a4d0002 86dd 60000000 0028 70 ff fe8000000000000000000afffe4d0002 ff0200", true, Event{}, false},
	{"another protocol with 112 where IPv4 has it", "ffffffffffff 02000a4d0002 88cc 000000000000000000 70", true, Event{}, false},
	{"no IPv4 header", "ffffffffffff 02000a4d0002 0800", false, Event{}, false},
	{"short", "ffffffffffff", false, Event{}, false},
}

func TestParseEvent(t *testing.T) {
	vm, err := bpf.NewVM(tapFilter())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range frames {
		t.Run(tt.name, func(t *testing.T) {
			b, err := hex.DecodeString(strings.ReplaceAll(tt.hex, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			if got, ok := parseEvent(b); ok != tt.ok || ok && got != tt.want {
				t.Errorf("%+v, %t, want %+v, %t", got, ok, tt.want, tt.ok)
			}
			if n, err := vm.Run(b); (n > 0) != tt.passes || err != nil {
				t.Errorf("the filter lets %d bytes through, %v", n, err)
			}
		})
	}
}

// TestTapSenders: of many senders only those that are wanted are let through.
func TestTapSenders(t *testing.T) {
	frame, err := hex.DecodeString("01005e00001202000a4d0001080045c0002000004000ff7098760a4d0001e000001231339601006405720ab10033")
	if err != nil {
		t.Fatal(err)
	}
	one, two, three := [6]byte{2, 0, 10, 77, 0, 1}, [6]byte{2, 0, 10, 77, 0, 2}, [6]byte{2, 0, 10, 77, 0, 3}
	for _, senders := range [][][6]byte{nil, {one}, {one, two}, {one, two, three}} {
		vm, err := bpf.NewVM(tapFilter(senders...))
		if err != nil {
			t.Fatal(err)
		}
		for _, from := range [][6]byte{one, two, three, {2, 0, 10, 77, 1, 1}} {
			copy(frame[6:], from[:])
			want := senders == nil || slices.Contains(senders, from)
			if n, err := vm.Run(frame); (n > 0) != want || err != nil {
				t.Errorf("of %v, %v: %d bytes, %v", senders, from, n, err)
			}
		}
	}
}
