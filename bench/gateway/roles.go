package main

import (
	"fmt"
	"hash/crc32"
	"net/http"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/time/rate"

	"github.com/gaia-host/gaia/bench/internal/peer"
)

// roleArg is the hidden first argument with which the program runs itself again as one of
// the proxies in Go.
const roleArg = "role"

// play serves until it is ended: args are the system, the case, where to listen and two
// upstreams.
func play(args []string) error {
	if len(args) != 5 {
		return fmt.Errorf("want SYSTEM CASE LISTEN UPSTREAM UPSTREAM, got %q", args)
	}
	var k kase
	for _, c := range cases() {
		if c.name == args[1] {
			k = c
		}
	}
	p := nativePolicy(k)
	if args[0] == "fasthttp" {
		return serveFast(p, args[2], args[3:])
	}
	return serveNet(p, args[2], args[3:])
}

// native is the policy written in Go, as one would without gaia: a limiter of
// golang.org/x/time/rate for each tenant.
type native struct {
	kase   kase
	every  rate.Limit
	burst  int
	bucket sync.Map // tenant to *rate.Limiter
}

func nativePolicy(k kase) *native {
	n := &native{kase: k, every: 1e6, burst: 1e6}
	if k.deny {
		n.every, n.burst = rate.Every(time.Hour), 1
	}
	return n
}

// decide chooses one of two upstreams, or denies.
func (n *native) decide(tenant string) (way int, ok bool) {
	if n.kase.name != "proxy" {
		l, there := n.bucket.Load(tenant)
		if !there {
			l, _ = n.bucket.LoadOrStore(string([]byte(tenant)), rate.NewLimiter(n.every, n.burst))
		}
		if !l.(*rate.Limiter).Allow() {
			return 0, false
		}
	}
	if n.kase.route {
		way = int(crc32.ChecksumIEEE([]byte(tenant)) % 2)
	}
	return way, true
}

// serveNet is httputil.ReverseProxy with what makes it fast.
func serveNet(n *native, listen string, upstreams []string) error {
	var proxies []http.Handler
	for _, addr := range upstreams {
		proxies = append(proxies, peer.ReverseProxy(addr, ""))
	}
	s := peer.Server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		way, ok := n.decide(r.Header.Get("Gaia-Tenant"))
		if !ok {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		proxies[way].ServeHTTP(w, r)
	}))
	s.Addr = listen
	return s.ListenAndServe()
}

// serveFast is a proxy of fasthttp as its examples have it. It is a limit of what Go can
// do, not a product: no streams, no cancellation, no upgrade, no HTTP/2.
func serveFast(n *native, listen string, upstreams []string) error {
	var clients []*fasthttp.HostClient
	for _, addr := range upstreams {
		clients = append(clients, &fasthttp.HostClient{Addr: addr, MaxConns: 1024, DisablePathNormalizing: true, NoDefaultUserAgentHeader: true})
	}
	s := &fasthttp.Server{NoDefaultServerHeader: true, Handler: func(c *fasthttp.RequestCtx) {
		way, ok := n.decide(string(c.Request.Header.Peek("Gaia-Tenant")))
		if !ok {
			c.Response.Header.Set("Retry-After", "1")
			c.SetStatusCode(http.StatusTooManyRequests)
			return
		}
		c.Request.Header.Del("Connection")
		if err := clients[way].Do(&c.Request, &c.Response); err != nil {
			c.Error(err.Error(), http.StatusBadGateway)
			return
		}
		c.Response.Header.Del("Connection")
	}}
	return s.ListenAndServe(listen)
}
