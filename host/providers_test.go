package host

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gaia-host/gaia/host/config"
)

// The quota of the tests: 6000 requests a minute, of which three times as many come.
const (
	providerRate = 100 // a second
	offeredRate  = 3 * providerRate
)

// busy is when what is under way says nothing about the policies: hundreds of requests
// are, because nobody gets to answer them.
const busy = time.Second

// against is one provider with the policy that is to keep its quota.
type against struct {
	name       string
	dialect    string
	burst      int // GCRA
	tokens     int // a second; 0: only requests are counted
	use        string
	params     []string
	neighbours int
	ci         bool    // it runs outside of the acceptance too
	most       float64 // 429s per 1000 in the minute of the acceptance
	least      float64 // share of the quota there
}

// scenarios: where the provider says what remains and until when, and nobody else spends
// of it, under 1 in 1000 and at least 97 of 100; where it says only Retry-After, under 1
// in 100 and at least 90; with neighbours, under 5 in 100.
func scenarios() []against {
	rpm := fmt.Sprintf("rpm=%d", 60*providerRate)
	return []against{
		{name: "windows, X-RateLimit", dialect: "x", use: "retry-after", ci: true, most: 1, least: 0.97},
		{name: "windows, RateLimit", dialect: "draft", use: "retry-after", most: 1, least: 0.97},
		{name: "windows, Anthropic-RateLimit", dialect: "anthropic", use: "anthropic", params: []string{rpm}, most: 1, least: 0.97},
		{name: "GCRA, X-RateLimit-Requests", dialect: "openai", burst: 10 * providerRate, use: "openai", params: []string{rpm}, most: 1, least: 0.97},
		{name: "GCRA, requests and tokens", dialect: "openai", burst: 10 * providerRate, tokens: 100 * providerRate / 2, use: "openai",
			params: []string{rpm, fmt.Sprintf("tpm=%d", 60*100*providerRate/2)}, ci: true, most: 1, least: 0.97},
		{name: "windows, Retry-After alone", use: "openai", params: []string{rpm}, ci: true, most: 10, least: 0.9},
		{name: "GCRA, Retry-After alone", burst: 10 * providerRate, use: "openai", params: []string{rpm}, most: 10, least: 0.9},
		{name: "windows, X-RateLimit, two neighbours", dialect: "x", use: "retry-after", neighbours: 2, most: 50},
	}
}

// Callers without a policy beside callers behind gaia, each with a provider of their own.
func TestProviders(t *testing.T) {
	if slowdown > 1 {
		t.Skip("the race detector is too slow for this rate; the hooks run under it elsewhere")
	}
	for _, a := range scenarios() {
		if !acceptance() && !a.ci {
			continue
		}
		t.Run(a.name, func(t *testing.T) {
			window, took := 2*time.Second, 10*time.Second
			if acceptance() {
				window, took = 20*time.Second, time.Minute
			}
			bare, behind := a.run(t, window, took)
			t.Logf("\n  without gaia  %v\n  behind gaia   %v", bare, behind)
			if bare.per1000 < 100 {
				t.Errorf("without gaia only %.2f of 1000 were refused: the provider is not loaded", bare.per1000)
			}
			most, least := a.most, a.least
			if !acceptance() { // windows of a few requests, and a machine that may be busy
				most, least = bare.per1000/2, 0.4
			}
			if kept := behind.per1000 < most && behind.share >= least; acceptance() && !kept && bare.p95 > busy {
				t.Skipf("the machine is too busy to judge: answers that take 30 ms took %v without gaia", bare.p95)
			}
			if behind.per1000 >= most {
				t.Errorf("%.2f of 1000 were answered 429, want fewer than %v", behind.per1000, most)
			}
			if behind.share < least {
				t.Errorf("%.1f %% of the quota were used, want at least %.0f %%", 100*behind.share, 100*least)
			}
		})
	}
}

func (a *against) provider(t *testing.T, window time.Duration) *provider {
	t.Helper()
	seconds := int(window / time.Second)
	p := &provider{dialect: a.dialect, latency: 20 * time.Millisecond, requests: counted{quota: providerRate * seconds, per: window, burst: a.burst}}
	if a.tokens > 0 {
		p.tokens = &counted{quota: a.tokens * seconds, per: window, burst: 10 * a.tokens}
	}
	return p.serve(t)
}

func (a *against) body() string {
	return fmt.Sprintf(`{"max_tokens":%d,"stream":%t}`, 50+rand.N(200), rand.N(2) == 0)
}

