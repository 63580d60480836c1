package wire

import (
	"net/netip"

	"tandem/vrrp"
)

// sender is the packets that wait to leave by one interface. Only the thread of the
// Poller uses it.
type sender struct {
	out    outbound
	source source
}

// queue takes an advertisement to one destination.
func (s *sender) queue(f *family, r *Router, a vrrp.Advert, src, dst netip.Addr, index int, failed func(error)) error {
	p := s.out.add()
	var err error
	if p.data, err = r.append(p.data[:0], a, src, dst); err != nil {
		s.out.dropLast()
		return err
	}
	p.src, p.dst, p.failed = src, dst, failed
	s.address(f, p, index)
	return nil
}

// requeue takes a packet that another interface did not.
func (s *sender) requeue(f *family, old *outgoing, index int) {
	p := s.out.add()
	p.data = append(p.data[:0], old.data...)
	p.src, p.dst, p.failed = old.src, old.dst, old.failed
	s.address(f, p, index)
}

// address says where a packet goes, and by which interface.
func (s *sender) address(f *family, p *outgoing, index int) {
	p.control = append(p.control[:0], s.source.get(f, p.src, index)...)
	p.nameLen = f.name(&p.name, p.dst, index)
}

// source is a control message that is made once for many packets.
type source struct {
	src     netip.Addr
	index   int
	message []byte
}

func (s *source) get(f *family, src netip.Addr, index int) []byte {
	if s.src != src || s.index != index {
		*s = source{src, index, f.source(src, index)}
	}
	return s.message
}
