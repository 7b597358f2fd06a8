package gatewaytest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

func bodyBehaviours() []behaviour {
	return []behaviour{
		{name: "length-up", check: checkLengthUp},
		{name: "chunked-up", check: checkChunkedUp},
		{name: "chunked-up-streams", check: checkUploadStreams},
		{name: "empty-post", check: checkEmptyPost},
		{name: "get-with-body", check: checkGetBody},
		{name: "length-down", check: checkLengthDown},
		{name: "chunked-down", check: checkChunkedDown},
		{name: "until-close-down", check: checkUntilClose},
		{name: "slow-drip", check: checkSlowDrip},
		{name: "trailers-up", check: checkTrailersUp},
		{name: "trailers-down-declared", check: func(f *fixture) { checkTrailersDown(f, true) }},
		{name: "trailers-down-undeclared", check: func(f *fixture) { checkTrailersDown(f, false) }},
		{name: "early-answer-length", check: func(f *fixture) { checkEarlyAnswer(f, "Content-Length: 8388608", "x") }},
		{name: "early-answer-chunked", check: func(f *fixture) { checkEarlyAnswer(f, "Transfer-Encoding: chunked", "1\r\nx\r\n") }},
	}
}

func checkLengthUp(f *fixture) {
	o := f.origin(nil)
	addr := f.front(o.URL)
	f.ok(addr, request(addr, "POST /up/", "Content-Length: 5", "Content-Type: text/plain")+"hello")
	a := o.only()
	f.equal("body", a.body, "hello")
	f.equal("Content-Length", a.ContentLength, int64(5))
	f.equal("Content-Type", a.Header.Get("Content-Type"), "text/plain")
}

// checkChunkedUp leaves the framing to the gateway: it may learn a short body's
// length.
func checkChunkedUp(f *fixture) {
	o := f.origin(nil)
	addr := f.front(o.URL)
	f.ok(addr, request(addr, "POST /up/", "Transfer-Encoding: chunked")+"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
	f.equal("body", o.only().body, "hello world")
}

// checkUploadStreams sends each piece only after the upstream has the one
// before. A gateway may keep a beginning back to be able to repeat it, so the
// body is longer than it may keep.
func checkUploadStreams(f *fixture) {
	const first = 2 << 20
	got := make(chan string, 4)
	o := f.origin(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.CopyN(io.Discard, r.Body, first)
		got <- fmt.Sprint(err)
		piece := make([]byte, 4)
		for range 3 {
			_, _ = io.ReadFull(r.Body, piece)
			got <- string(piece)
		}
	})
	addr := f.front(o.URL)
	w := f.dial(addr)
	w.send(request(addr, "POST /up/", "Transfer-Encoding: chunked"))
	w.send(fmt.Sprintf("%x\r\n%s\r\n", first, strings.Repeat("x", first)))
	f.equal("first piece", await(f, got, f.patience, "the first piece"), "<nil>")
	for i := range 3 {
		piece := fmt.Sprintf("no %d", i)
		w.send("4\r\n" + piece + "\r\n")
		f.equal("piece", await(f, got, f.patience, piece), piece)
	}
	w.send("0\r\n\r\n")
	w.answer("POST").want(f, 200)
}

func checkEmptyPost(f *fixture) {
	o := f.origin(nil)
	addr := f.front(o.URL)
	for _, fields := range [][]string{{"Content-Length: 0"}, nil} {
		f.ok(addr, request(addr, "POST /up/", fields...))
		a := o.last()
		f.equal("body", a.body, "")
		f.equal("Content-Length", a.Header.Get("Content-Length"), "0")
		f.equal("Transfer-Encoding", len(a.TransferEncoding), 0)
	}
	f.ok(addr, request(addr, "POST /up/", "Transfer-Encoding: chunked")+"0\r\n\r\n")
	f.equal("body", o.last().body, "")
	f.ok(addr, request(addr, "GET /up/"))
	if a := o.last(); a.Header.Get("Content-Length") != "" || len(a.TransferEncoding) != 0 {
		f.Fatalf("a GET without a body grew one: %q %q", a.Header, a.TransferEncoding)
	}
}

