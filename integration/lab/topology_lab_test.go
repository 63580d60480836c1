//go:build lab

package lab

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
)

func TestTopologies(t *testing.T) {
	for _, o := range []Options{
		{Directors: 3, Servers: 2},
		{Servers: 2, IPv6: true},
		{Servers: 2, Inside: true, IPv6: true},
		{Servers: 1, Router: true, IPv6: true},
		{Servers: 1, Router: true, Inside: true},
	} {
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			l := Start(t, o)
			lan, near := []*Node{l.Client}, LAN
			if o.Inside {
				near = Inside
			}
			if o.Router {
				lan = []*Node{l.Client, l.Router}
			}
			for _, n := range append(lan, l.Directors...) {
				for _, d := range l.Directors {
					wantReach(t, n, d.Addr(LAN), true)
					if o.IPv6 {
						wantReach(t, n, d.Addr6(LAN), true)
					}
				}
			}
			for _, s := range l.Servers {
				wantReach(t, l.Directors[0], s.Addr(near), true)
				wantReach(t, s, l.Directors[1].Addr(near), true)
				// The client and the servers meet only on the LAN or through
				// the router; the gateway VIP is nobody's yet.
				wantReach(t, s, l.Client.Addr(l.Client.spec.devs[0]), !o.Inside)
				if o.IPv6 {
					wantReach(t, l.Directors[0], s.Addr6(near), true)
				}
			}
			wantReach(t, l.Client, VIP, false)
		})
	}
}

// Each node is a machine of its own to its processes.
func TestNodeFromWithin(t *testing.T) {
	l := Start(t, Options{Servers: 1, Inside: true})
	if err := os.WriteFile(l.Directors[0].Path("/run/pid"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[*Node]string{
		l.Directors[0]: "lb1 [eth0 eth1 lo] [pid]",
		l.Directors[1]: "lb2 [eth0 eth1 lo] []",
		l.Servers[0]:   "s1 [eth1 lo] []",
	} {
		p := startRole(t, n, "look")
		if err := p.Wait(timeout(t)); err != nil {
			t.Error(err)
		}
		if got := strings.TrimSpace(p.Output()); got != want {
			t.Errorf("%s: %q, want %q", n, got, want)
		}
	}
}

func TestParams(t *testing.T) {
	l := Start(t, Options{Router: true})
	tests := []struct {
		n         *Node
		key, want string
	}{
		{l.Router, "net/ipv4/ip_forward", "1"},
		{l.Router, "net/ipv6/conf/all/forwarding", "1"},
		{l.Directors[0], "net/ipv4/ip_forward", "0"},
		{l.Directors[0], "net/ipv4/conf/eth0/rp_filter", "0"},
		{l.Directors[0], "net/ipv4/conf/eth0/forwarding", "0"},
		{l.Directors[0], "net/ipv6/conf/eth0/disable_ipv6", "1"},
	}
	for _, tt := range tests {
		if got, err := tt.n.Sysctl(tt.key); got != tt.want || err != nil {
			t.Errorf("%s: %s = %q, %v, want %q", tt.n, tt.key, got, err, tt.want)
		}
	}
	if err := l.Directors[0].SetSysctl("net/ipv4/ip_forward", "1"); err != nil {
		t.Fatal(err)
	}
	if got, _ := l.Directors[1].Sysctl("net/ipv4/ip_forward"); got != "0" {
		t.Errorf("what was set in lb1 shows in lb2: %q", got)
	}
}

// A server in this program, an http.Client in another node, and Do within Do.
func TestListenAndDial(t *testing.T) {
	l := Start(t, Options{Servers: 1})
	s := l.Servers[0]
	ln, err := s.Listen("tcp", s.Addr(LAN).String()+":80")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.RemoteAddr)
	})}
	go srv.Serve(ln)
	defer srv.Close()
	client := &http.Client{Transport: &http.Transport{DialContext: l.Client.DialContext, DisableKeepAlives: true}}
	resp, err := client.Get("http://" + ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var from string
	if _, err := fmt.Fscan(resp.Body, &from); err != nil || !strings.HasPrefix(from, l.Client.Addr(LAN).String()+":") {
		t.Errorf("the server saw %q, %v", from, err)
	}

	err = l.Client.Do(func() error {
		if err := s.Do(func() error { return wantNetns(s) }); err != nil {
			return err
		}
		return wantNetns(l.Client)
	})
	if err != nil {
		t.Error(err)
	}
}

// wantNetns checks that the calling thread is in a node.
func wantNetns(n *Node) error {
	got, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	want, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", n.place.ns))
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("in %s, want %s of %s", got, want, n)
	}
	return nil
}
