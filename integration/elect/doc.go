// Package elect sets up routers that elect and hold addresses, and nothing else:
// no service, no connection sync. So it needs no IPVS, and what it measures is
// measured on the machine's own kernel and not in an emulated one.
//
//	seg, err := elect.New(elect.Options{Advert: 100 * time.Millisecond, Members: []elect.Member{
//		{Speaker: elect.Tandem{}, Priority: 150},
//		{Speaker: elect.Keepalived{}, Priority: 100},
//	}})
//
// A member is a director of a lab that runs the real program of a [Speaker]:
// tandem, keepalived or FRR's vrrpd. A [Tap] sees what is on the wire, with the
// kernel's times.
package elect
