//go:build lab

package wire

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"tandem/vrrp"
)

// TestMain lets more tests wait at a time than the machine has processors.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	m.Run()
}

// dialect is a way of speaking VRRP, in tandem's words and in keepalived's.
type dialect struct {
	name     string
	router   RouterConfig
	interval time.Duration
	global   string // of global_defs
	instance string // of vrrp_instance
	ipv6     bool
	vmac     bool // both have a virtual MAC
}

// addresses are the virtual ones.
func (d dialect) addresses() []netip.Addr {
	if d.ipv6 {
		return vips6
	}
	return []netip.Addr{vip}
}

// dialects are all that tandem and keepalived 2.2.7 have in common.
func dialects() []dialect {
	const fast, slow = 900 * time.Millisecond, time.Second
	unicast := fmt.Sprintf("unicast_src_ip %v\n  unicast_peer {\n    %v\n  }", rightAddr.Addr(), leftAddr.Addr())
	v2 := vrrp.Format{Version: vrrp.V2, Interval: slow}
	pass := v2
	pass.Password = vrrp.NewPassword("secret123") // keepalived has the first 8 in its file
	return []dialect{
		{"v3", RouterConfig{}, fast, "vrrp_version 3", "", false, false},
		{"v3 unicast", peers(rightAddr.Addr()), fast, "vrrp_version 3", unicast, false, false},
		{"v3 IPv6", RouterConfig{}, fast, "vrrp_version 3", "native_ipv6", true, false},
		{"v3 virtual MAC", RouterConfig{}, fast, "vrrp_version 3", "use_vmac", false, true},
		{"v3 IPv6 virtual MAC", RouterConfig{}, fast, "vrrp_version 3", "native_ipv6\n  use_vmac", true, true},
		{"v3 virtual MAC of tandem's", RouterConfig{}, fast, "vrrp_version 3", "", false, true},
		{"v3 virtual MAC of keepalived's", RouterConfig{}, fast, "vrrp_version 3", "use_vmac\n  vmac_xmit_base", false, false},
		{"v2", RouterConfig{Format: v2}, slow, "vrrp_version 2", "", false, false},
		{"v2 unicast", RouterConfig{Format: v2, Peers: peers(rightAddr.Addr()).Peers}, slow, "vrrp_version 2", unicast, false, false},
		{"v2 password", RouterConfig{Format: pass}, slow, "vrrp_version 2", "authentication {\n    auth_type PASS\n    auth_pass secret12\n  }", false, false},
	}
}

// election is that of VRID 51 in this dialect.
func (d dialect) election(priority uint8) vrrp.Config {
	c := election(priority)
	c.Version, c.Interval, c.Addresses = d.router.Format.Version, d.interval, d.addresses()
	return c
}

// on is how a router of tandem's travels on a host.
func (d dialect) on(t *testing.T, h *host) RouterConfig {
	t.Helper()
	r := d.router
	if d.vmac {
		r.Outlet = h.outlet(t, h.macvlan(t, d.ipv6))
		r.Outlet.Use(true)
	}
	return r
}

// keepalived is the real one, running.
type keepalived struct {
	vip  netip.Addr // one of those that it has while it is active
	cmd  *exec.Cmd
	log  *output
	done chan struct{} // closed when it has ended
}

