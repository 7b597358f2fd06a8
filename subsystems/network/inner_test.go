package network

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"testing"
)

func TestGuardedProxyReachesOnlyWhatIsPublicOrAllowed(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("in")) }))
	defer site.Close()
	n, err := New(DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	addr, err := n.GuardedProxy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := n.GuardedProxy(t.Context()); again != addr || err != nil {
		t.Errorf("the second is %s: %v", again, err)
	}
	transport := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: addr})}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	for _, allowed := range []bool{false, true} {
		c := DefaultConfig()
		if allowed {
			c.AllowRanges = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		}
		if err := n.SetConfig(c); err != nil {
			t.Fatal(err)
		}
		res, err := client.Get(site.URL)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if (res.StatusCode == http.StatusOK) != allowed {
			t.Errorf("allowed %v: %s", allowed, res.Status)
		}
	}
	transport.CloseIdleConnections()
	if err := n.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	if _, err := n.GuardedProxy(t.Context()); err == nil {
		t.Error("it is served after the stop")
	}
}
