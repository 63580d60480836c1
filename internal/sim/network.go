package sim

import (
	"math/rand/v2"
	"time"

	"tandem/vrrp"
)

// calmDelay is the longest a packet takes on a network that is well: a switch and
// two kernels.
const calmDelay = 300 * us

// weather is what the network does to packets.
type weather struct {
	loss, double float64
	delay        time.Duration // the longest; the order is kept only if it is calmDelay
}

var fairWeather = weather{delay: calmDelay}

func (w weather) fair() bool { return w == fairWeather }

// packet is an advertisement on its way to one director.
type packet struct {
	at  time.Duration // of arrival
	seq uint64        // breaks ties: no two are equal
	to  int
	ev  vrrp.Event // Received; made once for all receivers
}

func (p packet) before(q packet) bool { return p.at < q.at || p.at == q.at && p.seq < q.seq }

// network carries packets between n directors. Every direction of every pair has
// a link of its own.
type network struct {
	n       int
	rand    *rand.Rand
	weather weather
	link    [maxDirectors][maxDirectors]bool // link[a][b]: b hears a
	latest  [maxDirectors][maxDirectors]time.Duration
	seq     uint64
	queue   []packet // a heap
}

func newNetwork(n int, r *rand.Rand) *network {
	net := &network{n: n, rand: r, weather: fairWeather}
	net.heal()
	return net
}

// heal makes everybody hear everybody.
func (net *network) heal() {
	for a := range net.n {
		for b := range net.n {
			net.link[a][b] = a != b
		}
	}
}

// split cuts every link between two directors whose sides differ.
func (net *network) split(side []int) {
	for a := range net.n {
		for b := range net.n {
			net.link[a][b] = a != b && side[a] == side[b]
		}
	}
}

// send puts an advertisement on the wire for one receiver. On a network that is
// well it does not overtake another one between the same two.
func (net *network) send(now time.Duration, from, to int, ev vrrp.Event) {
	if !net.link[from][to] || net.rand.Float64() < net.weather.loss {
		return
	}
	copies := 1
	if net.rand.Float64() < net.weather.double {
		copies = 2
	}
	for range copies {
		at := now + 20*us + time.Duration(net.rand.Int64N(int64(net.weather.delay-20*us)))
		if net.weather.fair() {
			at = max(at, min(net.latest[from][to], now+calmDelay))
		}
		net.latest[from][to] = at
		net.push(packet{at: at, seq: net.seq, to: to, ev: ev})
		net.seq++
	}
}

// next is when the next packet arrives.
func (net *network) next() time.Duration {
	if len(net.queue) == 0 {
		return never
	}
	return net.queue[0].at
}

func (net *network) push(p packet) {
	q := append(net.queue, p)
	i := len(q) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !p.before(q[up]) {
			break
		}
		q[i] = q[up]
		i = up
	}
	q[i] = p
	net.queue = q
}

// pop takes the packet that arrives next.
func (net *network) pop() packet {
	q := net.queue
	first, last := q[0], q[len(q)-1]
	q[len(q)-1] = packet{}
	q = q[:len(q)-1]
	for i := 0; len(q) > 0; {
		down := 2*i + 1
		if down+1 < len(q) && q[down+1].before(q[down]) {
			down++
		}
		if down >= len(q) || !q[down].before(last) {
			q[i] = last
			break
		}
		q[i] = q[down]
		i = down
	}
	net.queue = q
	return first
}
