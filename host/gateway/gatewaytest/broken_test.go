package gatewaytest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestBroken shows that the suite finds the mistakes it is there to find.
func TestBroken(t *testing.T) {
	for _, c := range []struct {
		fault  fault
		caught []string
	}{
		{bufferAnswer, []string{"stream/sse", "stream/chunks", "stream/length", "stream/head-before-body"}},
		{keepNamed, []string{"hop/request-connection-named"}},
		{addForwarded, []string{"plain/forwarded-fields"}},
		{cleanPath, []string{"target/dot-dot", "target/double-slash", "target/encoded-slash"}},
		{ignoreLeave, []string{"vanish/held", "vanish/before-head", "stream/client-leaves-quiet"}},
		{cleanEnd, []string{"upstream/half-sends-chunked"}},
		{reuseUnread, []string{"malformed/chunk-data-without-end", "malformed/trailer-malformed"}},
		{readAhead, []string{"pressure/large-upload-length", "body/chunked-up-streams", "stream/both-ways"}},
		{keepGaia, []string{"plain/caller's-fields-stay"}},
		{noTrailers, []string{"body/trailers-up"}},
		{obeyH2C, []string{"upgrade/h2c-not-honoured"}},
		{loop, []string{"forward/itself"}},
		{halfDuplex, []string{"body/early-answer-length", "stream/both-ways"}},
	} {
		for _, name := range c.caught {
			t.Run(fmt.Sprintf("%s/%s", c.fault, name), func(t *testing.T) {
				t.Parallel()
				start := func(tb testing.TB, cfg Config) string {
					return (&reference{Config: cfg, fault: c.fault}).start(tb)
				}
				if s := spyOn(t, name, start); !s.failed {
					t.Errorf("a gateway that %s passes %s", c.fault, name)
				}
			})
		}
	}
}

// TestBytePump shows that the table catches a gateway that passes heads on as
// they came.
func TestBytePump(t *testing.T) {
	for _, name := range []string{"te-and-cl", "cl-two-differing", "cl-plus", "field-value-nul", "host-twice", "te-space-before-colon"} {
		if s := spyOn(t, "malformed/"+name, startBytePump); !s.failed {
			t.Errorf("a byte pump passes %s", name)
		}
	}
}

// TestCareless shows that a body taken for a request is caught.
func TestCareless(t *testing.T) {
	for _, name := range []string{"rest-after-answer-length", "rest-after-answer-chunked", "body-after-answer-is-no-request"} {
		if s := spyOn(t, "connection/"+name, startCareless); !s.failed {
			t.Errorf("a gateway that leaves bodies unread passes %s", name)
		}
	}
}

// TestSpy keeps the two tests above honest: what is right does not fail there.
func TestSpy(t *testing.T) {
	for _, name := range []string{"stream/sse", "hop/request-connection-named", "malformed/te-and-cl", "upstream/never-accepts"} {
		if s := spyOn(t, name, startReference); s.failed {
			t.Errorf("%s: %s", name, s.text)
		}
	}
}

// spoil makes the mistakes that need the request or the writer changed.
func (g *reference) spoil(w http.ResponseWriter, r *http.Request, target *url.URL) (http.ResponseWriter, *http.Request) {
	switch g.fault {
	case keepNamed:
		r.Header.Del("Connection")
	case cleanPath:
		target.Path, target.RawPath = path.Clean(target.Path), ""
	case ignoreLeave:
		r = r.WithContext(deaf{context.WithoutCancel(r.Context()), make(chan struct{})})
	case readAhead:
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
	case bufferAnswer:
		w = &bufferedWriter{ResponseWriter: w}
	case cleanEnd:
		r = r.WithContext(context.WithValue(r.Context(), http.ServerContextKey, nil)) // ReverseProxy then does not abort
	}
	return w, r
}

// deaf is a context that is never cancelled and does not say so: ReverseProxy
// would look for the client itself.
type deaf struct {
	context.Context
	never chan struct{}
}

func (d deaf) Done() <-chan struct{} { return d.never }

// bufferedWriter is a ResponseWriter that gives its body away at the end.
type bufferedWriter struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (b *bufferedWriter) WriteHeader(status int)      { b.status = status }
func (b *bufferedWriter) Write(p []byte) (int, error) { return b.body.Write(p) }
func (b *bufferedWriter) Flush()                      {}

func (b *bufferedWriter) flush() {
	b.ResponseWriter.WriteHeader(b.status)
	_, _ = b.body.WriteTo(b.ResponseWriter)
}

// startBytePump forwards whatever comes to the first route's upstream.
func startBytePump(tb testing.TB, c Config) string {
	u, err := url.Parse(c.Routes[0].Upstream)
	if err != nil {
		tb.Fatalf("upstream: %v", err)
	}
	f := newFixture(tb, nil)
	return f.scripted(func(p *peer) {
		up, err := net.Dial("tcp", u.Host)
		if err != nil {
			return
		}
		defer func() { _ = up.Close() }()
		go func() {
			_, _ = io.Copy(up, p.br)
			_ = up.(*net.TCPConn).CloseWrite()
		}()
		_, _ = io.Copy(p, bufio.NewReader(up))
	})
}

// startCareless forwards heads as GET, drops what it happens to have of a body,
// and reads the rest as the next request.
func startCareless(tb testing.TB, c Config) string {
	tr := &http.Transport{DisableKeepAlives: true}
	return newFixture(tb, nil).scripted(func(p *peer) {
		for {
			r, err := http.ReadRequest(p.br)
			if err != nil {
				return
			}
			rest, found := strings.CutPrefix(r.URL.Path, "/up")
			out, err := http.NewRequest(http.MethodGet, c.Routes[0].Upstream+rest, nil)
			if err != nil || !found {
				p.send(lines("HTTP/1.1 404 Not Found", "Content-Length: 0"))
				continue
			}
			res, err := tr.RoundTrip(out)
			if err != nil {
				return
			}
			_ = res.Write(p)
			_ = res.Body.Close()
			_, _ = p.br.Discard(p.br.Buffered())
		}
	})
}

// spy is a testing.TB that keeps a failure to itself.
type spy struct {
	testing.TB
	mu       sync.Mutex
	failed   bool
	text     string
	cleanups []func()
}

// spyOn runs one behaviour by its full name.
func spyOn(t *testing.T, name string, start StartFunc) *spy {
	t.Helper()
	s := &spy{TB: t}
	for _, g := range groups() {
		for _, b := range g.behaviours {
			if g.name+"/"+b.name != name {
				continue
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				f := newFixture(s, start)
				f.patience = 500 * time.Millisecond
				b.check(f)
			}()
			<-done
			for _, cleanup := range slices.Backward(s.cleanups) {
				cleanup()
			}
			return s
		}
	}
	t.Fatalf("no behaviour is named %q", name)
	return nil
}

func (s *spy) Cleanup(fn func()) { s.cleanups = append(s.cleanups, fn) }
func (s *spy) Helper()           {}

func (s *spy) Errorf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = true
	s.text += strings.TrimSpace(fmt.Sprintf(format, args...)) + "\n"
}

func (s *spy) Fatalf(format string, args ...any) {
	s.Errorf(format, args...)
	runtime.Goexit()
}

func (s *spy) Skipf(string, ...any) { runtime.Goexit() }
