package netif

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Rule is a policy routing rule. It is comparable. The kernel can have several of
// a priority; tandem has one of each family at most.
type Rule struct {
	Priority   uint32
	Family     int          // AF_INET or AF_INET6
	From, To   netip.Prefix // masked, of that family; invalid: any
	Mark, Mask uint32       // Mask 0: any mark
	Incoming   string       // interface; empty: any
	Outgoing   string       // interface; empty: any
	Table      uint32       // with FR_ACT_TO_TBL, else 0
	Action     uint8        // FR_ACT_TO_TBL, FR_ACT_BLACKHOLE, FR_ACT_UNREACHABLE or FR_ACT_PROHIBIT
}

// Rules returns tandem's rules.
func (h *Handle) Rules() ([]Rule, error) {
	var all []Rule
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		list, err := dump(func() ([]Rule, error) { return h.rules(family) })
		if err != nil {
			return nil, fmt.Errorf("list policy rules: %w", explain(err))
		}
		all = append(all, list...)
	}
	return all, nil
}

// rules asks for the rules of a family. The library does not tell what a rule
// does, so that a blackhole looks like a prohibition.
func (h *Handle) rules(family int) ([]Rule, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETRULE, unix.NLM_F_DUMP)
	req.Sockets = h.raw
	req.AddData(nl.NewIfInfomsg(family))
	var list []Rule
	err := req.ExecuteIter(unix.NETLINK_ROUTE, unix.RTM_NEWRULE, func(msg []byte) bool {
		if r, protocol := decodeRule(msg); protocol == Protocol && r.Family == family {
			list = append(list, r)
		}
		return true
	})
	return list, err
}

// decodeRule decodes struct fib_rule_hdr and its attributes (fib_rules.h).
// protocol says whose rule it is; 0 for what is no rule.
func decodeRule(b []byte) (r Rule, protocol uint8) {
	const (
		hdr               = 12 // family, dst_len, src_len, tos, table, 2 reserved, action, flags
		dstLen, srcLen    = 1, 2
		tableAt, actionAt = 4, 7
	)
	if len(b) < hdr {
		return Rule{}, 0
	}
	r = Rule{Family: int(b[0]), Table: uint32(b[tableAt]), Action: b[actionAt]}
	for typ, value := range attributes(b[hdr:]) {
		word := func() uint32 {
			if len(value) < 4 {
				return 0
			}
			return binary.NativeEndian.Uint32(value)
		}
		switch int(typ) {
		case nl.FRA_SRC:
			r.From = prefixFrom(value, b[srcLen])
		case nl.FRA_DST:
			r.To = prefixFrom(value, b[dstLen])
		case nl.FRA_PRIORITY:
			r.Priority = word()
		case nl.FRA_FWMARK:
			r.Mark = word()
		case nl.FRA_FWMASK:
			r.Mask = word()
		case nl.FRA_IIFNAME:
			r.Incoming = cString(value)
		case nl.FRA_OIFNAME:
			r.Outgoing = cString(value)
		case nl.FRA_TABLE:
			r.Table = word()
		case nl.FRA_PROTOCOL:
			if len(value) > 0 {
				protocol = value[0]
			}
		}
	}
	if r.Action != nl.FR_ACT_TO_TBL {
		r.Table = 0
	}
	return r, protocol
}

func prefixFrom(b []byte, bits uint8) netip.Prefix {
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, int(bits))
}

// AddRule adds a rule. The error wraps fs.ErrExist if there is one like it,
// whoever put it there.
func (h *Handle) AddRule(r Rule) error {
	err := h.nl.RuleAdd(r.request())
	if errors.Is(err, unix.EEXIST) {
		return fs.ErrExist
	}
	return explain(err)
}

// RemoveRule takes away tandem's rule. One that is not there is no error.
func (h *Handle) RemoveRule(r Rule) error {
	err := h.nl.RuleDel(r.request())
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return explain(err)
}

func (r Rule) request() *netlink.Rule {
	req := netlink.NewRule()
	req.Family, req.Priority, req.Protocol = r.Family, int(r.Priority), Protocol
	req.Type, req.Table = r.Action, int(r.Table)
	req.IifName, req.OifName = r.Incoming, r.Outgoing
	if r.From.IsValid() {
		req.Src = netOf(r.From)
	}
	if r.To.IsValid() {
		req.Dst = netOf(r.To)
	}
	if r.Mask != 0 {
		req.Mark, req.Mask = r.Mark, &r.Mask
	}
	return req
}
