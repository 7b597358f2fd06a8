package http1

import (
	"bufio"
	"bytes"
	"io"
	"log"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

// script is a connection whose client has sent everything and then left.
type script struct {
	in  *bytes.Reader
	out bytes.Buffer
}

func (s *script) Read(p []byte) (int, error)       { return s.in.Read(p) }
func (s *script) Write(p []byte) (int, error)      { return s.out.Write(p) }
func (s *script) Close() error                     { return nil }
func (s *script) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// seen is what a handler sees of a request.
type seen struct {
	method, target, proto, host, body, url string
	length                                 int64
	close, bad                             bool
	fields, trailer                        http.Header
}

func seenOf(r *http.Request) seen {
	body, err := io.ReadAll(r.Body)
	v := seen{
		method: r.Method, target: r.RequestURI, proto: r.Proto, host: r.Host, body: string(body), url: r.URL.String() + " " + r.URL.Path + " " + r.URL.RawPath,
		length: r.ContentLength, close: r.Close, bad: err != nil, fields: r.Header.Clone(), trailer: r.Trailer.Clone(),
	}
	if p := v.fields["Pragma"]; len(p) > 0 && p[0] == "no-cache" && v.fields["Cache-Control"] == nil {
		v.fields["Cache-Control"] = []string{"no-cache"} // which net/http invents and we do not
	}
	return v
}

// served are the requests that a connection with these bytes brings to the handler.
func served(raw []byte) (all []seen, answers string) {
	s := New(Config{MaxHeaderBytes: 64 << 10, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { all = append(all, seenOf(r)) })})
	sc := &script{in: bytes.NewReader(raw)}
	c := &conn{s: s, rwc: sc}
	c.w.c = c
	c.serve()
	s.Close()
	return all, sc.out.String()
}

// reference are the requests that net/http's server takes out of the same bytes.
func reference(raw []byte) (all []seen) {
	over := make(chan struct{})
	srv := &http.Server{
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			v := seenOf(r)
			all = append(all, v)
			if v.bad {
				panic(http.ErrAbortHandler) // or the server would wait for half a second
			}
		}),
		ErrorLog: log.New(io.Discard, "", 0), DisableGeneralOptionsHandler: true,
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				close(over)
			}
		},
	}
	_ = srv.Serve(&single{conn: &script{in: bytes.NewReader(raw)}})
	<-over
	return all
}

// single is a listener of one connection.
type single struct {
	conn net.Conn
}

func (l *single) Accept() (net.Conn, error) {
	c := l.conn
	l.conn = nil
	if c == nil {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (l *single) Close() error   { return nil }
func (l *single) Addr() net.Addr { return &net.TCPAddr{} }

// FuzzAgainstNetHTTP: what we take for a request, net/http does, and for the same one.
func FuzzAgainstNetHTTP(f *testing.F) {
	for _, raw := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /a%2Fb?x=y HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\r\nGET /b! HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET //c??# HTTP/1.1\r\nHost:\r\n\r\n",
		"PUT http://h:1/p?q HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n5;x\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\nGET /? HTTP/1.1\r\nHost: a\r\n\r\n",
		"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT /x HTTP/1.0\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a\r\nPragma: no-cache\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
		"GET / HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"GET /" + strings.Repeat("x", 5000) + " HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n" + strings.Repeat("a", 5000) + ": b\r\n\r\n",
	} {
		f.Add([]byte(raw), false)
	}
	f.Add([]byte("\x80\x8a\x8d\x94\x99\x94\x81\x8b\x8d\x94\x92\x94\x99\x9b\x94"), true)
	f.Add([]byte("\x81\x8a\x8d\x8f\x94\x94\x99\x80\x8a\x94\x8d\x95\x94\x94"), true)
	f.Fuzz(func(t *testing.T, raw []byte, spelt bool) {
		if spelt {
			raw = spell(raw)
		}
		got, answers := served(raw)
		want := reference(raw)
		for i := range got {
			switch {
			case got[i].bad && i == len(got)-1:
				return // a body that we do not take; nothing may follow
			case got[i].bad:
				t.Fatalf("a request follows a bad body: %q", raw)
			case i >= len(want):
				t.Fatalf("request %d is none for net/http: %q\n%+v", i, raw, got[i])
			case !reflect.DeepEqual(got[i], want[i]):
				t.Fatalf("request %d of %q:\n%+v\nnet/http:\n%+v", i, raw, got[i], want[i])
			}
		}
		checkAnswers(t, answers, got)
	})
}

// spell puts words for the bytes from 0x80 on: by bytes alone the fuzzer seldom comes
// to a second request.
func spell(raw []byte) (out []byte) {
	words := []string{
		"GET ", "POST ", "HEAD ", "CONNECT ", "PUT ", "/", "/a%2Fb", "http://h/", "*", "?q", " HTTP/1.1\r\n", " HTTP/1.0\r\n", " HTTP/1.2\r\n", "Host: a\r\n", "Host:\r\n",
		"Content-Length: 5\r\n", "Content-Length: 0\r\n", "Content-Length:", "Transfer-Encoding: chunked\r\n", "Transfer-Encoding:", "\r\n", "\n", "\r", " ", "\t",
		"hello", "5\r\n", "0\r\n", "a;x=y\r\n", "5\r\nhello\r\n", "0\r\n\r\n", "Trailer: X\r\n", "X: y\r\n", "X", ":", ",", "chunked", "identity", "5, 5", "+5", "0x5", "05",
		"Connection: close\r\n", "Connection: keep-alive\r\n", "Connection: ", "Expect: 100-continue\r\n", "Expect: x\r\n", "Upgrade: h2c\r\n", "Pragma: no-cache\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\n", "GET / HTTP/1.1\r\nHost: b\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x00", "\x7f", "\x80", "\xff", "\v", "\f", "\u00a0",
	}
	for _, c := range raw {
		if c < 0x80 {
			out = append(out, c)
			continue
		}
		out = append(out, words[int(c-0x80)%len(words)]...)
	}
	return out
}

// checkAnswers wants one sound answer for each request.
func checkAnswers(t *testing.T, answers string, requests []seen) {
	t.Helper()
	br := bufio.NewReader(strings.NewReader(answers))
	for _, r := range requests {
		res, err := http.ReadResponse(br, &http.Request{Method: r.method})
		for err == nil && res.StatusCode == http.StatusContinue {
			res, err = http.ReadResponse(br, &http.Request{Method: r.method})
		}
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("the answer to %+v: %v in %q", r, err, answers)
		}
	}
}
