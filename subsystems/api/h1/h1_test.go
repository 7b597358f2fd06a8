package h1

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gaia-host/gaia/internal/testkit"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// transport returns a Transport whose dials are counted.
func transport(t testing.TB, change func(*Config)) (*Transport, *atomic.Int64) {
	t.Helper()
	var dials atomic.Int64
	c := Config{HeaderTimeout: testkit.Patience, ContinueTimeout: testkit.Patience, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}
	if change != nil {
		change(&c)
	}
	tr := New(c)
	t.Cleanup(func() {
		tr.Close()
		testkit.Until(t, "all connections are given up", func() bool {
			tr.mu.Lock()
			defer tr.mu.Unlock()
			return len(tr.hosts) == 0 && len(tr.fresh) == 0
		})
	})
	return tr, &dials
}

// raw serves connections with f, one goroutine each; n counts them from 1.
func raw(t testing.TB, f func(c net.Conn, r *bufio.Reader, n int)) *url.URL {
	t.Helper()
	return testkit.Connections(t, func(c net.Conn, n int) { f(c, bufio.NewReader(c), n) })
}

// request reads one request with its body.
func request(r *bufio.Reader) (*http.Request, string, error) {
	req, err := http.ReadRequest(r)
	if err != nil {
		return nil, "", err
	}
	b, err := io.ReadAll(req.Body)
	return req, string(b), err
}

// ask sends r and reads the answer.
func ask(t testing.TB, tr *Transport, r *Request) (*http.Response, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	res, err := tr.RoundTrip(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

// slow hides what it reads, and that it could be read without waiting.
type slow struct{ io.Reader }

func (slow) Close() error { return nil }

// ready is a body that is there as a whole.
type ready struct{ *strings.Reader }

func (r ready) Buffered() int { return r.Len() }
func (ready) Close() error    { return nil }

func TestRequestsArriveAsTheyWereSent(t *testing.T) {
	u := testkit.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %d %v %q %s ua=%s x=%q ", r.Method, r.Host, r.RequestURI, r.ContentLength, r.TransferEncoding, b, r.Trailer.Get("X-Sum"),
			r.Header.Get("User-Agent"), r.Header["X"])
	})
	tr, dials := transport(t, nil)
	host := u.Host
	for _, tt := range []struct {
		name string
		r    Request
		want string
	}{
		{"plain", Request{}, "GET " + host + ` / 0 [] ""  ua=Go-http-client/1.1 x=[] `},
		{"no user agent", Request{Header: http.Header{"User-Agent": nil}}, "GET " + host + ` / 0 [] ""  ua= x=[] `},
		{"fields", Request{Header: http.Header{"X": {" a b\t", "c"}, "User-Agent": {"me", "you"}, "Host": {"evil"}, "content-length": {"7"}, "TRANSFER-ENCODING": {"x"}}},
			"GET " + host + ` / 0 [] ""  ua=me x=["a b" "c"] `},
		{"post of nothing", Request{Method: "POST"}, "POST " + host + ` / 0 [] ""  ua=Go-http-client/1.1 x=[] `},
		{"short body", Request{Method: "POST", Body: ready{strings.NewReader("hello")}, ContentLength: 5}, "POST " + host + ` / 5 [] "hello"  ua=Go-http-client/1.1 x=[] `},
		{"body to wait for", Request{Method: "PUT", Body: slow{strings.NewReader("hello")}, ContentLength: 5}, "PUT " + host + ` / 5 [] "hello"  ua=Go-http-client/1.1 x=[] `},
		{"unknown length", Request{Method: "POST", Body: slow{strings.NewReader("hello")}, ContentLength: -1, Trailer: http.Header{"X-Sum": {"7"}}},
			"POST " + host + ` / -1 [chunked] "hello" 7 ua=Go-http-client/1.1 x=[] `},
		{"expect", Request{Method: "POST", Body: ready{strings.NewReader("hello")}, ContentLength: 5, Header: http.Header{"Expect": {"100-continue"}}},
			"POST " + host + ` / 5 [] "hello"  ua=Go-http-client/1.1 x=[] `},
		{"delete with a body", Request{Method: "DELETE", Body: slow{strings.NewReader("hello")}}, "DELETE " + host + ` / -1 [chunked] "hello"  ua=Go-http-client/1.1 x=[] `},
	} {
		tt.r.URL = u
		if _, got := ask(t, tr, &tt.r); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
	for in, want := range map[string]string{"/a%2Fb?x=y%20": "/a%2Fb?x=y%20", "/a b": "/a%20b", "?": "/?", "//x": "//x", "/é?é": "/%C3%A9?é"} {
		if _, got := ask(t, tr, &Request{URL: testkit.URL(t, u.String()+in)}); !strings.HasPrefix(got, "GET "+host+" "+want+" ") {
			t.Errorf("%s arrived as %s", in, got)
		}
	}
	if dials.Load() != 1 {
		t.Errorf("%d connections", dials.Load())
	}
}

