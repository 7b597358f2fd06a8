package work

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
	"github.com/gaia-host/gaia/subsystems/network"
)

// NetworkConfig is what the actions of the network subsystem need. The zero
// NetworkConfig declares them.
type NetworkConfig struct {
	Coordinator *network.Coordinator
}

const (
	schemaResolve = "gaia.network.resolve/v1"
	schemaConnect = "gaia.network.connect/v1"
	schemaLimits  = "gaia.network.limits/v1"
	schemaCache   = "gaia.network.cache/v1"
	maxCacheList  = 10_000
)

// Network declares what can be asked of the network subsystem.
func Network(c NetworkConfig) Subsystem {
	return Subsystem{
		Name: policy.SubsystemNetwork, Doc: "names, connections and bandwidth",
		Actions: []Action{
			JSON("resolve", "the addresses of a name, from the cache or the name servers", c.resolve).Asking(),
			JSON("connect", "open a connection, close it, and tell what each step took", c.connect).Asking(),
			JSON("limits", "show the bandwidth in bytes a second, or set some of it until the next reload", c.limits),
			JSON("cache", "show the names that are cached, or forget them", c.cache),
		},
		Explain: explainNetwork,
	}
}

// RefusedTarget says why a target was refused, "" where err is something else.
func RefusedTarget(err error) string {
	if errors.Is(err, network.ErrPrivate) {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		return err.Error()
	}
	return ""
}

func explainNetwork(err error) *Error {
	if why := RefusedTarget(err); why != "" {
		return &Error{Code: CodeRefused, Title: "the target is refused", Detail: why, Hint: "allow it with network.allow_ranges", Err: err}
	}
	var name *net.DNSError
	var addr *net.AddrError
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return &Error{Code: CodeNotFound, Detail: err.Error(), Err: err}
	case errors.As(err, &addr):
		return BadInput("address", "%v", err)
	case errors.Is(err, network.ErrBusy):
		return &Error{Code: CodeFailed, Status: http.StatusTooManyRequests, Detail: err.Error(), Hint: "raise network.max_conns_per_host or network.queue_max", Err: err}
	}
	return nil
}

// caller is who asks; the Outcome is filled in when it was answered.
func (c *Call) caller(ctx context.Context) (context.Context, *admission.Outcome) {
	o := &admission.Outcome{}
	return network.WithCaller(ctx, &network.Caller{Tenant: c.Tenant, Priority: c.Priority, HasPriority: c.HasPriority, Cost: c.Cost, Outcome: o}), o
}

type resolveInput struct {
	Host string `json:"host" arg:"yes" need:"yes" doc:"the name"`
}

type resolveAnswer struct {
	Schema    string   `json:"schema"`
	Host      string   `json:"host"`
	Addresses []string `json:"addresses"`
	Source    string   `json:"source"`
	TTLMS     int64    `json:"ttl_ms"`
	Cached    bool     `json:"cached"`
	Stale     bool     `json:"stale"`
	TookMS    float64  `json:"took_ms"`
}

func (c NetworkConfig) resolve(ctx context.Context, call *Call, in *resolveInput) (*resolveAnswer, error) {
	began := time.Now()
	ctx, how := call.caller(ctx)
	a, err := c.Coordinator.Resolve(ctx, in.Host)
	call.Held(how)
	if err != nil {
		return nil, err
	}
	return &resolveAnswer{Schema: schemaResolve, Host: in.Host, Addresses: textsOf(a), Source: a.Source,
		TTLMS: a.TTL.Milliseconds(), Cached: a.Cached, Stale: a.Stale, TookMS: milliseconds(time.Since(began))}, nil
}

