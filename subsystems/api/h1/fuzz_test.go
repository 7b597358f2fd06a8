package h1

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
)

// scripted is a connection whose server says the same whatever it is told, some bytes
// at a time.
type scripted struct {
	net.Conn
	says  []byte
	piece int
}

func (s *scripted) Read(p []byte) (int, error) {
	if len(s.says) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.piece)], s.says)
	s.says = s.says[n:]
	return n, nil
}
func (s *scripted) Write(p []byte) (int, error) { return len(p), nil }
func (s *scripted) Close() error                { return nil }

// hear sends a request to a server that says raw.
func hear(ctx context.Context, method, raw string, piece int) (*http.Response, error) {
	t := New(Config{Dial: func(context.Context, string, string) (net.Conn, error) {
		return &scripted{says: []byte(raw), piece: piece}, nil
	}})
	return t.RoundTrip(ctx, &Request{Method: method, URL: &url.URL{Scheme: "http", Host: "h", Path: "/"}})
}

// hearStd is how net/http reads the same.
func hearStd(method, raw string) (*http.Response, error) {
	r := bufio.NewReader(strings.NewReader(raw))
	for {
		res, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil || res.StatusCode >= 200 || res.StatusCode == 101 {
			return res, err
		}
	}
}

var answers = []string{
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, x-more\r\n\r\n5;a=b\r\nhello\r\n1 \r\n!\r\n0\r\nX-Sum: 7\r\nX-New: 8\r\n\r\n",
	"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\nServer: a\r\n\r\n",
	"HTTP/1.0 200 OK\r\nX: y\r\n\r\nuntil the end",
	"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\nConnection: close\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nbytes",
	"HTTP/1.1 200 OK\r\nPragma: no-cache\r\nTransfer-Encoding: ChunKed\r\n\r\n0\r\n\r\nextra",
}

// FuzzAnswerAgainstNetHTTP: an answer that is accepted is one that net/http's client
// accepts, with the same status, fields, body and trailer.
func FuzzAnswerAgainstNetHTTP(f *testing.F) {
	for i, raw := range answers {
		f.Add(raw, i%2 == 1, uint8(i))
	}
	for _, m := range malformedAnswers {
		if len(m.raw) < 1<<12 { // mutating long ones takes long
			f.Add(m.raw, false, uint8(7))
		}
	}
	f.Fuzz(func(t *testing.T, raw string, headOnly bool, piece uint8) {
		method := http.MethodGet
		if headOnly {
			method = http.MethodHead
		}
		res, err := hear(t.Context(), method, raw, int(piece)+1)
		if err != nil {
			return
		}
		want, err := hearStd(method, raw)
		if err != nil {
			t.Fatalf("accepted %q, net/http does not: %v", raw, err)
		}
		sameHead(t, res, want)
		if res.StatusCode == http.StatusSwitchingProtocols {
			return
		}
		body, err := io.ReadAll(res.Body)
		wantBody, wantErr := io.ReadAll(want.Body)
		switch {
		case err != nil && !bytes.HasPrefix(wantBody, body):
			t.Fatalf("%q: read %q and %v, net/http %q", raw, body, err, wantBody)
		case err != nil:
		case wantErr != nil || !bytes.Equal(body, wantBody):
			t.Fatalf("%q: read %q, net/http %q, %v", raw, body, wantBody, wantErr)
		case len(res.Trailer)+len(want.Trailer) > 0 && !reflect.DeepEqual(res.Trailer, want.Trailer):
			t.Fatalf("%q: trailer %q, net/http %q", raw, res.Trailer, want.Trailer)
		}
	})
}

// sameHead compares heads, but for what net/http adds and takes away of its own.
func sameHead(t *testing.T, res, want *http.Response) {
	t.Helper()
	have := maps.Clone(res.Header)
	if len(have["Pragma"]) > 0 && have["Pragma"][0] == "no-cache" && have["Cache-Control"] == nil {
		delete(want.Header, "Cache-Control")
	}
	if _, ok := want.Header["Connection"]; !ok && want.Close {
		delete(have, "Connection")
	}
	if want.StatusCode == http.StatusSwitchingProtocols {
		want.Close, want.ContentLength = true, 0
	}
	if res.Status != want.Status || res.StatusCode != want.StatusCode || res.Proto != want.Proto ||
		res.ContentLength != want.ContentLength || res.Close != want.Close ||
		len(have)+len(want.Header) > 0 && !reflect.DeepEqual(have, want.Header) {
		t.Fatalf("the head is read as %q %d %q, length %d, close %v, by net/http as %q %d %q, length %d, close %v",
			res.Status, res.StatusCode, have, res.ContentLength, res.Close,
			want.Status, want.StatusCode, want.Header, want.ContentLength, want.Close)
	}
}

