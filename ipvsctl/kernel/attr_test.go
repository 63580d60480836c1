package kernel

import (
	"bytes"
	"testing"

	"github.com/vishvananda/netlink/nl"
)

// message is what the kernel sends: a generic netlink header and one attribute.
func message(attr *nl.RtAttr) []byte {
	return append(make([]byte, genlHeaderLen), attr.Serialize()...)
}

func TestAttrs(t *testing.T) {
	type attr struct {
		typ   uint16
		value string
	}
	tests := []struct {
		name string
		in   []byte
		want []attr
	}{
		{"nothing", nil, nil},
		{"padding between, none after the last", []byte{5, 0, 1, 0, 'a', 0, 0, 0, 6, 0, 2, 0, 'b', 'c'}, []attr{{1, "a"}, {2, "bc"}}},
		{"flags above the type are masked", []byte{4, 0, 3, 0x80}, []attr{{3, ""}}},
		{"half a header", []byte{4, 0, 3}, nil},
		{"length below the header's", []byte{3, 0, 1, 0, 4, 0, 2, 0}, nil},
		{"length 0", make([]byte, 8), nil},
		{"length beyond the end", []byte{9, 0, 1, 0, 'a', 'b', 'c', 'd'}, nil},
		{"the whole ones before a cut one", []byte{4, 0, 1, 0, 8, 0, 2, 0, 'a'}, []attr{{1, ""}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []attr
			for typ, value := range attrs(tt.in) {
				got = append(got, attr{typ, string(value)})
			}
			if len(got) != len(tt.want) {
				t.Fatalf("got %v, want %v", got, tt.want)
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Errorf("attribute %d is %v, want %v", i, got[i], tt.want[i])
				}
			}
		})
	}
}

func TestNested(t *testing.T) {
	msg := append(message(nl.NewRtAttr(5, []byte("five"))), nl.NewRtAttr(6, []byte("six!")).Serialize()...)
	if got, err := nested(msg, 6); err != nil || !bytes.Equal(got, []byte("six!")) {
		t.Errorf("nested = %q, %v", got, err)
	}
	for _, short := range [][]byte{nil, msg[:3], msg[:4], msg[:12]} {
		if got, err := nested(short, 6); err == nil {
			t.Errorf("nested(%x) = %q, want an error", short, got)
		}
	}
}

func TestUintOf(t *testing.T) {
	for want, b := range map[uint64][]byte{
		0:          {},
		7:          nl.Uint8Attr(7),
		0x0102:     nl.Uint16Attr(0x0102),
		0x01020304: nl.Uint32Attr(0x01020304),
		1 << 40:    nl.Uint64Attr(1 << 40),
	} {
		if got := uintOf(b); got != want {
			t.Errorf("uintOf(%x) = %#x, want %#x", b, got, want)
		}
	}
	if got := uintOf([]byte{1, 2, 3}); got != 0 {
		t.Errorf("three bytes are the number %d", got)
	}
}
