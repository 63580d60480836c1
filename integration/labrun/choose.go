package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
)

// ipvsTable exists in every network namespace of a kernel that has IPVS loaded.
const ipvsTable = "/proc/net/ip_vs"

// modprobeProgram is where kernels look for it, on PATH or not.
const modprobeProgram = "/sbin/modprobe"

// way says where a command runs, and why there.
type way struct {
	direct bool
	why    string
}

// chooseWay decides between this kernel and a virtual machine.
func chooseWay(opts options) way {
	switch {
	case opts.direct:
		return way{direct: true, why: "-direct was given"}
	case opts.vm:
		return way{why: "-vm was given"}
	case os.Geteuid() != 0:
		return way{why: "not root here"}
	}
	if _, err := os.Stat(ipvsTable); err == nil {
		return way{direct: true, why: "it has IPVS"}
	}
	if err := modprobe("ip_vs"); err != nil {
		return way{why: fmt.Sprintf("this kernel has no IPVS (%v)", err)}
	}
	if _, err := os.Stat(ipvsTable); err != nil {
		return way{why: fmt.Sprintf("module ip_vs is loaded, but this container does not see it (%v)", err)}
	}
	return way{direct: true, why: "it has IPVS, now loaded"}
}

// modprobe loads a module into this kernel. The error fits on one line.
func modprobe(name string) error {
	out, err := exec.Command(modprobeProgram, name).CombinedOutput()
	if err == nil {
		return nil
	}
	line, _, _ := bytes.Cut(bytes.TrimSpace(out), []byte("\n"))
	if len(line) == 0 {
		return err
	}
	return fmt.Errorf("%s", line)
}