func TestAnswersAreReadAsByNetHTTP(t *testing.T) {
	for _, raw := range answers {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			for _, piece := range []int{1, 2, 7, 10000} {
				res, err := hear(t.Context(), method, raw, piece)
				if err != nil {
					t.Fatalf("%s %q: %v", method, raw, err)
				}
				want, err := hearStd(method, raw)
				if err != nil {
					t.Fatal(err)
				}
				sameHead(t, res, want)
				body, err := io.ReadAll(res.Body)
				wantBody, _ := io.ReadAll(want.Body)
				if res.StatusCode == http.StatusSwitchingProtocols {
					wantBody = []byte("bytes")
				}
				if err != nil || !bytes.Equal(body, wantBody) {
					t.Errorf("%s %q in pieces of %d: %q, %v", method, raw, piece, body, err)
				}
			}
		}
	}
}

// malformedAnswers are refused, at the head or within the body.
var malformedAnswers = []struct{ name, raw string }{
	{"nothing", ""}, {"half a head", "HTTP/1.1 200 OK\r\nServer: x\r\n"}, {"no status", "HTTP/1.1\r\n\r\n"},
	{"another protocol", "SSH-2.0-OpenSSH_9.2\r\n\r\n"}, {"HTTP/2", "HTTP/2.0 200 OK\r\n\r\n"}, {"HTTP/1.2", "HTTP/1.2 200 OK\r\n\r\n"},
	{"short status", "HTTP/1.1 20 OK\r\n\r\n"}, {"long status", "HTTP/1.1 2000 OK\r\n\r\n"}, {"signed status", "HTTP/1.1 +20 OK\r\n\r\n"},
	{"low status", "HTTP/1.1 099 OK\r\n\r\n"}, {"two spaces", "HTTP/1.1  200 OK\r\n\r\n"}, {"NUL in the reason", "HTTP/1.1 200 O\x00K\r\n\r\n"},
	{"bare line feeds", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"}, {"one bare line feed", "HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n"},
	{"folded", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n"}, {"folded first", "HTTP/1.1 200 OK\r\n A: b\r\n\r\n"},
	{"space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n"}, {"no colon", "HTTP/1.1 200 OK\r\nA\r\n\r\n"},
	{"NUL in a value", "HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n"}, {"bare return", "HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n"},
	{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"}, {"a list of lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\na"},
	{"signed length", "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na"}, {"empty length", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n"},
	{"length and coding", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"two codings", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"gzip, chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
	{"identity", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n"},
	{"coding in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"trailer of framing", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: content-length\r\n\r\n0\r\n\r\n"},
	{"cut short", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"},
	{"cut in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhell"},
	{"cut between chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"},
	{"cut before the trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"},
	{"no size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n"},
	{"signed size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n"},
	{"size with 0x", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n"},
	{"huge size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n"},
	{"size and bare line feed", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n"},
	{"return in an extension", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a\rb\r\nhello\r\n0\r\n\r\n"},
	{"long chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n"},
	{"chunk and bare line feed", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n"},
	{"long chunk line", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;" + strings.Repeat("a", maxChunkLine) + "\r\nhello\r\n0\r\n\r\n"},
	{"chunks of little data", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1;"+strings.Repeat("a", 1000)+"\r\nx\r\n", 30) + "0\r\n\r\n"},
	{"malformed trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA : b\r\n\r\n"},
	{"bare line feeds for a trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\n\n"},
	{"long trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: " + strings.Repeat("a", maxTrailer) + "\r\n\r\n"},
	{"many fields", "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", maxFields+1) + "\r\n"},
	{"huge head", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", defaultMaxHeader) + "\r\n\r\n"},
	{"informational ones without end", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: "+strings.Repeat("x", 1000)+"\r\n\r\n", 1100) + "HTTP/1.1 204 No Content\r\n\r\n"},
}

func TestMalformedAnswersAreRefused(t *testing.T) {
	for _, m := range malformedAnswers {
		for _, piece := range []int{1, 10000} {
			if piece == 1 && len(m.raw) > 1<<17 {
				continue
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			res, err := hear(ctx, http.MethodGet, m.raw, piece)
			if err == nil {
				_, err = io.ReadAll(res.Body)
				_ = res.Body.Close()
			}
			cancel()
			if err == nil {
				t.Errorf("%s is accepted, in pieces of %d", m.name, piece)
			}
		}
	}
}
