package gatewaytest

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

func limitBehaviours() []behaviour {
	return []behaviour{
		{name: "head-too-large", check: checkHeadTooLarge},
		{name: "head-too-many-fields", check: checkTooManyFields},
		{name: "head-within-limit", check: checkHeadFits},
		{name: "body-too-large-length", check: checkBodyTooLarge},
		{name: "body-too-large-chunked", check: checkBodyTooLargeChunked},
		{name: "body-too-large-expect", check: checkBodyTooLargeExpect},
		{name: "body-within-limit", check: checkBodyFits},
		{name: "slow-head", check: func(f *fixture) { checkSlowHead(f, "GET /up/ HTTP/1.1\r\nHost: x\r\n") }},
		{name: "silent-connection", check: func(f *fixture) { checkSlowHead(f, "") }},
		{name: "dripping-head", check: checkDrippingHead},
	}
}

const maxHead = 16 << 10

func checkHeadTooLarge(f *fixture) {
	o := f.origin(nil)
	addr := f.gateway(Config{MaxHeaderBytes: maxHead, Routes: upRoute(o.URL)})
	w := f.dial(addr)
	_, _ = io.WriteString(w, request(addr, "GET /up/", "X-Huge: "+strings.Repeat("x", 2*maxHead)))
	w.answer("GET").want(f, http.StatusRequestHeaderFieldsTooLarge)
	w.gone(f.patience)
	f.equal("requests at the upstream", o.count(), 0)
	f.ok(addr, request(addr, "GET /up/"))
}

func checkTooManyFields(f *fixture) {
	o := f.origin(nil)
	addr := f.gateway(Config{MaxHeaderBytes: maxHead, Routes: upRoute(o.URL)})
	w := f.dial(addr)
	_, _ = io.WriteString(w, "GET /up/ HTTP/1.1\r\nHost: "+addr+"\r\n"+strings.Repeat("X-A: b\r\n", maxHead/4)+"\r\n")
	w.answer("GET").want(f, http.StatusRequestHeaderFieldsTooLarge)
	f.equal("requests at the upstream", o.count(), 0)
}

func checkHeadFits(f *fixture) {
	o := f.origin(nil)
	addr := f.gateway(Config{MaxHeaderBytes: maxHead, Routes: upRoute(o.URL)})
	value := strings.Repeat("x", maxHead/4)
	f.ok(addr, request(addr, "GET /up/", "X-One: "+value, "X-Two: "+value))
	f.equal("length of X-Two", len(o.only().Header.Get("X-Two")), len(value))
}

func (f *fixture) capped() (o *origin, addr string) {
	f.Helper()
	o = f.origin(nil)
	return o, f.gateway(Config{MaxRequestBody: 1000, Routes: upRoute(o.URL)})
}

func checkBodyTooLarge(f *fixture) {
	o, addr := f.capped()
	w := f.dial(addr)
	_, _ = io.WriteString(w, request(addr, "POST /up/", "Content-Length: 1001")+strings.Repeat("x", 1001))
	w.answer("POST").want(f, http.StatusRequestEntityTooLarge)
	f.neverWhole(o)
}

func checkBodyTooLargeChunked(f *fixture) {
	o, addr := f.capped()
	w := f.dial(addr)
	_, _ = io.WriteString(w, request(addr, "POST /up/", "Transfer-Encoding: chunked")+"3e9\r\n"+strings.Repeat("x", 1001)+"\r\n0\r\n\r\n")
	w.answer("POST").want(f, http.StatusRequestEntityTooLarge)
	f.neverWhole(o)
}

// checkBodyTooLargeExpect wants the refusal before the body is asked for.
func checkBodyTooLargeExpect(f *fixture) {
	o, addr := f.capped()
	w := f.dial(addr)
	w.send(request(addr, "POST /up/", "Content-Length: 100000", "Expect: 100-continue"))
	f.equal("status", w.head("POST").StatusCode, http.StatusRequestEntityTooLarge)
	f.neverWhole(o)
}

// neverWhole fails if the upstream took a body over the cap for a whole one.
func (f *fixture) neverWhole(o *origin) {
	f.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, a := range o.seen {
		if a.bodyErr == nil {
			f.Fatalf("the upstream got a whole body of %d bytes", len(a.body))
		}
	}
}

func checkBodyFits(f *fixture) {
	o, addr := f.capped()
	body := strings.Repeat("x", 1000)
	f.ok(addr, request(addr, "POST /up/", "Content-Length: 1000")+body)
	f.equal("body", o.last().body, body)
	f.ok(addr, request(addr, "POST /up/", "Transfer-Encoding: chunked")+"3e8\r\n"+body+"\r\n0\r\n\r\n")
	f.equal("body", o.last().body, body)
}

const headTime = 150 * time.Millisecond

// checkSlowHead sends a part of a head and then nothing: the gateway closes, or
// says 408 and closes.
func checkSlowHead(f *fixture, part string) {
	o := f.origin(nil)
	addr := f.gateway(Config{ReadHeaderTimeout: headTime, Routes: upRoute(o.URL)})
	w := f.dial(addr)
	w.send(part)
	f.timedOut(w)
	f.equal("requests at the upstream", o.count(), 0)
	f.ok(addr, request(addr, "GET /up/"))
}

// checkDrippingHead never pauses for long, which must not buy it more time.
func checkDrippingHead(f *fixture) {
	addr := f.gateway(Config{ReadHeaderTimeout: headTime, Routes: upRoute("http://127.0.0.1:1")})
	w := f.dial(addr)
	stop := make(chan struct{})
	defer close(stop)
	w.send("GET /up/ HTTP/1.1\r\nX-Slow: ")
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				_, _ = io.WriteString(w, "x")
			}
		}
	}()
	f.timedOut(w)
}

// timedOut wants the connection closed within the time for a head and some
// more. A reset is a close as well: bytes may have been on their way.
func (f *fixture) timedOut(w *wire) {
	f.Helper()
	_ = w.SetReadDeadline(time.Now().Add(headTime + 2*time.Second))
	all, err := io.ReadAll(w.br)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		f.Fatalf("a slow head is still waited for after %v", headTime+2*time.Second)
	}
	if len(all) != 0 && !strings.HasPrefix(string(all), "HTTP/1.1 408 ") && !strings.HasPrefix(string(all), "HTTP/1.1 400 ") {
		f.Fatalf("answer to a slow head: %.100q", all)
	}
}