// output is what a process writes, to be read while it does.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// keepalived starts one on h, which must be the right host.
func (h *host) keepalived(t *testing.T, d dialect, priority uint8) *keepalived {
	t.Helper()
	path, err := exec.LookPath("keepalived")
	if err != nil {
		t.Fatalf("%v: install keepalived (make deps)", err)
	}
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	var addresses strings.Builder
	for _, ip := range d.addresses() {
		fmt.Fprintf(&addresses, "    %v/%d\n", ip, ip.BitLen())
	}
	conf := fmt.Sprintf("global_defs {\n  router_id right\n  %s\n}\nvrrp_instance web {\n  state BACKUP\n  interface eth0\n  virtual_router_id 51\n  priority %d\n  advert_int %.2f\n  %s\n  virtual_ipaddress {\n%s  }\n}\n",
		d.global, priority, d.interval.Seconds(), d.instance, addresses.String())
	if err := os.WriteFile(file("keepalived.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	k := &keepalived{vip: d.addresses()[0], log: &output{}, done: make(chan struct{})}
	k.cmd = exec.Command(path, "--dont-fork", "--log-console", "--vrrp", "--use-file", file("keepalived.conf"),
		"--pid", file("main.pid"), "--vrrp_pid", file("vrrp.pid"))
	k.cmd.Stdout, k.cmd.Stderr = k.log, k.log
	// Its child must end with it, and both with a kill of the group.
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	started := make(chan error, 1)
	go func() {
		defer close(k.done)
		runtime.LockOSThread()
		err := netns.Set(h.ns)
		if err == nil {
			err = k.cmd.Start()
		}
		started <- err
		if err == nil {
			_ = k.cmd.Wait() // a signal ends it
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		k.kill(t)
		if t.Failed() {
			t.Logf("keepalived.conf:\n%s\nkeepalived says:\n%s", conf, k.log)
		}
	})
	return k
}

// says waits for a line of the log.
func (k *keepalived) says(t *testing.T, text string) {
	t.Helper()
	deadline := time.Now().Add(electionPatience)
	for !strings.Contains(k.log.String(), text) {
		if time.Now().After(deadline) {
			t.Fatalf("keepalived does not say %q", text)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// stop ends it as an operator does: it says goodbye.
func (k *keepalived) stop(t *testing.T) {
	t.Helper()
	if err := k.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-k.done:
	case <-time.After(electionPatience):
		t.Fatal("keepalived does not end")
	}
}

// kill ends it without a word.
func (k *keepalived) kill(t *testing.T) {
	t.Helper()
	err := syscall.Kill(-k.cmd.Process.Pid, syscall.SIGKILL)
	if err != nil && err != syscall.ESRCH {
		t.Error(err)
	}
	<-k.done
}

// holds waits until a host has the virtual address, or has not.
func (h *host) holds(t *testing.T, k *keepalived, want bool) {
	t.Helper()
	n := h.netif(t)
	deadline := time.Now().Add(electionPatience)
	for {
		list, err := n.Addresses()
		if err != nil {
			t.Fatal(err)
		}
		have := false
		for _, a := range list {
			have = have || a.Prefix == netip.PrefixFrom(k.vip, k.vip.BitLen())
		}
		if have == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("keepalived holds %v: %t, want %t", k.vip, have, want)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestInteropTandemActive has tandem as the active and keepalived as the backup:
// it stays so while tandem advertises, a release moves the role at once, and so
// does silence after a while.
func TestInteropTandemActive(t *testing.T) {
	for _, d := range dialects() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			left, right := newHosts(t)
			v := left.elect(t, NewRouter(d.on(t, left)), d.election(200))
			v.becomes(t, vrrp.Active)
			k := right.keepalived(t, d, 100)
			k.says(t, "Entering BACKUP STATE")
			// A deaf keepalived would wait for less than four.
			want := v.Status().Counters.AdvertsSent + 5
			v.soon(t, "five advertisements are sent", func() bool { return v.Status().Counters.AdvertsSent >= want })
			if v.Status().Role.State != vrrp.Active || strings.Contains(k.log.String(), "MASTER STATE") {
				t.Fatalf("tandem is %+v, dropped %v", v.Status().Role, v.conn.Drops())
			}

			released := time.Now()
			v.Shutdown("maintenance", true)
			right.holds(t, k, true)
			// Three intervals would be silence; a release costs less than one.
			if took := time.Since(released); took > 3*d.interval {
				t.Errorf("keepalived took %v to take over a role that was released, silence is noticed after %v", took, 3*d.interval)
			}
			v.heard(t, 100)

			v.Startup(v.conn.PrimaryAddr())
			v.becomes(t, vrrp.Active)
			right.holds(t, k, false)
			v.silence()
			right.holds(t, k, true)
			for reason, n := range v.conn.Drops() {
				t.Errorf("%d packets of keepalived dropped: %v", n, reason)
			}
		})
	}
}

// TestInteropKeepalivedActive is the same with the roles exchanged.
func TestInteropKeepalivedActive(t *testing.T) {
	for _, d := range dialects() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			left, right := newHosts(t)
			k := right.keepalived(t, d, 200)
			right.holds(t, k, true)
			v := left.elect(t, NewRouter(d.on(t, left)), d.election(100))
			v.becomes(t, vrrp.Backup)
			v.heard(t, 200)
			before := v.Status().Role
			v.hears(t, 4)
			v.stays(t, before)
			if h := v.Status().Heard; h.IntervalDiffers || h.AddressesDiffer || !d.ipv6 && h.Src != rightAddr.Addr() {
				t.Errorf("heard %+v", h)
			}

			k.stop(t)
			v.becomes(t, vrrp.Active)
			if cause := v.Status().Role.Cause; cause != v.Status().Heard.Src.String()+" released the role" {
				t.Errorf("active because %s", cause)
			}

			k = right.keepalived(t, d, 200)
			v.becomes(t, vrrp.Backup)
			right.holds(t, k, true)
			k.kill(t)
			v.becomes(t, vrrp.Active)
			if cause := v.Status().Role.Cause; !strings.Contains(cause, "was silent") {
				t.Errorf("active because %s", cause)
			}
			for reason, n := range v.conn.Drops() {
				t.Errorf("%d packets of keepalived dropped: %v", n, reason)
			}
		})
	}
}

