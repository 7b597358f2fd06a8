package route

import (
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
)

func mustURL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func group(t testing.TB, prev *Group, ups ...Upstream) *Group {
	t.Helper()
	for i := range ups {
		if ups[i].URL == nil {
			ups[i].URL = mustURL(t, "http://"+ups[i].Name+".example")
		}
	}
	g, err := NewGroup(ups, prev)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func picks(g *Group, n int, skip ...int) string {
	var b strings.Builder
	q := Query{}
	for _, i := range skip {
		q.Skip.Add(i)
	}
	for range n {
		i, ok := g.Pick(&q)
		if !ok {
			b.WriteByte('-')
			continue
		}
		b.WriteString(g.Upstream(i).Name)
	}
	return b.String()
}

func TestSmoothWeightedRoundRobin(t *testing.T) {
	// The example of nginx's own commit message.
	g := group(t, nil, Upstream{Name: "a", Weight: 5}, Upstream{Name: "b", Weight: 1}, Upstream{Name: "c", Weight: 1})
	if got, want := picks(g, 14), "aabacaaaabacaa"; got != want {
		t.Errorf("picks %s, want %s", got, want)
	}
}

func TestPickExcludes(t *testing.T) {
	g := group(t, nil, Upstream{Name: "a", Weight: 3}, Upstream{Name: "b", Weight: 1}, Upstream{Name: "z"})
	if got := picks(g, 4, 0); got != "bbbb" {
		t.Errorf("without a: %s", got)
	}
	if got := picks(g, 1, 0, 1); got != "-" {
		t.Errorf("weight 0 was picked: %s", got)
	}
	if i, ok := g.ByName("z"); !ok || g.Upstream(i).Name != "z" {
		t.Error("weight 0 is not found by name")
	}
	if _, ok := g.ByName("nobody"); ok {
		t.Error("an unknown name was found")
	}
}

func TestPreviewChangesNothing(t *testing.T) {
	g := group(t, nil, Upstream{Name: "a", Weight: 1}, Upstream{Name: "b", Weight: 1})
	for range 3 {
		if i, _ := g.Preview(&Query{}); i != 0 {
			t.Fatalf("preview said %d", i)
		}
	}
	if got := picks(g, 4); got != "abab" {
		t.Errorf("picks after previews: %s", got)
	}
}

func TestNewGroupRefuses(t *testing.T) {
	u := mustURL(t, "http://x")
	for name, ups := range map[string][]Upstream{
		"empty":    nil,
		"no name":  {{URL: u}},
		"no url":   {{Name: "a"}},
		"no host":  {{Name: "a", URL: mustURL(t, "/path")}},
		"negative": {{Name: "a", URL: u, Weight: -1}},
		"heavy":    {{Name: "a", URL: u, Weight: MaxWeight + 1}},
		"tier":     {{Name: "a", URL: u, Tier: -1}},
		"twice":    {{Name: "a", URL: u}, {Name: "a", URL: u}},
		"many":     make([]Upstream, MaxUpstreams+1),
	} {
		if _, err := NewGroup(ups, nil); !errors.Is(err, ErrGroup) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHost(t *testing.T) {
	for in, want := range map[string]string{
		"http://A.Example:80/x": "a.example", "https://a:443": "a", "http://a:443": "a:443", "https://[::1]:8443": "[::1]:8443",
	} {
		if got := Host(mustURL(t, in)); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestLiveNumbersSurviveAReload(t *testing.T) {
	old := group(t, nil, Upstream{Name: "a", Weight: 1}, Upstream{Name: "b", Weight: 1})
	now := int64(1e18)
	for range sickAfter {
		old.Begin(0)
		old.End(0, now, 40*time.Millisecond, true)
	}
	old.Begin(0)
	old.Begin(1)
	next := group(t, old, Upstream{Name: "b", Weight: 1, URL: mustURL(t, "http://elsewhere")}, Upstream{Name: "a", Weight: 9})
	view := next.View(nil, now)
	b, a := view[0], view[1]
	if a.Healthy || a.ErrorRate != 1 || a.InFlight != 1 || a.P50 < 40*time.Millisecond || a.P50 > 60*time.Millisecond {
		t.Errorf("a after the reload: %+v", a)
	}
	if !b.Healthy || b.ErrorRate != 0 || b.InFlight != 0 {
		t.Errorf("b moved to another URL and kept its numbers: %+v", b)
	}
	old.Abandon(0)
	if next.InFlight(1) != 0 {
		t.Error("an attempt of the old group did not end in the new one")
	}
	view = next.View(view[:0], now+3*halfWindow)
	if view[1].ErrorRate != 0 || view[1].P95 != 0 {
		t.Errorf("the window does not forget: %+v", view[1])
	}
}

func TestQuantiles(t *testing.T) {
	g := group(t, nil, Upstream{Name: "a", Weight: 1})
	now := int64(1e18)
	for i := 1; i <= 100; i++ {
		g.Begin(0)
		g.End(0, now, time.Duration(i)*time.Millisecond, i > 90)
	}
	u := g.View(nil, now)[0]
	if u.P50 < 50*time.Millisecond || u.P50 > 75*time.Millisecond || u.P95 < 95*time.Millisecond || u.P95 > 143*time.Millisecond {
		t.Errorf("p50 %v p95 %v", u.P50, u.P95)
	}
	if u.ErrorRate != 0.1 {
		t.Errorf("error rate %v", u.ErrorRate)
	}
	for _, d := range []time.Duration{-1, 0, 1, 1 << 62} {
		if b := bucketOf(d); b < 0 || b >= 2*octaves {
			t.Errorf("bucket of %d is %d", d, b)
		}
	}
}

func TestHammer(t *testing.T) {
	g := group(t, nil, Upstream{Name: "a", Weight: 2}, Upstream{Name: "b", Weight: 1})
	var counts [2]int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for p := range 8 {
		wg.Go(func() {
			var mine [2]int
			var view []policy.Upstream
			for n := range 600 {
				i, _ := g.Pick(&Query{})
				mine[i]++
				g.Begin(i)
				view = g.View(view[:0], int64(n))
				g.End(i, int64(n*p), time.Duration(n), n%7 == 0)
			}
			mu.Lock()
			counts[0] += mine[0]
			counts[1] += mine[1]
			mu.Unlock()
		})
	}
	wg.Wait()
	if counts != [2]int{3200, 1600} {
		t.Errorf("shares %v of weights 2 and 1", counts)
	}
	if g.InFlight(0) != 0 || g.InFlight(1) != 0 {
		t.Error("attempts are still in flight")
	}
}

func TestAllocations(t *testing.T) {
	g := group(t, nil, Upstream{Name: "a", Weight: 2}, Upstream{Name: "b", Weight: 1})
	view := make([]policy.Upstream, 0, 2)
	now := int64(1e18)
	if n := testing.AllocsPerRun(500, func() {
		now += 1e6
		q := Query{Now: now}
		q.Skip.Add(5)
		i, _ := g.Pick(&q)
		g.Begin(i)
		view = g.View(view[:0], now)
		g.End(i, now, time.Millisecond, false)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
