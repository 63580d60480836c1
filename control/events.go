package control

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"tandem/internal/events"
)

// maxFollowers is how many clients may follow the events at a time: each costs a
// goroutine and a connection for as long as it likes.
const maxFollowers = 32

// maxEvent is longer than any line: causes are cut, and names are bounded.
const maxEvent = 1 << 20

// ServeEvents serves GET /v1/events: the events of a log, each a line of JSON.
//
//	after=N   only those after number N
//	follow=1  and those to come, until the client goes or the daemon ends
//
// A client keeps its place in the log by itself. One that does not read is cut off
// after clientTimeout, and has cost no more than the socket's buffers. It must be
// called before Run.
func (s *Server) ServeEvents(log *events.Log) {
	places := make(chan struct{}, maxFollowers)
	s.mux.HandleFunc("GET /v1/events", func(w http.ResponseWriter, r *http.Request) {
		after, follow, err := eventsQuery(r.URL.Query())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if follow {
			select {
			case places <- struct{}{}:
				defer func() { <-places }()
			default:
				http.Error(w, fmt.Sprintf("%d clients follow already", maxFollowers), http.StatusServiceUnavailable)
				return
			}
		}
		w.Header().Set("Content-Type", "application/x-ndjson")
		sendEvents(w, r, log, after, follow)
	})
}

// eventsQuery reads the query of a request.
func eventsQuery(q url.Values) (after uint64, follow bool, err error) {
	for key := range q {
		switch value := q.Get(key); key {
		case "after":
			if after, err = strconv.ParseUint(value, 10, 64); err != nil {
				return 0, false, fmt.Errorf("after=%q is not the number of an event", value)
			}
		case "follow":
			if follow, err = strconv.ParseBool(value); err != nil {
				return 0, false, fmt.Errorf("follow=%q is neither 1 nor 0", value)
			}
		default:
			return 0, false, fmt.Errorf("unknown key %q; there are after and follow", key)
		}
	}
	return after, follow, nil
}

// sendEvents writes lines until there are no more, or forever.
func sendEvents(w http.ResponseWriter, r *http.Request, log *events.Log, after uint64, follow bool) {
	rc := http.NewResponseController(w)
	if follow {
		// The server's own limits are for short answers. Errors mean that the
		// connection is gone, which the first write finds out.
		_ = rc.SetReadDeadline(time.Time{})
	}
	enc := json.NewEncoder(w)
	for {
		// Headers go out at once, so that a client knows that it is heard.
		_ = rc.SetWriteDeadline(time.Now().Add(clientTimeout))
		if rc.Flush() != nil {
			return
		}
		list := log.After(after)
		if len(list) == 0 && follow {
			list = log.Wait(r.Context(), after)
		}
		if len(list) == 0 {
			return
		}
		_ = rc.SetWriteDeadline(time.Now().Add(clientTimeout))
		for _, e := range list {
			if enc.Encode(e) != nil {
				return
			}
			after = e.Seq
		}
	}
}

// Events asks the daemon behind a control socket for the events after a number,
// and calls each with each of them and the line that it came in, which is valid
// only during the call. With follow it returns when ctx is done, or with an error
// when the daemon ends.
func Events(ctx context.Context, path string, after uint64, follow bool, each func(e events.Event, line []byte) error) error {
	query := url.Values{"after": {strconv.FormatUint(after, 10)}}
	if follow {
		query.Set("follow", "1")
	}
	resp, err := ask(ctx, path, "/v1/events?"+query.Encode())
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxEvent)
	for lines.Scan() {
		var e events.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("control socket %s: the answer is not an event: %w", path, err)
		}
		if err := each(e, lines.Bytes()); err != nil {
			return err
		}
	}
	switch {
	case ctx.Err() != nil && follow:
		return nil
	case lines.Err() != nil:
		return explain(path, lines.Err())
	case follow:
		return fmt.Errorf("the tandem behind %s has ended", path)
	}
	return nil
}
