package gatewaytest

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

func malformedBehaviours() []behaviour {
	var all []behaviour
	for _, m := range malformedTable() {
		all = append(all, behaviour{name: m.name, check: func(f *fixture) { checkMalformed(f, m) }})
	}
	return all
}

// checkMalformed sends one request of the table, with a second one behind it
// where NEXT stands, and holds the gateway to the table and to what protects an
// upstream whatever the verdict is: nothing ambiguous goes on the wire, and no
// second request that the first one's framing did not make one.
func checkMalformed(f *fixture, m malformed) {
	rec := f.recorder()
	addr := f.gateway(Config{MaxHeaderBytes: 1 << 20, Routes: upRoute("http://" + rec.addr)})
	status := f.verdict(addr, m)
	served := status/100 == 2
	switch {
	case m.verdict/100 == 2 && !served && !(m.strict && refused(status)):
		f.Fatalf("status %d, where net/http serves it with %d", status, m.verdict)
	case m.verdict/100 != 2 && !refused(status):
		f.Fatalf("status %d, where net/http refuses it with %d", status, m.verdict)
	}
	rec.check(f, m, served)
}

// verdict is the status of the answer to the first request; 0 if the connection
// ended without one.
func (f *fixture) verdict(addr string, m malformed) int {
	f.Helper()
	next := "GET /up/smuggled HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"
	raw := strings.ReplaceAll(strings.ReplaceAll(m.raw, "NEXT", next), "HOST", addr)
	w := f.dial(addr)
	_, _ = io.WriteString(w, raw) // a gateway may answer and close before all is sent
	// The end of the client's direction is held back: a gateway that waits for
	// more of a malformed request is cut off, and one that took the second
	// request for real has time to answer it.
	_ = w.SetReadDeadline(time.Now().Add(f.patience))
	res, err := http.ReadResponse(w.br, &http.Request{Method: "POST"})
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = w.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
	_, _ = io.Copy(io.Discard, w.br)
	return res.StatusCode
}

func refused(status int) bool {
	return status == 0 || status/100 == 4 || status == http.StatusNotImplemented || status == http.StatusHTTPVersionNotSupported
}

// recorder is an upstream that keeps the bytes of the requests that reach it.
type recorder struct {
	addr string

	mu   sync.Mutex
	reqs []recorded // guarded by mu
}

type recorded struct {
	head string // with the empty line at its end
	req  *arrival
}

// recorder starts the upstream. It finds a head's end by itself and leaves the
// framing of the body to net/http, which is strict.
func (f *fixture) recorder() *recorder {
	f.Helper()
	rec := &recorder{}
	rec.addr = f.scripted(func(p *peer) {
		for {
			head, ok := peekHead(p)
			if !ok {
				return
			}
			req := p.request()
			rec.mu.Lock()
			rec.reqs = append(rec.reqs, recorded{head, req})
			rec.mu.Unlock()
			if req == nil || req.bodyErr != nil {
				return
			}
			p.send(lines("HTTP/1.1 200 OK", "Content-Length: 2") + "ok")
		}
	})
	return rec
}

// peekHead looks at the buffered bytes up to an empty line.
func peekHead(p *peer) (string, bool) {
	for n := 1; ; n = p.br.Buffered() + 1 {
		b, err := p.br.Peek(n)
		if err != nil {
			// Full without an empty line: let the parser judge what is there.
			return string(b), len(b) > 0
		}
		b, _ = p.br.Peek(p.br.Buffered())
		if i := strings.Index(string(b), "\r\n\r\n"); i >= 0 {
			return string(b[:i+4]), true
		}
	}
}

// check holds the requests that reached the upstream to the invariant.
func (rec *recorder) check(f *fixture, m malformed, served bool) {
	f.Helper()
	rec.mu.Lock()
	defer rec.mu.Unlock()
	var first, second []recorded
	for _, r := range rec.reqs {
		switch fault := ambiguous(r.head); {
		case fault != "":
			f.Fatalf("the upstream got %s: %.500q", fault, r.head)
		case r.req == nil:
			f.Fatalf("the upstream got what is no request: %.500q", r.head)
		case r.req.Host != rec.addr:
			f.Fatalf("Host at the upstream: %q", r.req.Host)
		case strings.Contains(r.req.RequestURI, "smuggled"):
			second = append(second, r)
		default:
			first = append(first, r)
		}
	}
	if len(second) > 1 || len(second) == 1 && !m.pair {
		f.Fatalf("a smuggled request reached the upstream: %.200q", second[0].head)
	}
	if len(first) > 1 {
		f.Fatalf("one request reached the upstream as %d: %+v", len(first), first)
	}
	switch {
	case served && (len(first) == 0 || first[0].req.bodyErr != nil || first[0].req.body != m.body):
		f.Fatalf("a served request did not reach the upstream with the body %q: %+v", m.body, first)
	case !served && len(first) == 1 && first[0].req.bodyErr == nil:
		// A body that turned out malformed may have been begun, never ended.
		f.Fatalf("a refused request reached the upstream whole: %.200q", first[0].head)
	}
}

// ambiguous names what makes a head's meaning depend on who reads it.
func ambiguous(head string) string {
	if !strings.HasSuffix(head, "\r\n\r\n") {
		return "a head without an end"
	}
	all := strings.Split(strings.TrimSuffix(head, "\r\n\r\n"), "\r\n")
	if strings.ContainsAny(strings.Join(all, ""), "\r\n\x00") {
		return "a bare CR or LF or a NUL"
	}
	if words := strings.Split(all[0], " "); len(words) != 3 || words[2] != "HTTP/1.1" {
		return "a bad request line"
	}
	var lengths, codings, hosts []string
	for _, line := range all[1:] {
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t\v\f") {
			return "a bad field line"
		}
		switch value = strings.TrimSpace(value); strings.ToLower(name) {
		case "content-length":
			lengths = append(lengths, value)
		case "transfer-encoding":
			codings = append(codings, value)
		case "host":
			hosts = append(hosts, value)
		}
	}
	switch {
	case len(hosts) != 1:
		return "not one Host"
	case len(lengths)+len(codings) > 1:
		return "more than one framing"
	case len(lengths) == 1 && strings.Trim(lengths[0], "0123456789") != "":
		return "a bad Content-Length"
	case len(codings) == 1 && !strings.EqualFold(codings[0], "chunked"):
		return "a bad Transfer-Encoding"
	}
	return ""
}