// run offers the load for took, from the beginning of a window on.
func (a *against) run(t *testing.T, window, took time.Duration) (bare, behind score) {
	t.Helper()
	alone, shared := a.provider(t, window), a.provider(t, window)
	set := []string{"routes.up.url=" + shared.url, "policies." + a.use + ".budget=30s", "policies." + a.use + ".params.maxWait=2s"}
	if a.use != "retry-after" {
		set[0] = "routes." + a.use + ".url=" + shared.url
	}
	for _, p := range a.params {
		set = append(set, "policies."+a.use+".params."+p)
	}
	th := runFiles(t, []string{"std/" + a.use}, set...)
	route := "/up/"
	if a.use != "retry-after" {
		route = "/" + a.use + "/"
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: mostUnderWay}}
	t.Cleanup(client.CloseIdleConnections)
	without := &callers{client: client, url: alone.url + "/v1/x", body: a.body}
	with := &callers{client: client, url: "http://" + th.Addr() + route + "v1/x", body: a.body}
	all, rates := []*callers{without, with}, []int{offeredRate, offeredRate}
	for range a.neighbours {
		for _, p := range []*provider{alone, shared} {
			all, rates = append(all, &callers{client: client, url: p.url + "/v1/x", body: a.body, who: neighbour}), append(rates, providerRate/2)
		}
	}
	from := time.Now().Truncate(window).Add(window)
	<-time.After(time.Until(from))
	ctx, cancel := context.WithTimeout(t.Context(), took)
	defer cancel()
	var wg sync.WaitGroup
	for i, c := range all {
		wg.Go(func() { c.offer(ctx, rates[i]) })
	}
	wg.Wait()
	return alone.seen(from, from.Add(took), without), shared.seen(from, from.Add(took), with)
}

// One of two keys of a provider is spent: whatever the provider says about it, all requests
// are answered with the other one, and no caller meets a 429.
func TestASpentKeyIsLeftForTheOther(t *testing.T) {
	const callers, each, spent = 8, 15, 5
	for _, dialect := range []string{"openai", "retry-after", "silent"} {
		t.Run(dialect, func(t *testing.T) {
			keys := map[string]*provider{}
			for key, quota := range map[string]int{"Bearer a": spent, "Bearer b": 10 * callers * each} {
				keys[key] = &provider{dialect: dialect, latency: time.Millisecond, requests: counted{quota: quota, per: 1000 * time.Hour}}
			}
			up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if dialect == "silent" {
					w = mute{w}
				}
				keys[r.Header.Get("Authorization")].ServeHTTP(w, r)
			}))
			t.Cleanup(up.Close)
			th := runConfig(t, twoKeys(t, up.URL), nil)
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for range each {
						if code, _, body, err := th.try("/openai/v1/models"); code != http.StatusOK {
							t.Error(code, body, err)
						}
					}
				})
			}
			wg.Wait()
			a, b := keys["Bearer a"], keys["Bearer b"]
			if a.asked < spent/2 || a.refused > 2*callers || a.asked-a.refused+b.asked != callers*each || b.refused > 0 {
				t.Errorf("the spent key was asked %d times and refused %d, the other %d; %d requests", a.asked, a.refused, b.asked, callers*each)
			}
		})
	}
}

// twoKeys is a configuration with two keys of the provider at url, from the environment.
func twoKeys(t *testing.T, url string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "gaia.yaml")
	save(t, file, fmt.Sprintf(`
listen: 127.0.0.1:0
control: ""
socket: %[1]s/g.sock
routes:
  openai:
    upstreams:
      a: { url: %[2]q, headers: { authorization: "Bearer ${env:KEY_A}" } }
      b: { url: %[2]q, headers: { authorization: "Bearer ${env:KEY_B}" } }
policies:
  openai: { use: std/openai, budget: 30s }
`, dir, url))
	cfg, err := config.Load(config.Options{File: file, Env: []string{"KEY_A=a", "KEY_B=b"}})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// mute sends no field that speaks of limits.
type mute struct{ http.ResponseWriter }

func (m mute) WriteHeader(code int) {
	for name := range m.Header() {
		if name != "Content-Type" {
			m.Header().Del(name)
		}
	}
	m.ResponseWriter.WriteHeader(code)
}

// Two keys of a provider are two upstreams: each has its own limits, a request goes to the
// key that is free, and where none is, the caller is told when to come back.
func TestKeysOfAProvider(t *testing.T) {
	var mu sync.Mutex
	calls := map[string]int{}
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		calls[r.Header.Get("Authorization")]++
		fmt.Fprint(w, "{}")
	}))
	t.Cleanup(up.Close)
	upstreams := fmt.Sprintf(`routes.openai.upstreams={a: {url: %q, headers: {authorization: "Bearer a"}}, b: {url: %q, headers: {authorization: "Bearer b"}}}`, up.URL, up.URL)
	th := runFiles(t, []string{"std/openai"}, upstreams, "policies.openai.params.rpm=2", "policies.openai.params.maxWait=0s", "policies.openai.budget=30s")
	for i, want := range []int{200, 200, 429} {
		code, h, body := th.get("/openai/v1/models")
		if code != want || code == 429 && h.Get("Retry-After") == "" {
			t.Errorf("call %d: %d, want %d: %v %s", i, code, want, h, body)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if calls["Bearer a"] != 1 || calls["Bearer b"] != 1 {
		t.Errorf("calls by key: %v", calls)
	}
}
