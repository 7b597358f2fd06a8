package host

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gaia-host/gaia/internal/testkit"
	"github.com/gaia-host/gaia/subsystems/network"
)

// networkGuarantees are the guarantees 23 to 25.
func networkGuarantees() []guarantee {
	return []guarantee{
		{23, "bandwidth-is-reserved-so-that-callers-at-once-share-it", guaranteeBandwidth},
		{24, "connections-are-bounded-counted-and-their-hosts-forgotten", guaranteeConnections},
		{25, "names-live-by-their-TTL-and-are-asked-for-once", guaranteeNames},
	}
}

// guaranteeBandwidth: 50 downloads at once of 20 kB each at 1 MB/s take a second
// together, and the rate changes while they run.
func guaranteeBandwidth(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(bytes.Repeat([]byte("x"), 20_000))
	}))
	t.Cleanup(up.Close)
	th := run(t, nil, "routes.up.url="+up.URL, "network.bandwidth.global.down=1MB")
	fetch := func() time.Duration {
		began := time.Now()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				res, err := th.client.Get("http://" + th.Addr() + "/up/")
				if err != nil {
					t.Error(err)
					return
				}
				defer res.Body.Close()
				if n, err := io.Copy(io.Discard, res.Body); n != 20_000 || err != nil {
					t.Errorf("%d bytes: %v", n, err)
				}
			})
		}
		wg.Wait()
		return time.Since(began)
	}
	if took := fetch(); took < 900*time.Millisecond {
		t.Errorf("1 MB at 1 MB/s took %v", took)
	}
	if s := th.Network().Stats(); s.Throttled == 0 || s.BytesReceived < 1_000_000 {
		t.Errorf("%d waits, %d bytes", s.Throttled, s.BytesReceived)
	}
	if err := th.Network().SetBandwidth(network.Bandwidth{Global: network.Rate{Down: 4_000_000}}); err != nil {
		t.Fatal(err)
	}
	if took := fetch(); took < 200*time.Millisecond {
		t.Errorf("1 MB at 4 MB/s took %v", took)
	}
}

// guaranteeConnections: the bound that is set holds, what is open is counted, and
// nothing is left of a host that nobody uses.
func guaranteeConnections(t *testing.T) {
	const bound = 5
	var open, most atomic.Int64
	var all sync.Once
	full := make(chan struct{}) // closed once as many as may are here
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := open.Add(1) // one request a connection, which ends after this returns
		defer open.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if n == bound {
			all.Do(func() { close(full) })
		}
		select {
		case <-full:
		case <-r.Context().Done():
		}
		w.Header().Set("Connection", "close")
		fmt.Fprintln(w, "hello")
	}))
	t.Cleanup(up.Close)
	th := run(t, nil, "routes.up.url="+up.URL, "network.max_conns_per_host=5")
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			res, err := th.client.Get("http://" + th.Addr() + "/up/")
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
				t.Errorf("%d: %v", res.StatusCode, err)
			}
		})
	}
	wg.Wait()
	if n := most.Load(); n != bound {
		t.Errorf("%d connections at once, the bound is %d", n, bound)
	}
	s := th.Network().Stats()
	if s.ConnectionsOpened < 40 || s.ConnectionWaits == 0 {
		t.Errorf("%d connections, %d waits", s.ConnectionsOpened, s.ConnectionWaits)
	}
	th.waitFor("every connection is closed", func() bool { return th.Network().Stats().Connections == 0 })
	for i := range 10_000 {
		if _, err := th.Network().Guarded().DialContext(t.Context(), "tcp", fmt.Sprintf("127.1.%d.%d:80", i>>8, i&255)); err == nil {
			t.Fatal("a private address was dialled")
		}
	}
	if s := th.Network().Stats(); s.Hosts > 5000 || s.Keys > 8192 {
		t.Errorf("%d hosts and %d keys are kept", s.Hosts, s.Keys)
	}
}

