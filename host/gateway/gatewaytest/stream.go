package gatewaytest

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"time"
)

func streamBehaviours() []behaviour {
	return []behaviour{
		{name: "sse", check: checkEvents},
		{name: "head-before-body", check: checkHeadFirst},
		{name: "chunks", check: func(f *fixture) { checkPieces(f, "") }},
		{name: "length", check: func(f *fixture) { checkPieces(f, "12") }},
		{name: "both-ways", check: checkBothWays},
		{name: "client-leaves-busy", check: func(f *fixture) { checkStreamLeft(f, true) }},
		{name: "client-leaves-quiet", check: func(f *fixture) { checkStreamLeft(f, false) }},
	}
}

// checkEvents sends each event only after the client has seen the one before.
func checkEvents(f *fixture) {
	next := make(chan struct{})
	o := f.origin(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 5 {
			_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
	})
	addr := f.front(o.URL)
	w := f.dial(addr)
	w.send(request(addr, "GET /up/", "Accept: text/event-stream"))
	_ = w.SetReadDeadline(time.Now().Add(f.patience))
	res := w.head("GET")
	f.equal("Content-Type", res.Header.Get("Content-Type"), "text/event-stream")
	events := bufio.NewReader(res.Body)
	for i := range 5 {
		for _, want := range []string{fmt.Sprintf("data: %d\n", i), "\n"} {
			line, err := events.ReadString('\n')
			if err != nil {
				f.Fatalf("event %d, sent after the one before was seen: %v", i, err)
			}
			f.equal("line of an event", line, want)
		}
		next <- struct{}{}
	}
	if _, err := events.ReadByte(); err != io.EOF {
		f.Fatalf("end of the stream: %v", err)
	}
}

func checkHeadFirst(f *fixture) {
	seen := make(chan struct{})
	o := f.origin(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		select {
		case <-seen:
			_, _ = io.WriteString(w, "ok")
		case <-r.Context().Done():
		}
	})
	addr := f.front(o.URL)
	w := f.dial(addr)
	w.send(request(addr, "GET /up/"))
	_ = w.SetReadDeadline(time.Now().Add(f.patience))
	res := w.head("GET")
	close(seen)
	body, _ := io.ReadAll(res.Body)
	f.equal("body", string(body), "ok")
}

// checkPieces does for plain bodies what checkEvents does for events; with a
// length or without.
func checkPieces(f *fixture, length string) {
	next := make(chan struct{})
	o := f.origin(func(w http.ResponseWriter, r *http.Request) {
		if length != "" {
			w.Header().Set("Content-Length", length)
		}
		w.Header().Set("Content-Type", "application/x-ndjson")
		for range 3 {
			_, _ = io.WriteString(w, "abc\n")
			w.(http.Flusher).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
	})
	addr := f.front(o.URL)
	w := f.dial(addr)
	w.send(request(addr, "GET /up/"))
	_ = w.SetReadDeadline(time.Now().Add(f.patience))
	res := w.head("GET")
	piece := make([]byte, 4)
	for i := range 3 {
		if _, err := io.ReadFull(res.Body, piece); err != nil {
			f.Fatalf("piece %d, sent after the one before was seen: %v", i, err)
		}
		next <- struct{}{}
	}
}

// checkBothWays echoes while the request's body is still being sent.
func checkBothWays(f *fixture) {
	o := f.origin(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.(http.Flusher).Flush()
		piece := make([]byte, 3)
		for {
			if _, err := io.ReadFull(r.Body, piece); err != nil {
				return
			}
			_, _ = w.Write(piece)
			w.(http.Flusher).Flush()
		}
	})
	addr := f.front(o.URL)
	w := f.dial(addr)
	w.send(request(addr, "POST /up/", "Transfer-Encoding: chunked"))
	_ = w.SetReadDeadline(time.Now().Add(f.patience))
	res := w.head("POST")
	piece := make([]byte, 3)
	for i := range 3 {
		want := fmt.Sprintf("p%d.", i)
		w.send("3\r\n" + want + "\r\n")
		if _, err := io.ReadFull(res.Body, piece); err != nil {
			f.Fatalf("echo of piece %d: %v", i, err)
		}
		f.equal("echo", string(piece), want)
	}
	w.send("0\r\n\r\n")
	if rest, err := io.ReadAll(res.Body); err != nil || len(rest) != 0 {
		f.Fatalf("end of the echo: %q %v", rest, err)
	}
}

// checkStreamLeft wants the upstream to see that the client left a stream,
// whether or not the upstream is just sending.
func checkStreamLeft(f *fixture, busy bool) {
	left := make(chan struct{})
	o := f.origin(func(w http.ResponseWriter, r *http.Request) {
		defer close(left)
		_, _ = io.WriteString(w, "first")
		w.(http.Flusher).Flush()
		for r.Context().Err() == nil {
			if busy {
				_, _ = io.WriteString(w, "more")
				w.(http.Flusher).Flush()
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	addr := f.front(o.URL)
	w := f.dial(addr)
	w.send(request(addr, "GET /up/"))
	res := w.head("GET")
	if _, err := io.ReadFull(res.Body, make([]byte, 5)); err != nil {
		f.Fatalf("the stream's beginning: %v", err)
	}
	_ = w.Close()
	await(f, left, prompt, "the upstream sees that the client left")
}
