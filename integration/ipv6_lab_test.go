//go:build lab

package integration

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"tandem/integration/drill"
	"tandem/integration/lab"
)

// overIPv6 is a router and services of IPv6 beside those of a pair.
func overIPv6(p *drill.Pair) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[[virtual_router]]\nname = \"web6\"\nvrid = 51\naddresses = [\"fe80::200:5eff:fe00:233/64\", %q]\n", lab.VIP6)
	for name, port := range map[string]uint16{"http6": 80, "echo6": 7} {
		fmt.Fprintf(&b, "[[service]]\nname = %q\nvirtual = [%q]\nscheduler = \"wrr\"\n", name, netip.AddrPortFrom(lab.VIP6, port))
		for _, s := range p.Servers {
			fmt.Fprintf(&b, "[[service.server]]\naddress = %q\n", netip.AddrPortFrom(s.Addr6(lab.LAN), port))
		}
	}
	return b.String()
}

// TestIPv6 balances IPv6 by direct routing. A planned stop moves the address, and a
// connection that the kernels have synchronised goes on with the other director.
func TestIPv6(t *testing.T) {
	ctx, p := prepare(t, drill.Options{IPv6: true})
	p.Use(drill.Tandem{TOML: p.TOML() + overIPv6(p)})
	if err := p.StartAll(ctx); err != nil {
		t.Fatal(err)
	}
	within(t, p, 10*time.Second, "both directors have the IPv6 servers", func() (bool, error) { return serversOf(p, "http6", "echo6") })
	within(t, p, 10*time.Second, "lb1 holds the IPv6 VIP", func() (bool, error) { return p.Directors[0].Holds(lab.VIP6) })

	stream, err := p.Client.DialContext(ctx, "tcp", netip.AddrPortFrom(lab.VIP6, 7).String())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if err := echoes(stream); err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]int)
	get := func(when string) {
		t.Helper()
		for range 20 {
			name, err := fetch(ctx, p)
			if err != nil {
				t.Fatalf("%s: %v", when, err)
			}
			seen[name]++
		}
	}
	get("before")
	if len(seen) != len(p.Servers) {
		t.Errorf("answers by server: %v", seen)
	}

	if err := p.Daemon(0).Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	within(t, p, 10*time.Second, "lb2 alone holds the IPv6 VIP", func() (bool, error) {
		first, err := p.Directors[0].Holds(lab.VIP6)
		if err != nil || first {
			return false, err
		}
		return p.Directors[1].Holds(lab.VIP6)
	})
	if err := echoes(stream); err != nil {
		t.Errorf("the connection from before: %v", err)
	}
	get("after")
	if err := p.Daemon(0).Wait(ctx); err != nil {
		t.Errorf("the stopped director ended with %v", err)
	}
}

// serversOf says whether all directors have every server of some services in their
// kernels.
func serversOf(p *drill.Pair, services ...string) (bool, error) {
	for i := range p.Directors {
		snap, err := p.Status(i)
		if err != nil {
			return false, err
		}
		n := 0
		for _, svc := range snap.Services {
			for _, srv := range svc.Servers {
				if strings.Contains(strings.Join(services, " "), svc.Name) && svc.Address.Addr().Is6() && srv.InKernel && srv.Weight > 0 {
					n++
				}
			}
		}
		if n != len(services)*len(p.Servers) {
			return false, nil
		}
	}
	return true, nil
}

// echoes sends a line and wants it back.
func echoes(c net.Conn) error {
	const line = "over IPv6\n"
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, line); err != nil {
		return err
	}
	b := make([]byte, len(line))
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	if string(b) != line {
		return fmt.Errorf("sent %q, got %q back", line, b)
	}
	return nil
}

// fetch makes a new connection to the IPv6 VIP and returns the name of the server
// that answers.
func fetch(ctx context.Context, p *drill.Pair) (string, error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: p.Client.DialContext, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+netip.AddrPortFrom(lab.VIP6, 80).String()+"/", nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s", resp.Status)
	}
	return strings.TrimSpace(string(body)), err
}
