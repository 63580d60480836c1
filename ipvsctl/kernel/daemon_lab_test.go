//go:build lab

package kernel

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// syncLink makes an interface with an address, as the daemons need one.
func syncLink(t *testing.T, name, address string) {
	t.Helper()
	link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "p"}
	if err := netlink.LinkAdd(link); err != nil {
		t.Fatal(err)
	}
	addr, err := netlink.ParseAddr(address)
	if err != nil {
		t.Fatal(err)
	}
	peer, err := netlink.LinkByName(name + "p")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(netlink.AddrAdd(link, addr), netlink.LinkSetUp(link), netlink.LinkSetUp(peer)); err != nil {
		t.Fatal(err)
	}
}

// expectDaemons compares what runs: as read here, and as ipvsadm lists it.
func expectDaemons(t *testing.T, h *Handle, listed string, want ...Daemon) {
	t.Helper()
	got, err := h.Daemons()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("daemons %+v, want %+v", got, want)
	}
	if out := ipvsadm(t, "", "-L", "--daemon"); strings.TrimSpace(out) != strings.TrimSpace(listed) {
		t.Errorf("ipvsadm -L --daemon says\n%s, want\n%s", out, listed)
	}
}

func start(t *testing.T, h *Handle, d Daemon) {
	t.Helper()
	if err := h.StartDaemon(d); err != nil {
		t.Fatal(err)
	}
}

func stop(t *testing.T, h *Handle, role Role) {
	t.Helper()
	if err := h.StopDaemon(role); err != nil {
		t.Fatal(err)
	}
}

func TestDaemons(t *testing.T) {
	enterNamespace(t)
	h := open(t)
	syncLink(t, "sync0", "10.78.0.1/24")
	syncLink(t, "sync1", "10.79.0.1/24")
	stop(t, h, Master) // not running
	stop(t, h, Backup)
	expectDaemons(t, h, "")

	// With the kernel's defaults.
	start(t, h, Daemon{Role: Backup, Interface: "sync0", SyncID: 51})
	backup := Daemon{Role: Backup, Interface: "sync0", SyncID: 51, MaxLen: 1472, Group: defaultGroup, Port: 8848, TTL: 1}
	const backupListed = "backup sync daemon (mcast=sync0, syncid=51, maxlen=1472, group=224.0.0.81, port=8848, ttl=1)\n"
	expectDaemons(t, h, backupListed, backup)

	// Both at once, and the other with everything set.
	master := Daemon{Role: Master, Interface: "sync1", SyncID: 255, MaxLen: 44, Group: netip.MustParseAddr("224.0.0.82"), Port: 9000, TTL: 3}
	const masterListed = "master sync daemon (mcast=sync1, syncid=255, maxlen=44, group=224.0.0.82, port=9000, ttl=3)\n"
	start(t, h, master)
	expectDaemons(t, h, masterListed+backupListed, master, backup)

	// A change restarts the one that it concerns.
	master.SyncID = 1
	start(t, h, master)
	changed := strings.Replace(masterListed, "255", "1", 1)
	expectDaemons(t, h, changed+backupListed, master, backup)

	stop(t, h, Backup)
	expectDaemons(t, h, changed, master)
	stop(t, h, Master)
	expectDaemons(t, h, "")

	six := Daemon{Role: Backup, Interface: "sync0", SyncID: 1, MaxLen: 1024, Group: netip.MustParseAddr("ff02::81"), Port: 8848, TTL: 1}
	start(t, h, Daemon{Role: Backup, Interface: "sync0", SyncID: 1, MaxLen: 44, Group: six.Group})
	expectDaemons(t, h, "backup sync daemon (mcast=sync0, syncid=1, maxlen=1024, group=ff02::81, port=8848, ttl=1)\n", six)
}

