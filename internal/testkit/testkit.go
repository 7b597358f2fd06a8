// Package testkit is what the tests of several packages share: real programs that are
// found, started and ended, waiting until something holds, and small parts on the
// loopback. Only tests import it, and it imports nothing of the module. What stands for
// one part of gaia alone is a package beside that part: gatewaytest, registrytest.
package testkit

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"
)

// Patience is more than anything takes that a test waits for, on a machine under load.
const Patience = 30 * time.Second

// Until waits until holds does, and fails the test where it does not within Patience. It
// is called from the test's own goroutine; what completes "it never came to be that".
func Until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for pause := time.Millisecond; !holds(); pause = min(2*pause, 20*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came to be that %s", what)
		}
		time.Sleep(pause)
	}
}

// Missing says that something which a test needs is not on this machine: the test is
// skipped by name, and fails in CI, where everything is.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// FreeAddr is an address on the loopback whose port nobody listens on now.
func FreeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Serve serves h until the test ends, and returns the address.
func Serve(t testing.TB, h http.HandlerFunc) *url.URL {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return URL(t, s.URL)
}

// Connections serves connections with f, one goroutine each, which closes them; n counts
// them from 1. The test ends when the last of them has. It returns the address.
func Connections(t testing.TB, f func(c net.Conn, n int)) *url.URL {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 1; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				f(c, n)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return URL(t, "http://"+l.Addr().String())
}

// URL parses an address that is known to be good.
func URL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