func textsOf(a network.Answer) []string {
	texts := make([]string, 0, a.Len())
	for ip := range a.All() {
		texts = append(texts, ip.String())
	}
	return texts
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

type connectInput struct {
	Address string `json:"address" arg:"yes" need:"yes" doc:"HOST:PORT; 443 unless told"`
	Family  string `json:"family" one:"any ipv4 ipv6" doc:"of addresses"`
}

type connectAnswer struct {
	Schema    string   `json:"schema"`
	Address   string   `json:"address"`
	Reached   string   `json:"reached"`
	Addresses []string `json:"addresses"`
	Cached    bool     `json:"cached"`
	HeldMS    float64  `json:"held_ms"`
	QueuedMS  float64  `json:"queued_ms"`
	ResolveMS float64  `json:"resolve_ms"`
	ConnectMS float64  `json:"connect_ms"`
}

func (c NetworkConfig) connect(ctx context.Context, call *Call, in *connectInput) (*connectAnswer, error) {
	addr := in.Address
	if _, _, err := net.SplitHostPort(addr); err != nil {
		addr = net.JoinHostPort(strings.Trim(addr, "[]"), "443")
	}
	family := map[string]string{"": "tcp", "any": "tcp", "ipv4": "tcp4", "ipv6": "tcp6"}[in.Family]
	ctx, how := call.caller(ctx)
	t, err := c.Coordinator.Check(ctx, family, addr, true)
	call.Held(how)
	if err != nil {
		return nil, err
	}
	return &connectAnswer{Schema: schemaConnect, Address: addr, Reached: t.Address.String(), Addresses: textsOf(t.Answer), Cached: t.Answer.Cached,
		HeldMS: milliseconds(t.Held), QueuedMS: milliseconds(t.Queued), ResolveMS: milliseconds(t.Resolve), ConnectMS: milliseconds(t.Connect)}, nil
}

// limitsInput sets what is given; 0 is no bound.
type limitsInput struct {
	Up       *Size `json:"up" doc:"bytes a second, written by all connections together; 0 no bound"`
	Down     *Size `json:"down" doc:"the same for bytes read"`
	HostUp   *Size `json:"host_up" doc:"by those to one host"`
	HostDown *Size `json:"host_down" doc:"the same for bytes read"`
	ConnUp   *Size `json:"conn_up" doc:"by each connection"`
	ConnDown *Size `json:"conn_down" doc:"the same for bytes read"`
}

type limitsAnswer struct {
	Schema      string `json:"schema"`
	Up          int64  `json:"up"`
	Down        int64  `json:"down"`
	HostUp      int64  `json:"host_up"`
	HostDown    int64  `json:"host_down"`
	ConnUp      int64  `json:"conn_up"`
	ConnDown    int64  `json:"conn_down"`
	Connections int    `json:"connections"`
	Queued      int    `json:"queued"`
}

func (c NetworkConfig) limits(_ context.Context, _ *Call, in *limitsInput) (*limitsAnswer, error) {
	b, set := c.Coordinator.Bandwidth(), false
	for _, f := range []struct {
		name string
		want *Size
		have *int64
	}{
		{"up", in.Up, &b.Global.Up}, {"down", in.Down, &b.Global.Down},
		{"host_up", in.HostUp, &b.PerHost.Up}, {"host_down", in.HostDown, &b.PerHost.Down},
		{"conn_up", in.ConnUp, &b.PerConn.Up}, {"conn_down", in.ConnDown, &b.PerConn.Down},
	} {
		if f.want == nil {
			continue
		}
		if *f.want < 0 {
			return nil, BadInput(f.name, "must not be negative")
		}
		*f.have, set = int64(*f.want), true
	}
	if set {
		if err := c.Coordinator.SetBandwidth(b); err != nil {
			return nil, fmt.Errorf("set the bandwidth: %w", err)
		}
	}
	s := c.Coordinator.Stats()
	return &limitsAnswer{Schema: schemaLimits, Up: b.Global.Up, Down: b.Global.Down, HostUp: b.PerHost.Up, HostDown: b.PerHost.Down,
		ConnUp: b.PerConn.Up, ConnDown: b.PerConn.Down, Connections: s.Connections, Queued: s.ConnectionsQueued}, nil
}

type cacheInput struct {
	Flush bool `json:"flush" doc:"forget every name"`
	Max   int  `json:"max" doc:"how many names to list, 100 unless told, those used last first"`
}

type cacheAnswer struct {
	Schema  string       `json:"schema"`
	Entries int          `json:"entries"`
	Flushed int          `json:"flushed"`
	Hits    uint64       `json:"hits"`
	Misses  uint64       `json:"misses"`
	Names   []cachedName `json:"names"`
}

type cachedName struct {
	Name      string   `json:"name"`
	Addresses []string `json:"addresses,omitempty"`
	Error     string   `json:"error,omitempty"`
	Source    string   `json:"source"`
	TTLMS     int64    `json:"ttl_ms"` // below 0: it would be stale
}

func (c NetworkConfig) cache(_ context.Context, _ *Call, in *cacheInput) (*cacheAnswer, error) {
	limit := 100
	if in.Max > 0 {
		limit = min(in.Max, maxCacheList)
	}
	a := &cacheAnswer{Schema: schemaCache, Names: []cachedName{}}
	if in.Flush {
		a.Flushed = c.Coordinator.FlushCache()
	}
	for _, e := range c.Coordinator.Cached(limit) {
		n := cachedName{Name: e.Name, Error: e.Error, Source: e.Source, TTLMS: e.TTL.Milliseconds()}
		for _, ip := range e.Addrs {
			n.Addresses = append(n.Addresses, ip.String())
		}
		a.Names = append(a.Names, n)
	}
	s := c.Coordinator.Stats()
	a.Entries, a.Hits, a.Misses = s.DNSEntries, s.DNSHits, s.DNSMisses
	return a, nil
}
