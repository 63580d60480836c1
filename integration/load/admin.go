package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// adminTimeout bounds one request to a server's admin address.
const adminTimeout = 5 * time.Second

// adminNetwork tells a unix socket's path from a TCP address.
func adminNetwork(addr string) string {
	if strings.Contains(addr, "/") {
		return "unix"
	}
	return "tcp"
}

// serveAdmin answers GET and PUT /mode until stop is called. Both return the
// state; PUT takes the text of a Mode.
func (s *Server) serveAdmin() (stop func(), err error) {
	network := adminNetwork(s.cfg.Admin)
	if network == "unix" {
		if err := removeSocket(s.cfg.Admin); err != nil {
			return nil, err
		}
	}
	ln, err := net.Listen(network, s.cfg.Admin)
	if err != nil {
		return nil, fmt.Errorf("admin address: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /mode", s.getMode)
	mux.HandleFunc("PUT /mode", s.putMode)
	srv := &http.Server{Handler: mux}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(ln) // until Close
	}()
	return func() { srv.Close(); <-done }, nil
}

// removeSocket removes what a server that was killed has left behind, and
// nothing but a socket.
func removeSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.Mode().Type() != fs.ModeSocket {
		err = fmt.Errorf("%s exists and is not a socket; give another path", path)
	}
	if err == nil {
		err = os.Remove(path)
	}
	if err != nil {
		return fmt.Errorf("admin address: %w", err)
	}
	return nil
}

func (s *Server) getMode(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s.State()) // the client sees what fails here
}

func (s *Server) putMode(w http.ResponseWriter, req *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(w, req.Body, 256))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	m, err := ParseMode(strings.TrimSpace(string(text)))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := s.SetMode(m); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.getMode(w, req)
}

// SetMode sets the mode of the server whose admin address is given, and
// returns the state it is in then.
func SetMode(ctx context.Context, admin string, m Mode) (State, error) {
	return askAdmin(ctx, admin, http.MethodPut, m.String())
}

// ReadState returns the state of the server whose admin address is given.
func ReadState(ctx context.Context, admin string) (State, error) {
	return askAdmin(ctx, admin, http.MethodGet, "")
}

func askAdmin(ctx context.Context, admin, method, body string) (State, error) {
	var s State
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, adminNetwork(admin), admin)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, method, "http://server/mode", strings.NewReader(body))
	if err != nil {
		return s, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return s, fmt.Errorf("admin %s: %w", admin, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return s, fmt.Errorf("admin %s: %w", admin, err)
	}
	if resp.StatusCode != http.StatusOK {
		return s, fmt.Errorf("admin %s: %s", admin, bytes.TrimSpace(answer))
	}
	if err := json.Unmarshal(answer, &s); err != nil {
		return s, fmt.Errorf("admin %s: %w", admin, err)
	}
	return s, nil
}
