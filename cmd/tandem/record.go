package main

import (
	"fmt"
	"time"

	"tandem/configs"
	"tandem/vrrp"
	"tandem/vrrp/recorder"
)

// recordFunc is told of each step of an election, as vrrp/runner's Options.Record is.
type recordFunc = func(at time.Time, ev vrrp.Event, out []vrrp.Action, deadline time.Time)

// recording begins to record the election of a virtual router, until end is called.
// record is nil if that is not wanted.
func (n *network) recording(r configs.VirtualRouter, c vrrp.Config) (record recordFunc, end func(), err error) {
	if n.record == "" {
		return nil, func() {}, nil
	}
	name := fmt.Sprintf("vrid%d-%s", r.VRID, r.Interface)
	if r.IPv6() {
		name += "-ipv6" // a VRID may be used once in each family
	}
	about := fmt.Sprintf("virtual router %s, vrid %d on %s, of director %s", r.Name, r.VRID, r.Interface, n.node)
	rec, err := recorder.Start(n.record, name, about, c, n.log.With("part", "election"))
	if err != nil {
		return nil, nil, err
	}
	return rec.Record, rec.Close, nil
}
