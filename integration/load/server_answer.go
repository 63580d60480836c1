package load

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"
)

// answer is the HTTP service: any path, and HealthPath.
func (s *Server) answer(w http.ResponseWriter, req *http.Request) {
	health := req.URL.Path == HealthPath
	if health {
		s.counts.health.Add(1)
	} else {
		s.counts.requests.Add(1)
	}
	mode, changed := s.current()
	if mode.HealthOnly && !health {
		mode = Mode{}
	}
	w.Header().Set("Server", s.cfg.Name)
	switch mode.Behaviour {
	case Failing503:
		s.counts.unserved.Add(1)
		http.Error(w, s.cfg.Name, http.StatusServiceUnavailable)
		return
	case Hanging:
		s.counts.unserved.Add(1)
		select {
		case <-changed:
		case <-req.Context().Done():
		}
		panic(http.ErrAbortHandler) // close without an answer
	case Slow:
		t := time.NewTimer(mode.Delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-req.Context().Done():
			s.counts.unserved.Add(1)
			panic(http.ErrAbortHandler)
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, s.cfg.Name+"\n") // the client sees what fails here
}

// serveEcho accepts echo connections until the listener is closed.
func (s *Server) serveEcho(ln net.Listener) error {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		s.counts.streams.Add(1)
		s.counts.openStreams.Add(1)
		s.echoes.Go(func() {
			defer s.counts.openStreams.Add(-1)
			defer conn.Close()
			defer context.AfterFunc(s.echoCtx, func() { conn.Close() })()
			s.echo(conn)
		})
	}
}

// echo returns everything until the peer closes (RFC 862). A small buffer and
// no io.Copy: that would splice through a pipe, which costs two more file
// descriptors for each of many quiet connections.
func (s *Server) echo(conn net.Conn) {
	buf := make([]byte, 1024)
	for {
		n, err := conn.Read(buf)
		if n > 0 {
			if _, werr := conn.Write(buf[:n]); werr != nil {
				return
			}
			s.counts.echoed.Add(int64(n))
		}
		if err != nil {
			return
		}
	}
}
