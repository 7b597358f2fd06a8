package host

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/internal/testkit"
)

// Probes take an upstream out and bring it back without any traffic, carry its secret
// fields, are no work, and leave no verdict behind when the route is probed no more.
func TestProbesDecideWithoutTraffic(t *testing.T) {
	var ill, asked, strange atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.URL.String() != "/base/healthz?deep=1" || r.Header.Get("Authorization") != "Bearer x" || r.Header.Get("User-Agent") != "gaia-health" {
			strange.Add(1)
		}
		if ill.Load() == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer srv.Close()
	common := []string{`routes.up.upstreams={a: {url: "` + srv.URL + `/base", headers: {authorization: "Bearer x"}}, b: {url: "` + plainUpstream(t) + `"}}`,
		"listen=127.0.0.1:0", `control=""`, "watch=false"}
	set := append([]string{`routes.up.health={path: "/healthz?deep=1", interval: 50ms, rise: 2, fall: 3}`}, common...)
	th := runFiles(t, nil, set...)
	await := func(want string) {
		t.Helper()
		for began := time.Now(); ; <-time.After(2 * time.Millisecond) {
			got := th.Status().Routes[0].Upstreams[0]
			if got.Health == want {
				return
			}
			if time.Since(began) > 20*time.Second {
				t.Fatalf("after 20 s: %+v, want %s", got, want)
			}
		}
	}
	testkit.Until(t, "it was asked three times", func() bool { return asked.Load() >= 3 })
	await("healthy")
	ill.Store(1)
	await("down")
	for range 6 {
		if code, _, body := th.get("/up/x"); code != http.StatusOK || body != "up" {
			t.Errorf("%d %q from the one that is down", code, body)
		}
	}
	if n := th.API().Stats().Requests; n != 6 {
		t.Errorf("%d requests are counted, 6 were made", n)
	}
	ill.Store(0)
	await("healthy")
	ill.Store(1)
	await("down")
	cfg, err := config.Load(config.Options{Set: common})
	if err != nil {
		t.Fatal(err)
	}
	if err := th.applyConfig(cfg); err != nil {
		t.Fatal(err)
	}
	await("healthy")
	if strange.Load() > 0 {
		t.Error("a probe was not as configured")
	}
	if !strings.Contains(th.log.String(), "an upstream is down") || !strings.Contains(th.log.String(), "an upstream is up again") {
		t.Error("the log does not say so")
	}
}
