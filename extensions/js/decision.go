package js

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/dop251/goja"

	"github.com/gaia-host/gaia/extensions/policy"
)

// maxName bounds the names of keys and upstreams in decisions.
const maxName = 1024

// refsAtOnce is how many decisions a guest has memory for before it takes more. No memory
// is used twice: a policy may keep a decision, and one day return it.
const refsAtOnce = 32

// decisionRef is a decision as a policy holds it: an object that is recognised by its
// identity when a hook returns it.
type decisionRef struct {
	g   *guest
	obj *goja.Object
	seq uint64 // the hook it was made in; 0 module scope: good for ever
	d   policy.Decision
}

// Tables of names; they are never changed.
var (
	refNames      = []string{"action", "ok", "status", "reason", "retryAfter", "wait", "remaining", "upstream"}
	initNames     = []string{"key", "upstream", "timeout", "cost", "priority", "headers", "reason"}
	decisionNames = append([]string{"action", "status", "retryAfter", "delay", "for", "after"}, initNames...)
)

// stale reports a decision that was kept beyond its hook.
func (r *decisionRef) stale() bool { return r.seq != 0 && r.seq != r.g.seq }

func (r *decisionRef) Get(key string) goja.Value {
	if !r.Has(key) {
		return nil
	}
	if r.stale() {
		panic(r.g.typeError("this decision was made in an earlier hook: make it at module scope to keep it"))
	}
	switch key {
	case "action":
		return r.g.texts.value(r.d.Action.String())
	case "ok":
		return r.g.rt.ToValue(r.d.Action != policy.ActionDeny)
	case "status":
		if r.d.Action == policy.ActionDeny {
			return r.g.rt.ToValue(r.d.Status)
		}
	case "reason":
		return r.g.texts.or(r.d.Reason)
	case "retryAfter":
		return r.g.duration(r.d.RetryAfter)
	case "wait":
		return r.g.number(millis(r.d.Delay))
	case "remaining":
		if r.d.Limit.Name != "" {
			return r.g.unknown(r.d.Limit.Remaining)
		}
	case "upstream":
		return r.g.texts.or(r.d.Upstream)
	}
	return goja.Undefined()
}

func (r *decisionRef) Set(key string, _ goja.Value) bool {
	panic(r.g.typeError("a decision cannot be changed: build another"))
}

func (r *decisionRef) Delete(string) bool { return r.Set("", nil) }

func (r *decisionRef) Has(key string) bool {
	for _, n := range refNames {
		if n == key {
			return true
		}
	}
	return false
}

func (r *decisionRef) Keys() []string { return refNames }

// newRef returns the ref for a decision that is built now.
func (g *guest) newRef() *decisionRef {
	if g.loading {
		return g.makeRef(&decisionRef{g: g})
	}
	if len(g.refs) == 0 {
		g.refs = make([]decisionRef, refsAtOnce)
	}
	r := &g.refs[0]
	g.refs = g.refs[1:]
	r.g, r.seq, r.d.Where = g, g.seq, g.call.Explained()
	return g.makeRef(r)
}

// plainRef returns the ref of a decision that has no more than an action, a status and a
// time. The same one gives the same ref: who kept it kept just that.
func (g *guest) plainRef(a policy.Action, status int, after, delay time.Duration) *decisionRef {
	where := g.call.Explained()
	for _, r := range g.plain {
		if r != nil && r.d.Where == where && r.d.Action == a && r.d.Status == status && r.d.RetryAfter == after && r.d.Delay == delay && !g.loading {
			r.seq = g.seq
			g.lastRef = r
			return r
		}
	}
	r := g.newRef()
	r.d.Action, r.d.Status, r.d.RetryAfter, r.d.Delay = a, status, after, delay
	if !g.loading {
		g.plain[g.plainAt%len(g.plain)] = r
		g.plainAt++
	}
	return r
}

func (g *guest) makeRef(r *decisionRef) *decisionRef {
	r.obj = g.rt.NewDynamicObject(r)
	g.lastRef = r
	if r.seq == 0 {
		g.built[r.obj] = r
	}
	return r
}

// refOf returns the decision that an object stands for, nil where it is none.
func (g *guest) refOf(o *goja.Object) *decisionRef {
	if g.lastRef != nil && g.lastRef.obj == o {
		return g.lastRef
	}
	if r := g.built[o]; r != nil {
		return r
	}
	if o.ExportType() == g.refType {
		r, _ := o.Export().(*decisionRef)
		return r
	}
	return nil
}

var errPromise = errors.New("must be synchronous: it returned a Promise")

// answer turns what a hook returned into a decision. It runs under the guard of the
// hook, for it may run getters.
func (g *guest) answer(h policy.Hook, v goja.Value, out *policy.Decision) {
	if v == nil || goja.IsUndefined(v) || goja.IsNull(v) {
		return
	}
	o, isObject := v.(*goja.Object)
	var ref *decisionRef
	if isObject {
		ref = g.refOf(o)
	}
	if isObject && ref == nil && isPromise(o) {
		g.drainSoon = true
		g.bad = fmt.Errorf("%s %w", h, errPromise)
		return
	}
	if out == nil { // onDone and onTick answer nothing
		return
	}
	switch {
	case v == g.yes:
		if h == policy.HookRequest {
			out.Action = policy.ActionAllow
		}
	case v == g.no && h == policy.HookRequest:
		out.Action = policy.ActionDeny
	case ref != nil:
		g.answerRef(ref, out)
	case isObject:
		g.answerObject(o, out)
	default:
		g.answerText(h, v, out)
	}
	if g.bad == nil {
		g.bad = fits(h, out)
	}
}

func (g *guest) answerText(h policy.Hook, v goja.Value, out *policy.Decision) {
	name, ok := v.(goja.String)
	if !ok || h != policy.HookRoute {
		g.bad = fmt.Errorf("want a decision, got %s", kindName(v))
		return
	}
	out.Upstream, g.bad = toText(name, maxName)
}

func (g *guest) answerRef(r *decisionRef, out *policy.Decision) {
	if r.stale() {
		g.bad = errors.New("the decision was made in an earlier hook: make it at module scope to keep it, or anew in each hook")
		return
	}
	headers := append(out.Headers[:0], r.d.Headers...)
	*out = r.d
	out.Headers = headers
}

func (g *guest) answerObject(o *goja.Object, out *policy.Decision) {
	if !isPlain(o) {
		g.bad = fmt.Errorf("want a decision, got %s", kindName(o))
		return
	}
	g.bad = decode(o, out)
}

// fits refuses answers that the hook has no use for.
func fits(h policy.Hook, d *policy.Decision) error {
	switch h {
	case policy.HookRequest:
		if d.Action == policy.ActionRetry {
			return errors.New("retry answers onResponse, not onRequest")
		}
	case policy.HookRoute:
		if d.Action > policy.ActionAllow && d.Action != policy.ActionRoute && d.Action != policy.ActionDeny {
			return fmt.Errorf("onRoute answers the name of an upstream or a denial, not %s", d.Action)
		}
	case policy.HookResponse:
		if d.Action > policy.ActionAllow && d.Action != policy.ActionRetry {
			return fmt.Errorf("onResponse answers retry or nothing, not %s", d.Action)
		}
	}
	return nil
}

// refTypeOf is how a ref is told from other objects without exporting it.
func refTypeOf() reflect.Type { return reflect.TypeFor[*decisionRef]() }
