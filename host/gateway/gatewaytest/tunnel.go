package gatewaytest

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"
)

func tunnelBehaviours() []behaviour {
	return []behaviour{
		{name: "both-ways", check: checkTunnel},
		{name: "tls", check: checkTunnelTLS},
		{name: "early-bytes", check: checkTunnelEarly},
		{name: "target-speaks-first", check: checkTunnelTargetFirst},
		{name: "client-half-close", check: checkTunnelHalfClose},
		{name: "target-half-close", check: checkTunnelTargetHalfClose},
		{name: "big-transfer", check: checkTunnelBig},
		{name: "client-leaves", check: checkTunnelLeft},
		{name: "target-leaves", check: checkTunnelTargetLeft},
		{name: "target-refuses", check: checkTunnelRefused},
		{name: "bad-targets", check: checkTunnelBadTargets},
	}
}

func connect(target string) string {
	return lines("CONNECT "+target+" HTTP/1.1", "Host: "+target, "Proxy-Connection: keep-alive")
}

// tunnel opens a tunnel to a target that runs script.
func (f *fixture) tunnel(script func(p *peer)) *wire {
	f.Helper()
	return f.tunnelTo(f.scripted(script))
}

func (f *fixture) tunnelTo(target string) *wire {
	f.Helper()
	w := f.dial(f.forward("http://127.0.0.1:1"))
	w.send(connect(target))
	res := w.head("CONNECT")
	f.equal("status of CONNECT", res.StatusCode, 200)
	// RFC 9110, 9.3.6: a 2xx to CONNECT has no framing fields.
	for _, name := range []string{"Content-Length", "Transfer-Encoding"} {
		f.equal(name+" of CONNECT's answer", res.Header.Get(name), "")
	}
	return w
}

func checkTunnel(f *fixture) {
	w := f.tunnel(func(p *peer) { _, _ = io.Copy(p, p.br) })
	for _, text := range []string{"hello", "\x00\xff\r\n\r\n", "GET /up/ HTTP/1.1\r\n\r\n"} {
		w.send(text)
		w.expect("echo", text)
	}
}

func checkTunnelTLS(f *fixture) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "secret of "+r.RequestURI)
	}))
	f.Cleanup(srv.CloseClientConnections)
	f.Cleanup(srv.Close)
	w := f.tunnelTo(srv.Listener.Addr().String())
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	c := tls.Client(w.TCPConn, &tls.Config{RootCAs: roots, ServerName: "example.com"})
	if err := c.Handshake(); err != nil {
		f.Fatalf("TLS through the tunnel: %v", err)
	}
	if _, err := io.WriteString(c, "GET /x HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n"); err != nil {
		f.Fatalf("write through TLS: %v", err)
	}
	all, _ := io.ReadAll(c)
	if !strings.Contains(string(all), "secret of /x") {
		f.Fatalf("answer through TLS: %q", all)
	}
}

// checkTunnelEarly sends the first bytes with the CONNECT itself.
func checkTunnelEarly(f *fixture) {
	target := f.scripted(func(p *peer) { _, _ = io.Copy(p, p.br) })
	w := f.dial(f.forward("http://127.0.0.1:1"))
	w.send(connect(target) + "early")
	f.equal("status", w.head("CONNECT").StatusCode, 200)
	w.expect("echo of early bytes", "early")
	w.send("later")
	w.expect("echo", "later")
}

func checkTunnelTargetFirst(f *fixture) {
	w := f.tunnel(func(p *peer) {
		p.send("220 ready\r\n")
		p.drain()
	})
	w.expect("greeting", "220 ready\r\n")
}

func checkTunnelHalfClose(f *fixture) {
	w := f.tunnel(func(p *peer) {
		all, _ := io.ReadAll(p.br)
		p.send("got " + string(all))
	})
	w.send("all I have")
	_ = w.CloseWrite()
	w.expect("answer after the half close", "got all I have")
	w.gone(f.patience)
}

func checkTunnelTargetHalfClose(f *fixture) {
	got := make(chan string, 1)
	w := f.tunnel(func(p *peer) {
		p.send("done")
		_ = p.CloseWrite()
		all, _ := io.ReadAll(p.br)
		got <- string(all)
	})
	w.expect("the target's words", "done")
	if _, err := w.br.ReadByte(); err != io.EOF {
		f.Fatalf("after the target's half close: %v, want EOF", err)
	}
	w.send("still here")
	_ = w.CloseWrite()
	f.equal("bytes after the target's half close", await(f, got, f.patience, "the client's words"), "still here")
}

func checkTunnelBig(f *fixture) {
	const size = 16 << 20
	back := make(chan [sha256.Size]byte, 1)
	w := f.tunnel(func(p *peer) {
		h := sha256.New()
		_, _ = io.CopyN(io.MultiWriter(p, h), p.br, size)
		back <- [sha256.Size]byte(h.Sum(nil))
	})
	go func() { _, _ = io.CopyN(w, newPattern(), size) }()
	h := sha256.New()
	if n, err := io.CopyN(h, w.br, size); err != nil {
		f.Fatalf("the echo ended after %d bytes: %v", n, err)
	}
	want := patternSum(size)
	f.equal("sum at the target", await(f, back, f.patience, "the target's sum"), want)
	f.equal("sum of the echo", [sha256.Size]byte(h.Sum(nil)), want)
}

func checkTunnelLeft(f *fixture) {
	left := make(chan struct{})
	w := f.tunnel(func(p *peer) {
		p.send("x")
		p.drain()
		close(left)
	})
	w.expect("first byte", "x")
	_ = w.Close()
	await(f, left, prompt, "the target sees that the client left")
}

func checkTunnelTargetLeft(f *fixture) {
	w := f.tunnel(func(p *peer) { p.send("bye") })
	w.expect("last words", "bye")
	w.gone(f.patience)
}

func checkTunnelRefused(f *fixture) {
	l := f.listen()
	_ = l.Close()
	a := f.do(f.forward("http://127.0.0.1:1"), connect(l.Addr().String()))
	if a.StatusCode != 502 && a.StatusCode != 503 {
		f.Fatalf("status %d, want 502 or 503", a.StatusCode)
	}
}

func checkTunnelBadTargets(f *fixture) {
	addr := f.forward("http://127.0.0.1:1")
	for _, target := range []string{"127.0.0.1", "example.com:", ":443", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:http s", "127.0.0.1:-1", "/x", "http://127.0.0.1:1/"} {
		w := f.dial(addr)
		w.send(lines("CONNECT "+target+" HTTP/1.1", "Host: "+addr))
		_ = w.SetReadDeadline(time.Now().Add(f.patience))
		if a := w.answer("CONNECT"); a.StatusCode != http.StatusBadRequest {
			f.Fatalf("CONNECT %s: status %d, want 400", target, a.StatusCode)
		}
		_ = w.Close()
	}
	if _, err := net.Dial("tcp", addr); err != nil {
		f.Fatalf("the gateway after bad targets: %v", err)
	}
}
