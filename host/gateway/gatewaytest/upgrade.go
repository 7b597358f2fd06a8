package gatewaytest

import (
	"io"
	"strings"
)

func upgradeBehaviours() []behaviour {
	return []behaviour{
		{name: "both-ways", check: checkUpgrade},
		{name: "server-speaks-with-101", check: checkUpgradeEager},
		{name: "half-close", check: checkUpgradeHalfClose},
		{name: "client-leaves", check: checkUpgradeLeft},
		{name: "refused", check: checkUpgradeRefused},
		{name: "other-protocol", check: checkUpgradeOther},
		{name: "h2c-not-honoured", check: checkNoH2C},
		{name: "without-connection-field", check: checkUpgradeUnannounced},
	}
}

const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

func upgradeRequest(addr string) string {
	return request(addr, "GET /up/ws?x", "Connection: keep-alive, Upgrade", "Upgrade: websocket",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
}

// upgraded opens an upgraded connection to an upstream that runs script after
// its 101.
func (f *fixture) upgraded(script func(p *peer)) *wire {
	f.Helper()
	addr := f.front("http://" + f.scripted(func(p *peer) {
		r := p.request()
		if r == nil {
			return
		}
		if r.RequestURI != "/ws?x" || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") ||
			!strings.Contains(strings.ToLower(r.Header.Get("Connection")), "upgrade") ||
			r.Header.Get("Sec-WebSocket-Key") != "dGhlIHNhbXBsZSBub25jZQ==" {
			p.send(lines("HTTP/1.1 400 Bad Request", "Content-Length: 0"))
			return
		}
		p.send(switching)
		script(p)
	}))
	w := f.dial(addr)
	w.send(upgradeRequest(addr))
	res := w.head("GET")
	f.equal("status", res.StatusCode, 101)
	f.equal("Upgrade", res.Header.Get("Upgrade"), "websocket")
	f.equal("Connection", strings.ToLower(res.Header.Get("Connection")), "upgrade")
	f.equal("Sec-WebSocket-Accept", res.Header.Get("Sec-WebSocket-Accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
	return w
}

func checkUpgrade(f *fixture) {
	w := f.upgraded(func(p *peer) {
		_, _ = io.Copy(p, p.br)
	})
	for _, text := range []string{"\x81\x05hello", "GET / HTTP/1.1\r\n\r\n", strings.Repeat("long ", 100_000)} {
		go func() { _, _ = io.WriteString(w, text) }()
		w.expect("echo", text)
	}
}

func checkUpgradeEager(f *fixture) {
	w := f.upgraded(func(p *peer) {
		p.send("first word")
		p.drain()
	})
	w.expect("first word", "first word")
}

// checkUpgradeHalfClose lets the client end its direction first; what the
// upstream says then must still arrive.
func checkUpgradeHalfClose(f *fixture) {
	w := f.upgraded(func(p *peer) {
		all, _ := io.ReadAll(p.br)
		p.send("got " + string(all))
	})
	w.send("all I have")
	_ = w.CloseWrite()
	w.expect("answer after the half close", "got all I have")
	w.gone(f.patience)
}

func checkUpgradeLeft(f *fixture) {
	left := make(chan struct{})
	w := f.upgraded(func(p *peer) {
		p.send("x")
		p.drain()
		close(left)
	})
	w.expect("first byte", "x")
	_ = w.Close()
	await(f, left, prompt, "the upstream sees that the client left")
}

func checkUpgradeRefused(f *fixture) {
	addr := f.front("http://" + f.answering(lines("HTTP/1.1 426 Upgrade Required", "Upgrade: other", "Sec-WebSocket-Version: 13", "Content-Length: 3")+"no!"))
	a := f.do(addr, upgradeRequest(addr))
	a.want(f, 426)
	f.equal("body", a.body, "no!")
	f.equal("Sec-WebSocket-Version", a.Header.Get("Sec-WebSocket-Version"), "13")
}

func checkUpgradeOther(f *fixture) {
	addr := f.front("http://" + f.answering(lines("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: other")))
	f.do(addr, upgradeRequest(addr)).want(f, 502)
}

// checkNoH2C offers h2c, with which a client could tunnel past whatever the
// gateway decides per request. It must be answered as plain HTTP/1.1.
func checkNoH2C(f *fixture) {
	o := f.origin(nil)
	addr := f.front(o.URL)
	f.ok(addr, request(addr, "GET /up/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"))
	for _, name := range []string{"Upgrade", "Http2-Settings"} {
		f.equal(name+" at the upstream", o.only().Header.Get(name), "")
	}
}

func checkUpgradeUnannounced(f *fixture) {
	o := f.origin(nil)
	addr := f.front(o.URL)
	f.ok(addr, request(addr, "GET /up/", "Upgrade: websocket"))
	f.equal("Upgrade at the upstream", o.only().Header.Get("Upgrade"), "")
}
