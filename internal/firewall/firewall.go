// Package firewall drops packets to virtual addresses that the host shall not
// accept (RFC 9568, section 6.1: Accept_Mode), with an nftables table of its own:
//
//	table inet tandem {
//	  set ipv4 { type ipv4_addr; elements = { 10.0.0.100 } }
//	  set ipv6 { type ipv6_addr }
//	  chain input {
//	    type filter hook input priority filter; policy accept;
//	    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
//	    ip daddr @ipv4 counter drop
//	    ip6 daddr @ipv6 counter drop
//	  }
//	}
//
// What the host forwards passes another hook and is not touched, nor is ARP,
// which is none of this family.
package firewall

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Name is the table's. Whatever has it in the inet family is tandem's.
const Name = "tandem"

// timeout bounds each call, which waits while another program's transaction is
// carried out.
const timeout = 2 * time.Second

// Table is the table of the network namespace of the calling thread. It has no
// state of its own.
type Table struct{}

// with calls f with a connection that serves for its whole run: a connection for
// each question would take longer than the question.
func with(f func(*nftables.Conn) error) error {
	c, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		return c.SetDeadline(time.Now().Add(timeout))
	}))
	if err != nil {
		return explain(err)
	}
	return errors.Join(f(c), c.CloseLasting())
}

// Available says why this kernel cannot do it; nil: it can.
func (Table) Available() error {
	return with(func(c *nftables.Conn) error {
		_, err := find(c)
		return err
	})
}

// Denied returns the addresses to which packets are dropped, sorted. whole is
// false if there is no table, or somebody has changed it otherwise.
func (Table) Denied() (denied []netip.Addr, whole bool, err error) {
	err = with(func(c *nftables.Conn) error {
		t, err := find(c)
		if err != nil || t == nil {
			return err
		}
		denied, whole, err = read(c, t)
		return err
	})
	return denied, whole, err
}

// Deny drops packets to these addresses, and to no others. Without any the table
// goes. What is as it should be is left alone, with its counters; changed says
// whether it was not. The kernel sees the old table or the new one, never none.
func (Table) Deny(list []netip.Addr) (changed bool, err error) {
	want := slices.SortedFunc(slices.Values(list), netip.Addr.Compare)
	err = with(func(c *nftables.Conn) error {
		changed, err = deny(c, want)
		return err
	})
	return changed, err
}

func deny(c *nftables.Conn, want []netip.Addr) (changed bool, err error) {
	t, err := find(c)
	if err != nil {
		return false, err
	}
	switch {
	case t == nil && len(want) == 0:
		return false, nil
	case t != nil && len(want) > 0:
		have, whole, err := read(c, t)
		if err != nil {
			return false, err
		}
		if whole && slices.Equal(have, want) {
			return false, nil
		}
	}
	table := &nftables.Table{Family: nftables.TableFamilyINet, Name: Name}
	if t != nil {
		c.DelTable(table)
	}
	if len(want) > 0 {
		if err := build(c, table, want); err != nil {
			return false, fmt.Errorf("compose the nftables table %s: %w", Name, err)
		}
	}
	if err := c.Flush(); err != nil {
		return false, fmt.Errorf("write the nftables table %s: %w", Name, explain(err))
	}
	return true, nil
}

// find returns the table; nil: there is none.
func find(c *nftables.Conn) (*nftables.Table, error) {
	list, err := c.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return nil, fmt.Errorf("list the nftables tables: %w", explain(err))
	}
	i := slices.IndexFunc(list, func(t *nftables.Table) bool { return t.Name == Name && t.Family == nftables.TableFamilyINet })
	if i < 0 {
		return nil, nil
	}
	return list[i], nil
}

// explain adds to a kernel error what to do about it. A kernel without nf_tables
// knows no such subsystem of nfnetlink (EINVAL), or no nfnetlink at all
// (EPROTONOSUPPORT); one may have it without the inet family (the rest).
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("%w: needs the kernel's module nf_tables, with the inet family", err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: needs CAP_NET_ADMIN", err)
	}
	return err
}

// family is how an address family is matched.
type family struct {
	set      string
	protocol byte // NFPROTO_…
	key      nftables.SetDatatype
	offset   uint32 // of the destination in the header, bytes
	is       func(netip.Addr) bool
}

