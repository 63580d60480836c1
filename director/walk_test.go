package director

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tandem/configs"
	"tandem/healthcheck"
	"tandem/ipvsctl"
	"tandem/vrrp"
)

// A long random walk through roles, verdicts, faults, reloads, failing
// operations and third parties. Whatever happened, the kernel ends as it should
// be soon after it stops; on the way the strict fakes judge every step.
func TestRandomWalk(t *testing.T) {
	for seed := range uint64(12) {
		bubble(t, fmt.Sprint("seed ", seed), func(t *testing.T, w *world) {
			k := walk(t, w, rand.New(rand.NewPCG(seed, 51)))
			for range 300 {
				k.step()
				after(time.Duration(k.rand.IntN(700)) * time.Millisecond)
			}
			k.settle()
		})
	}
}

type walker struct {
	*directing
	t       *testing.T
	rand    *rand.Rand
	configs []*configs.Config
	now     *configs.Config
}

func walk(t *testing.T, w *world, r *rand.Rand) *walker {
	k := &walker{t: t, rand: r}
	for _, text := range []string{
		routerWeb + serviceWeb,
		routerWeb + routerTwo + serviceWeb,
		routerTwo + onNginx + syncOff,
		routerFollowed + serviceWeb + strings.Replace(routerTwo, "vrid = 52", "vrid = 52\naccept = false", 1) + "[[virtual_router.rule]]\npriority = 5\nfwmark = 1\ntype = \"prohibit\"\n",
		routerWeb + "virtual_mac = true\n" + serviceWeb,
		routerWeb + "virtual_mac = true\n" + routerTwo,
		routerTwo + routerWeb + `
[[service]]
name = "http"
virtual = ["10.0.0.100:80", "10.0.0.102:80"]
on_failure = "quiesce"
[service.check]
fall = 1
rise = 1
[[service.server]]
address = "10.0.0.12:80"
`,
	} {
		k.configs = append(k.configs, config(t, text))
	}
	k.now = k.configs[0]
	k.directing = direct(t, w, w.options(k.now))
	return k
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

func (k *walker) step() {
	server := port(pick(k.rand, "10.0.0.11:80", "10.0.0.12:80"))
	address := pick(k.rand, vipWeb, vipTwo, vipInside, vipDevice)
	switch k.rand.IntN(10) {
	case 0, 1, 2:
		k.changeRole()
	case 3:
		k.w.edit(func() { k.w.servers[server] = pick(k.rand, healthcheck.ReasonOK, healthcheck.ReasonTimeout) })
	case 4:
		op := pick(k.rand, "add ", "remove ", "list", "table", "add service ", "add server ", "delete server ", "start ", "stop ", "running", "save", "probe",
			"routes", "rules", "add route ", "add rule ", "remove route ", "remove rule ", "deny ", "make ", "open ", "unmake ")
		k.w.edit(func() { k.w.fails[op] = !k.w.fails[op] })
	case 5:
		k.w.edit(func() { k.meddle(address, server) })
		k.LinksChanged()
	case 6:
		k.w.edit(func() {
			if l, ok := k.w.links[address.Interface]; ok {
				l.Up = !l.Up
				k.w.links[address.Interface] = l
			}
		})
		k.LinksChanged()
	case 7:
		k.reload(pick(k.rand, k.configs...))
	case 8:
		k.set(nginx, ThingState{Known: k.rand.IntN(4) > 0, Well: k.rand.IntN(2) == 0})
	case 9:
		k.AddressClaimed(time.Now(), address.Prefix.Addr(), address.Interface, "02:00:00:00:00:66")
	}
}

// meddle does what a third party might. The caller holds the world's lock.
func (k *walker) meddle(a configs.VirtualAddress, server addrPort) {
	w := k.w
	switch k.rand.IntN(7) {
	case 6:
		for d := range w.devices {
			w.lose(d)
		}
	case 0:
		delete(w.addresses, a)
	case 1:
		// Any other is theirs, and stays.
		if _, there := w.links[a.Interface]; there && namedAddresses(k.now)[a] {
			w.addresses[a] = time.Time{}
		}
	case 2:
		for _, e := range w.table {
			delete(e.Servers, server)
		}
	case 3:
		clear(w.table)
		w.daemons = map[SyncRole]SyncDaemon{}
	case 4:
		clear(w.routes)
		clear(w.rules)
		w.denied = nil
	case 5:
		for key, r := range w.rules {
			r.Incoming = "eth7"
			w.rules[key] = r
		}
		w.shapes[a] = configs.AddressOptions{Label: a.Interface + ":x"}
	}
}

// changeRole moves an election that takes part.
func (k *walker) changeRole() {
	for _, rc := range k.now.Routers { // in order: a seed is to lead the same way again
		e := k.election(k.t, idOf(rc))
		switch role := e.Status().Role; {
		case role.State == vrrp.Init || k.rand.IntN(2) == 0:
		case role.State == vrrp.Active:
			e.become(vrrp.Backup, k.rand.IntN(2) == 0)
		case role.Hold:
			e.become(vrrp.Backup, false)
		default:
			e.active()
		}
	}
}

func (k *walker) reload(cfg *configs.Config) {
	for _, id := range []RouterID{idWeb, idTwo} {
		k.w.mu.Lock()
		e := k.w.elections[id]
		k.w.mu.Unlock()
		if e != nil && !e.isClosed() && !slices.ContainsFunc(cfg.Routers, func(r configs.VirtualRouter) bool { return idOf(r) == id }) {
			succeed(e, sec(0.2))
		}
	}
	switch err := k.Reload(cfg); {
	case errors.Is(err, errInjected): // refused as a whole: the old one stays
	case err != nil:
		k.t.Errorf("reload: %v", err)
	default:
		k.now = cfg
	}
}

// settle ends the trouble and compares the kernel with what should be.
func (k *walker) settle() {
	k.w.edit(func() {
		clear(k.w.fails)
		clear(k.w.things)
		for name, l := range k.w.links {
			l.Up = true
			k.w.links[name] = l
		}
	})
	k.LinksChanged()
	for id := range k.currentRouters() { // the elections bound every hold
		if e := k.election(k.t, id); e.Status().Role.State != vrrp.Active && e.Status().Role.Hold {
			e.become(e.Status().Role.State, false)
		}
	}
	after(sec(20))

	var want []configs.VirtualAddress
	roles := make(map[RouterID]vrrp.Role)
	for id := range k.currentRouters() {
		roles[id] = k.election(k.t, id).Status().Role
	}
	held, _ := DesiredAddresses(k.now, roles)
	for _, a := range held {
		if a.renew() {
			want = append(want, a.VirtualAddress)
		}
	}
	slices.SortFunc(want, compareAddress)
	k.w.wantHeld(want...)
	wantList(k.t, "announced", slices.SortedFunc(maps.Keys(k.w.repeating), compareAddress), want...)

	var daemons []SyncRole
	if k.now.ConnectionSync.Mode != configs.SyncOff {
		if slices.ContainsFunc(k.now.Routers, func(r configs.VirtualRouter) bool { return roles[idOf(r)].State != vrrp.Active }) {
			daemons = append(daemons, SyncBackup)
		}
		if slices.ContainsFunc(k.now.Routers, func(r configs.VirtualRouter) bool { return roles[idOf(r)].Hold }) {
			daemons = append(daemons, SyncMaster)
		}
	}
	wantText(k.t, "daemons", k.w.syncs(), fmt.Sprint(daemons))
	k.wantFollowing(roles)
	if d := cmp.Diff(DesiredTable(k.now, verdictsOf(k.o.Checks.Snapshot()), ipvsctl.Table{}), k.w.table, compare); d != "" {
		k.t.Error("table:", d)
	}
	if s := k.Snapshot(time.Now()); len(s.Problems) > 0 {
		k.t.Errorf("problems: %v", s.Problems)
	}
	k.wantLedger()
	k.wantDevices(roles)
	synctest.Wait()
}

// wantFollowing compares what follows the addresses, and their options.
func (k *walker) wantFollowing(roles map[RouterID]vrrp.Role) {
	var want []string
	for _, f := range Desired(k.now, roles, routesOf) {
		want = append(want, f.Entry.String())
	}
	for _, f := range Desired(k.now, roles, rulesOf) {
		want = append(want, f.Entry.String())
	}
	slices.Sort(want)
	wantText(k.t, "routes and rules", k.w.following(), strings.Join(want, ", "))
	wantList(k.t, "denied", k.w.denied, Denied(k.now, "lb1")...)
	for a := range k.w.addresses {
		if o := k.w.shapes[a]; o != (configs.AddressOptions{}) {
			k.t.Errorf("%v has %+v", a, o)
		}
	}
}

// wantDevices checks that there are those that are configured, open if their router
// holds addresses.
func (k *walker) wantDevices(roles map[RouterID]vrrp.Role) {
	if d := cmp.Diff(openings(k.now, roles), k.w.devices); d != "" {
		k.t.Error("devices (-want +have):", d)
	}
	wantList(k.t, "devices on the ledger", k.w.ledger.Devices, DevicesOf(k.now)...)
}

// wantLedger checks that the ledger names everything that could be in the
// kernel.
func (k *walker) wantLedger() {
	named := namedAddresses(k.now)
	if len(k.w.ledger.Addresses) < len(named) {
		k.t.Errorf("the ledger has %v", k.w.ledger.Addresses)
	}
	if o := k.w.ledger; len(k.w.routes) > 0 && !o.Routes || len(k.w.rules) > 0 && !o.Rules || len(k.w.denied) > 0 && !o.Firewall {
		k.t.Errorf("not everything is on the ledger: %+v", o)
	}
	for service := range k.w.table {
		if !slices.Contains(k.w.ledger.Services, service) {
			k.t.Errorf("%v is not on the ledger", service)
		}
	}
}
