package load

import (
	"math"
	"net/netip"
	"testing"
	"time"
)

func loopback(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
}

func TestClientDefaults(t *testing.T) {
	tests := []struct {
		streams int
		want    time.Duration
	}{
		{0, 20 * ms},
		{50, 20 * ms},
		{51, 20400 * time.Microsecond},
		{1000, 400 * ms},
	}
	for _, tt := range tests {
		c, err := Client{HTTP: loopback(80), Rate: 1, Echo: loopback(7), Streams: tt.streams}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		if c.StreamInterval != tt.want {
			t.Errorf("%d streams: interval %v, want %v", tt.streams, c.StreamInterval, tt.want)
		}
	}
	c, err := Client{HTTP: loopback(80), Rate: 1, Timeout: time.Second}.withDefaults()
	if err != nil || c.ResponseTimeout != time.Second || c.Path != "/" {
		t.Errorf("defaults: %+v, %v", c, err)
	}
}

func TestClientErrors(t *testing.T) {
	good := Client{HTTP: loopback(80), Rate: 1, Echo: loopback(7), Streams: 1}
	tests := []struct {
		name  string
		wrong func(*Client)
		want  string
	}{
		{"nothing to do", func(c *Client) { c.Rate, c.Streams = 0, 0 },
			"load: no traffic: give a rate of new connections, a number of streams, or both"},
		{"rate", func(c *Client) { c.Rate = -1 }, "load: rate -1: want 0 to 10000 connections a second"},
		{"rate NaN", func(c *Client) { c.Rate = math.NaN() }, "load: rate NaN: want 0 to 10000 connections a second"},
		{"streams", func(c *Client) { c.Streams = 20_001 }, "load: 20001 streams: want 0 to 20000"},
		{"HTTP address", func(c *Client) { c.HTTP = netip.AddrPort{} },
			"load: new connections need an HTTP address, such as 192.0.2.10:80"},
		{"echo address", func(c *Client) { c.Echo = netip.AddrPort{} },
			"load: streams need an echo address, such as 192.0.2.10:7"},
		{"path", func(c *Client) { c.Path = "/a b" }, `load: path "/a b": want one that begins with / and has no blanks`},
		{"timeout", func(c *Client) { c.Timeout, c.ResponseTimeout = -ms, ms }, "load: timeout -1ms: want more than 0"},
		{"duration", func(c *Client) { c.Duration = -1 }, "load: duration -1ns: want 0 or more"},
		{"bucket", func(c *Client) { c.Bucket = 1 }, "load: timeline bucket 1ns: want 1ms or more"},
		{"two at once", func(c *Client) { c.Bucket, c.Streams = 1, -1 },
			"load: -1 streams: want 0 to 20000\ntimeline bucket 1ns: want 1ms or more"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := good
			tt.wrong(&c)
			_, err := c.Run(t.Context())
			if err == nil || err.Error() != tt.want {
				t.Errorf("error %q, want %q", err, tt.want)
			}
		})
	}
}
