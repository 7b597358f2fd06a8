package gatewaytest

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// answerBehaviours are malformed answers of an upstream. Want is what the client
// of a net/http gateway gets; 0 stands for 200 with a body that is cut.
func answerBehaviours() []behaviour {
	cases := []struct {
		name, raw string
		want      int
		body      string
		strict    bool // 502 is right as well
	}{
		{"status-line-nonsense", "NONSENSE\r\n\r\n", 502, "", false},
		{"status-line-text-code", "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n", 502, "", false},
		{"status-line-long-code", "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", 502, "", false},
		{"status-line-negative", "HTTP/1.1 -20 OK\r\nContent-Length: 0\r\n\r\n", 502, "", false},
		{"status-line-protocol", "HTTQ/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 502, "", false},
		{"status-line-no-reason", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", 200, "ok", true},
		{"http-1.0", "HTTP/1.0 200 OK\r\n\r\nok", 200, "ok", false},
		{"bytes-only", strings.Repeat("\x00\xff", 64), 502, "", false},
		{"length-and-chunked", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, "ok", true},
		{"two-lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!", 502, "", false},
		{"two-equal-lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", 200, "ok", true},
		{"length-negative", "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", 502, "", false},
		{"length-text", "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok", 502, "", false},
		{"length-overflow", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok", 502, "", false},
		{"coding-unknown", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok", 502, "", false},
		{"chunk-size-text", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nok\r\n0\r\n\r\n", 0, "", false},
		{"chunk-size-overflow", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nok\r\n0\r\n\r\n", 0, "", false},
		{"chunk-without-end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokXX0\r\n\r\n", 0, "ok", false},
		{"field-without-colon", "HTTP/1.1 200 OK\r\nNoColon\r\nContent-Length: 2\r\n\r\nok", 502, "", false},
		{"field-name-with-space", "HTTP/1.1 200 OK\r\nBad Name: x\r\nContent-Length: 2\r\n\r\nok", 200, "ok", true},
		{"huge-head", "HTTP/1.1 200 OK\r\nX-Huge: " + strings.Repeat("x", 16<<20) + "\r\nContent-Length: 2\r\n\r\nok", 502, "", false},
		{"101-not-asked-for", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n", 502, "", false},
		{"1xx-without-end", strings.Repeat("HTTP/1.1 103 Early Hints\r\nX-Pad: "+strings.Repeat("x", 1000)+"\r\n\r\n", 16<<10), 502, "", false},
		{"more-than-length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", 200, "ok", false},
	}
	var all []behaviour
	for _, c := range cases {
		all = append(all, behaviour{name: c.name, check: func(f *fixture) { checkAnswer(f, c.raw, c.want, c.body, c.strict) }})
	}
	return all
}

// checkAnswer keeps the upstream's connection open after the raw bytes, as a
// hostile upstream would, and wants the gateway to serve on afterwards.
func checkAnswer(f *fixture, raw string, want int, body string, strict bool) {
	untilClose := !strings.Contains(raw, "Content-Length") && !strings.Contains(raw, "chunked")
	up := f.scripted(func(p *peer) {
		for p.request() != nil {
			p.send(raw)
			if untilClose {
				return
			}
		}
	})
	sound := f.origin(nil)
	addr := f.gateway(Config{Routes: append(upRoute("http://"+up),
		Route{Name: "sound", PathPrefix: "/sound/", Strip: true, Upstream: sound.URL})})
	for range 2 { // the second finds what the first left behind
		f.malformedAnswer(addr, want, body, strict)
		f.equal("body of a sound upstream", f.ok(addr, request(addr, "GET /sound/")).body, "ok")
	}
}

func (f *fixture) malformedAnswer(addr string, want int, body string, strict bool) {
	f.Helper()
	w := f.dial(addr)
	w.send(request(addr, "POST /up/", "Content-Length: 0"))
	_ = w.SetReadDeadline(time.Now().Add(f.patience))
	res, err := http.ReadResponse(w.br, nil)
	for err == nil && res.StatusCode == http.StatusEarlyHints {
		res, err = http.ReadResponse(w.br, nil)
	}
	if err != nil {
		if want == 0 && !errors.Is(err, os.ErrDeadlineExceeded) {
			return // the head had not been passed on when the body was cut
		}
		f.Fatalf("read the answer: %v", err)
	}
	got, err := io.ReadAll(res.Body)
	switch {
	case res.StatusCode == http.StatusBadGateway && (strict || want == 0 || want == http.StatusBadGateway):
	case want == 0 && err == nil:
		f.Fatalf("a malformed body ended cleanly: %d %q", res.StatusCode, got)
	case want == 0:
		if !strings.HasPrefix(body, string(got)) {
			f.Fatalf("body: %q, want no more than %q", got, body)
		}
	default:
		answer{Response: res, err: err, body: string(got)}.want(f, want)
		f.equal("body", string(got), body)
	}
	for name := range res.Header {
		if strings.Contains(name, " ") {
			f.Fatalf("a malformed field reached the client: %q", name)
		}
	}
}
