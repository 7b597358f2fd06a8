package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/policy/hooktest"
	"github.com/gaia-host/gaia/internal/testkit"
)

// askedFor are the scalars that reader asks for.
var askedFor = []string{"max_tokens", "usage.total_tokens"}

// reader is a policy that reads bodies of requests to /v1/*.
type reader struct {
	mu   sync.Mutex
	seen []string
}

func (r *reader) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, fmt.Sprintf(format, args...))
}

func (r *reader) all() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.seen, " ")
}

func (r *reader) pool(t *testing.T) *Pool {
	value := func(v string, ok bool) string { return fmt.Sprint(v, ok) }
	p := &hooktest.Policy{
		Request: func(q *policy.Request, _ *policy.Decision) { r.note("ask:%s", value(q.BodyValue("max_tokens"))) },
		Response: func(_ *policy.Request, s *policy.Response, _ *policy.Decision) {
			r.note("head:%s", value(s.BodyValue("usage.total_tokens")))
		},
		Done: func(_ *policy.Request, s *policy.Response) {
			r.note("done:%s", value(s.BodyValue("usage.total_tokens")))
		},
	}
	match, err := policy.ParseMatch(map[string]any{"path": "/v1/*"})
	if err != nil {
		t.Fatal(err)
	}
	slot := &policy.Slot{}
	slot.Swap(policy.NewGeneration(1, policy.NewChain(policy.NewMember(p, policy.MemberConfig{Match: match, Body: askedFor}))))
	return newPool(t, nil, func(c *Config) { c.Slot = slot })
}

// post sends body and returns what came to the upstream and what came back.
func (r *reader) post(t *testing.T, answer http.HandlerFunc, path, contentType string, body io.Reader, size int64) (arrived *http.Request, sent, got string) {
	t.Helper()
	up := testkit.Serve(t, func(w http.ResponseWriter, q *http.Request) {
		b, _ := io.ReadAll(q.Body)
		arrived, sent = q, string(b)
		answer(w, q)
	})
	up.Path = path
	_, got = text(t, r.pool(t), &Call{URL: up, Method: http.MethodPost, Body: body, ContentLength: size,
		Header: http.Header{"Content-Type": {contentType}, "Accept-Encoding": {"gzip"}}})
	return arrived, sent, got
}

func TestPoliciesReadScalarsOfBodies(t *testing.T) {
	usage := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"choices":[%q],"usage":{"total_tokens":321}}`, strings.Repeat("x", 200_000))
	}
	t.Run("JSON", func(t *testing.T) {
		r := &reader{}
		body := `{"max_tokens":500,"messages":"` + strings.Repeat("y", 300_000) + `"}`
		q, sent, got := r.post(t, usage, "/v1/chat", "application/json", strings.NewReader(body), int64(len(body)))
		if sent != body || q.ContentLength != int64(len(body)) || !strings.HasSuffix(got, `321}}`) {
			t.Errorf("the bodies changed: %d bytes sent, %d arrived", len(body), len(sent))
		}
		if e := q.Header.Get("Accept-Encoding"); e != "identity" {
			t.Errorf("Accept-Encoding %q", e)
		}
		if want := "ask:500true head:false done:321true"; r.all() != want {
			t.Errorf("got %s, want %s", r.all(), want)
		}
	})
	t.Run("events", func(t *testing.T) {
		r := &reader{}
		_, sent, _ := r.post(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, "data: {\"usage\":null}\n\ndata: {\"usage\":{\"total_tokens\":9}}\n\ndata: [DONE]\n\n")
		}, "/v1/chat", "application/json", struct{ io.Reader }{strings.NewReader(`{"max_tokens":7}`)}, -1)
		if want := "ask:7true head:false done:9true"; r.all() != want || sent != `{"max_tokens":7}` {
			t.Errorf("got %s, want %s; sent %q", r.all(), want, sent)
		}
	})
	t.Run("nobody asks", func(t *testing.T) {
		r := &reader{}
		q, _, _ := r.post(t, usage, "/other", "application/json", strings.NewReader(`{"max_tokens":7}`), -1)
		if e := q.Header.Get("Accept-Encoding"); e != "gzip" || r.all() != "" {
			t.Errorf("Accept-Encoding %q, seen %q", e, r.all())
		}
	})
	t.Run("other content", func(t *testing.T) {
		r := &reader{}
		_, sent, _ := r.post(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"usage":{"total_tokens":9}}`) },
			"/v1/x", "text/plain", strings.NewReader(`{"max_tokens":7}`), 16)
		if want := "ask:false head:false done:false"; r.all() != want || sent == "" {
			t.Errorf("got %s, want %s", r.all(), want)
		}
	})
}

// A retried attempt sends the same body, and tells nothing of the dropped answer's.
func TestScalarsOfARetriedCall(t *testing.T) {
	r, n := &reader{}, 0
	_, _, got := r.post(t, func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if n++; n == 1 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
			io.WriteString(w, `{"usage":{"total_tokens":1}}`)
			return
		}
		io.WriteString(w, `{"usage":{"total_tokens":2}}`)
	}, "/v1/x", "application/json", strings.NewReader(`{"max_tokens":7}`), -1)
	if want := "ask:7true head:false done:false ask:7true head:false done:2true"; r.all() != want || n != 2 {
		t.Errorf("got %s, want %s (%d attempts, %q)", r.all(), want, n, got)
	}
}

// A caller that sends only half of its body holds nobody: it leaves at its deadline.
func TestAnUnfinishedBodyEndsWithItsCaller(t *testing.T) {
	r := &reader{}
	pool := r.pool(t)
	body, feed := io.Pipe()
	defer feed.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	u := testkit.Serve(t, func(http.ResponseWriter, *http.Request) { t.Error("it was sent") })
	u.Path = "/v1/x"
	_, err := pool.Do(ctx, &Call{URL: u, Method: http.MethodPost, Body: body, ContentLength: -1, Header: http.Header{"Content-Type": {"application/json"}}})
	if err == nil || r.all() != "" {
		t.Errorf("error %v, seen %q", err, r.all())
	}
	if s := pool.Stats(); s.InFlight != 0 {
		t.Errorf("in flight: %d", s.InFlight)
	}
}
