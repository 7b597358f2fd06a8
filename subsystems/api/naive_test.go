package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/route"
	"github.com/gaia-host/gaia/internal/testkit"
)

// What follows keeps the form that one would write first beside gaia's, so that the
// difference can be measured at any time: make bench-naive.

// naiveTimeout is a bound that no benchmark reaches.
const naiveTimeout = time.Minute

func target(b *testing.B) *url.URL {
	b.Helper()
	return testkit.Serve(b, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })
}

// asking sends one request after the other through p.
func asking(b *testing.B, p *Pool, u *url.URL, with func(context.Context) (context.Context, context.CancelFunc)) {
	buf := make([]byte, 512)
	b.ReportAllocs()
	for b.Loop() {
		ctx, cancel := with(b.Context())
		res, err := p.Do(ctx, &Call{URL: u})
		if err != nil {
			b.Fatal(err)
		}
		discard(res.Body, buf)
		cancel()
	}
}

func asIs(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} }

// BenchmarkDeadline bounds a request: by a context for each, or by the transport, which
// gaia sets once. The form none has no bound at all; what a form costs is its distance
// from that.
func BenchmarkDeadline(b *testing.B) {
	u := target(b)
	unbound := func(c *Config) { c.HeaderTimeout = 0 }
	b.Run("form=none", func(b *testing.B) { asking(b, newPool(b, nil, unbound), u, asIs) })
	b.Run("form=naive", func(b *testing.B) {
		asking(b, newPool(b, nil, unbound), u, func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, naiveTimeout)
		})
	})
	b.Run("form=gaia", func(b *testing.B) { asking(b, newPool(b, nil, nil), u, asIs) })
}

// BenchmarkClientTimeout is the same of an http.Client: its own Timeout, or the bound
// of the pool that is its transport.
func BenchmarkClientTimeout(b *testing.B) {
	u := target(b)
	for _, form := range []struct {
		name    string
		change  func(*Config)
		timeout time.Duration
	}{
		{"none", func(c *Config) { c.HeaderTimeout = 0 }, 0},
		{"naive", func(c *Config) { c.HeaderTimeout = 0 }, naiveTimeout},
		{"gaia", nil, 0},
	} {
		b.Run("form="+form.name, func(b *testing.B) {
			client := &http.Client{Transport: newPool(b, nil, form.change).RoundTripper(RoundTripperOptions{}), Timeout: form.timeout}
			buf := make([]byte, 512)
			b.ReportAllocs()
			for b.Loop() {
				res, err := client.Get(u.String())
				if err != nil {
					b.Fatal(err)
				}
				discard(res.Body, buf)
			}
		})
	}
}

// naiveKey and naiveText are what route.Host and urlText replace.
func naiveKey(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return strings.TrimSuffix(fmt.Sprintf("%s:%s", strings.ToLower(u.Hostname()), port), map[string]string{"http": ":80", "https": ":443"}[u.Scheme])
}

func naiveText(u *url.URL) string {
	return fmt.Sprintf("%s://%s%s?%s", u.Scheme, u.Host, u.EscapedPath(), u.RawQuery)
}

var addressURL = url.URL{Scheme: "http", Host: "127.0.0.1:8080", Path: "/v1/items/12345", RawQuery: "expand=true"}

// BenchmarkAddress makes the words by which a request is known: the key that limits
// count on, and the address that policies see.
func BenchmarkAddress(b *testing.B) {
	u := addressURL
	for _, form := range []struct {
		name      string
		key, text func(*url.URL) string
	}{{"naive", naiveKey, naiveText}, {"gaia", route.Host, urlText}} {
		b.Run("part=key/form="+form.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				form.key(&u)
			}
		})
		b.Run("part=text/form="+form.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				form.text(&u)
			}
		})
	}
}

func TestNaiveAddressSaysTheSame(t *testing.T) {
	for _, text := range []string{"http://127.0.0.1:8080/v1?a=b", "https://Example.com/x%2Fy?q=1", "http://example.com:80/?z", "https://example.com:443/p?x"} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := naiveKey(u), route.Host(u); a != b {
			t.Errorf("%s: key %q, naively %q", text, b, a)
		}
		if a, b := naiveText(u), urlText(u); a != b {
			t.Errorf("%s: text %q, naively %q", text, b, a)
		}
	}
}

// BenchmarkConnections has callers at once: with net/http's default transport, which
// keeps two connections, and with the pool. An operation is one request of any caller.
func BenchmarkConnections(b *testing.B) {
	u := target(b)
	for _, callers := range []int{1, 32, 256} {
		b.Run(fmt.Sprintf("callers=%d/form=naive", callers), func(b *testing.B) {
			transport, ok := http.DefaultTransport.(*http.Transport)
			if !ok {
				b.Fatal("another default transport")
			}
			transport = transport.Clone()
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport}
			together(b, callers, func() (*http.Response, error) { return client.Get(u.String()) })
		})
		b.Run(fmt.Sprintf("callers=%d/form=gaia", callers), func(b *testing.B) {
			p := newPool(b, nil, nil)
			together(b, callers, func() (*http.Response, error) { return p.Do(b.Context(), &Call{URL: u}) })
		})
	}
}

func together(b *testing.B, callers int, ask func() (*http.Response, error)) {
	b.ReportAllocs()
	asked(b, callers, 4*callers, ask) // until the connections that are kept are open
	b.ResetTimer()
	asked(b, callers, b.N, ask)
}

// asked asks n times in all.
func asked(b *testing.B, callers, n int, ask func() (*http.Response, error)) {
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				res, err := ask()
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
		})
	}
	wg.Wait()
}
