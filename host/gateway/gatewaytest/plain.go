package gatewaytest

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

func plainBehaviours() []behaviour {
	return []behaviour{
		{name: "methods", check: checkMethods},
		{name: "statuses", check: checkStatuses},
		{name: "no-content", check: checkNoContent},
		{name: "head", check: checkHead},
		{name: "host-is-the-upstream's", check: checkHost},
		{name: "fields-pass", check: checkFieldsPass},
		{name: "forwarded-fields", check: checkForwardedFields},
		{name: "user-agent-not-invented", check: checkUserAgent},
		{name: "accept-encoding-not-invented", check: checkEncoding},
		{name: "date-and-server-pass", check: checkDateAndServer},
		{name: "caller's-fields-stay", check: checkGaiaFields},
		{name: "no-route", check: checkNoRoute},
		{name: "redirect-passes", check: checkRedirect},
	}
}

func checkMethods(f *fixture) {
	o := f.origin(nil)
	addr := f.front(o.URL)
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "X-OWN"} {
		f.ok(addr, request(addr, method+" /up/m", "Content-Length: 0"))
		f.equal("method", o.last().Method, method)
	}
}

// checkStatuses uses POST: the statuses of a failing server may be retried for GET.
func checkStatuses(f *fixture) {
	o := f.origin(func(w http.ResponseWriter, r *http.Request) {
		status, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		w.Header().Set("X-Status", r.URL.Path)
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "body of %d", status)
	})
	addr := f.front(o.URL)
	for _, status := range []int{200, 201, 202, 203, 206, 226, 299, 300, 400, 401, 403, 404, 407, 409, 410, 418, 422, 451, 499, 500, 501, 502, 504, 507, 599} {
		a := f.do(addr, request(addr, fmt.Sprintf("POST /up/%d", status), "Content-Length: 0"))
		a.want(f, status)
		f.equal("body", a.body, fmt.Sprintf("body of %d", status))
		f.equal("field", a.Header.Get("X-Status"), fmt.Sprintf("/%d", status))
	}
}

func checkNoContent(f *fixture) {
	for _, status := range []int{204, 304} {
		up := f.scripted(func(p *peer) {
			for p.request() != nil {
				p.send(lines(fmt.Sprintf("HTTP/1.1 %d Nothing", status), `ETag: "x"`))
			}
		})
		addr := f.front("http://" + up)
		w := f.dial(addr)
		for range 2 { // the second shows that no byte of a body came behind the first
			w.send(request(addr, "GET /up/"))
			a := w.answer("GET")
			a.want(f, status)
			f.equal("body", a.body, "")
			f.equal("ETag", a.Header.Get("ETag"), `"x"`)
			if len(a.TransferEncoding) != 0 {
				f.Fatalf("%d has Transfer-Encoding %q", status, a.TransferEncoding)
			}
		}
	}
}

func checkHead(f *fixture) {
	o := f.origin(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "12345")
	})
	addr := f.front(o.URL)
	w := f.dial(addr)
	for range 2 {
		w.send(request(addr, "HEAD /up/h"))
		a := w.answer("HEAD")
		a.want(f, 200)
		f.equal("Content-Length", a.Header.Get("Content-Length"), "12345")
	}
	f.equal("method", o.last().Method, "HEAD")
}

func checkHost(f *fixture) {
	o := f.origin(nil)
	addr := f.front(o.URL)
	f.ok(addr, request(addr, "GET /up/"))
	f.equal("Host at the upstream", o.only().Host, o.addr)
}

func checkFieldsPass(f *fixture) {
	o := f.origin(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["X-Many"] = []string{"one", "two, three", ""}
		w.Header().Add("Set-Cookie", "a=1; Path=/")
		w.Header().Add("Set-Cookie", "b=2")
	})
	addr := f.front(o.URL)
	a := f.ok(addr, request(addr, "GET /up/", "X-Multi: one", "X-Multi: two", "Authorization: Bearer a.b-c==",
		"Cookie: a=1; b=\"2\"", "X-Empty:", "X-Bytes: caf\xc3\xa9 \xff", "X-Spaces:  \t padded \t ", "Range: bytes=0-1"))
	in := o.only().Header
	f.equal("X-Multi", strings.Join(in.Values("X-Multi"), "|"), "one|two")
	f.equal("Authorization", in.Get("Authorization"), "Bearer a.b-c==")
	f.equal("Cookie", strings.Join(in.Values("Cookie"), "|"), `a=1; b="2"`)
	f.equal("X-Empty", strings.Join(in.Values("X-Empty"), "|")+fmt.Sprint(len(in.Values("X-Empty"))), "1")
	f.equal("X-Bytes", in.Get("X-Bytes"), "caf\xc3\xa9 \xff")
	f.equal("X-Spaces", in.Get("X-Spaces"), "padded")
	f.equal("Range", in.Get("Range"), "bytes=0-1")
	f.equal("X-Many", strings.Join(a.Header.Values("X-Many"), "|"), "one|two, three|")
	f.equal("Set-Cookie", strings.Join(a.Header.Values("Set-Cookie"), "|"), "a=1; Path=/|b=2")
}