// waitFor waits until a condition holds.
func (th *testHost) waitFor(what string, holds func() bool) {
	th.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			th.t.Fatalf("it never came to be that %s", what)
		}
		select {
		case <-th.t.Context().Done():
		case <-time.After(time.Millisecond):
		}
	}
}

// guaranteeNames: with a real name server, a name is asked for once however many
// want it, lives for the 2 s of its records, and requests of the gateway use it.
func guaranteeNames(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host) }))
	t.Cleanup(up.Close)
	_, port, _ := net.SplitHostPort(up.Listener.Addr().String())
	server := startUnbound(t, "up.test. 2 IN A 127.0.0.1", "up.test. 2 IN AAAA ::1")
	th := run(t, nil, "routes.up.url=http://up.test:"+port, "network.dns.servers=["+server+"]")
	th.waitFor("the name server answers", func() bool {
		_, err := th.Network().Resolve(t.Context(), "up.test")
		return err == nil
	})
	expire := func() {
		th.waitFor("the answer's end", func() bool {
			for _, e := range th.Network().Cached(10) {
				if e.Name == "up.test" && e.TTL > 0 {
					return false
				}
			}
			return true
		})
	}
	expire()
	before := th.Network().Stats()
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			if a, err := th.Network().Resolve(t.Context(), "up.test"); err != nil || a.Len() != 2 {
				t.Errorf("%d addresses: %v", a.Len(), err)
			}
		})
	}
	wg.Wait()
	after := th.Network().Stats()
	if asked := after.DNSQueries - before.DNSQueries; asked > 4 { // an answer lives 2 s on a machine that may be slow
		t.Errorf("1000 callers asked %d times", asked)
	}
	res, err := th.client.Get("http://" + th.Addr() + "/up/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK || string(b) != "up.test:"+port {
		t.Errorf("%d %q", res.StatusCode, b)
	}
	if s := th.Network().Stats(); s.DNSHits+s.DNSMisses <= after.DNSHits+after.DNSMisses {
		t.Error("the gateway resolves past the cache")
	}
	if _, err := th.Network().Resolve(t.Context(), "gone.test"); err == nil || !strings.Contains(err.Error(), "no such host") {
		t.Error(err)
	}
}

// startUnbound runs a real name server on loopback for the zone test, with the
// records given, and returns its address.
func startUnbound(t *testing.T, records ...string) string {
	t.Helper()
	program := testkit.Program(t, "unbound")
	for range 5 { // another program may take the port between its choice and its use
		if addr, ok := tryUnbound(t, program, records); ok {
			return addr
		}
	}
	t.Fatal("unbound does not start")
	return ""
}

// tryUnbound starts unbound on a port that is free now, and reports whether it answers.
func tryUnbound(t *testing.T, program string, records []string) (addr string, ok bool) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = l.Addr().String()
	_ = l.Close()
	_, port, _ := net.SplitHostPort(addr)
	dir := t.TempDir()
	conf := fmt.Sprintf("server:\n interface: 127.0.0.1@%s\n do-daemonize: no\n username: \"\"\n chroot: \"\"\n pidfile: \"\"\n use-syslog: no\n directory: %q\n local-zone: \"test.\" static\n", port, dir)
	for _, r := range append(records, "test. 60 IN SOA ns.test. host.test. 1 2 3 4 5") {
		conf += fmt.Sprintf(" local-data: %q\n", r)
	}
	conf += "remote-control:\n control-enable: no\n"
	file := filepath.Join(dir, "unbound.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	ended := testkit.StartServer(t, exec.Command(program, "-d", "-c", file), syscall.SIGKILL)
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}}
	for range 600 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := r.LookupHost(ctx, "up.test.")
		cancel()
		if err == nil {
			return addr, true
		}
		select {
		case <-ended:
			return "", false
		case <-time.After(50 * time.Millisecond):
		}
	}
	return "", false
}
