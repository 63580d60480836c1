package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/moby/ipvs"
	"golang.org/x/sys/unix"

	"tandem/ipvsctl"
)

// Apply carries out the operations in their order. It goes on after one that
// fails and returns all errors joined, each naming its operation, its reason in
// words, and wrapping the kernel's errno.
func (h *Handle) Apply(ops []ipvsctl.Op) error {
	var errs []error
	for _, op := range ops {
		if err := h.apply(op); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", op, explainOp(op, err)))
		}
	}
	return errors.Join(errs...)
}

func (h *Handle) apply(op ipvsctl.Op) error {
	if err := check(op); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	service := mobyService(op.Service)
	switch op.Verb {
	case ipvsctl.AddService:
		return h.moby.NewService(service)
	case ipvsctl.SetService:
		return h.moby.UpdateService(service)
	case ipvsctl.AddServer:
		return h.moby.NewDestination(service, mobyServer(op.Server))
	case ipvsctl.SetServer:
		return h.moby.UpdateDestination(service, mobyServer(op.Server))
	case ipvsctl.DelServer:
		return h.moby.DelDestination(service, mobyServer(op.Server))
	case ipvsctl.DelService:
		return h.moby.DelService(service)
	}
	return errors.New("unknown operation")
}

// check refuses what would reach the kernel as something else.
func check(op ipvsctl.Op) error {
	if !plain(op.Service.Address.Addr()) {
		return fmt.Errorf("not a plain IPv4 or IPv6 address: %q", op.Service.Address)
	}
	switch op.Verb {
	case ipvsctl.AddServer, ipvsctl.SetServer, ipvsctl.DelServer:
		server := op.Server.Address.Addr()
		if !plain(server) {
			return fmt.Errorf("not a plain IPv4 or IPv6 address: %q", op.Server.Address)
		}
		if server.Is4() != op.Service.Address.Addr().Is4() {
			return errors.New("the server's address is of another family than the service's")
		}
	}
	return nil
}

func plain(a netip.Addr) bool { return a.IsValid() && !a.Is4In6() && a.Zone() == "" }

// explainOp puts the kernel's error into words that fit the operation.
func explainOp(op ipvsctl.Op, err error) error {
	words := ""
	switch {
	case errors.Is(err, unix.ENOENT) && (op.Verb == ipvsctl.AddService || op.Verb == ipvsctl.SetService):
		words = missingScheduler(op.Service.Scheduler)
	case errors.Is(err, unix.ENOENT):
		words = "the service has no such server"
	case errors.Is(err, unix.ESRCH):
		words = "there is no such service"
	case errors.Is(err, unix.EEXIST) && op.Verb == ipvsctl.AddService:
		words = "the service is there already"
	case errors.Is(err, unix.EEXIST):
		words = "the service has this server already"
	case errors.Is(err, unix.ERANGE):
		words = "the weight is negative or the lower threshold is above the upper one"
	case errors.Is(err, unix.EINVAL) && op.Verb == ipvsctl.AddServer:
		words = "the server's address is not a unicast address"
	case errors.Is(err, unix.EINVAL):
		words = "the kernel takes a value for invalid"
	case errors.Is(err, unix.EAFNOSUPPORT):
		words = "this kernel's IPVS does not support the address family"
	default:
		return explain(err)
	}
	return fmt.Errorf("%s (%w)", words, err)
}

func missingScheduler(name string) string {
	return fmt.Sprintf("the kernel has no scheduler %s: its module ip_vs_%s is missing", name, name)
}

func mobyService(s ipvsctl.Service) *ipvs.Service {
	addr := s.Address.Addr()
	return &ipvs.Service{
		AddressFamily: familyOf(addr),
		Protocol:      uint16(s.Protocol),
		Address:       addr.AsSlice(),
		Port:          s.Address.Port(),
		SchedName:     s.Scheduler,
		Flags:         uint32(s.Flags),
		Timeout:       s.Persistence,
		Netmask:       netmask(addr, s.Netmask),
	}
}

// netmask returns what goes into IPVS_SVC_ATTR_NETMASK, as a number in host
// byte order: for IPv4 the mask's bytes, for IPv6 the prefix length.
func netmask(addr netip.Addr, length uint32) uint32 {
	if length == 0 {
		length = uint32(addr.BitLen())
	}
	if !addr.Is4() {
		return length
	}
	mask := net.CIDRMask(int(length), 32)
	return binary.NativeEndian.Uint32(mask)
}

func mobyServer(s ipvsctl.Server) *ipvs.Destination {
	return &ipvs.Destination{
		Address:         s.Address.Addr().AsSlice(),
		Port:            s.Address.Port(),
		Weight:          int(s.Weight),
		ConnectionFlags: uint32(s.Forwarding),
		UpperThreshold:  s.Upper,
		LowerThreshold:  s.Lower,
	}
}
