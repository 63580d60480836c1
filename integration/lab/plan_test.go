package lab

import (
	"net/netip"
	"slices"
	"testing"
)

func TestPlanAddresses(t *testing.T) {
	tests := []struct{ got, want string }{
		{VIP.String(), "10.77.0.100"},
		{VIP6.String(), "fd77::100"},
		{GatewayVIP.String(), "10.88.0.254"},
		{GatewayVIP6.String(), "fd88::254"},
		{Addr(Outside, hostClient).String(), "10.99.0.200"},
		{hardwareAddr(netip.MustParseAddr("10.77.0.11")).String(), "02:00:0a:4d:00:0b"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("got %s, want %s", tt.got, tt.want)
		}
	}
}

func TestPlanTopologies(t *testing.T) {
	tests := []struct {
		name                             string
		o                                Options
		segments                         []string
		clientDev, serverDev             string
		clientGW, directorGW, serverGW   string
		directorDevs                     []string
		lastDirectorHost, lastServerHost int
	}{
		{
			name: "direct", o: Options{Directors: 3, Servers: 2},
			segments: []string{LAN}, clientDev: LAN, serverDev: LAN,
			directorDevs: []string{LAN}, lastDirectorHost: 3, lastServerHost: 12,
		},
		{
			name: "masquerade", o: Options{Directors: 2, Servers: 3, Inside: true},
			segments: []string{LAN, Inside}, clientDev: LAN, serverDev: Inside, serverGW: Inside,
			directorDevs: []string{LAN, Inside}, lastDirectorHost: 2, lastServerHost: 13,
		},
		{
			name: "router", o: Options{Directors: 2, Servers: 1, Router: true},
			segments: []string{LAN, Outside}, clientDev: Outside, serverDev: LAN,
			clientGW: Outside, directorGW: LAN, serverGW: LAN,
			directorDevs: []string{LAN}, lastDirectorHost: 2, lastServerHost: 11,
		},
		{
			name: "masquerade and router", o: Options{Directors: 2, Servers: 1, Inside: true, Router: true},
			segments: []string{LAN, Outside, Inside}, clientDev: Outside, serverDev: Inside,
			clientGW: Outside, directorGW: LAN, serverGW: Inside,
			directorDevs: []string{LAN, Inside}, lastDirectorHost: 2, lastServerHost: 11,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := newPlan(tt.o)
			if err != nil {
				t.Fatal(err)
			}
			director, server := p.directors[len(p.directors)-1], p.servers[len(p.servers)-1]
			if !slices.Equal(p.segments, tt.segments) {
				t.Errorf("segments %v, want %v", p.segments, tt.segments)
			}
			if !slices.Equal(p.client.devs, []string{tt.clientDev}) || p.client.gateway != tt.clientGW {
				t.Errorf("client %+v", p.client)
			}
			if !slices.Equal(director.devs, tt.directorDevs) || director.gateway != tt.directorGW ||
				director.host != tt.lastDirectorHost {
				t.Errorf("last director %+v", director)
			}
			if !slices.Equal(server.devs, []string{tt.serverDev}) || server.gateway != tt.serverGW ||
				server.host != tt.lastServerHost {
				t.Errorf("last server %+v", server)
			}
			if (p.router != nil) != tt.o.Router {
				t.Errorf("router %+v", p.router)
			}
		})
	}
}

func TestPlanRefusesImpossible(t *testing.T) {
	for _, o := range []Options{
		{Directors: -1}, {Directors: 11}, {Directors: 2, Servers: -1}, {Directors: 2, Servers: 90},
	} {
		if _, err := newPlan(o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
	// The largest one has no address twice.
	p, err := newPlan(Options{Directors: 10, Servers: 89, Router: true})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]string{hostVIP: "VIP"}
	for _, s := range slices.Concat([]spec{p.client, *p.router}, p.directors, p.servers) {
		if other, ok := seen[s.host]; ok {
			t.Errorf("%s and %s are both host %d", s.name, other, s.host)
		}
		seen[s.host] = s.name
	}
}

func TestImpairmentValidate(t *testing.T) {
	bad := []Impairment{
		{Loss: -1}, {Loss: 100.1}, {Delay: -1}, {Delay: maxDelay + 1}, {Jitter: 1}, {Delay: 2, Jitter: 3},
	}
	for _, i := range bad {
		if i.validate() == nil {
			t.Errorf("%+v: no error", i)
		}
	}
	for _, i := range []Impairment{{}, {Loss: 100}, {Delay: maxDelay, Jitter: maxDelay}} {
		if err := i.validate(); err != nil {
			t.Errorf("%+v: %v", i, err)
		}
	}
}
