package director

import (
	"context"
	"fmt"

	"tandem/configs"
	"tandem/vrrp"
)

// RouterID identifies a virtual router: the VRID is unique on its interface, for
// each of IPv4 and IPv6 (RFC 9568, section 5.2.3). The name is only for people: a
// router that is renamed goes on, one that changes its VRID, its interface or its
// family is another.
type RouterID struct {
	Interface string
	VRID      uint8
	IPv6      bool
}

func (id RouterID) String() string {
	if id.IPv6 {
		return fmt.Sprintf("vrid %d of IPv6 on %s", id.VRID, id.Interface)
	}
	return fmt.Sprintf("vrid %d on %s", id.VRID, id.Interface)
}

func idOf(r configs.VirtualRouter) RouterID { return RouterID{r.Interface, r.VRID, r.IPv6()} }

// router is a virtual router that takes part, or waits to.
type router struct {
	cfg      configs.VirtualRouter // changed under Director.changing and Director.mu
	election Election
	gate     *gate

	cancelGate context.CancelFunc // nil: the gate never ran
	gateEnded  chan struct{}
}

// startGate lets the router take part as soon as it may.
func (r *router) startGate(ctx context.Context) {
	ctx, r.cancelGate = context.WithCancel(ctx)
	r.gateEnded = make(chan struct{})
	go func() {
		defer close(r.gateEnded)
		r.gate.Run(ctx)
	}()
}

// stopGate returns when the gate will not start the election any more.
func (r *router) stopGate() {
	if r.cancelGate != nil {
		r.cancelGate()
		<-r.gateEnded
	}
}

// close ends the router without a goodbye.
func (r *router) close() {
	r.stopGate()
	r.election.Close()
}

// over says whether the election was shut down and holds nothing any more.
func (r *router) over() bool {
	role := r.election.Status().Role
	return role.State == vrrp.Init && !role.Hold
}

// splitRouters tells which running routers a new configuration does not have,
// and which of its routers do not run yet.
func splitRouters(running map[RouterID]*router, want []configs.VirtualRouter) (gone map[RouterID]*router, missing []configs.VirtualRouter) {
	wanted := make(map[RouterID]bool, len(want))
	for _, rc := range want {
		wanted[idOf(rc)] = true
		if running[idOf(rc)] == nil {
			missing = append(missing, rc)
		}
	}
	gone = make(map[RouterID]*router)
	for id, r := range running {
		if !wanted[id] {
			gone[id] = r
		}
	}
	return gone, missing
}

// electionConfig is what a virtual router of the configuration means for the
// director called node. An advertisement names the addresses of its own segment.
func electionConfig(r configs.VirtualRouter, node string) vrrp.Config {
	c := vrrp.Config{
		VRID:          r.VRID,
		Priority:      r.Priority[node],
		Interval:      r.AdvertInterval,
		FailbackDelay: r.FailbackDelay,
		Grouped:       r.Group != "",
	}
	if r.Version == 2 {
		c.Version = vrrp.V2
	}
	switch r.Failback {
	case "delay":
		c.Failback = vrrp.FailbackDelayed
	case "never":
		c.Failback = vrrp.FailbackNever
	default:
		c.Failback = vrrp.FailbackImmediate
	}
	for _, a := range r.Addresses {
		if a.Interface == r.Interface {
			c.Addresses = append(c.Addresses, a.Prefix.Addr())
		}
	}
	return c
}
