package host

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gaia-host/gaia/subsystems/api"
)

// Callers of the work API reach public addresses only, at each redirect again; the
// operator's routes go where he said.
func TestCallersDoNotChoosePrivateAddresses(t *testing.T) {
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the inner server was reached") }))
	t.Cleanup(inner.Close)
	_, port, _ := strings.Cut(strings.TrimPrefix(inner.URL, "http://"), ":")
	outer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.2:"+port+"/", http.StatusFound)
	}))
	t.Cleanup(outer.Close)
	th := run(t, nil, "routes.up.url="+outer.URL, "network.allow_ranges=[127.0.0.1]")
	for _, target := range []string{"http://127.0.0.2:" + port, "http://[::1]:" + port} {
		u, _ := url.Parse(target)
		res, err := th.API().Do(t.Context(), &api.Call{Profile: workProfile, URL: u})
		if err == nil {
			_ = res.Body.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "not public") {
			t.Errorf("%s: %v", target, err)
		}
	}
	u, _ := url.Parse(outer.URL)
	client := &http.Client{Transport: th.API().RoundTripper(api.RoundTripperOptions{Profile: workProfile})}
	if res, err := client.Get(u.String()); err == nil || !strings.Contains(err.Error(), "not public") {
		t.Errorf("a redirect led to a private address: %v %v", res, err)
	}
	if s := th.API().Stats(); s.Retried != 0 {
		t.Errorf("a refused target was tried %d times more", s.Retried)
	}
	res, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Get("http://" + th.Addr() + "/up/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusFound {
		t.Errorf("a route passes redirects on: %d", res.StatusCode)
	}
}

// The forward proxy is guarded where its listener is not loopback.
func TestForwardProfile(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:8080": "", "localhost:0": "", "[::1]:80": "", "127.8.8.8:1": "",
		"0.0.0.0:8080": workProfile, ":8080": workProfile, "[::]:80": workProfile, "192.0.2.1:80": workProfile, "example.com:80": workProfile,
	} {
		if got := forwardProfile(listen); got != want {
			t.Errorf("%s: %q, want %q", listen, got, want)
		}
	}
}

func TestBandwidthAndGuardChangeWithTheConfiguration(t *testing.T) {
	up := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(up.Close)
	th := run(t, nil, "routes.up.url="+up.URL)
	get := func() int {
		res, err := th.client.Get("http://" + th.Addr() + "/up/")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode
	}
	cfg := *th.Config()
	cfg.Network.DenyPrivate, cfg.Network.Bandwidth.Global.Down = true, 1<<20
	if err := th.applyConfig(&cfg); err != nil {
		t.Fatal(err)
	}
	if b := th.Network().Bandwidth(); b.Global.Down != 1<<20 {
		t.Errorf("%+v", b)
	}
	if code := get(); code != http.StatusForbidden {
		t.Errorf("deny_private: %d", code)
	}
	cfg.Network.DenyPrivate = false
	if err := th.applyConfig(&cfg); err != nil {
		t.Fatal(err)
	}
	if code := get(); code != http.StatusNotFound {
		t.Errorf("allowed again: %d", code)
	}
}