func TestWhatCannotBeSaidIsNotSent(t *testing.T) {
	tr, dials := transport(t, func(c *Config) {
		c.Dial = func(context.Context, string, string) (net.Conn, error) {
			return &scripted{says: []byte("HTTP/1.1 204 No Content\r\n\r\n"), piece: 1000}, nil
		}
	})
	u := testkit.URL(t, "http://h/")
	for name, r := range map[string]*Request{
		"no URL":           {},
		"no scheme":        {URL: &url.URL{Host: "h"}},
		"another scheme":   {URL: &url.URL{Scheme: "ftp", Host: "h"}},
		"no host":          {URL: &url.URL{Scheme: "http"}},
		"no domain name":   {URL: &url.URL{Scheme: "http", Host: "a b"}},
		"method":           {URL: u, Method: "GE T"},
		"CONNECT":          {URL: u, Method: "CONNECT"},
		"field name":       {URL: u, Header: http.Header{"a b": {"c"}}},
		"field value":      {URL: u, Header: http.Header{"A": {"b\r\nc: d"}}},
		"space in a query": {URL: &url.URL{Scheme: "http", Host: "h", RawQuery: "a b"}},
		"newline in a URL": {URL: &url.URL{Scheme: "http", Host: "h", Opaque: "/\r\nA: b"}},
		"trailer":          {URL: u, Method: "POST", Body: slow{strings.NewReader("x")}, Trailer: http.Header{"Content-Length": {"1"}}},
	} {
		if res, err := tr.RoundTrip(t.Context(), r); !errors.Is(err, ErrUnsendable) {
			t.Errorf("%s: %v, %v", name, res, err)
		}
	}
	if dials.Load() != 0 {
		t.Error("counted dials of another dialer")
	}
}

func TestInformationalAnswersAreTold(t *testing.T) {
	u := testkit.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 3 {
			w.Header().Set("Link", "</style.css>")
			w.WriteHeader(103)
		}
		fmt.Fprint(w, "ok")
	})
	tr, _ := transport(t, func(c *Config) { c.MaxHeaderBytes = 300 })
	var told []string
	_, body := ask(t, tr, &Request{URL: u, Got1xx: func(code int, h textproto.MIMEHeader) error {
		told = append(told, fmt.Sprint(code, h.Get("Link")))
		return nil
	}})
	if body != "ok" || len(told) != 3 || told[0] != "103</style.css>" {
		t.Errorf("%q, told of %q", body, told)
	}
	broken := errors.New("broken")
	if _, err := tr.RoundTrip(t.Context(), &Request{URL: u, Got1xx: func(int, textproto.MIMEHeader) error { return broken }}); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

func TestAnUpgradeGivesTheConnectionAway(t *testing.T) {
	u := raw(t, func(c net.Conn, r *bufio.Reader, _ int) {
		if _, _, err := request(r); err == nil {
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nfirst ")
			_, _ = io.Copy(c, r)
		}
	})
	tr, _ := transport(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	res, err := tr.RoundTrip(ctx, &Request{URL: u, Header: http.Header{"Connection": {"Upgrade"}, "Upgrade": {"echo"}}})
	if err != nil {
		t.Fatal(err)
	}
	cancel() // it is not the Transport's any more
	rw := res.Body.(interface {
		io.ReadWriteCloser
		CloseWrite() error
	})
	io.WriteString(rw, "second")
	if err := rw.CloseWrite(); err != nil {
		t.Error(err)
	}
	if b, err := io.ReadAll(rw); string(b) != "first second" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	rw.Close()
}

func TestChunksAreGivenAsTheyCome(t *testing.T) {
	next := make(chan struct{})
	u := raw(t, func(c net.Conn, r *bufio.Reader, _ int) {
		if _, _, err := request(r); err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for _, piece := range []string{"3\r\none\r\n", "3\r\ntwo", "\r\n5\r\nthree\r\n0\r\n", "X-Sum: 1\r\n\r\n"} {
			<-next
			io.WriteString(c, piece)
		}
		_, _ = io.Copy(io.Discard, r)
	})
	tr, dials := transport(t, nil)
	res, err := tr.RoundTrip(t.Context(), &Request{URL: u})
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	for _, want := range []string{"one", "two", "three"} {
		next <- struct{}{}
		n, err := res.Body.Read(buf)
		if string(buf[:n]) != want || err != nil {
			t.Fatalf("%q, %v; want %q", buf[:n], err, want)
		}
	}
	next <- struct{}{}
	if n, err := res.Body.Read(buf); n != 0 || err != io.EOF || res.Trailer.Get("X-Sum") != "1" {
		t.Errorf("%q, %v, trailer %v", buf[:n], err, res.Trailer)
	}
	if n, err := res.Body.Read(buf); n != 0 || err != io.EOF {
		t.Errorf("after the end: %d, %v", n, err)
	}
	if err := res.Body.Close(); err != nil || dials.Load() != 1 {
		t.Errorf("%v, %d connections", err, dials.Load())
	}
}

func TestLargeBodiesPassBothWaysAtOnce(t *testing.T) {
	u := testkit.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.Copy(w, r.Body)
	})
	tr, dials := transport(t, nil)
	payload := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // more than sockets hold
	for _, length := range []int64{-1, int64(len(payload))} {
		r := &Request{Method: "POST", URL: u, Body: slow{bytes.NewReader(payload)}, ContentLength: length}
		if _, got := ask(t, tr, r); got != string(payload) {
			t.Errorf("%d bytes came back of %d, length %d", len(got), len(payload), length)
		}
	}
	if dials.Load() != 1 {
		t.Errorf("%d connections", dials.Load())
	}
}
