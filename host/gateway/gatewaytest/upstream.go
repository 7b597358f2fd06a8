package gatewaytest

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"
)

func upstreamBehaviours() []behaviour {
	return []behaviour{
		{name: "refuses", check: checkUpstreamRefuses},
		{name: "closes-before-head", check: checkUpstreamCloses},
		{name: "resets-before-head", check: checkUpstreamResets},
		{name: "closes-within-head", check: checkUpstreamHalfHead},
		{name: "late-head", check: checkUpstreamLate},
		{name: "never-accepts", check: checkUpstreamNeverAccepts},
		{name: "half-sends-length", check: func(f *fixture) { checkHalfSent(f, "Content-Length: 100", "0123456789", false) }},
		{name: "half-sends-chunked", check: func(f *fixture) { checkHalfSent(f, "Transfer-Encoding: chunked", "a\r\n0123456789\r\n", false) }},
		{name: "resets-within-body", check: func(f *fixture) { checkHalfSent(f, "Content-Length: 100", "0123456789", true) }},
		{name: "late-body-is-no-timeout", check: checkLateBody},
		{name: "closed-idle-connection", check: checkIdleClosed},
	}
}

// checkFailure wants status, a body that says something, and a gateway that
// serves on.
func (f *fixture) checkFailure(addr string, status int) {
	f.Helper()
	a := f.do(addr, request(addr, "POST /up/", "Content-Length: 2")+"hi")
	a.want(f, status)
	f.do(addr, request(addr, "GET /nowhere")).want(f, http.StatusNotFound)
}

func checkUpstreamRefuses(f *fixture) {
	l := f.listen()
	_ = l.Close()
	f.checkFailure(f.front("http://"+l.Addr().String()), http.StatusBadGateway)
}

func checkUpstreamCloses(f *fixture) {
	f.checkFailure(f.front("http://"+f.answering("")), http.StatusBadGateway)
}

func checkUpstreamResets(f *fixture) {
	f.checkFailure(f.front("http://"+f.scripted(func(p *peer) {
		_ = p.request()
		_ = p.SetLinger(0)
	})), http.StatusBadGateway)
}

func checkUpstreamHalfHead(f *fixture) {
	f.checkFailure(f.front("http://"+f.answering("HTTP/1.1 200 OK\r\nContent-Le")), http.StatusBadGateway)
}

func checkUpstreamLate(f *fixture) {
	addr := f.gateway(Config{HeaderTimeout: 100 * time.Millisecond, Routes: upRoute("http://" + f.scripted(func(p *peer) {
		p.drain()
	}))})
	began := time.Now()
	f.checkFailure(addr, http.StatusGatewayTimeout)
	if took := time.Since(began); took < 90*time.Millisecond {
		f.Fatalf("504 after %v, before the timeout of 100ms", took)
	}
}

// checkUpstreamNeverAccepts needs a listener whose queue is full; where the
// kernel refuses instead of letting callers wait, the behaviour is skipped.
func checkUpstreamNeverAccepts(f *fixture) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		f.Fatalf("open a socket: %v", err)
	}
	f.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		f.Fatalf("bind: %v", err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		f.Fatalf("listen: %v", err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		f.Fatalf("name of the socket: %v", err)
	}
	full := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*syscall.SockaddrInet4).Port}).String()
	for range 16 {
		c, err := net.DialTimeout("tcp", full, 50*time.Millisecond)
		if err != nil {
			if e, ok := err.(net.Error); !ok || !e.Timeout() {
				f.Skipf("this system refuses where a queue is full: %v", err)
			}
			f.checkFailure(f.gateway(Config{DialTimeout: 100 * time.Millisecond, Routes: upRoute("http://" + full)}), http.StatusGatewayTimeout)
			return
		}
		f.Cleanup(func() { _ = c.Close() })
	}
	f.Skip("this system's queue does not fill")
}

// checkHalfSent wants the client to see that the body is cut, not a clean end.
func checkHalfSent(f *fixture, framing, part string, reset bool) {
	sent := make(chan struct{})
	addr := f.front("http://" + f.scripted(func(p *peer) {
		if p.request() == nil {
			return
		}
		p.send(lines("HTTP/1.1 200 OK", framing) + part)
		<-sent // the client has the head, so the status cannot become another
		if reset {
			_ = p.SetLinger(0)
		}
	}))
	w := f.dial(addr)
	w.send(request(addr, "POST /up/", "Content-Length: 0"))
	// A gateway may keep the head back until it has more of the body, but
	// not for ever: the cut must reach the client either way.
	cut := sync.OnceFunc(func() { close(sent) })
	time.AfterFunc(2*time.Second, cut)
	res := w.head("POST")
	cut()
	body, err := io.ReadAll(res.Body)
	if res.StatusCode != 200 {
		f.Fatalf("status %d, want 200: the head was there", res.StatusCode)
	}
	if err == nil {
		f.Fatalf("a body that was cut upstream ended cleanly: %q", body)
	}
	if !strings.HasPrefix("0123456789", string(body)) {
		f.Fatalf("body: %q", body)
	}
}

// checkLateBody holds the header timeout to the head alone.
func checkLateBody(f *fixture) {
	o := f.origin(func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		time.Sleep(300 * time.Millisecond)
		_, _ = io.WriteString(w, "late")
	})
	addr := f.gateway(Config{HeaderTimeout: 100 * time.Millisecond, Routes: upRoute(o.URL)})
	f.equal("body", f.ok(addr, request(addr, "GET /up/")).body, "late")
}

// checkIdleClosed closes the kept connection between two requests, as every
// server with an idle timeout does: the next GET must not fail for it.
func checkIdleClosed(f *fixture) {
	closed := make(chan struct{}, 8)
	addr := f.front("http://" + f.scripted(func(p *peer) {
		if p.request() != nil {
			p.send(lines("HTTP/1.1 200 OK", "Content-Length: 2") + "ok")
			_ = p.Close()
			closed <- struct{}{}
		}
	}))
	for range 5 {
		f.ok(addr, request(addr, "GET /up/"))
		await(f, closed, f.patience, "the upstream's close")
	}
}
