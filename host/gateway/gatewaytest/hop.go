package gatewaytest

import (
	"net/http"
	"strings"
)

func hopBehaviours() []behaviour {
	return []behaviour{
		{name: "request-connection-named", check: checkHopNamed},
		{name: "request-fixed", check: checkHopFixed},
		{name: "request-te", check: checkHopTE},
		{name: "request-names-framing", check: checkHopFraming},
		{name: "response", check: checkHopResponse},
		{name: "response-connection-close-is-the-upstream's", check: checkHopResponseClose},
	}
}

func checkHopNamed(f *fixture) {
	o := f.origin(nil)
	addr := f.front(o.URL)
	f.ok(addr, request(addr, "GET /up/", "Connection: X-Hop, x-other", "Connection: X-Third , ,", "X-Hop: 1", "X-Other: 2", "X-Third: 3", "X-End: 4"))
	for _, name := range []string{"X-Hop", "X-Other", "X-Third"} {
		f.equal(name+" at the upstream", o.only().Header.Get(name), "")
	}
	f.equal("X-End at the upstream", o.only().Header.Get("X-End"), "4")
	if got := strings.ToLower(o.only().Header.Get("Connection")); strings.Contains(got, "x-") {
		f.Fatalf("the caller's Connection reached the upstream: %q", got)
	}
}

func checkHopFixed(f *fixture) {
	o := f.origin(nil)
	addr := f.front(o.URL)
	f.ok(addr, request(addr, "GET /up/", "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "Proxy-Authorization: Basic eA==", "Upgrade: x", "Trailer: X-Sum"))
	for _, name := range []string{"Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Upgrade", "Transfer-Encoding"} {
		if got := o.only().Header.Values(name); len(got) != 0 {
			f.Fatalf("%s reached the upstream: %q", name, got)
		}
	}
}

// checkHopTE lets TE through as "trailers" or not at all.
func checkHopTE(f *fixture) {
	o := f.origin(nil)
	addr := f.front(o.URL)
	for _, te := range []string{"trailers", "gzip, trailers;q=0.5", "deflate"} {
		f.ok(addr, request(addr, "GET /up/", "Connection: TE", "TE: "+te))
		if got := strings.Join(o.last().Header.Values("Te"), ", "); got != "" && (got != "trailers" || te == "deflate") {
			f.Fatalf("TE %q reached the upstream as %q", te, got)
		}
	}
}

// checkHopFraming names the fields of the framing itself as hop-by-hop, which
// must not take the body's framing or the Host away.
func checkHopFraming(f *fixture) {
	o := f.origin(nil)
	addr := f.front(o.URL)
	f.ok(addr, request(addr, "POST /up/", "Connection: Content-Length, Host", "Content-Length: 5")+"hello")
	f.equal("body", o.only().body, "hello")
	f.equal("Host", o.only().Host, o.addr)
	f.ok(addr, request(addr, "POST /up/", "Connection: Transfer-Encoding", "Transfer-Encoding: chunked")+"5\r\nhello\r\n0\r\n\r\n")
	f.equal("body", o.last().body, "hello")
}

func checkHopResponse(f *fixture) {
	o := f.origin(func(w http.ResponseWriter, _ *http.Request) {
		for name, value := range map[string]string{
			"Connection": "X-Hop, X-Other", "X-Hop": "1", "X-Other": "2", "Keep-Alive": "timeout=7",
			"Proxy-Connection": "keep-alive", "Proxy-Authenticate": "Basic", "Upgrade": "x", "X-End": "4",
		} {
			w.Header().Set(name, value)
		}
	})
	addr := f.front(o.URL)
	a := f.ok(addr, request(addr, "GET /up/"))
	for _, name := range []string{"X-Hop", "X-Other", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Upgrade"} {
		if got := a.Header.Values(name); len(got) != 0 {
			f.Fatalf("%s reached the client: %q", name, got)
		}
	}
	f.equal("X-End", a.Header.Get("X-End"), "4")
}

func checkHopResponseClose(f *fixture) {
	addr := f.front("http://" + f.answering(lines("HTTP/1.1 200 OK", "Connection: close", "Content-Length: 2")+"ok"))
	w := f.dial(addr)
	for range 2 {
		w.send(request(addr, "GET /up/"))
		a := w.answer("GET")
		a.want(f, 200)
		if a.Close {
			f.Fatalf("the upstream's Connection: close reached the client")
		}
	}
}
