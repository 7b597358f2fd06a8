package host

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gaia-host/gaia/host/control"
)

// Two keys of one provider, the first of which may do less: what it has left is seen by
// onRoute, shown and changed by gaia limits, and kept over a reload.
func TestAnUpstreamMayHaveLimitsOfItsOwn(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get("X-Account")) }))
	t.Cleanup(up.Close)
	const own = "routes.r.upstreams.a.limits"
	th := run(t, map[string]string{"p.js": `
import { deny } from "gaia";
export function onRoute(req, ups) {
  if (req.header("x-left")) return deny(429, { reason: ups.map(u => u.name + "=" + u.remaining).join(" ") });
}`},
		"routes.r.upstreams.a.url="+up.URL, "routes.r.upstreams.a.headers.x-account=a", "routes.r.upstreams.a.limits.rate=2",
		"routes.r.upstreams.a.limits.per=1h", "routes.r.upstreams.b.url="+up.URL, "routes.r.upstreams.b.headers.x-account=b",
		"limits.api.per_upstream.rate=5", "limits.api.per_upstream.per=1h")
	served := func(n int) map[string]int {
		counts := map[string]int{}
		for range n {
			code, _, body := th.get("/r/x")
			if code != 200 {
				t.Fatal(code, body)
			}
			counts[body]++
		}
		return counts
	}
	if c := served(5); c["a"] != 2 || c["b"] != 3 {
		t.Errorf("served by %v", c)
	}
	if l := limiterIn(t, th.limits(control.LimitsQuery{}), own, "tokenBucket"); len(l.Keys) != 1 || l.Keys[0].Remaining != 0 || l.Keys[0].Limit != 2 {
		t.Errorf("%+v", l)
	}
	if _, _, body := th.get("/r/x", "X-Left", "1"); !strings.Contains(body, "a=0 b=1") {
		t.Errorf("onRoute saw %s", body)
	}
	if _, err := th.SetLimit(control.LimitChange{Limiter: own, Params: map[string]any{"burst": 4.0}}); err != nil {
		t.Fatal(err)
	}
	if c := served(4); c["a"] != 2 || c["b"] != 2 {
		t.Errorf("with two more served by %v", c)
	}
	if x, body := th.explain("api/request", map[string]any{"url": up.URL}); len(x.Limits) != 1 || x.Limits[0].Name != "limits.api.per_upstream" {
		t.Errorf("without a route: %s", body)
	}
}
