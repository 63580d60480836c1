package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"tandem/ipvsctl"
)

// dumpAttempts is how often a dump is begun again that the kernel reports as
// interrupted by a change, before that is an error.
const dumpAttempts = 5

// Table returns the kernel's table and the counters of its servers. Services
// that are identified by a firewall mark are left out: they are never ours, and
// no operation touches them.
//
// The kernel gives out the table piece by piece. A change by another program
// meanwhile may or may not be in the result.
func (h *Handle) Table() (ipvsctl.Table, map[ipvsctl.StatsKey]ipvsctl.ServerStats, error) {
	services, err := h.services()
	if err != nil {
		return nil, nil, fmt.Errorf("read the IPVS services: %w", explain(err))
	}
	table := make(ipvsctl.Table, len(services))
	stats := make(map[ipvsctl.StatsKey]ipvsctl.ServerStats)
	for _, service := range services {
		servers, err := h.servers(service.ServiceKey)
		if err != nil {
			return nil, nil, fmt.Errorf("read the IPVS servers of %s: %w", service.ServiceKey, explain(err))
		}
		// The kernel answers for a service that is gone as for one without
		// servers.
		if len(servers) == 0 {
			exists, err := h.exists(service.ServiceKey)
			if err != nil {
				return nil, nil, fmt.Errorf("look up the IPVS service %s: %w", service.ServiceKey, explain(err))
			}
			if !exists {
				continue
			}
		}
		entry := ipvsctl.Entry{Service: service, Servers: make(map[netip.AddrPort]ipvsctl.Server, len(servers))}
		for _, s := range servers {
			entry.Servers[s.Address] = s.Server
			stats[ipvsctl.StatsKey{Service: service.ServiceKey, Server: s.Address}] = s.stats
		}
		table[service.ServiceKey] = entry
	}
	return table, stats, nil
}

func (h *Handle) services() ([]ipvsctl.Service, error) {
	messages, err := h.dump(cmdGetService, nil)
	if err != nil {
		return nil, err
	}
	services := make([]ipvsctl.Service, 0, len(messages))
	for _, msg := range messages {
		service, marked, err := parseService(msg)
		if err != nil {
			return nil, err
		}
		if !marked {
			services = append(services, service)
		}
	}
	return services, nil
}

// countedServer is a server and what the kernel counts of it.
type countedServer struct {
	ipvsctl.Server
	stats ipvsctl.ServerStats
}

func (h *Handle) servers(key ipvsctl.ServiceKey) ([]countedServer, error) {
	messages, err := h.dump(cmdGetDest, serviceAttr(key))
	if err != nil {
		return nil, err
	}
	servers := make([]countedServer, 0, len(messages))
	for _, msg := range messages {
		server, err := parseServer(msg, familyOf(key.Address.Addr()))
		if err != nil {
			return nil, err
		}
		servers = append(servers, server)
	}
	return servers, nil
}

func (h *Handle) exists(key ipvsctl.ServiceKey) (bool, error) {
	_, err := h.request(cmdGetService, 0, serviceAttr(key))
	if errors.Is(err, unix.ESRCH) {
		return false, nil
	}
	return err == nil, err
}

// dump asks for everything, again if the kernel says that a change came between
// the pieces of its answer.
func (h *Handle) dump(cmd uint8, arg *nl.RtAttr) ([][]byte, error) {
	var err error
	for range dumpAttempts {
		var messages [][]byte
		messages, err = h.request(cmd, unix.NLM_F_DUMP, arg)
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return messages, err
		}
	}
	return nil, fmt.Errorf("the table changed during each of %d attempts (%w)", dumpAttempts, err)
}

// request sends a command with at most one attribute and returns the kernel's
// messages, each beginning with the generic netlink header.
func (h *Handle) request(cmd uint8, flags int, arg *nl.RtAttr) ([][]byte, error) {
	req := h.compose(cmd, flags, arg)
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_GENERIC: h.reader}
	return req.Execute(unix.NETLINK_GENERIC, 0)
}

// send is request without an answer. The kernel has carried the command out
// when it returns. Should the kernel refuse, that goes unnoticed: the next
// request skips answers that are not its own.
func (h *Handle) send(cmd uint8, arg *nl.RtAttr) error {
	req := h.compose(cmd, 0, arg)
	req.Seq = atomic.AddUint32(&h.reader.Seq, 1)
	h.reader.Socket.Lock()
	defer h.reader.Socket.Unlock()
	return h.reader.Socket.Send(req)
}

