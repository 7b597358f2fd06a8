package gatewaytest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

func connectionBehaviours() []behaviour {
	return []behaviour{
		{name: "keep-alive", check: checkKeepAlive},
		{name: "close-honoured", check: checkClose},
		{name: "pipelined-in-order", check: checkPipelined},
		{name: "http-1.0", check: checkHTTP10},
		{name: "http-1.0-keep-alive", check: checkHTTP10KeepAlive},
		{name: "upstream-connections-reused", check: checkUpstreamReuse},
		{name: "newline-after-post", check: checkNewlineAfterPost},
		{name: "body-after-answer-is-no-request", check: checkUnreadBody},
		{name: "rest-after-answer-length", check: func(f *fixture) { checkRestAfterAnswer(f, false) }},
		{name: "rest-after-answer-chunked", check: func(f *fixture) { checkRestAfterAnswer(f, true) }},
	}
}

func checkKeepAlive(f *fixture) {
	o := f.origin(nil)
	addr := f.front(o.URL)
	w := f.dial(addr)
	for i := range 20 {
		if i%2 == 0 {
			w.send(request(addr, fmt.Sprintf("GET /up/%d", i)))
		} else {
			w.send(request(addr, fmt.Sprintf("GET /up/%d", i), "Content-Length: 5") + "hello")
		}
		w.answer("GET").want(f, 200)
		f.equal("target", o.last().RequestURI, fmt.Sprintf("/%d", i))
	}
	w.send(request(addr, "GET /nowhere")) // the gateway's own answers keep it as well
	w.answer("GET").want(f, 404)
	w.send(request(addr, "GET /up/"))
	w.answer("GET").want(f, 200)
}

func checkClose(f *fixture) {
	o := f.origin(nil)
	addr := f.front(o.URL)
	w := f.dial(addr)
	w.send(request(addr, "GET /up/", "Connection: close"))
	a := w.answer("GET")
	a.want(f, 200)
	if !a.Close {
		f.Fatalf("the answer does not say Connection: close")
	}
	w.gone(f.patience)
}

// checkPipelined makes the first answer the slowest.
func checkPipelined(f *fixture) {
	o := f.origin(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/0" {
			time.Sleep(50 * time.Millisecond)
		}
		_, _ = fmt.Fprintf(w, "%s %s", r.URL.Path, body)
	})
	addr := f.front(o.URL)
	var all strings.Builder
	for i := range 10 {
		switch i % 3 {
		case 0:
			all.WriteString(request(addr, fmt.Sprintf("GET /up/%d", i)))
		case 1:
			all.WriteString(request(addr, fmt.Sprintf("POST /up/%d", i), "Content-Length: 2") + "ab")
		default:
			all.WriteString(request(addr, fmt.Sprintf("POST /up/%d", i), "Transfer-Encoding: chunked") + "2\r\nab\r\n0\r\n\r\n")
		}
	}
	w := f.dial(addr)
	w.send(all.String())
	for i := range 10 {
		a := w.answer("GET")
		a.want(f, 200)
		want := fmt.Sprintf("/%d ", i)
		if i%3 != 0 {
			want += "ab"
		}
		f.equal("answer in its turn", a.body, want)
	}
}

// checkHTTP10 wants no chunked coding for a client that cannot know it.
func checkHTTP10(f *fixture) {
	o := f.origin(func(w http.ResponseWriter, _ *http.Request) {
		for range 3 {
			_, _ = io.WriteString(w, "abc")
			w.(http.Flusher).Flush()
		}
	})
	addr := f.front(o.URL)
	w := f.dial(addr)
	w.send("GET /up/ HTTP/1.0\r\nHost: " + addr + "\r\n\r\n")
	all, err := io.ReadAll(w.br) // until the gateway closes
	if err != nil {
		f.Fatalf("read to the end: %v", err)
	}
	head, body, _ := strings.Cut(string(all), "\r\n\r\n")
	if !strings.HasPrefix(head, "HTTP/1.") || !strings.Contains(head, " 200 ") || strings.Contains(strings.ToLower(head), "transfer-encoding") {
		f.Fatalf("head for an HTTP/1.0 client: %q", head)
	}
	f.equal("body", body, "abcabcabc")
}