// TestInteropMismatch has pairs that do not understand each other, for the right
// reason.
func TestInteropMismatch(t *testing.T) {
	all := map[string]dialect{}
	for _, d := range dialects() {
		all[d.name] = d
	}
	slower := all["v2"]
	slower.router.Format.Interval, slower.interval = 3*time.Second, 3*time.Second
	wrong := all["v2 password"]
	wrong.router.Format.Password = vrrp.NewPassword("wrong")
	// keepalived that hears something of the wrong version more often than it speaks
	// itself never speaks.
	rare := all["v3"]
	rare.interval = 2 * time.Second
	signed := all["v3"]
	signed.router = signing(t, vrrp.AuthEnforce, 1)
	stranger := all["v3 unicast"]
	stranger.router = peers(netip.MustParseAddr("192.0.2.99"))
	for _, tt := range []struct {
		name               string
		tandem, keepalived dialect
		want               vrrp.DropReason
	}{
		{"version 3 and 2", rare, all["v2"], vrrp.DropVersionMismatch},
		{"version 2 and 3", all["v2"], all["v3"], vrrp.DropVersionMismatch},
		{"interval", slower, all["v2"], vrrp.DropIntervalMismatch},
		{"no password here", all["v2"], all["v2 password"], vrrp.DropAuthType},
		{"no password there", all["v2 password"], all["v2"], vrrp.DropAuthType},
		{"wrong password", wrong, all["v2 password"], vrrp.DropBadPassword},
		{"not signed", signed, all["v3"], vrrp.DropAuthMissing},
		{"no peer of ours", stranger, all["v3"], vrrp.DropUnknownSender},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			left, right := newHosts(t)
			k := right.keepalived(t, tt.keepalived, 200)
			right.holds(t, k, true)
			v := left.elect(t, NewRouter(tt.tandem.router), tt.tandem.election(100))
			v.becomes(t, vrrp.Active)
			v.soon(t, "packets are dropped", func() bool { return v.conn.Drops()[tt.want] > 0 })
			if d := v.conn.Drops(); len(d) != 1 {
				t.Errorf("dropped %v, want only %v", d, tt.want)
			}
		})
	}
}

// TestInteropChecksum: keepalived 2.2.7 refuses the checksum of RFC 9568,
// which is why it is not the default. tandem understands keepalived all the same.
func TestInteropChecksum(t *testing.T) {
	left, right := newHosts(t)
	d := dialects()[0]
	rfc9568 := d.router
	rfc9568.Format.Checksum = vrrp.ChecksumMessageOnly
	v := left.elect(t, NewRouter(rfc9568), d.election(200))
	v.becomes(t, vrrp.Active)
	k := right.keepalived(t, d, 100)
	k.says(t, "Invalid VRRPv3 checksum")
	right.holds(t, k, true)
	v.heard(t, 100)

	v.router.Set(d.router)
	right.holds(t, k, false)
	v.becomes(t, vrrp.Active)
}

// TestInteropXmitBase: what keepalived with vmac_xmit_base does not hear, because
// its macvlan is private, is adverts that have the virtual MAC. It hears those that
// do not: by unicast, say.
func TestInteropXmitBase(t *testing.T) {
	left, right := newHosts(t)
	d := dialects()[0]
	d.vmac, d.instance = true, "use_vmac\n  vmac_xmit_base"
	router := d.on(t, left)
	v := left.elect(t, NewRouter(router), d.election(200))
	v.becomes(t, vrrp.Active)
	k := right.keepalived(t, d, 100)
	right.holds(t, k, true)
	v.heard(t, 100)
	v.becomes(t, vrrp.Active)

	router.Outlet.Use(false)
	right.holds(t, k, false)
}
