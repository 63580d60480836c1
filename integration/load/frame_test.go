package load

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFrameLayout(t *testing.T) {
	f := frame{run: 0x0102030405060708, stream: 0x090a0b0c, seq: 0x0d0e0f1011121314}
	b := f.append(nil)
	want := "0102030405060708" + "090a0b0c" + "0d0e0f1011121314" + "327b0397"
	if diff := cmp.Diff(want, fmt.Sprintf("%x", b)); diff != "" {
		t.Errorf("bytes (-want +got):\n%s", diff)
	}
	got, err := parseFrame(b)
	if err != nil || got != f {
		t.Errorf("parsed %+v, %v; want %+v", got, err, f)
	}
}

// Every single bit that flips is noticed.
func TestFrameBitFlips(t *testing.T) {
	b := frame{run: 42, stream: 7, seq: 1000}.append(nil)
	for i := range len(b) * 8 {
		b[i/8] ^= 1 << (i % 8)
		if f, err := parseFrame(b); !errors.Is(err, errCorrupt) {
			t.Errorf("bit %d: parsed %+v, %v; want an error", i, f, err)
		}
		b[i/8] ^= 1 << (i % 8)
	}
}

func TestDeframer(t *testing.T) {
	first := frame{run: 42, stream: 7}
	bytesOf := func(frames ...frame) (b []byte) {
		for _, f := range frames {
			b = f.append(b)
		}
		return b
	}
	at := func(seq uint64) frame { f := first; f.seq = seq; return f }
	tests := []struct {
		name    string
		in      []byte
		want    int
		corrupt bool
	}{
		{"in order", bytesOf(at(0), at(1), at(2)), 3, false},
		{"incomplete", bytesOf(at(0), at(1))[:frameLen+5], 1, false},
		{"a frame is missing", bytesOf(at(0), at(2)), 1, true},
		{"a frame twice", bytesOf(at(0), at(0)), 1, true},
		{"of another stream", bytesOf(frame{run: 42, stream: 8}), 0, true},
		{"of another run", bytesOf(frame{run: 43, stream: 7}), 0, true},
		{"of another protocol", []byte("HTTP/1.1 400 Bad Request\r\n"), 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			whole := deframer{next: first}
			got, err := whole.feed(tt.in)
			if got != tt.want || errors.Is(err, errCorrupt) != tt.corrupt {
				t.Errorf("%d frames, %v; want %d, corrupt %v", got, err, tt.want, tt.corrupt)
			}
			// However the bytes arrive, the account is the same.
			bytewise, got := deframer{next: first}, 0
			err = nil
			for i := 0; i < len(tt.in) && err == nil; i++ {
				var n int
				n, err = bytewise.feed(tt.in[i : i+1])
				got += n
			}
			if got != tt.want || errors.Is(err, errCorrupt) != tt.corrupt {
				t.Errorf("byte by byte: %d frames, %v; want %d, corrupt %v", got, err, tt.want, tt.corrupt)
			}
		})
	}
}

func FuzzDeframer(f *testing.F) {
	first := frame{run: 42, stream: 7}
	f.Add(first.append(nil), 3)
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), 1)
	f.Fuzz(func(t *testing.T, b []byte, split int) {
		if split < 0 || split > len(b) {
			split = len(b) / 2
		}
		var whole, halves deframer
		whole.next, halves.next = first, first
		n, err := whole.feed(b)
		if n > len(b)/frameLen {
			t.Fatalf("%d frames in %d bytes", n, len(b))
		}
		if err != nil && !errors.Is(err, errCorrupt) {
			t.Fatalf("untyped error %v", err)
		}
		m, herr := halves.feed(b[:split])
		if herr == nil {
			var k int
			k, herr = halves.feed(b[split:])
			m += k
		}
		if m != n || (herr == nil) != (err == nil) {
			t.Errorf("in two parts %d frames, %v; at once %d, %v", m, herr, n, err)
		}
	})
}

func TestParseFrameShort(t *testing.T) {
	b := frame{}.append(nil)
	for n := range b {
		if _, err := parseFrame(b[:n]); !errors.Is(err, errCorrupt) {
			t.Errorf("%d bytes: %v, want an error", n, err)
		}
	}
}
