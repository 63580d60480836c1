package program

import (
	"slices"
	"testing"
)

func TestTail(t *testing.T) {
	long := make([]byte, 3*tailBytes)
	for i := range long {
		long[i] = 'x'
	}
	for _, tt := range []struct{ in, want string }{
		{"", ""}, {"\n\n", ""}, {"one", "one"}, {"one\ntwo\n", "two"}, {"one\r\ntwo\r\n\r\n", "two"}, {"50%\r100%\n", "100%"},
		{"a\x1b[31mred\tb", "a [31mred b"}, {"caf\xe9", "caf?"}, {"ende\u0301", "ende\u0301"},
		{string(long), string(long[:lineBytes]) + "…"}, {string(long) + "\nlast", "last"},
	} {
		for _, size := range []int{1, 7, len(tt.in) + 1} { // however it is written
			out := new(tail)
			for chunk := range slices.Chunk([]byte(tt.in), size) {
				if n, err := out.Write(chunk); n != len(chunk) || err != nil {
					t.Fatalf("Write: %d, %v", n, err)
				}
			}
			if got := out.lastLine(); got != tt.want {
				t.Errorf("%.40q in pieces of %d: got %q, want %q", tt.in, size, got, tt.want)
			}
			if cap(out.end) > 4*tailBytes {
				t.Errorf("%d bytes are kept", cap(out.end))
			}
		}
	}
}
