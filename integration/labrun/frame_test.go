package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestFrameRoundTrip(t *testing.T) {
	var wire bytes.Buffer
	fw := &frameWriter{w: &wire}
	if err := fw.write(frameExit, []byte{0, 0, 0, 3}); err != nil {
		t.Fatal(err)
	}
	if n, err := (stream{fw, frameStdout}).Write([]byte("\x00\xff")); n != 2 || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
	if err := fw.write(frameHello, nil); err != nil {
		t.Fatal(err)
	}
	want := "\x07\x00\x00\x00\x04\x00\x00\x00\x03" + "\x05\x00\x00\x00\x02\x00\xff" + "\x01\x00\x00\x00\x00"
	if wire.String() != want {
		t.Fatalf("got %q, want %q", wire.String(), want)
	}
	for _, w := range []frame{{frameExit, []byte{0, 0, 0, 3}}, {frameStdout, []byte("\x00\xff")}, {frameHello, nil}} {
		f, err := readFrame(&wire)
		if err != nil || f.kind != w.kind || !bytes.Equal(f.payload, w.payload) {
			t.Errorf("got %v, %v, want %v", f, err, w)
		}
	}
	if _, err := readFrame(&wire); err != io.EOF {
		t.Errorf("got error %v at the end, want EOF", err)
	}
}

func TestReadFrameErrors(t *testing.T) {
	tests := []struct {
		name, wire string
		want       error
	}{
		{"in the header", "\x01\x00", io.ErrUnexpectedEOF},
		{"before the payload", "\x01\x00\x00\x00\x02", io.ErrUnexpectedEOF},
		{"in the payload", "\x01\x00\x00\x00\x02a", io.ErrUnexpectedEOF},
		{"too long", "\x01\x00\x80\x00\x01" + strings.Repeat("x", 10), errFrameLength},
	}
	for _, tt := range tests {
		if _, err := readFrame(strings.NewReader(tt.wire)); !errors.Is(err, tt.want) {
			t.Errorf("%s: got error %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestWriteFrameTooLong(t *testing.T) {
	fw := &frameWriter{w: io.Discard}
	if err := fw.write(frameStdout, make([]byte, maxFrame)); err != nil {
		t.Errorf("longest frame: %v", err)
	}
	if err := fw.write(frameStdout, make([]byte, maxFrame+1)); !errors.Is(err, errFrameLength) {
		t.Errorf("got error %v, want %v", err, errFrameLength)
	}
}

// FuzzReadFrame: whatever the peer sends, a frame that is read is written back
// as it was.
func FuzzReadFrame(f *testing.F) {
	f.Add([]byte("\x05\x00\x00\x00\x02\x00\xff"))
	f.Add([]byte("\x01\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		got, err := readFrame(bytes.NewReader(wire))
		if err != nil {
			return
		}
		var back bytes.Buffer
		if err := (&frameWriter{w: &back}).write(got.kind, got.payload); err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(wire, back.Bytes()) {
			t.Errorf("%q came back as %q", wire, back.Bytes())
		}
	})
}
