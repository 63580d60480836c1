package kernel

import (
	"fmt"

	"golang.org/x/sys/unix"

	"tandem/ipvsctl"
)

// Version returns the version of the running kernel.
func Version() (ipvsctl.KernelVersion, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return ipvsctl.KernelVersion{}, fmt.Errorf("kernel version: %w", err)
	}
	return ipvsctl.ParseKernelVersion(unix.ByteSliceToString(name.Release[:]))
}
