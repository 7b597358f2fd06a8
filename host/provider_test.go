package host

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// provider is an upstream that enforces a quota and tells of it in the fields of its
// kind. It is written apart from gaia's limiters: it must not share their faults.
type provider struct {
	dialect string // "x": by the clock; "draft", "openai", "anthropic", or "" for Retry-After alone
	latency time.Duration

	mu       sync.Mutex
	requests counted
	tokens   *counted // nil: they are free
	asked    int      // requests that arrived
	refused  int      // of these, answered 429
	url      string
}

// counted is one quota: windows by the clock, or GCRA where burst is given.
type counted struct {
	quota, burst int
	per          time.Duration
	window       int64
	used         int
	tat          time.Time
	passed       map[int64]int // units by window
}

func (c *counted) emission(n int) time.Duration {
	return time.Duration(float64(n) * float64(c.per) / float64(c.quota))
}

// wait is how long until n units pass, 0 for now.
func (c *counted) wait(now time.Time, n int) time.Duration {
	if c.burst > 0 {
		return max(later(c.tat, now).Add(c.emission(n)).Sub(now)-c.emission(c.burst), 0)
	}
	c.roll(now)
	if c.used+n <= c.quota {
		return 0
	}
	return c.end(now).Sub(now)
}

func (c *counted) roll(now time.Time) {
	if w := now.UnixNano() / int64(c.per); w != c.window {
		c.window, c.used = w, 0
	}
}

func (c *counted) end(now time.Time) time.Time { return now.Truncate(c.per).Add(c.per) }

// take takes n units, which may be fewer than none: what an estimate was too much.
func (c *counted) take(now time.Time, n int) {
	if c.passed == nil {
		c.passed = map[int64]int{}
	}
	c.passed[now.UnixNano()/int64(c.per)] += n
	if c.burst > 0 {
		c.tat = later(c.tat, now).Add(c.emission(n))
		return
	}
	c.roll(now)
	c.used = max(c.used+n, 0)
}

// level is what is left, and until when.
func (c *counted) level(now time.Time) (left int, reset time.Duration) {
	if c.burst > 0 {
		behind := max(c.tat.Sub(now), 0)
		return max(c.burst-int(float64(behind)*float64(c.quota)/float64(c.per)+1), 0), behind
	}
	c.roll(now)
	return max(c.quota-c.used, 0), c.end(now).Sub(now)
}

