package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// kernelMetaPackage depends on Debian's current stock kernel. The cloud kernel
// would be smaller but lacks 9p.
const kernelMetaPackage = "linux-image-amd64"

// kernel is an unpacked Debian kernel package.
type kernel struct {
	release string // as uname -r says it
	image   string // the file that boots
	modules string // its /lib/modules/RELEASE directory
}

// cachedKernel returns the kernel in the cache, and fetches it first if there
// is none. Several processes may call it at the same time.
func cachedKernel() (kernel, error) {
	if runtime.GOARCH != "amd64" {
		return kernel{}, fmt.Errorf("the virtual machine exists for amd64 only, not %s; run on a kernel with IPVS", runtime.GOARCH)
	}
	cache, err := cacheDir()
	if err != nil {
		return kernel{}, err
	}
	unlock, err := lockCache(cache)
	if err != nil {
		return kernel{}, err
	}
	defer unlock()
	k, err := findKernel(cache)
	if err != nil || k.release != "" {
		return k, err
	}
	if err := fetchKernel(cache); err != nil {
		return kernel{}, fmt.Errorf("fetch a kernel for the virtual machine: %w", err)
	}
	k, err = findKernel(cache)
	if err == nil && k.release == "" {
		err = fmt.Errorf("the package of %s holds no kernel", kernelMetaPackage)
	}
	return k, err
}

// cacheDir is where kernels are kept.
func cacheDir() (string, error) {
	if dir := os.Getenv("TANDEM_LAB_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a cache directory: %w; set TANDEM_LAB_CACHE", err)
	}
	return filepath.Join(dir, "tandem-lab"), nil
}

// lockCache makes the cache directory and waits until no other process has it.
func lockCache(cache string) (unlock func(), err error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(cache, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil
}

// findKernel returns a kernel from the cache, or the zero kernel.
func findKernel(cache string) (kernel, error) {
	images, err := filepath.Glob(filepath.Join(cache, "kernel", "boot", "vmlinuz-*"))
	if err != nil || len(images) == 0 {
		return kernel{}, err
	}
	root := filepath.Join(cache, "kernel")
	release := strings.TrimPrefix(filepath.Base(images[0]), "vmlinuz-")
	k := kernel{
		release: release,
		image:   images[0],
		modules: filepath.Join(root, "lib", "modules", release),
	}
	if plain := plainImage(root, release); exists(plain) {
		k.image = plain
	}
	return k, nil
}

// fetchKernel downloads the kernel package and unpacks it into the cache as the
// directory "kernel", which appears only when it is complete.
func fetchKernel(cache string) error {
	tmp := filepath.Join(cache, "fetching")
	if err := os.RemoveAll(tmp); err != nil { // from a fetch that was killed
		return err
	}
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(tmp)

	say("fetching Debian's stock kernel into %s (once)", cache)
	pkg, err := downloadKernel(tmp)
	if err != nil {
		say("updating the package lists: %v", err)
		if _, err := output("", "apt-get", "-q", "update"); err != nil {
			return err
		}
		if pkg, err = downloadKernel(tmp); err != nil {
			return err
		}
	}
	debs, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil {
		return err
	}
	if len(debs) != 1 {
		return fmt.Errorf("the download of %s left %d files, want 1", pkg, len(debs))
	}
	root := filepath.Join(tmp, "kernel")
	if _, err := output(tmp, "dpkg", "-x", debs[0], root); err != nil {
		return err
	}
	if !exists(filepath.Join(root, "lib")) { // Debian 13 has its files below /usr only
		if err := os.Symlink("usr/lib", filepath.Join(root, "lib")); err != nil {
			return err
		}
	}
	release := strings.TrimPrefix(pkg, "linux-image-")
	if _, err := output(tmp, "/sbin/depmod", "-b", root, release); err != nil {
		return err
	}
	if err := unpackImage(root, release); err != nil {
		return err
	}
	return os.Rename(root, filepath.Join(cache, "kernel"))
}

// downloadKernel downloads the package with the current stock kernel into dir,
// and returns the package's name. It fails if apt's lists are missing or old.
func downloadKernel(dir string) (string, error) {
	record, err := output("", "apt-cache", "show", "--no-all-versions", kernelMetaPackage)
	if err != nil {
		return "", err
	}
	pkg, err := kernelDependency(record)
	if err != nil {
		return "", err
	}
	// apt would rather download as user _apt, who may not write here.
	_, err = output(dir, "apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", pkg)
	return pkg, err
}

var kernelDependencyPattern = regexp.MustCompile(`(?m)^Depends:.*\b(linux-image-[0-9][^ ,]*)`)

// kernelDependency finds the real kernel package in apt's record of the meta
// package.
func kernelDependency(record []byte) (string, error) {
	m := kernelDependencyPattern.FindSubmatch(record)
	if m == nil {
		return "", fmt.Errorf("apt knows no kernel package behind %s", kernelMetaPackage)
	}
	return string(m[1]), nil
}
