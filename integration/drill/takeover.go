package drill

import (
	"bytes"
	"errors"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"tandem/integration/lab"
	"tandem/vrrp"
)

// Takeover is what the clients' segment saw of a takeover.
type Takeover struct{ capture *lab.Capture }

// WatchTakeover begins to record advertisements and ARP as clients receive them.
func (p *Pair) WatchTakeover() (*Takeover, error) {
	c, err := p.Client.Capture(lab.LAN, func(packet gopacket.Packet) bool {
		ip, _ := packet.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
		return packet.Layer(layers.LayerTypeARP) != nil || ip != nil && ip.Protocol == vrrp.Protocol
	})
	if err != nil {
		return nil, err
	}
	return &Takeover{c}, nil
}

// Silence ends the recording and returns the time from the last advertisement of
// one director to the first gratuitous ARP for the VIP of another.
func (t *Takeover) Silence(from, to *lab.Node) (time.Duration, error) {
	if err := t.capture.Close(); err != nil {
		return 0, err
	}
	var last, first time.Time
	for _, packet := range t.capture.Packets() {
		at := packet.Metadata().Timestamp
		if ip, _ := packet.Layer(layers.LayerTypeIPv4).(*layers.IPv4); ip != nil && ip.SrcIP.Equal(from.Addr(lab.LAN).AsSlice()) {
			last = at
		}
		arp, _ := packet.Layer(layers.LayerTypeARP).(*layers.ARP)
		if first.IsZero() && arp != nil && gratuitous(arp) && bytes.Equal(arp.SourceHwAddress, to.HardwareAddr(lab.LAN)) {
			first = at
		}
	}
	if last.IsZero() || first.IsZero() {
		return 0, errors.New("the capture has no takeover in it")
	}
	return first.Sub(last), nil
}

func gratuitous(arp *layers.ARP) bool {
	vip := lab.VIP.AsSlice()
	return bytes.Equal(arp.SourceProtAddress, vip) && bytes.Equal(arp.DstProtAddress, vip)
}
