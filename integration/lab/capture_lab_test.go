//go:build lab

package lab

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

func isARP(p gopacket.Packet) bool { return p.Layer(layers.LayerTypeARP) != nil }

func TestCapture(t *testing.T) {
	l := Start(t, Options{})
	lb1 := l.Directors[0]
	arp, err := lb1.Capture(LAN, isARP)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	wantReach(t, l.Client, lb1.Addr(LAN), true)
	reply, err := arp.WaitFor(timeout(t), func(p gopacket.Packet) bool {
		return p.Layer(layers.LayerTypeARP).(*layers.ARP).Operation == layers.ARPReply
	})
	if err != nil {
		t.Fatal(err)
	}
	a := reply.Layer(layers.LayerTypeARP).(*layers.ARP)
	if !bytes.Equal(a.SourceHwAddress, lb1.HardwareAddr(LAN)) ||
		!bytes.Equal(a.SourceProtAddress, lb1.Addr(LAN).AsSlice()) {
		t.Errorf("reply %+v", a)
	}
	if at := reply.Metadata().Timestamp; at.Before(start) || at.After(time.Now()) {
		t.Errorf("timestamp %v, sent after %v", at, start)
	}
	if n, err := arp.Dropped(); n != 0 || err != nil {
		t.Errorf("dropped %d, %v", n, err)
	}
	if err := arp.Close(); err != nil {
		t.Fatal(err)
	}
	for _, p := range arp.Packets() {
		if !isARP(p) {
			t.Errorf("kept %v", p)
		}
	}
	if _, err := arp.WaitFor(timeout(t), func(gopacket.Packet) bool { return false }); !errors.Is(err, ErrEnded) {
		t.Errorf("waiting on a closed capture: %v", err)
	}
	wantPcap(t, arp)
	if _, err := lb1.Capture("eth7", nil); err == nil {
		t.Error("captured on a device that is not there")
	}
}

// The switch's end of a cable can be watched while the cable is out.
func TestCaptureOnSwitchSurvivesCut(t *testing.T) {
	l := Start(t, Options{})
	lb1 := l.Directors[0]
	c, err := l.Switch(LAN).Capture(lb1.Name, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		wantReach(t, l.Client, lb1.Addr(LAN), true)
		if _, err := c.WaitFor(timeout(t), func(p gopacket.Packet) bool {
			return p.Layer(layers.LayerTypeTCP) != nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(lb1.LinkDown(LAN), lb1.LinkUp(LAN)); err != nil {
			t.Fatal(err)
		}
		c.Clear()
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// wantPcap checks that a capture survives the way through a file.
func wantPcap(t *testing.T, c *Capture) {
	t.Helper()
	var file bytes.Buffer
	if err := c.WritePcap(&file); err != nil {
		t.Fatal(err)
	}
	r, err := pcapgo.NewReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range c.Packets() {
		data, info, err := r.ReadPacketData()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, p.Data()) || !info.Timestamp.Equal(p.Metadata().Timestamp) {
			t.Errorf("read %v %x, want %v %x", info.Timestamp, data, p.Metadata().Timestamp, p.Data())
		}
	}
	if _, _, err := r.ReadPacketData(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last packet: %v", err)
	}
}
