package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"time"

	"github.com/gaia-host/gaia/bench/internal/peer"
	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/route"
	"github.com/gaia-host/gaia/host/gateway"
	"github.com/gaia-host/gaia/subsystems/api"
)

// denyKind begins the kinds of proxy that deny every request.
const denyKind = "deny-"

// serveProxy is a proxy under test: args are its kind and the addresses of the two
// upstreams. Kinds are bare, bare-native and deny-bare of net/http, and gaia with no
// policy or with one in Go, JavaScript or Wasm. For each line that it reads it writes
// how often it has allocated.
func serveProxy(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 3 {
		return fmt.Errorf("want KIND UPSTREAM UPSTREAM, got %q", args)
	}
	kind, upstreams := args[0], args[1:]
	if strings.HasSuffix(kind, "bare") || kind == "bare-native" {
		return serveBare(kind, upstreams, in, out)
	}
	return serveGaia(kind, upstreams, in, out)
}

// untilClosed tells the allocations so far for each line, until in ends.
func untilClosed(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Fprintln(out, m.Mallocs)
	}
	return lines.Err()
}

// serveBare is what the gateway is held against: httputil.ReverseProxy with what makes it
// fast, and the prefix taken off as the route does; bare-native asks the native policy
// first, and deny-bare denies natively.
func serveBare(kind string, upstreams []string, in io.Reader, out io.Writer) error {
	native, err := newTenants()
	if err != nil {
		return err
	}
	var h http.Handler
	if kind == "bare" {
		h = peer.ReverseProxy(upstreams[0], "/t")
	} else {
		h = native.limited(kind, peer.ReverseProxy(upstreams[0], "/t"), peer.ReverseProxy(upstreams[1], "/t"))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := peer.Server(h)
	go func() { _ = s.Serve(l) }() // ends with the process
	fmt.Fprintln(out, l.Addr())
	return errors.Join(untilClosed(in, out), s.Close())
}

const tenantField = "Gaia-Tenant"

// limited asks for a token of the tenant's before it sends to the tenant's upstream;
// deny-bare asks for more than there can be.
func (t *tenants) limited(kind string, upstreams ...http.Handler) http.Handler {
	cost := int64(1)
	if kind == "deny-bare" {
		cost = 2e6
	}
	wall := time.Now()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := wall.UnixNano() + int64(time.Since(wall))
		tenant := r.Header.Get(tenantField)
		if t.perTenant.Take(now, tenant, cost, 0).OK {
			delete(r.Header, tenantField)
			upstreams[pickOf(tenant)].ServeHTTP(w, r)
			return
		}
		h := w.Header()
		h["Content-Type"], h["Retry-After"] = []string{"application/json"}, []string{"1"}
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, `{"title":"denied","status":429}`)
	})
}

// serveGaia is the gateway over the client pool, wired as the host wires them.
func serveGaia(kind string, upstreams []string, in io.Reader, out io.Writer) (err error) {
	ctx := context.Background()
	wall := time.Now()
	clock := func() int64 { return wall.UnixNano() + int64(time.Since(wall)) }
	var slot policy.Slot
	policies, err := putInForce(ctx, kind, &slot)
	if err != nil {
		return err
	}
	defer func() { err = closed(err, policies) }()
	c := api.DefaultConfig()
	c.Slot, c.Clock = &slot, clock
	pool, err := api.New(c)
	if err != nil {
		return err
	}
	var ups []route.Upstream
	for i, addr := range upstreams {
		ups = append(ups, route.Upstream{Name: string(rune('a' + i)), URL: &url.URL{Scheme: "http", Host: addr}, Weight: 1})
	}
	if kind == "plain" {
		ups = ups[:1]
	}
	group, err := route.NewGroup(ups, nil)
	if err != nil {
		return err
	}
	s, err := gateway.New(gateway.Config{Listen: "127.0.0.1:0", Pool: pool, Clock: clock, ForwardProxy: true, ReadHeaderTimeout: time.Minute,
		Routes: []gateway.Route{{Name: "t", PathPrefix: "/t/", StripPrefix: true, Group: group}}})
	if err != nil {
		return err
	}
	if err := s.Start(ctx); err != nil {
		return err
	}
	fmt.Fprintln(out, s.Addr())
	err = untilClosed(in, out)
	stopping, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return errors.Join(err, s.Stop(stopping), pool.Stop(stopping))
}

// putInForce opens the policy of a kind and makes it the generation in force.
func putInForce(ctx context.Context, kind string, slot *policy.Slot) (io.Closer, error) {
	s := newScopes()
	var p policy.Policy
	var engine io.Closer = closer(func() error { return nil })
	var err error
	switch kind {
	case "plain":
		return engine, nil
	case "native":
		p, err = newTenants()
	case "js", denyKind + "js":
		p, err = readJS(ctx, s, sourceOf(kind))
		engine = p
	case "wasm", denyKind + "wasm":
		p, engine, err = openWasm(ctx, s.of(sourceOf(kind)), sourceOf(kind))
	default:
		err = fmt.Errorf("no kind %q", kind)
	}
	if err != nil {
		return nil, err
	}
	return engine, install(slot, s, p)
}

// sourceOf is the policy of a kind.
func sourceOf(kind string) string {
	if strings.HasPrefix(kind, denyKind) {
		return "denied"
	}
	return "tenants"
}

// readJS opens a policy of the policies folder.
func readJS(ctx context.Context, s scopes, name string) (policy.Policy, error) {
	code, err := policies.ReadFile("policies/" + name + ".js")
	if err != nil {
		return nil, fmt.Errorf("read the policy: %w", err)
	}
	return openJS(ctx, s.of(name), name, string(code))
}

func install(slot *policy.Slot, s scopes, p policy.Policy) error {
	match, err := policy.ParseMatch(map[string]any{"subsystem": "api"})
	if err != nil {
		return err
	}
	slot.Swap(policy.NewGeneration(1, policy.NewChain(policy.NewMember(p, policy.MemberConfig{Match: match}))))
	return s.inForce()
}

// tenants is the policy of tenants.js and tenants.c written in Go.
type tenants struct {
	policy.Base
	perTenant limit.Limiter
}

func newTenants() (*tenants, error) {
	l, err := limit.New(limit.TokenBucket, limit.Params{Rate: 1e6, Burst: 1e6})
	return &tenants{perTenant: l}, err
}

func (*tenants) Name() string { return "tenants" }

// OnRequest takes from the tenant's bucket, notes it so that it can be given back, and
// chooses the tenant's upstream.
func (t *tenants) OnRequest(r *policy.Request, d *policy.Decision) error {
	res := t.perTenant.Take(r.Now, r.Tenant, r.Cost, 0)
	e := policy.Entry{Limiter: "tenants/per-tenant", Policy: "tenants", Key: r.Tenant, Cost: r.Cost, Taken: r.Now,
		OK: res.OK, Wait: res.Wait, Limit: res.Limit, Remaining: res.Remaining, Reset: res.Reset}
	if res.OK {
		e.From = t.perTenant
	}
	r.Ledger.Add(e)
	if !res.OK {
		d.Action, d.Status, d.RetryAfter = policy.ActionDeny, http.StatusTooManyRequests, time.Second
		return nil
	}
	d.Action = policy.ActionRoute
	d.Upstream = names[pickOf(r.Tenant)]
	return nil
}

// names are those of the two upstreams.
var names = [...]string{"a", "b"}

// pickOf is a tenant's upstream.
func pickOf(tenant string) int {
	return natives.Pick(tenant, len(names), func(i int) string { return names[i] })
}
