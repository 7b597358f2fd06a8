package network

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/policy/hooktest"
	"github.com/gaia-host/gaia/internal/testkit"
)

// startProxy makes a coordinator with a proxy on loopback, and a client that uses it.
func startProxy(t *testing.T, change func(*Config)) (*Coordinator, *http.Client) {
	t.Helper()
	n := newCoordinator(t, func(c *Config) {
		c.ProxyListen = "127.0.0.1:0"
		if change != nil {
			change(c)
		}
	})
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{
		Proxy:           http.ProxyURL(&url.URL{Scheme: "http", Host: n.ProxyAddr()}),
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return n, &http.Client{Transport: transport}
}

func get(t *testing.T, c *http.Client, url string) (int, string, http.Header) {
	t.Helper()
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b), res.Header
}

func TestProxyCarriesRequestsAndTunnels(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %q", r.Host, r.URL.Path, r.Header.Get("Proxy-Connection"))
	})
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	n, client := startProxy(t, nil)
	for _, server := range []*httptest.Server{plain, secure} {
		if code, body, _ := get(t, client, server.URL+"/x"); code != 200 || body != server.Listener.Addr().String()+` /x ""` {
			t.Errorf("%d %s", code, body)
		}
	}
	if s := n.Stats(); s.ConnectionsOpened != 2 || s.BytesReceived == 0 || s.ProxyTunnels != 1 {
		t.Errorf("%d connections, %d bytes, %d tunnels", s.ConnectionsOpened, s.BytesReceived, s.ProxyTunnels)
	}
	for _, target := range []string{"/", "http://" + n.ProxyAddr() + "/", "http://localhost:" + strings.Split(n.ProxyAddr(), ":")[1] + "/"} {
		c, err := net.Dial("tcp", n.ProxyAddr())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", target)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int{true: 400, false: 508}[target == "/"]; res.StatusCode != want {
			t.Errorf("%s: %d", target, res.StatusCode)
		}
		_, _ = res.Body.Close(), c.Close()
	}
	if code, body, _ := get(t, client, "http://127.0.0.1:1/"); code != http.StatusBadGateway || !strings.Contains(body, "refused") {
		t.Errorf("a dead target: %d %s", code, body)
	}
}

func TestProxyObeysGuardAndPolicies(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	p := &goPolicy{}
	slot := hooktest.Slot(1, p)
	n, client := startProxy(t, func(c *Config) { c.Slot = slot })
	if code, _, _ := get(t, client, server.URL); code != http.StatusNotFound {
		t.Error(code)
	}
	if asked, _ := p.take(); asked != "network connect "+server.Listener.Addr().String()+" " {
		t.Error(asked)
	}
	client.CloseIdleConnections()
	n.proxy.forward.Transport.(*http.Transport).CloseIdleConnections()
	p.onRequest = func(_ *policy.Request, d *policy.Decision) {
		d.Action, d.RetryAfter = policy.ActionDeny, 1500*time.Millisecond
	}
	if code, _, head := get(t, client, server.URL); code != http.StatusTooManyRequests || head.Get("Retry-After") != "2" {
		t.Errorf("%d, retry after %q", code, head.Get("Retry-After"))
	}
	p.onRequest = nil
	n.proxy.guarded = true // as on an address that is not loopback
	if code, body, _ := get(t, client, server.URL); code != http.StatusForbidden {
		t.Errorf("%d %s", code, body)
	}
}

func TestAProxyThatEndedIsNoticed(t *testing.T) {
	n, _ := startProxy(t, nil)
	if f := n.Failing(); f != nil {
		t.Error(f)
	}
	_ = n.proxy.ln.Close()
	testkit.Until(t, "it is noticed", func() bool { return len(n.Failing()) == 1 })
}

func TestStopEndsTunnels(t *testing.T) {
	addr := echo(t, "127.0.0.1:0")
	n, _ := startProxy(t, nil)
	c, err := net.Dial("tcp", n.ProxyAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\nearly", addr, addr)
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(r, got); err != nil || string(got) != "early" {
		t.Errorf("what was sent with the CONNECT came back as %q: %v", got, err)
	}
	ctx, cancel := contextOver()
	defer cancel()
	if err := n.Stop(ctx); err == nil {
		t.Error("the tunnel was not cut")
	}
	if _, err := r.ReadByte(); err == nil {
		t.Error("the tunnel is open")
	}
}
