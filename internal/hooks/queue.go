package hooks

import "slices"

// queue is what one hook has not been told yet: the newest state of each object,
// and no older one. So it is never longer than there are objects.
type queue struct {
	order   []object // the one that waits longest first
	newest  map[object]call
	merged  uint64 // states that were replaced by newer ones
	stopped bool   // stopping was put, the last that a hook is told
}

// put adds a state. It takes the place of an older one of its object, so that no
// object waits behind another that changes all the time. Stopping takes the place
// of everything.
func (q *queue) put(c call) {
	switch {
	case q.stopped:
		return
	case c.word == "stopping":
		q.stopped = true
		q.merged += uint64(len(q.order))
		q.order, q.newest = nil, nil
	}
	if q.newest == nil {
		q.newest = make(map[object]call)
	}
	if _, waits := q.newest[c.object]; waits {
		q.merged++
	} else {
		q.order = append(q.order, c.object)
	}
	q.newest[c.object] = c
}

// take removes the state that is next.
func (q *queue) take() (c call, ok bool) {
	if len(q.order) == 0 {
		return call{}, false
	}
	o := q.order[0]
	q.order = slices.Delete(q.order, 0, 1)
	c = q.newest[o]
	delete(q.newest, o)
	return c, true
}

// keep drops what a hook is not to be told any more.
func (q *queue) keep(wanted func(call) bool) {
	q.order = slices.DeleteFunc(q.order, func(o object) bool {
		gone := !wanted(q.newest[o])
		if gone {
			delete(q.newest, o)
		}
		return gone
	})
}