var families = []family{
	{"ipv4", unix.NFPROTO_IPV4, nftables.TypeIPAddr, 16, netip.Addr.Is4},
	{"ipv6", unix.NFPROTO_IPV6, nftables.TypeIP6Addr, 24, netip.Addr.Is6},
}

// comments mark the rules, in their order. nft shows them, and a rule that is
// written anew by hand has none.
var comments = []string{"tandem: neighbour discovery", "tandem: ipv4", "tandem: ipv6"}

// elementsAtOnce is what one message has room for: its attributes have 16 bits
// of length.
const elementsAtOnce = 500

const chainName = "input"

func build(c *nftables.Conn, table *nftables.Table, want []netip.Addr) error {
	c.AddTable(table)
	accept := nftables.ChainPolicyAccept
	chain := c.AddChain(&nftables.Chain{
		Name: chainName, Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter, Policy: &accept,
	})
	rule := func(i int, exprs ...expr.Any) {
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: exprs, UserData: comment(comments[i])})
	}
	const solicitation, advertisement = 135, 136 // RFC 4861, section 4
	rule(0,
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_ICMPV6}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1},
		&expr.Range{Op: expr.CmpOpEq, Register: 1, FromData: []byte{solicitation}, ToData: []byte{advertisement}},
		&expr.Verdict{Kind: expr.VerdictAccept})
	for i, f := range families {
		set := &nftables.Set{Table: table, Name: f.set, KeyType: f.key}
		var elements []nftables.SetElement
		for _, a := range want {
			if f.is(a) {
				elements = append(elements, nftables.SetElement{Key: a.AsSlice()})
			}
		}
		if err := c.AddSet(set, nil); err != nil {
			return err
		}
		for chunk := range slices.Chunk(elements, elementsAtOnce) {
			if err := c.SetAddElements(set, chunk); err != nil {
				return err
			}
		}
		rule(1+i,
			&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{f.protocol}},
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: f.offset, Len: f.key.Bytes},
			&expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID},
			&expr.Counter{},
			&expr.Verdict{Kind: expr.VerdictDrop})
	}
	return nil
}

// comment is a comment as nft writes it into the user data of a rule
// (libnftnl's NFTNL_UDATA_RULE_COMMENT): type, length, text with its zero byte.
func comment(text string) []byte {
	return append([]byte{0, byte(len(text) + 1)}, append([]byte(text), 0)...)
}

// read returns the addresses of both sets, sorted, and whether all else is as
// build makes it.
func read(c *nftables.Conn, t *nftables.Table) (denied []netip.Addr, whole bool, err error) {
	denied, whole, err = inspect(c, t)
	switch {
	case errors.Is(err, unix.ENOENT): // something of it is gone
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("read the nftables table %s: %w", Name, explain(err))
	}
	return denied, whole, nil
}

func inspect(c *nftables.Conn, t *nftables.Table) (denied []netip.Addr, whole bool, err error) {
	chains, err := c.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return nil, false, err
	}
	chains = slices.DeleteFunc(chains, func(ch *nftables.Chain) bool { return ch.Table.Name != Name })
	if t.Flags != 0 || len(chains) != 1 || !isInput(chains[0]) { // a flag is that it is dormant
		return nil, false, nil
	}
	rules, err := c.GetRules(t, chains[0])
	if err != nil {
		return nil, false, err
	}
	same := slices.EqualFunc(rules, comments, func(r *nftables.Rule, text string) bool { return bytes.Equal(r.UserData, comment(text)) })
	if !same {
		return nil, false, nil
	}
	for _, f := range families {
		set, err := c.GetSetByName(t, f.set)
		if err != nil {
			return nil, false, err
		}
		elements, err := c.GetSetElements(set)
		if err != nil {
			return nil, false, err
		}
		for _, e := range elements {
			a, _ := netip.AddrFromSlice(e.Key)
			denied = append(denied, a)
		}
	}
	slices.SortFunc(denied, netip.Addr.Compare)
	return denied, true, nil
}

func isInput(ch *nftables.Chain) bool {
	return ch.Name == chainName && ch.Type == nftables.ChainTypeFilter &&
		ch.Hooknum != nil && *ch.Hooknum == *nftables.ChainHookInput &&
		ch.Priority != nil && *ch.Priority == *nftables.ChainPriorityFilter &&
		(ch.Policy == nil || *ch.Policy == nftables.ChainPolicyAccept)
}