// most is what callers see as the limit.
func (c *counted) most() int {
	if c.burst > 0 {
		return c.burst
	}
	return c.quota
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// serve starts p.
func (p *provider) serve(t *testing.T) *provider {
	t.Helper()
	s := httptest.NewServer(p)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	p.url = s.URL
	return p
}

// answer is the body that a request asks for.
type asked struct {
	MaxTokens int  `json:"max_tokens"`
	Stream    bool `json:"stream"`
}

// ServeHTTP implements http.Handler. What a request costs is known when it has been
// answered: until then its estimate counts.
func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var in asked
	_ = json.Unmarshal(body, &in)
	estimate := in.MaxTokens + len(body)/4
	ok := p.admit(w.Header(), estimate, r.Header.Get("X-Who") != neighbour)
	select {
	case <-time.After(p.latency/2 + rand.N(p.latency)):
	case <-r.Context().Done():
		return
	}
	if !ok {
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	used := estimate
	if p.tokens != nil {
		used = max(estimate/3+rand.N(max(estimate/2, 1)), 1)
		p.mu.Lock()
		p.tokens.take(time.Now(), used-estimate)
		p.mu.Unlock()
	}
	if in.Stream {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "data: {\"delta\":\"hello\"}\n\ndata: {\"usage\":{\"total_tokens\":%d}}\n\ndata: [DONE]\n\n", used)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"choices":["hello"],"usage":{"total_tokens":%d}}`, used)
}

func (p *provider) admit(h http.Header, estimate int, counts bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if counts {
		p.asked++
	}
	wait := p.requests.wait(now, 1)
	if p.tokens != nil {
		wait = max(wait, p.tokens.wait(now, estimate))
	}
	if wait == 0 {
		p.requests.take(now, 1)
		if p.tokens != nil {
			p.tokens.take(now, estimate)
		}
	} else {
		if counts {
			p.refused++
		}
		h.Set("Retry-After", whole(wait))
	}
	p.tell(h, now)
	return wait == 0
}

// whole is d in seconds, rounded up, as fields say it.
func whole(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

func (p *provider) tell(h http.Header, now time.Time) {
	left, reset := p.requests.level(now)
	limit := strconv.Itoa(p.requests.most())
	switch p.dialect {
	case "x":
		h.Set("X-RateLimit-Limit", limit)
		h.Set("X-RateLimit-Remaining", strconv.Itoa(left))
		h.Set("X-RateLimit-Reset", strconv.FormatInt(now.Add(reset+time.Second-1).Unix(), 10))
	case "draft":
		h.Set("RateLimit", fmt.Sprintf(`"default";r=%d;t=%s`, left, whole(reset)))
		h.Set("RateLimit-Policy", fmt.Sprintf(`"default";q=%s;w=%s`, limit, whole(p.requests.per)))
	case "openai":
		h.Set("X-RateLimit-Limit-Requests", limit)
		h.Set("X-RateLimit-Remaining-Requests", strconv.Itoa(left))
		h.Set("X-RateLimit-Reset-Requests", reset.Round(time.Millisecond).String())
		if p.tokens != nil {
			left, reset = p.tokens.level(now)
			h.Set("X-RateLimit-Limit-Tokens", strconv.Itoa(p.tokens.most()))
			h.Set("X-RateLimit-Remaining-Tokens", strconv.Itoa(left))
			h.Set("X-RateLimit-Reset-Tokens", reset.Round(time.Millisecond).String())
		}
	case "anthropic":
		h.Set("Anthropic-RateLimit-Requests-Limit", limit)
		h.Set("Anthropic-RateLimit-Requests-Remaining", strconv.Itoa(left))
		h.Set("Anthropic-RateLimit-Requests-Reset", now.Add(reset+time.Second-1).UTC().Format(time.RFC3339))
	}
}

// score is what a provider saw of its callers, and these of it.
type score struct {
	asked    int
	per1000  float64 // answered 429 by the provider
	share    float64 // of its quota that was used
	p95      time.Duration
	ok, held int // callers that got an answer, and that gaia denied
}

func (s score) String() string {
	return fmt.Sprintf("%6d requests, %7.2f 429s per 1000, %5.1f %% of the quota, p95 %v; %d callers served, %d told to come back",
		s.asked, s.per1000, 100*s.share, s.p95.Round(time.Millisecond), s.ok, s.held)
}

// seen is the score of the whole windows from one time to another.
func (p *provider) seen(from, to time.Time, c *callers) score {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := &p.requests
	if p.tokens != nil {
		q = p.tokens // the one that binds
	}
	units, windows := 0, 0
	for w := from.UnixNano() / int64(q.per); w < to.UnixNano()/int64(q.per); w++ {
		units += q.passed[w]
		windows++
	}
	s := score{asked: p.asked, share: float64(units) / float64(q.quota*max(windows, 1))}
	if p.asked > 0 {
		s.per1000 = 1000 * float64(p.refused) / float64(p.asked)
	}
	s.ok, s.held, s.p95 = c.result()
	return s
}

// callers offer requests at a rate, whether or not they are answered.
type callers struct {
	client *http.Client
	url    string
	body   func() string
	who    string // "neighbour": not counted

	mu    sync.Mutex
	times []time.Duration
	held  int
}

// neighbour is the caller of a provider who is not looked at.
const neighbour = "neighbour"

// result is how many were answered, how many were told to come back, and the time within
// which 95 of 100 answers came.
func (c *callers) result() (ok, held int, p95 time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.Sort(c.times)
	if n := len(c.times); n > 0 {
		p95 = c.times[n*95/100]
	}
	return len(c.times), c.held, p95
}

// mostUnderWay is how many requests of a caller may be under way.
const mostUnderWay = 800

// offer sends rate requests a second until ctx ends and waits for the last of them.
func (c *callers) offer(ctx context.Context, rate int) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, mostUnderWay)
	began, sent := time.Now(), 0
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for due := int(time.Since(began).Seconds() * float64(rate)); sent < due; sent++ {
			select {
			case slots <- struct{}{}:
				wg.Go(func() { c.one(ctx); <-slots })
			default: // everybody waits already
			}
		}
	}
}

func (c *callers) one(ctx context.Context) {
	began := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, strings.NewReader(c.body()))
	if err != nil {
		return
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Who", c.who)
	res, err := c.client.Do(req)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if res.StatusCode == http.StatusOK {
		c.times = append(c.times, time.Since(began))
	} else {
		c.held++
	}
}
