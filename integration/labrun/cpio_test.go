package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"testing"
)

// TestCPIOGolden compares with an archive laid out by hand from the kernel's
// description of the format.
func TestCPIOGolden(t *testing.T) {
	var got bytes.Buffer
	c := cpioWriter{w: &got}
	c.dir("d")
	c.file("d/f", []byte("hello"))
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	const eight0 = "00000000"
	header := func(inode, mode, size, nameSize string) string {
		return "070701" + inode + mode + eight0 + eight0 + "00000001" + eight0 + size +
			eight0 + eight0 + eight0 + eight0 + nameSize + eight0
	}
	want := header("00000001", "000041ED", eight0, "00000002") + "d\x00" +
		header("00000002", "000081ED", "00000005", "00000004") + "d/f\x00" + "\x00\x00" + "hello\x00\x00\x00" +
		header("00000003", eight0, eight0, "0000000B") + "TRAILER!!!\x00" + "\x00\x00\x00"
	if got.String() != want {
		t.Errorf("got\n%q\nwant\n%q", got.String(), want)
	}
}

// TestCPIORoundTrip reads names and contents of all paddings back.
func TestCPIORoundTrip(t *testing.T) {
	var archive bytes.Buffer
	c := cpioWriter{w: &archive}
	want := make(map[string]string)
	for i := range 9 {
		name := fmt.Sprintf("%0*d", i+1, 0)
		want[name] = string(bytes.Repeat([]byte{byte(i)}, i))
		c.file(name, []byte(want[name]))
	}
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	b := archive.Bytes()
	next := func(n int) string {
		part := b[:n]
		b = b[n:]
		return string(part)
	}
	hex := func(s string) int {
		n, err := strconv.ParseUint(s, 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		return int(n)
	}
	for len(b) > 0 {
		header := next(110)
		size, nameSize := hex(header[54:62]), hex(header[94:102])
		name := next(nameSize)
		next((4 - (110+nameSize)%4) % 4)
		data := next(size)
		next((4 - size%4) % 4)
		name = name[:nameSize-1]
		if name == "TRAILER!!!" {
			break
		}
		if want[name] != data {
			t.Errorf("%s holds %q, want %q", name, data, want[name])
		}
		delete(want, name)
	}
	if len(want) != 0 || len(b) != 0 {
		t.Errorf("entries %v are missing, %d octets follow the trailer", want, len(b))
	}
}

type failingWriter struct{ after int }

var errFull = errors.New("full")

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.after--; w.after < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestCPIOKeepsFirstError(t *testing.T) {
	c := cpioWriter{w: &failingWriter{after: 1}}
	c.file("a", []byte("x"))
	c.file("b", []byte("x"))
	if err := c.close(); !errors.Is(err, errFull) || err.Error() != "write a to the initramfs: full" {
		t.Errorf("got error %v", err)
	}
}
