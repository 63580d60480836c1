package main

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"testing"

	"tandem/internal/netif"

	"tandem/vrrp/wire"
)

func testNetwork(t *testing.T) *network {
	t.Helper()
	links, err := netif.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { links.Close() })
	n, err := newNetwork("lb1", links, func() {}, anyThread, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// anyThread runs the elections on the thread that is there.
func anyThread(f func()) { f() }

// A start that fails half-way closes what it had opened, though nobody told the
// parts to end.
func TestNetworkCloseEndsItsParts(t *testing.T) {
	n := testNetwork(t)
	ended := false
	n.goRun("a part", func(ctx context.Context) error {
		<-ctx.Done()
		ended = true
		return ctx.Err()
	})
	n.close()
	if !ended {
		t.Error("a part runs on")
	}
	select {
	case err := <-n.failed:
		t.Errorf("the end is taken for a failure: %v", err)
	default:
	}
}

// A director whose socket is of no use any more must not go on, deaf.
func TestNetworkEndsWithItsParts(t *testing.T) {
	n := testNetwork(t)
	defer n.close()
	cause := errors.New("no permission")
	for range 3 {
		n.goRun("ARP on eth0", func(context.Context) error { return cause })
	}
	err := n.Run(t.Context())
	if !errors.Is(err, cause) || err.Error() != "ARP on eth0: no permission" {
		t.Errorf("got %v", err)
	}
	<-n.Ready()
}

func TestNetworkWithoutSegments(t *testing.T) {
	n := testNetwork(t)
	defer n.close()
	if _, err := n.probe(t.Context(), "eth9", netip.MustParseAddr("10.0.0.1")); !errors.Is(err, errNoSegment) {
		t.Errorf("got %v", err)
	}
	if n.standing("eth9", netip.MustParseAddr("10.0.0.1")) != wire.Lost {
		t.Error("an address is held before there is a director")
	}
}
