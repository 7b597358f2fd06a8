package api

import (
	"bufio"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/policy/hooktest"
	"github.com/gaia-host/gaia/internal/testkit"
)

func TestStreamsAreNotBuffered(t *testing.T) {
	next := make(chan struct{})
	u := testkit.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n", i)
			w.(http.Flusher).Flush()
			<-next
		}
		w.Header().Set("X-Sum", "42")
	})
	done := make(chan policy.Response, 1)
	p := newPool(t, &hooktest.Policy{Done: func(_ *policy.Request, res *policy.Response) { done <- *res }}, nil)
	res, err := p.Do(t.Context(), &Call{URL: u})
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(res.Body)
	for i := range 3 {
		if !lines.Scan() || lines.Text() != fmt.Sprint("data: ", i) {
			t.Fatalf("line %d: %q %v", i, lines.Text(), lines.Err())
		}
		if len(done) > 0 {
			t.Error("onDone ran before the end of the body")
		}
		next <- struct{}{}
	}
	if lines.Scan() {
		t.Errorf("more: %q", lines.Text())
	}
	if end := <-done; end.Bytes != 24 || end.Error != "" || res.Trailer.Get("X-Sum") != "42" {
		t.Errorf("onDone saw %+v, trailer %v", end, res.Trailer)
	}
	res.Body.Close()
}

func TestRequestTrailers(t *testing.T) {
	u := testkit.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, r.Trailer.Get("X-Sum"))
	})
	p := newPool(t, nil, nil)
	trailer := http.Header{"X-Sum": {"7"}}
	if _, body := text(t, p, &Call{Method: "POST", URL: u, Body: strings.NewReader("x"), ContentLength: -1, Trailer: trailer}); body != "7" {
		t.Errorf("the upstream saw the trailer %q", body)
	}
}

func TestExpectContinueShowsARefusalBeforeTheBody(t *testing.T) {
	u := testkit.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			w.WriteHeader(413)
			return
		}
		b, _ := io.ReadAll(r.Body)
		_, _ = w.Write(b)
	})
	p := newPool(t, nil, nil)
	for path, want := range map[string]int{"/no": 413, "/yes": 200} {
		target := *u
		target.Path = path
		var read atomic.Bool
		body := readFunc(func(b []byte) (int, error) {
			if read.Swap(true) {
				return 0, io.EOF
			}
			return copy(b, "hello"), nil
		})
		status, _ := text(t, p, &Call{Method: "POST", URL: &target, Body: body, ContentLength: -1, Header: http.Header{"Expect": {"100-continue"}}})
		if status != want || read.Load() != (want == 200) {
			t.Errorf("%s: status %d, body read: %v", path, status, read.Load())
		}
	}
}

func TestInformationalAnswers(t *testing.T) {
	u := testkit.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(103)
		fmt.Fprint(w, "ok")
	})
	p := newPool(t, nil, nil)
	var got string
	c := &Call{URL: u, Got1xx: func(code int, h textproto.MIMEHeader) error {
		got = fmt.Sprint(code, h.Get("Link"))
		return nil
	}}
	if _, body := text(t, p, c); body != "ok" || got != "103</style.css>" {
		t.Errorf("%q, told of %q", body, got)
	}
}

func TestUpgrade(t *testing.T) {
	u := testkit.Connections(t, func(c net.Conn, _ int) {
		r := bufio.NewReader(c)
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_, _ = io.Copy(c, r)
	})
	p := newPool(t, nil, func(c *Config) { c.MaxResponseBody = 3 })
	res, err := p.Do(t.Context(), &Call{URL: u, Header: http.Header{"Connection": {"Upgrade"}, "Upgrade": {"echo"}}})
	if err != nil {
		t.Fatal(err)
	}
	rw, ok := res.Body.(io.ReadWriteCloser)
	if !ok || res.StatusCode != 101 {
		t.Fatalf("status %d, body %T", res.StatusCode, res.Body)
	}
	io.WriteString(rw, "hello")
	b := make([]byte, 5)
	if _, err := io.ReadFull(rw, b); err != nil || string(b) != "hello" {
		t.Errorf("%q %v", b, err)
	}
	if s := p.Stats(); s.InFlight != 1 {
		t.Errorf("an open tunnel is not in flight: %+v", s)
	}
	rw.Close()
}

func TestTunnel(t *testing.T) {
	u := testkit.Connections(t, func(c net.Conn, _ int) { _, _ = io.Copy(c, c) })
	var seen policy.Request
	var ended policy.Response
	p := newPool(t, &hooktest.Policy{
		Request: func(r *policy.Request, _ *policy.Decision) { seen = *r },
		Done:    func(_ *policy.Request, res *policy.Response) { ended = *res },
	}, nil)
	l, err := p.Admit(t.Context(), &Call{URL: u})
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(l.Conn, "hi")
	b := make([]byte, 2)
	if _, err := io.ReadFull(l.Conn, b); err != nil {
		t.Error(err)
	}
	l.Done("", 2)
	l.Done(policy.ErrorReset, 9)
	if seen.Action != "connect" || seen.Method != "CONNECT" || seen.Key != u.Host || ended.Bytes != 2 || ended.Error != "" || ended.Status != 200 {
		t.Errorf("seen %+v, ended %+v", seen, ended)
	}
	gone, _ := net.Listen("tcp", "127.0.0.1:0")
	gone.Close()
	c := &Call{URL: testkit.URL(t, "http://"+gone.Addr().String())}
	if _, err := p.Admit(t.Context(), c); kind(err) != policy.ErrorRefused || c.Result.Attempts != 4 {
		t.Errorf("refused: %v after %d attempts", err, c.Result.Attempts)
	}
	if got := dialAddr(testkit.URL(t, "https://h")) + " " + dialAddr(testkit.URL(t, "http://[::1]")); got != "h:443 [::1]:80" {
		t.Error(got)
	}
}

func TestProfiles(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // one client below refuses the certificate
	s.StartTLS()
	defer s.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newPool(t, nil, func(c *Config) {
		c.Profiles = map[string]Profile{"ca": {CAFile: ca}, "any": {InsecureSkipVerify: true, DisableHTTP2: true}}
	})
	for profile, want := range map[string]string{"ca": "HTTP/2.0", "any": "HTTP/1.1"} {
		if _, body := text(t, p, &Call{URL: testkit.URL(t, s.URL), Profile: profile}); body != want {
			t.Errorf("%s: %s", profile, body)
		}
	}
	if _, err := p.Do(t.Context(), &Call{URL: testkit.URL(t, s.URL)}); kind(err) != policy.ErrorOther {
		t.Errorf("an unknown authority: %v", err)
	}
	cfg := DefaultConfig()
	for _, file := range []string{"/nonexistent", os.DevNull} {
		cfg.Profiles = map[string]Profile{"x": {CAFile: file}}
		if _, err := New(cfg); err == nil {
			t.Errorf("ca_file %s was accepted", file)
		}
	}
}