func (h *Handle) compose(cmd uint8, flags int, arg *nl.RtAttr) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(int(h.family), flags)
	req.AddData(&nl.Genlmsg{Command: cmd, Version: genlVersion})
	if arg != nil {
		req.AddData(arg)
	}
	return req
}

// serviceAttr identifies a service in a request.
func serviceAttr(key ipvsctl.ServiceKey) *nl.RtAttr {
	attr := nl.NewRtAttr(attrService, nil)
	attr.AddRtAttr(svcFamily, nl.Uint16Attr(familyOf(key.Address.Addr())))
	attr.AddRtAttr(svcProtocol, nl.Uint16Attr(uint16(key.Protocol)))
	attr.AddRtAttr(svcAddress, key.Address.Addr().AsSlice())
	attr.AddRtAttr(svcPort, nl.BEUint16Attr(key.Address.Port()))
	return attr
}

// parseService reads a service from a message of the kernel. marked says that
// the service is identified by a firewall mark instead of an address.
func parseService(msg []byte) (s ipvsctl.Service, marked bool, err error) {
	body, err := nested(msg, attrService)
	if err != nil {
		return ipvsctl.Service{}, false, err
	}
	var family, port uint16
	var address, netmask []byte
	for typ, value := range attrs(body) {
		switch typ {
		case svcFamily:
			family = uint16(uintOf(value))
		case svcProtocol:
			s.Protocol = ipvsctl.Protocol(uintOf(value))
		case svcAddress:
			address = value
		case svcPort:
			port = portOf(value)
		case svcFWMark:
			return ipvsctl.Service{}, true, nil
		case svcScheduler:
			s.Scheduler = stringOf(value)
		case svcFlags:
			s.Flags = ipvsctl.Flags(uintOf(value[:min(4, len(value))])) // without the mask
		case svcTimeout:
			s.Persistence = uint32(uintOf(value))
		case svcNetmask:
			netmask = value
		}
	}
	addr, err := addrOf(family, address)
	if err != nil {
		return ipvsctl.Service{}, false, fmt.Errorf("service: %w", err)
	}
	s.Address = netip.AddrPortFrom(addr, port)
	s.Netmask = prefixLen(family, netmask)
	return s, false, nil
}

// prefixLen reads a service's netmask: for IPv4 a mask in network byte order,
// for IPv6 a number.
func prefixLen(family uint16, b []byte) uint32 {
	if family == unix.AF_INET && len(b) == 4 {
		return uint32(bits.LeadingZeros32(^binary.BigEndian.Uint32(b)))
	}
	return uint32(uintOf(b))
}

// parseServer reads a server with its counters from a message of the kernel.
// Kernels before 3.18 do not tell its family: it is then the service's.
func parseServer(msg []byte, family uint16) (countedServer, error) {
	body, err := nested(msg, attrDest)
	if err != nil {
		return countedServer{}, err
	}
	var s countedServer
	var port uint16
	var address, old, wide []byte
	for typ, value := range attrs(body) {
		switch typ {
		case destAddress:
			address = value
		case destPort:
			port = portOf(value)
		case destForwarding:
			s.Forwarding = ipvsctl.Forwarding(uintOf(value))
		case destWeight:
			s.Weight = int32(uintOf(value))
		case destUpper:
			s.Upper = uint32(uintOf(value))
		case destLower:
			s.Lower = uint32(uintOf(value))
		case destActive:
			s.stats.Active = uint32(uintOf(value))
		case destInactive:
			s.stats.Inactive = uint32(uintOf(value))
		case destFamily:
			family = uint16(uintOf(value))
		case destStats:
			old = value
		case destStats64:
			wide = value
		}
	}
	addr, err := addrOf(family, address)
	if err != nil {
		return countedServer{}, fmt.Errorf("server: %w", err)
	}
	s.Address = netip.AddrPortFrom(addr, port)
	if wide == nil { // before Linux 4.1
		wide = old
	}
	parseStats(wide, &s.stats)
	return s, nil
}

func parseStats(b []byte, s *ipvsctl.ServerStats) {
	for typ, value := range attrs(b) {
		switch typ {
		case statsConnections:
			s.Connections = uintOf(value)
		case statsPacketsIn:
			s.PacketsIn = uintOf(value)
		case statsPacketsOut:
			s.PacketsOut = uintOf(value)
		case statsBytesIn:
			s.BytesIn = uintOf(value)
		case statsBytesOut:
			s.BytesOut = uintOf(value)
		}
	}
}
