package js

import (
	"fmt"
	"strings"
	"time"

	"github.com/dop251/goja"

	"github.com/gaia-host/gaia/extensions/policy"
)

// Bounds of the strings that a guest keeps as values of its own.
const (
	maxInterned     = 1024
	maxInternedText = 256 // bytes
)

// interner turns texts of the host into values of one runtime. Values over 16 bytes
// are scanned when they are first used, so they must not be shared between runtimes. It
// copies what it keeps: the memory of a request's texts belongs to the asker.
type interner struct {
	rt     *goja.Runtime
	values map[string]goja.Value
}

func newInterner(rt *goja.Runtime) *interner {
	return &interner{rt: rt, values: make(map[string]goja.Value)}
}

func (in *interner) value(s string) goja.Value {
	if v, ok := in.values[s]; ok {
		return v
	}
	s = strings.Clone(s)
	v := in.rt.ToValue(s)
	if len(s) <= maxInternedText {
		if len(in.values) >= maxInterned {
			clear(in.values)
		}
		in.values[s] = v
	}
	return v
}

// or returns undefined for the empty text.
func (in *interner) or(s string) goja.Value {
	if s == "" {
		return goja.Undefined()
	}
	return in.value(s)
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (g *guest) number(f float64) goja.Value { return g.rt.ToValue(f) }

// duration is in milliseconds, undefined for 0.
func (g *guest) duration(d time.Duration) goja.Value {
	if d == 0 {
		return goja.Undefined()
	}
	return g.number(millis(d))
}

// unknown turns the -1 of the contract into undefined.
func (g *guest) unknown(n int64) goja.Value {
	if n < 0 {
		return goja.Undefined()
	}
	return g.rt.ToValue(n)
}

// readOnly is what all views have in common: names that can be read and nothing else.
type readOnly struct {
	g     *guest
	what  string // as the documentation calls it
	names []string
}

func (v *readOnly) Set(key string, _ goja.Value) bool {
	panic(v.g.rt.NewTypeError(fmt.Sprintf("%s.%s cannot be set: %s is read-only; return a decision instead", v.what, key, v.what)))
}

func (v *readOnly) Delete(key string) bool {
	panic(v.g.rt.NewTypeError(fmt.Sprintf("%s.%s cannot be deleted: %s is read-only", v.what, key, v.what)))
}

func (v *readOnly) Has(key string) bool {
	for _, n := range v.names {
		if n == key {
			return true
		}
	}
	return false
}

func (v *readOnly) Keys() []string { return v.names }

// over refuses a view that was kept beyond its hook.
func (v *readOnly) over(key string) {
	if v.Has(key) {
		panic(v.g.rt.NewTypeError(fmt.Sprintf("%s.%s: the hook that %s belongs to is over; copy the values you keep", v.what, key, v.what)))
	}
}

// requestView shows the request of the hook that runs. There is one for each guest.
type requestView struct {
	readOnly
	stats *goja.Object
}

func (v *requestView) Get(key string) goja.Value {
	g := v.g
	r := g.call.Request()
	if r == nil {
		v.over(key)
		return nil
	}
	switch key {
	case "key":
		return g.texts.value(r.Key)
	case "method":
		return g.texts.value(r.Method)
	case "path":
		return g.long.value(r.Path)
	case "host":
		return g.texts.value(r.Host)
	case "url":
		return g.long.value(r.URL)
	case "tenant":
		return g.texts.value(r.Tenant)
	case "subsystem":
		return g.texts.value(r.Subsystem)
	case "action":
		return g.texts.value(r.Action)
	case "priority":
		return g.rt.ToValue(r.Priority)
	case "attempt":
		return g.rt.ToValue(r.Attempt)
	case "cost":
		return g.rt.ToValue(r.Cost)
	case "size":
		return g.unknown(r.Size)
	case "now":
		return g.number(float64(r.Now) / 1e6)
	case "deadline":
		if r.Deadline == 0 {
			return goja.Undefined()
		}
		return g.number(float64(r.Deadline) / 1e6)
	case "stats":
		return v.stats
	}
	return nil
}

// statsView shows the numbers of the request's subsystem and key.
type statsView struct{ readOnly }

func (v *statsView) Get(key string) goja.Value {
	r := v.g.call.Request()
	if r == nil {
		v.over(key)
		return nil
	}
	switch key {
	case "inFlight":
		return v.g.rt.ToValue(r.Stats.InFlight)
	case "queued":
		return v.g.rt.ToValue(r.Stats.Queued)
	case "rate":
		return v.g.number(r.Stats.Rate)
	case "errorRate":
		return v.g.number(r.Stats.ErrorRate)
	case "p50":
		return v.g.number(millis(r.Stats.P50))
	case "p95":
		return v.g.number(millis(r.Stats.P95))
	}
	return nil
}

// responseView shows how the attempt ended.
type responseView struct{ readOnly }

func (v *responseView) Get(key string) goja.Value {
	g := v.g
	r := g.call.Response()
	if r == nil {
		v.over(key)
		return nil
	}
	switch key {
	case "status":
		return g.rt.ToValue(r.Status)
	case "error":
		return g.texts.or(r.Error)
	case "duration":
		return g.number(millis(r.Duration))
	case "bytes":
		return g.unknown(r.Bytes)
	case "retryAfter":
		return g.duration(r.RetryAfter)
	case "upstream":
		return g.texts.or(r.Upstream)
	}
	return nil
}

// upstreamsView is the list that the route hook gets.
type upstreamsView struct {
	g     *guest
	items []*goja.Object
}

func (v *upstreamsView) Len() int { return len(v.g.upstreams) }

func (v *upstreamsView) Get(i int) goja.Value {
	if i < 0 || i >= len(v.g.upstreams) {
		return nil
	}
	for len(v.items) <= i {
		one := &upstreamView{readOnly: readOnly{g: v.g, what: "upstream", names: upstreamNames}, i: len(v.items)}
		v.items = append(v.items, v.g.rt.NewDynamicObject(one))
	}
	return v.items[i]
}

func (v *upstreamsView) Set(int, goja.Value) bool {
	panic(v.g.rt.NewTypeError("upstreams is read-only: make a copy with [...upstreams]"))
}

func (v *upstreamsView) SetLen(int) bool { return v.Set(0, nil) }

type upstreamView struct {
	readOnly
	i int
}

// The names of what views show; these tables are never changed.
var (
	requestNames = []string{"subsystem", "action", "key", "method", "url", "host", "path", "tenant", "priority", "attempt", "cost",
		"size", "now", "deadline", "stats"}
	statsNames    = []string{"inFlight", "queued", "rate", "errorRate", "p50", "p95"}
	responseNames = []string{"status", "error", "duration", "bytes", "retryAfter", "upstream"}
	upstreamNames = []string{"name", "host", "weight", "healthy", "inFlight", "errorRate", "p50", "p95", "remaining"}
)

func (v *upstreamView) Get(key string) goja.Value {
	g := v.g
	if v.i >= len(g.upstreams) {
		v.over(key)
		return nil
	}
	u := &g.upstreams[v.i]
	switch key {
	case "name":
		return g.texts.value(u.Name)
	case "host":
		return g.texts.value(u.Host)
	case "weight":
		return g.rt.ToValue(u.Weight)
	case "healthy":
		return g.rt.ToValue(u.Healthy)
	case "inFlight":
		return g.rt.ToValue(u.InFlight)
	case "errorRate":
		return g.number(u.ErrorRate)
	case "p50":
		return g.number(millis(u.P50))
	case "p95":
		return g.number(millis(u.P95))
	case "remaining":
		return g.unknown(u.Remaining)
	}
	return nil
}

// tickView is what the tick hook gets: the time, and the numbers of each subsystem.
type tickView struct{ readOnly }

func (v *tickView) Get(key string) goja.Value {
	t := v.g.call.Tick()
	if t == nil {
		v.over(key)
		return nil
	}
	if key == "now" {
		return v.g.number(float64(t.Now) / 1e6)
	}
	if !v.Has(key) || t.Metrics == nil {
		return nil
	}
	numbers := t.Metrics(key)
	if len(numbers) == 0 {
		return nil
	}
	return v.g.numbers(numbers)
}

// envView is the environment of a policy that is no local file: a variable that is
// read and not granted is noted.
type envView struct{ readOnly }

func (v *envView) Get(key string) goja.Value {
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return !(r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_') }) && !v.Has(key) {
		return nil // toJSON and the like
	}
	if text, ok := v.g.call.Scope().Env(key); ok {
		return v.g.long.value(text)
	}
	return nil
}

// makeViews builds the views of a guest, once.
func (g *guest) makeViews() {
	stats := &statsView{readOnly{g: g, what: "req.stats", names: statsNames}}
	req := &requestView{readOnly: readOnly{g: g, what: "req", names: requestNames}, stats: g.rt.NewDynamicObject(stats)}
	res := &responseView{readOnly{g: g, what: "res", names: responseNames}}
	tick := &tickView{readOnly{g: g, what: "tick", names: append([]string{"now"}, subsystemNames()...)}}
	g.req, g.res, g.tick = g.rt.NewDynamicObject(req), g.rt.NewDynamicObject(res), g.rt.NewDynamicObject(tick)
	g.list = g.rt.NewDynamicArray(&upstreamsView{g: g})
	g.must(g.req.SetPrototype(g.lookups("req", func() (header, body policy.Lookup, live bool) {
		if r := g.call.Request(); r != nil {
			return r.Header, r.Body, true
		}
		return nil, nil, false
	})))
	g.must(g.res.SetPrototype(g.lookups("res", func() (header, body policy.Lookup, live bool) {
		if r := g.call.Response(); r != nil {
			return r.Header, r.Body, true
		}
		return nil, nil, false
	})))
}

func subsystemNames() []string {
	all := policy.Subsystems()
	return all[:]
}

// lookups is a prototype with the methods header and body. message returns what they
// read; live is false outside of the hook it belongs to.
func (g *guest) lookups(what string, message func() (header, body policy.Lookup, live bool)) *goja.Object {
	proto := g.rt.NewObject()
	for i, name := range []string{"header", "body"} {
		g.must(proto.Set(name, func(fc goja.FunctionCall) goja.Value {
			field, ok := fc.Argument(0).(goja.String)
			if !ok {
				panic(g.typeError("%s.%s(name): want a text, got %s", what, name, kindName(fc.Argument(0))))
			}
			from, body, live := message()
			if i == 1 {
				from = body
			}
			if !live {
				panic(g.typeError("%s.%s: the hook that %s belongs to is over; copy the values you keep", what, name, what))
			}
			if i == 0 && !g.call.Scope().MayHeader(field.String()) || from == nil {
				return goja.Undefined()
			}
			v, found := from.Lookup(field.String())
			if !found {
				return goja.Undefined()
			}
			return g.long.value(v)
		}))
	}
	return proto
}