// TestDaemonLeftAlone asks again for what runs. A restart would show as a new
// socket in place of the old one.
func TestDaemonLeftAlone(t *testing.T) {
	enterNamespace(t)
	h := open(t)
	syncLink(t, "sync0", "10.78.0.1/24")
	for _, d := range []Daemon{
		{Role: Master, Interface: "sync0", SyncID: 51},
		{Role: Backup, Interface: "sync0", SyncID: 51, MaxLen: 44}, // which the kernel raises
	} {
		start(t, h, d)
		before := udpSockets(t)
		start(t, h, d)
		if after := udpSockets(t); !slices.Equal(before, after) || len(before) == 0 {
			t.Errorf("%s was restarted: sockets %v, then %v", d.Role, before, after)
		}
		d.SyncID++
		start(t, h, d)
		if after := udpSockets(t); slices.Equal(before, after) {
			t.Errorf("%s was not restarted for another sync id: sockets %v", d.Role, after)
		}
	}
}

// TestDaemonStoppedBeforeItRan stops daemons whose threads have, often, not run
// yet. The kernel answers such a request never.
func TestDaemonStoppedBeforeItRan(t *testing.T) {
	enterNamespace(t)
	h := open(t)
	syncLink(t, "sync0", "10.78.0.1/24")
	for range 8 {
		for _, role := range []Role{Master, Backup} {
			start(t, h, Daemon{Role: role, Interface: "sync0", SyncID: 51})
			begin := time.Now()
			stop(t, h, role)
			if took := time.Since(begin); took > replyTimeout/2 {
				t.Fatalf("it took %v to stop the %s", took, role)
			}
			expectDaemons(t, h, "")
		}
	}
}

// udpSockets returns the identities of the namespace's UDP sockets: the cookies
// of sock_diag, which are never used twice.
func udpSockets(t *testing.T) []uint64 {
	t.Helper()
	infos, err := netlink.SocketDiagUDP(unix.AF_INET)
	if err != nil {
		t.Fatal(err)
	}
	var cookies []uint64
	for _, s := range infos {
		cookies = append(cookies, uint64(s.ID.Cookie[1])<<32|uint64(s.ID.Cookie[0]))
	}
	slices.Sort(cookies)
	return cookies
}

func TestDaemonErrors(t *testing.T) {
	enterNamespace(t)
	h := open(t)
	err := h.StartDaemon(Daemon{Role: Master, Interface: "nowhere", SyncID: 1})
	if want := "start the sync master on nowhere: there is no interface nowhere (no such device)"; err == nil || err.Error() != want || !errors.Is(err, unix.ENODEV) {
		t.Errorf("got %v, want %s", err, want)
	}

	// Servers of both families in the table, which only tunnels can have.
	syncLink(t, "sync0", "10.78.0.1/24")
	ipvsadm(t, "", "-A", "-t", "10.77.0.100:80", "-s", "rr")
	ipvsadm(t, "", "-a", "-t", "10.77.0.100:80", "-r", "[fd00::1]:80", "-i")
	err = h.StartDaemon(Daemon{Role: Master, Interface: "sync0", SyncID: 1})
	if want := "start the sync master on sync0: refused, perhaps because some service has servers of the other address family"; err == nil || !strings.HasPrefix(err.Error(), want) || !errors.Is(err, unix.EINVAL) {
		t.Errorf("got %v, want %s", err, want)
	}
	if got := read(t, h); len(got) != 1 {
		t.Errorf("a service with servers of both families is read as %v", got)
	}
	expectDaemons(t, h, "")
}

func TestDaemonOnDeadInterface(t *testing.T) {
	enterNamespace(t)
	h := open(t)
	if err := netlink.LinkAdd(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: "down0"}}); err != nil {
		t.Fatal(err)
	}
	err := h.StartDaemon(Daemon{Role: Master, Interface: "down0", SyncID: 1})
	if want := "start the sync master on down0: the interface is down or has no address (network is unreachable)"; err == nil || err.Error() != want || !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("got %v, want %s", err, want)
	}
	expectDaemons(t, h, "")
}
