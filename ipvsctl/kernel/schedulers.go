package kernel

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"slices"

	"github.com/moby/ipvs"
	"golang.org/x/sys/unix"
)

// loadApart are the schedulers whose modules register with the network
// namespaces. Left to itself, the kernel loads a scheduler while it holds the
// mutex of IPVS. If a namespace is being removed at that moment, its removal
// waits for the mutex, the module waits for the removal, and none of them ever
// ends: seen with Linux 6.1.
var loadApart = []string{"lblc", "lblcr"}

// MissingSchedulers returns those of the named schedulers that the kernel does
// not have, not even as a module that it could load. It loads the modules of
// the others and leaves the table untouched. It should be asked before a
// service with one of the schedulers is added.
func (h *Handle) MissingSchedulers(names []string) ([]string, error) {
	var missing []string
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		if slices.Contains(loadApart, name) {
			// Where this is not permitted, the kernel's own loading is all
			// there is; where there is no such module, the kernel will say so.
			_ = exec.Command("modprobe", "-q", "ip_vs_"+name).Run()
		}
		exists, err := h.hasScheduler(name)
		if err != nil {
			return nil, fmt.Errorf("look for scheduler %s: %w", name, explain(err))
		}
		if !exists {
			missing = append(missing, name)
		}
	}
	return missing, nil
}

// hasScheduler asks for a service that cannot be, because the kernel has no
// question for this: it looks for the scheduler first (ENOENT) and then refuses
// the prefix length 0 of an IPv6 service (EINVAL), before anything is made
// (ip_vs_add_service, in this order since IPv6 came in 2.6.28). The protocol is
// one that is never balanced, so that the service meets no other.
func (h *Handle) hasScheduler(name string) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	probe := &ipvs.Service{
		AddressFamily: unix.AF_INET6,
		Address:       net.IPv6unspecified,
		Protocol:      unix.IPPROTO_RAW,
		Port:          1,
		SchedName:     name,
	}
	switch err := h.moby.NewService(probe); {
	case errors.Is(err, unix.EINVAL):
		return true, nil
	case errors.Is(err, unix.ENOENT):
		return false, nil
	case err == nil: // a kernel without that check: the service carries no traffic and goes at once
		return true, h.moby.DelService(probe)
	default:
		return false, err
	}
}
