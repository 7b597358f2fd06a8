package gatewaytest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
)

func forwardBehaviours() []behaviour {
	return []behaviour{
		{name: "absolute-form", check: checkAbsolute},
		{name: "absolute-form-root", check: checkAbsoluteRoot},
		{name: "target-wins-over-host", check: checkAbsoluteHost},
		{name: "proxy-fields-stripped", check: checkProxyFields},
		{name: "https-refused", check: checkAbsoluteHTTPS},
		{name: "unreachable", check: checkAbsoluteUnreachable},
		{name: "other-schemes-refused", check: checkAbsoluteSchemes},
		{name: "itself", check: checkItself},
		{name: "off", check: checkForwardOff},
		{name: "streams", check: checkAbsoluteStream},
	}
}

func checkAbsolute(f *fixture) {
	o := f.origin(nil)
	addr := f.forward(o.URL)
	f.ok(addr, request(o.addr, "POST "+o.URL+"/a%2Fb//c?x=1;y&z=%2F", "Content-Length: 5")+"hello")
	a := o.only()
	f.equal("target", a.RequestURI, "/a%2Fb//c?x=1;y&z=%2F")
	f.equal("Host", a.Host, o.addr)
	f.equal("body", a.body, "hello")
}

func checkAbsoluteRoot(f *fixture) {
	o := f.origin(nil)
	addr := f.forward(o.URL)
	f.ok(addr, request(o.addr, "GET "+o.URL))
	f.equal("target", o.last().RequestURI, "/")
	f.ok(addr, request(o.addr, "GET "+o.URL+"?q"))
	f.equal("target", o.last().RequestURI, "/?q")
}

// checkAbsoluteHost follows RFC 9112, 3.2.2: the request-target wins over Host.
func checkAbsoluteHost(f *fixture) {
	o := f.origin(nil)
	addr := f.forward(o.URL)
	f.ok(addr, request("other.example", "GET "+o.URL+"/up/x"))
	f.equal("Host", o.only().Host, o.addr)
	f.equal("target", o.only().RequestURI, "/up/x")
}

func checkProxyFields(f *fixture) {
	o := f.origin(nil)
	addr := f.forward(o.URL)
	for _, target := range []string{o.URL + "/x", "/up/x"} {
		f.ok(addr, request(addr, "GET "+target, "Proxy-Connection: keep-alive", "Proxy-Authorization: Basic c2VjcmV0", "Authorization: Bearer kept"))
		for _, name := range []string{"Proxy-Connection", "Proxy-Authorization"} {
			f.equal(name+" at the upstream", len(o.last().Header.Values(name)), 0)
		}
		f.equal("Authorization", o.last().Header.Get("Authorization"), "Bearer kept")
	}
}

func checkAbsoluteHTTPS(f *fixture) {
	o := f.origin(nil)
	addr := f.forward(o.URL)
	a := f.do(addr, request(o.addr, "GET https://"+o.addr+"/x"))
	if !slices.Contains([]int{400, 501}, a.StatusCode) || a.body == "" {
		f.Fatalf("status %d, want 400 or 501 with a body that says why; body: %q", a.StatusCode, a.body)
	}
	f.equal("requests at the target", o.count(), 0)
}

func checkAbsoluteUnreachable(f *fixture) {
	l := f.listen()
	_ = l.Close()
	addr := f.forward("http://127.0.0.1:1")
	f.do(addr, request(addr, "POST http://"+l.Addr().String()+"/", "Content-Length: 0")).want(f, http.StatusBadGateway)
}

func checkAbsoluteSchemes(f *fixture) {
	addr := f.forward("http://127.0.0.1:1")
	for _, target := range []string{"ftp://127.0.0.1/x", "file:///etc/passwd", "gopher://127.0.0.1:1/", "http:///x", "http://user:pw@/x"} {
		a := f.do(addr, request(addr, "GET "+target))
		if a.StatusCode/100 != 4 && a.StatusCode != 501 {
			f.Fatalf("%s: status %d, want 4xx or 501", target, a.StatusCode)
		}
	}
}

func checkItself(f *fixture) {
	o := f.origin(nil)
	addr := f.forward(o.URL)
	_, port, _ := net.SplitHostPort(addr)
	for _, self := range []string{addr, "localhost:" + port} {
		f.do(addr, request(self, "GET http://"+self+"/up/x")).want(f, http.StatusLoopDetected)
		f.do(addr, fmt.Sprintf("CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", self, self)).want(f, http.StatusLoopDetected)
	}
	f.equal("requests at the upstream", o.count(), 0)
}

func checkForwardOff(f *fixture) {
	o := f.origin(nil)
	addr := f.front(o.URL)
	for _, line := range []string{"GET " + o.URL + "/x", "CONNECT " + o.addr} {
		if a := f.do(addr, request(o.addr, line)); a.StatusCode/100 != 4 {
			f.Fatalf("%s: status %d, want 4xx", line, a.StatusCode)
		}
	}
	f.equal("requests at the target", o.count(), 0)
}

func checkAbsoluteStream(f *fixture) {
	next := make(chan struct{})
	o := f.origin(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("one"))
		w.(http.Flusher).Flush()
		select {
		case <-next:
			_, _ = w.Write([]byte("two"))
		case <-r.Context().Done():
		}
	})
	addr := f.forward(o.URL)
	w := f.dial(addr)
	w.send(request(o.addr, "GET "+o.URL+"/"))
	res := w.head("GET")
	for _, want := range []string{"one", "two"} {
		piece := make([]byte, 3)
		if _, err := io.ReadFull(res.Body, piece); err != nil {
			f.Fatalf("piece %q: %v", want, err)
		}
		f.equal("piece", string(piece), want)
		if want == "one" {
			close(next)
		}
	}
}
