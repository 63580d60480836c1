package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
)

// HealthPath is where a [Server] is checked.
const HealthPath = "/healthz"

// ServerConfig is what a [Server] needs to know.
type ServerConfig struct {
	// Name is in every answer: as the Server header and as the body.
	Name string
	// HTTP and Echo are the addresses to listen on, such as ":80" and ":7".
	// An empty one is left out, but not both.
	HTTP, Echo string
	// Admin is where the mode is set and the state read ([SetMode],
	// [ReadState]): the path of a unix socket if it holds a slash, else a TCP
	// address; empty for none.
	Admin string
}

// Server is a real server for drills: HTTP that says its name, an echo service
// for streams, and a mode that can be changed while it runs.
type Server struct {
	cfg        ServerConfig
	ready      chan struct{}
	http       *http.Server
	httpDoor   door
	echoDoor   door
	counts     counters
	echoCtx    context.Context // ends the echo connections
	echoCancel context.CancelFunc
	echoes     sync.WaitGroup

	broken chan error // why a listener no longer works

	mu      sync.Mutex
	mode    Mode
	changed chan struct{} // closed when mode changes
	stopped bool
}

type counters struct{ requests, health, unserved, streams, openStreams, echoed atomic.Int64 }

// State is what a [Server] tells about itself. It counts from its start.
type State struct {
	Name string `json:"name"`
	Mode Mode   `json:"mode"`
	// Requests counts HTTP requests for anything but HealthPath,
	// HealthRequests those for it, and Unserved how many of both did not get
	// a 200.
	Requests       int64 `json:"requests"`
	HealthRequests int64 `json:"health_requests"`
	Unserved       int64 `json:"unserved"`
	// Streams counts the echo connections, OpenStreams those that exist now,
	// EchoedBytes what they got back.
	Streams     int64 `json:"streams"`
	OpenStreams int64 `json:"open_streams"`
	EchoedBytes int64 `json:"echoed_bytes"`
}

// NewServer returns a healthy server; [Server.Run] starts it.
func NewServer(cfg ServerConfig) *Server {
	s := &Server{cfg: cfg, ready: make(chan struct{}), changed: make(chan struct{})}
	s.http = &http.Server{Handler: http.HandlerFunc(s.answer), ErrorLog: log.New(io.Discard, "", 0)}
	// One request for each connection. The server then closes first, and the
	// client keeps no port in TIME_WAIT.
	s.http.SetKeepAlivesEnabled(false)
	s.broken = make(chan error, 2)
	s.httpDoor = door{addr: cfg.HTTP, serve: s.http.Serve, broken: s.broken}
	s.echoDoor = door{addr: cfg.Echo, serve: s.serveEcho, broken: s.broken}
	s.echoCtx, s.echoCancel = context.WithCancel(context.Background())
	return s
}

// Ready is closed when every address is being listened on.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// String returns the server's name.
func (s *Server) String() string { return s.cfg.Name }

// HTTPAddr returns the address of the HTTP listener once the server is ready.
func (s *Server) HTTPAddr() netip.AddrPort { return s.httpDoor.bound() }

// EchoAddr returns the address of the echo listener once the server is ready.
func (s *Server) EchoAddr() netip.AddrPort { return s.echoDoor.bound() }

// Run serves until ctx ends, which is no error. Its errors are addresses that
// cannot be listened on, and listeners that break.
func (s *Server) Run(ctx context.Context) error {
	err := s.run(ctx)
	if err := errors.Join(err, s.stop()); err != nil {
		return fmt.Errorf("server %s: %w", s.cfg.Name, err)
	}
	return nil
}

func (s *Server) run(ctx context.Context) error {
	if s.cfg.HTTP == "" && s.cfg.Echo == "" {
		return errors.New("nothing to serve: give an HTTP or an echo address")
	}
	if err := errors.Join(s.httpDoor.open(), s.echoDoor.open()); err != nil {
		return err
	}
	if s.cfg.Admin != "" {
		stop, err := s.serveAdmin()
		if err != nil {
			return err
		}
		defer stop()
	}
	close(s.ready)
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.broken:
		return err
	}
}

// stop closes listeners and connections and waits for their goroutines.
func (s *Server) stop() error {
	s.mu.Lock()
	s.stopped = true // no mode opens a door any more
	s.mu.Unlock()
	err := errors.Join(s.httpDoor.close(), s.echoDoor.close(), s.http.Close())
	s.echoCancel()
	s.echoes.Wait()
	return err
}

// SetMode changes the behaviour at once; requests that hang are dropped
// without an answer. If a listener cannot be opened again the error says so,
// and the mode stays as it was.
func (s *Server) SetMode(m Mode) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return fmt.Errorf("server %s: stopped", s.cfg.Name)
	}
	move := (*door).open
	if m.Behaviour == Refusing {
		move = (*door).close
	}
	if err := errors.Join(move(&s.httpDoor), move(&s.echoDoor)); err != nil {
		return fmt.Errorf("server %s: %w", s.cfg.Name, err)
	}
	s.mode = m
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

// State returns the mode and the counters.
func (s *Server) State() State {
	m, _ := s.current()
	return State{
		Name:           s.cfg.Name,
		Mode:           m,
		Requests:       s.counts.requests.Load(),
		HealthRequests: s.counts.health.Load(),
		Unserved:       s.counts.unserved.Load(),
		Streams:        s.counts.streams.Load(),
		OpenStreams:    s.counts.openStreams.Load(),
		EchoedBytes:    s.counts.echoed.Load(),
	}
}

// current returns the mode and a channel that is closed when it changes.
func (s *Server) current() (Mode, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mode, s.changed
}

// door is a listener that can be closed and opened again at the same address.
// The zero address is no listener. Callers serialise open and close.
type door struct {
	addr   string
	serve  func(net.Listener) error // until the listener is closed
	broken chan<- error             // takes what else ends serve

	ln   net.Listener
	last atomic.Pointer[netip.AddrPort]
	done sync.WaitGroup
}

// open does nothing if the door is open.
func (d *door) open() error {
	if d.addr == "" || d.ln != nil {
		return nil
	}
	addr := d.addr
	if last := d.last.Load(); last != nil {
		addr = last.String() // the port that the kernel chose for port 0
	}
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // plain TCP is what is being balanced
	ln, err := lc.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return err // says the operation and the address
	}
	d.ln = ln
	d.last.Store(new(ln.Addr().(*net.TCPAddr).AddrPort()))
	d.done.Go(func() {
		err := d.serve(ln)
		if errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) {
			return
		}
		select {
		case d.broken <- fmt.Errorf("serve %v: %w", ln.Addr(), err):
		default: // Run has enough to report
		}
	})
	return nil
}

// close does nothing if the door is closed.
func (d *door) close() error {
	if d.ln == nil {
		return nil
	}
	err := d.ln.Close()
	d.done.Wait()
	d.ln = nil
	return err
}

func (d *door) bound() netip.AddrPort {
	if last := d.last.Load(); last != nil {
		return *last
	}
	return netip.AddrPort{}
}