// checkHTTP10KeepAlive lets the gateway keep the connection or close it, so
// long as the answer says which.
func checkHTTP10KeepAlive(f *fixture) {
	addr := f.front("http://" + f.answering(lines("HTTP/1.1 200 OK", "Content-Length: 2")+"ok"))
	w := f.dial(addr)
	raw := "GET /up/ HTTP/1.0\r\nHost: " + addr + "\r\nConnection: keep-alive\r\n\r\n"
	w.send(raw)
	a := w.answer("GET")
	a.want(f, 200)
	if !strings.EqualFold(a.Header.Get("Connection"), "keep-alive") {
		w.gone(f.patience)
		return
	}
	w.send(raw)
	w.answer("GET").want(f, 200)
}

func checkUpstreamReuse(f *fixture) {
	conns := make(chan struct{}, 64)
	addr := f.front("http://" + f.scripted(func(p *peer) {
		conns <- struct{}{}
		for p.request() != nil {
			p.send(lines("HTTP/1.1 200 OK", "Content-Length: 2") + "ok")
		}
	}))
	for range 20 { // each on a client connection of its own
		f.ok(addr, request(addr, "GET /up/"))
	}
	// The gateway may take a connection back a moment after its caller is answered.
	if n := len(conns); n > 5 {
		f.Fatalf("20 requests one after the other used %d upstream connections", n)
	}
}

// checkNewlineAfterPost sends the extra line end of old clients (RFC 9112, 2.2).
func checkNewlineAfterPost(f *fixture) {
	o := f.origin(nil)
	addr := f.front(o.URL)
	w := f.dial(addr)
	w.send(request(addr, "POST /up/", "Content-Length: 2") + "ab")
	w.answer("POST").want(f, 200)
	w.send("\r\n" + request(addr, "GET /up/"))
	w.answer("GET").want(f, 200)
}

// checkUnreadBody answers before the body is read; what the client then sends
// of it must never be taken for a request.
func checkUnreadBody(f *fixture) {
	o := f.origin(nil)
	addr := f.front(o.URL)
	inner := request(addr, "GET /up/smuggled")
	w := f.dial(addr)
	w.send(request(addr, "POST /nowhere", fmt.Sprintf("Content-Length: %d", len(inner))))
	_ = w.SetReadDeadline(time.Now().Add(f.patience))
	a := w.answer("POST")
	a.want(f, 404)
	_, _ = io.WriteString(w, inner)
	_ = w.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) // it may close, or wait for more
	if rest, _ := io.ReadAll(w.br); len(rest) != 0 {
		f.Fatalf("a body was answered as a request: %.100q", rest)
	}
	f.equal("requests at the upstream", o.count(), 0)
}

// checkRestAfterAnswer does the same with a body that the upstream answers
// before it is whole.
func checkRestAfterAnswer(f *fixture, chunked bool) {
	o := f.origin(func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.WriteString(w, "early")
	})
	addr := f.front(o.URL)
	inner := request(addr, "GET /up/smuggled")
	w := f.dial(addr)
	if size := len("begun") + len(inner); chunked {
		w.send(request(addr, "POST /up/", "Transfer-Encoding: chunked") + fmt.Sprintf("%x\r\nbegun", size))
	} else {
		w.send(request(addr, "POST /up/", fmt.Sprintf("Content-Length: %d", size)) + "begun")
	}
	_ = w.SetReadDeadline(time.Now().Add(f.patience))
	w.answer("POST").want(f, 200)
	_, _ = io.WriteString(w, inner)
	_ = w.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) // it may close, or wait for more
	if rest, _ := io.ReadAll(w.br); strings.Contains(string(rest), " 200 ") {
		f.Fatalf("the rest of a body was answered as a request: %.100q", rest)
	}
	f.equal("target", o.only().RequestURI, "/")
}
