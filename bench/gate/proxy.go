package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/gaia-host/gaia/bench/internal/peer"
	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/route"
	"github.com/gaia-host/gaia/host/gateway"
	"github.com/gaia-host/gaia/subsystems/api"
)

// serveProxy is a proxy under test: args are its kind and the addresses of the two
// upstreams. Kinds are bare, and gaia with no policy or with one in Go, JavaScript or
// Wasm.
func serveProxy(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 3 {
		return fmt.Errorf("want KIND UPSTREAM UPSTREAM, got %q", args)
	}
	kind, upstreams := args[0], args[1:]
	if kind == "bare" {
		return serveBare(upstreams[0], in, out)
	}
	return serveGaia(kind, upstreams, in, out)
}

// serveBare is what the gateway is held against: httputil.ReverseProxy with what makes it
// fast, and the prefix taken off as the route does.
func serveBare(upstream string, in io.Reader, out io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := peer.Server(peer.ReverseProxy(upstream, "/t"))
	go func() { _ = s.Serve(l) }() // ends with the process
	fmt.Fprintln(out, l.Addr())
	_, err = io.Copy(io.Discard, in)
	return errors.Join(err, s.Close())
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
	_, err = io.Copy(io.Discard, in)
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
	case "js":
		p, err = readJS(ctx, s, "tenants")
		engine = p
	case "wasm":
		p, engine, err = openWasm(ctx, s.of("tenants"), "tenants")
	default:
		err = fmt.Errorf("no kind %q", kind)
	}
	if err != nil {
		return nil, err
	}
	return engine, install(slot, s, p)
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
	names := [...]string{"a", "b"}
	d.Action = policy.ActionRoute
	d.Upstream = names[natives.Pick(r.Tenant, len(names), func(i int) string { return names[i] })]
	return nil
}
