package probe_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"tandem/healthcheck"
	"tandem/healthcheck/probe"
)

// sink accepts connections and closes them.
func sink(b *testing.B) netip.AddrPort {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

func BenchmarkTCP(b *testing.B) {
	target := healthcheck.Target{Kind: healthcheck.TCP, Address: sink(b)}
	benchmark(b, target)
}

// BenchmarkTCPDialer is what BenchmarkTCP saves: the same with net.Dialer.
func BenchmarkTCPDialer(b *testing.B) {
	to := sink(b)
	d := net.Dialer{KeepAlive: -1}
	b.ReportAllocs()
	for b.Loop() {
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		c, err := d.DialTCP(ctx, "tcp", netip.AddrPort{}, to)
		cancel()
		if err != nil {
			b.Fatal(err)
		}
		c.SetLinger(0)
		c.Close()
	}
}

func BenchmarkHTTP(b *testing.B) {
	target := healthcheck.Target{Kind: healthcheck.HTTP, Address: web(b), HTTP: healthcheck.HTTPSpec{
		Method: "GET", Path: "/", StatusMin: 200, StatusMax: 299,
	}}
	benchmark(b, target)
}

// BenchmarkHTTPClient is what BenchmarkHTTP saves: the same with http.Client.
func BenchmarkHTTPClient(b *testing.B) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	url := "http://" + web(b).String() + "/"
	b.ReportAllocs()
	for b.Loop() {
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
		if err != nil {
			b.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		cancel()
	}
}

// web answers every connection with the same bytes, so that the benchmark
// counts little else than the probe.
func web(b *testing.B) netip.AddrPort {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n")
	go func() {
		in := make([]byte, 4096)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Read(in)
			c.Write(answer)
			c.Close()
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

func benchmark(b *testing.B, t healthcheck.Target) {
	b.ReportAllocs()
	for b.Loop() {
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		r := probe.Probe(ctx, t)
		cancel()
		if r.Reason != healthcheck.ReasonOK {
			b.Fatal(r)
		}
	}
}