func checkGetBody(f *fixture) {
	o := f.origin(nil)
	addr := f.front(o.URL)
	f.ok(addr, request(addr, "GET /up/", "Content-Length: 3")+"abc")
	f.equal("body", o.only().body, "abc")
}

func checkLengthDown(f *fixture) {
	addr := f.front("http://" + f.answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
	a := f.ok(addr, request(addr, "GET /up/"))
	f.equal("body", a.body, "hello")
	f.equal("Content-Length", a.ContentLength, int64(5))
}

func checkChunkedDown(f *fixture) {
	addr := f.front("http://" + f.answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=\"y\"\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"))
	f.equal("body", f.ok(addr, request(addr, "GET /up/")).body, "hello!")
}

func checkUntilClose(f *fixture) {
	addr := f.front("http://" + f.answering("HTTP/1.1 200 OK\r\n\r\nhello"))
	w := f.dial(addr)
	for range 2 {
		w.send(request(addr, "GET /up/"))
		a := w.answer("GET")
		a.want(f, 200)
		f.equal("body", a.body, "hello")
	}
}

// checkSlowDrip sends a request and its answer byte by byte.
func checkSlowDrip(f *fixture) {
	addr := f.front("http://" + f.scripted(func(p *peer) {
		r := p.request()
		if r == nil {
			return
		}
		for _, b := range []byte("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + r.body) {
			p.send(string(b))
			time.Sleep(time.Millisecond)
		}
	}))
	w := f.dial(addr)
	for _, b := range []byte(request(addr, "POST /up/", "Content-Length: 10") + "drip by so") {
		w.send(string(b))
		time.Sleep(time.Millisecond)
	}
	a := w.answer("POST")
	a.want(f, 200)
	f.equal("body", a.body, "drip by so")
}

func checkTrailersUp(f *fixture) {
	o := f.origin(nil)
	addr := f.front(o.URL)
	f.ok(addr, request(addr, "POST /up/", "Transfer-Encoding: chunked", "TE: trailers", "Trailer: X-Sum, X-More")+
		"5\r\nhello\r\n0\r\nX-Sum: abc\r\nX-More: def\r\n\r\n")
	a := o.only()
	f.equal("body", a.body, "hello")
	f.equal("trailer X-Sum", a.Trailer.Get("X-Sum"), "abc")
	f.equal("trailer X-More", a.Trailer.Get("X-More"), "def")
	f.ok(addr, request(addr, "POST /up/", "Transfer-Encoding: chunked")+"5\r\nhello\r\n0\r\nX-Undeclared: abc\r\n\r\n")
	f.equal("body", o.last().body, "hello")
	f.equal("header X-Undeclared", o.last().Header.Get("X-Undeclared"), "")
}

func checkTrailersDown(f *fixture, declared bool) {
	head := []string{"HTTP/1.1 200 OK", "Transfer-Encoding: chunked"}
	if declared {
		head = append(head, "Trailer: X-Sum")
	}
	addr := f.front("http://" + f.answering(lines(head...)+"5\r\nhello\r\n0\r\nX-Sum: abc\r\n\r\n"))
	a := f.ok(addr, request(addr, "GET /up/", "TE: trailers"))
	f.equal("body", a.body, "hello")
	f.equal("trailer X-Sum", a.Trailer.Get("X-Sum"), "abc")
	f.equal("header X-Sum", a.Header.Get("X-Sum"), "")
}

// checkEarlyAnswer wants an answer that the upstream gave at once to pass at
// once, though the client has sent a small part of its body and waits.
func checkEarlyAnswer(f *fixture, framing, part string) {
	addr := f.front("http://" + f.scripted(func(p *peer) {
		if _, err := http.ReadRequest(p.br); err != nil {
			return
		}
		p.send(lines("HTTP/1.1 401 Unauthorized", "Content-Length: 2", "Connection: close") + "no")
		p.drain()
	}))
	w := f.dial(addr)
	w.send(request(addr, "POST /up/", framing) + part)
	_ = w.SetReadDeadline(time.Now().Add(f.patience))
	a := w.answer("POST")
	a.want(f, 401)
	f.equal("body", a.body, "no")
}