func checkForwardedFields(f *fixture) {
	o := f.origin(nil)
	addr := f.front(o.URL)
	names := []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Via"}
	f.ok(addr, request(addr, "GET /up/"))
	for _, name := range names {
		if got := o.last().Header.Values(name); len(got) != 0 && !AddsForwardedFields {
			f.Fatalf("%s was added: %q", name, got)
		}
	}
	sent := make([]string, len(names))
	for i, name := range names {
		sent[i] = name + ": for=192.0.2.1"
	}
	f.ok(addr, request(addr, "GET /up/", sent...))
	for _, name := range names {
		f.equal(name+" of the caller", strings.Join(o.last().Header.Values(name), "|"), "for=192.0.2.1")
	}
}

func checkUserAgent(f *fixture) {
	o := f.origin(nil)
	addr := f.front(o.URL)
	f.ok(addr, request(addr, "GET /up/"))
	if got, there := o.last().Header["User-Agent"]; there {
		f.Fatalf("User-Agent was invented: %q", got)
	}
	f.ok(addr, request(addr, "GET /up/", "User-Agent: own/1"))
	f.equal("User-Agent", o.last().Header.Get("User-Agent"), "own/1")
}

// checkEncoding wants the coding of the caller: one that asks for none must not
// be answered with bytes that the gateway compressed, expanded or relabelled.
func checkEncoding(f *fixture) {
	o := f.origin(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write([]byte("not really gzip"))
	})
	addr := f.front(o.URL)
	for _, fields := range [][]string{nil, {"Accept-Encoding: gzip"}} {
		a := f.ok(addr, request(addr, "GET /up/", fields...))
		f.equal("body", a.body, "not really gzip")
		f.equal("Content-Encoding", a.Header.Get("Content-Encoding"), "gzip")
		f.equal("Accept-Encoding fields at the upstream", len(o.last().Header["Accept-Encoding"]), len(fields))
	}
}

func checkDateAndServer(f *fixture) {
	const date = "Tue, 15 Nov 1994 08:12:31 GMT"
	addr := f.front("http://" + f.answering(lines("HTTP/1.1 200 OK", "Date: "+date, "Server: theirs/1", "Content-Length: 0")))
	a := f.ok(addr, request(addr, "GET /up/"))
	f.equal("Date", strings.Join(a.Header.Values("Date"), "|"), date)
	f.equal("Server", strings.Join(a.Header.Values("Server"), "|"), "theirs/1")
}

func checkGaiaFields(f *fixture) {
	o := f.origin(nil)
	addr := f.front(o.URL)
	f.ok(addr, request(addr, "GET /up/", "Gaia-Tenant: t", "gaia-priority: 3", "GAIA-COST: 2", "Gaia-Timeout: 5s", "Gaia-Tenant: u"))
	for _, name := range []string{"Gaia-Tenant", "Gaia-Priority", "Gaia-Cost", "Gaia-Timeout"} {
		if got := o.only().Header.Values(name); len(got) != 0 {
			f.Fatalf("%s reached the upstream: %q", name, got)
		}
	}
}

func checkNoRoute(f *fixture) {
	o := f.origin(nil)
	addr := f.gateway(Config{Routes: []Route{
		{Name: "first", PathPrefix: "/first/", Strip: true, Upstream: o.URL},
		{Name: "second", PathPrefix: "/second/", Upstream: o.URL},
	}})
	for _, path := range []string{"/", "/other/x", "/firstly", "//first/"} {
		a := f.do(addr, request(addr, "GET "+path))
		a.want(f, http.StatusNotFound)
		f.equal("Content-Type", a.Header.Get("Content-Type"), "application/problem+json")
		if !strings.Contains(a.body, "first") || !strings.Contains(a.body, "second") {
			f.Fatalf("the body names no routes: %q", a.body)
		}
	}
	f.equal("requests at the upstream", o.count(), 0)
}

func checkRedirect(f *fixture) {
	o := f.origin(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/elsewhere?x=%2F")
		w.WriteHeader(http.StatusFound)
	})
	addr := f.front(o.URL)
	a := f.do(addr, request(addr, "GET /up/"))
	a.want(f, http.StatusFound)
	f.equal("Location", a.Header.Get("Location"), "/elsewhere?x=%2F")
	o.only()
}
