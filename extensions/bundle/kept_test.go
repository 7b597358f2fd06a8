package bundle

import (
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/gaia-host/gaia/extensions/bundle/remote"
)

// What a policy was opened from stays in a full cache until the policy is closed.
func TestOpenPolicyKeepsItsFile(t *testing.T) {
	var asked atomic.Int64
	code := func(path string) string { return "export function onRequest() {} // " + path }
	site := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		_, _ = w.Write([]byte(code(r.URL.Path)))
	}))
	defer site.Close()
	roots := x509.NewCertPool()
	roots.AddCert(site.Certificate())
	c := testConfig(t)
	c.Remote = remote.New(remote.Config{Dir: t.TempDir(), RootCAs: roots, MaxCache: 1})
	open := func(name string) *Policy {
		p, err := Open(t.Context(), "", site.URL+name+"#"+remote.Digest([]byte(code(name))), Settings{}, c)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	fetches := func(name string) int64 {
		before := asked.Load()
		if err := open(name).Close(); err != nil {
			t.Fatal(err)
		}
		return asked.Load() - before
	}
	running := open("/a.js")
	if fetches("/b.js") != 1 || fetches("/c.js") != 1 || fetches("/b.js") != 1 {
		t.Error("the cache holds more than it may")
	}
	if fetches("/a.js") != 0 {
		t.Error("what runs was dropped")
	}
	if err := running.Close(); err != nil {
		t.Fatal(err)
	}
	if fetches("/c.js") != 1 || fetches("/a.js") != 1 {
		t.Error("what runs no more is kept beyond the bound")
	}
}
