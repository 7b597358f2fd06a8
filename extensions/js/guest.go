package js

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/dop251/goja"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
)

// maxCalls bounds the depth of calls in a guest; goja alone has no bound.
const maxCalls = 500

// drainEvery is after how many hooks the jobs of promises are run. Nothing waits for
// them; they must only not pile up.
const drainEvery = 1024

// hookCount is how many hooks there are.
const hookCount = int(policy.HookTick) + 1

// guest is one runtime with the policy loaded. It is used by one goroutine at a time:
// whoever holds its seat.
type guest struct {
	policy *Policy
	rt     *goja.Runtime
	watch  *watch
	call   *natives.Call

	hooks   [hookCount]func(goja.FunctionCall) goja.Value // nil: the policy has none
	run     [hookCount]func()                             // calls the hook and reads its answer
	noop    goja.Callable                                 // runs the jobs of promises
	options goja.Value
	exports *goja.Object // of a module that is no policy

	args      [2]goja.Value
	out       *policy.Decision  // where the answer goes
	bad       error             // why the answer is no decision
	upstreams []policy.Upstream // of the route hook that runs
	seq       uint64            // numbers the hooks
	loading   bool
	drainSoon bool // a Promise was returned
	calls     int  // since the jobs of promises ran

	req, res, tick, list *goja.Object
	texts, long          *interner // of short names; of paths and fields
	yes, no              goja.Value

	refs     []decisionRef // the next decisions, made many at a time
	lastRef  *decisionRef
	plain    [8]*decisionRef // the latest plain ones of hooks
	plainAt  int
	admitted policy.Decision               // of the call of admit that runs
	built    map[*goja.Object]*decisionRef // at module scope
	limiters map[*goja.Object]*natives.Limiter

	depth     int                   // of native functions that call each other
	ours      map[*goja.Object]bool // built-ins that have a bound; nil once all have
	freezeFn  goja.Callable
	jsonFn    goja.Callable
	refType   reflect.Type
	bytesType reflect.Type
	errors    struct{ typ, rng, plain *goja.Object }
	bytes     *goja.Object // Uint8Array
}

// newGuest makes a runtime and runs the module scope in it, within the load budget.
// What fails is a *policy.LoadError.
func newGuest(p *Policy) (*guest, error) {
	rt := goja.New()
	g := &guest{policy: p, rt: rt, call: p.scope.NewCall(), loading: true, texts: newInterner(rt), long: newInterner(rt),
		yes: rt.ToValue(true), no: rt.ToValue(false), built: map[*goja.Object]*decisionRef{}, ours: map[*goja.Object]bool{},
		refType: refTypeOf(), bytesType: reflect.TypeFor[[]byte]()}
	g.call.Place = g.here
	g.watch = p.dog.add(rt)
	rt.SetMaxCallStackSize(maxCalls)
	now := p.clock
	if now == nil {
		now = g.call.Now
	}
	rt.SetTimeSource(func() time.Time { return time.Unix(0, now()) })
	if p.rand != nil {
		rt.SetRandSource(goja.RandSource(p.rand))
	}
	err := g.guarded(p.dog.ticks(loadBudget), func() { g.prepare(); g.load() })
	g.loading = false
	g.call.Loaded()
	if err != nil {
		p.dog.remove(g.watch)
		return nil, g.loadError(err)
	}
	return g, nil
}

// prepare makes what every policy finds in its runtime.
func (g *guest) prepare() {
	global := g.rt.GlobalObject()
	class := func(name string) *goja.Object { return global.Get(name).ToObject(g.rt) }
	g.errors.typ, g.errors.rng, g.errors.plain = class("TypeError"), class("RangeError"), class("Error")
	g.freezeFn, _ = goja.AssertFunction(class("Object").Get("freeze"))
	g.capBuiltins()
	g.makeViews()
	g.must(global.Set("console", g.object(g.logWords())))
	noop, err := g.rt.RunProgram(g.policy.noop)
	g.must(err)
	g.noop, _ = goja.AssertFunction(noop)
	prevent, _ := goja.AssertFunction(class("Object").Get("preventExtensions"))
	_, err = prevent(goja.Undefined(), global)
	g.must(err)
}

// load runs the bundle and collects the hooks from what it exports.
func (g *guest) load() {
	body, err := g.rt.RunProgram(g.policy.program.code)
	throw(err)
	fn, ok := goja.AssertFunction(body)
	if !ok {
		panic(&policy.LoadError{Policy: g.policy.name, Message: "the bundle is not a function"})
	}
	module, exports := g.rt.NewObject(), g.rt.NewObject()
	g.must(module.Set("exports", exports))
	word := g.word
	if g.policy.program.marks != nil {
		word = g.covered
	}
	_, err = fn(goja.Undefined(), module, exports, g.rt.ToValue(word))
	throw(err)
	exports = module.Get("exports").ToObject(g.rt)
	switch {
	case g.policy.plain:
		g.exports = exports
	case g.policy.at != nil:
		g.collectAt(exports, g.policy.at)
	default:
		g.collect(exports)
	}
}

// collectAt takes hooks and options from an object among the exports.
func (g *guest) collectAt(exports *goja.Object, keys []string) {
	from := exports
	for _, key := range keys {
		o, ok := from.Get(key).(*goja.Object)
		if !ok {
			g.refuse(fmt.Sprintf("there is no object %s among the exports", strings.Join(keys, ".")), "")
		}
		from = o
	}
	for _, name := range append(hookNames(), "options") {
		if from.Get(name) != nil {
			g.collectFrom(from, []string{name})
		}
	}
	if g.hookSet() == 0 {
		g.refuseErr(ErrNoHook, strings.Join(keys, ".")+" has no hook", "")
	}
}

// throw goes on with what JavaScript threw, up to the guard.
func throw(err error) {
	if err != nil {
		panic(err)
	}
}

// collect takes the hooks and the options from the named exports, or from an object
// exported by default.
func (g *guest) collect(exports *goja.Object) {
	names := exports.Keys()
	if def, ok := exports.Get("default").(*goja.Object); ok && def.ClassName() == "Object" {
		for _, name := range def.Keys() {
			if _, twice := policyExport(name); twice && exports.Get(name) != nil {
				g.refuse(fmt.Sprintf("%s is exported twice: by name and in the default export", name), "")
			}
		}
		g.collectFrom(def, def.Keys())
	}
	g.collectFrom(exports, names)
	if g.hookSet() == 0 {
		g.refuseErr(ErrNoHook, "the policy exports no hook", "export function onRequest(req) { } or another of "+strings.Join(hookNames(), ", "))
	}
}

// policyExport reports the hook of that name; ok is also true for "options".
func policyExport(name string) (h policy.Hook, ok bool) {
	for i := range hookCount {
		if policy.Hook(i).String() == name {
			return policy.Hook(i), true
		}
	}
	return 0, name == "options"
}

func hookNames() []string {
	var names []string
	for i := range hookCount {
		names = append(names, policy.Hook(i).String())
	}
	return names
}

func (g *guest) collectFrom(from *goja.Object, names []string) {
	for _, name := range names {
		v := from.Get(name)
		h, ok := policyExport(name)
		switch {
		case name == "options":
			g.options = v
		case ok:
			g.setHook(h, v)
		case name != "default":
			g.checkExport(name, v)
		}
	}
}

// checkExport refuses what looks like a hook and is none: it would never be called.
func (g *guest) checkExport(name string, v goja.Value) {
	near := nearest(name, append(hookNames(), "options"))
	o, isObject := v.(*goja.Object)
	isFunction := isObject && o.ClassName() == "Function"
	switch {
	case near == "options" && isFunction, near != "options" && near != "" && !isFunction:
	case near != "":
		g.refuse(fmt.Sprintf("the export %q is not known", name), fmt.Sprintf("did you mean %q?", near))
	case isFunction && len(name) > 2 && strings.HasPrefix(name, "on") && name[2] >= 'A' && name[2] <= 'Z':
		g.refuse(fmt.Sprintf("there is no hook %q", name), "the hooks are "+strings.Join(hookNames(), ", "))
	}
}

func (g *guest) refuse(message, hint string) { g.refuseErr(nil, message, hint) }

func (g *guest) refuseErr(err error, message, hint string) {
	if err == nil {
		err = errors.New(message)
	}
	panic(&policy.LoadError{Policy: g.policy.name, File: g.policy.source.Path, Message: message, Hint: hint, Err: err})
}

func (g *guest) setHook(h policy.Hook, v goja.Value) {
	o, ok := v.(*goja.Object)
	if !ok || o.ClassName() != "Function" {
		g.refuse(fmt.Sprintf("%s must be a function, got %s", h, kindName(v)), "")
	}
	if tag := o.GetSymbol(goja.SymToStringTag); tag != nil && tag.String() != "Function" {
		kind := strings.ToLower(strings.TrimSuffix(tag.String(), "Function"))
		g.refuse(fmt.Sprintf("%s is an %s function: a hook must be synchronous", h, strings.Replace(kind, "generator", "generating", 1)),
			"return the decision itself; gaia does the waiting: delay(500), l.admit()")
	}
	fn, ok := o.Export().(func(goja.FunctionCall) goja.Value)
	if !ok {
		g.refuse(fmt.Sprintf("%s must be a function, got a class", h), "")
	}
	g.hooks[h] = fn
	args := g.args[:]
	g.run[h] = func() { g.answer(h, fn(goja.FunctionCall{This: goja.Undefined(), Arguments: args}), g.out) }
	if h == policy.HookTick {
		g.run[h] = func() { g.answer(h, fn(goja.FunctionCall{This: goja.Undefined(), Arguments: args[:1]}), g.out) }
	}
}

// hookSet lists the hooks that the policy has.
func (g *guest) hookSet() policy.Hooks {
	var hs policy.Hooks
	for i, fn := range g.hooks {
		if fn != nil {
			hs |= policy.HooksOf(policy.Hook(i))
		}
	}
	return hs
}

// try runs f as JavaScript does: what it throws comes back as an error, and the stack of
// the runtime is as before. goja's Try passes interrupts and overflows on as panics.
func (g *guest) try(f func()) (err error) {
	defer func() {
		if x := recover(); x != nil {
			err = recovered(x)
		}
	}()
	if ex := g.rt.Try(f); ex != nil {
		return ex
	}
	return nil
}

// hostPanic is a panic of the engine or of a native function: a bug of the host.
type hostPanic struct{ value any }

func (p *hostPanic) Error() string { return fmt.Sprint(p.value) }

func recovered(x any) error {
	switch x := x.(type) {
	case *goja.InterruptedError:
		return x
	case *goja.StackOverflowError:
		return x
	case *goja.Exception:
		return x
	case *policy.LoadError:
		return x
	}
	return &hostPanic{x}
}

// ask runs one hook. The view of the request and what else it needs is in place.
func (g *guest) ask(h policy.Hook, ticks uint64, out *policy.Decision) error {
	g.seq++
	g.out, g.bad = out, nil
	err := g.guarded(ticks, g.run[h])
	g.out = nil
	if g.bad != nil && err == nil {
		err = &badDecision{g.bad}
	}
	if g.calls++; g.calls >= drainEvery || g.drainSoon {
		if drained := g.drain(ticks); err == nil {
			err = drained
		}
	}
	return err
}

// badDecision marks an answer that is none.
type badDecision struct{ error }

func (e *badDecision) Unwrap() error { return e.error }

// drain runs the jobs that promises left, under the same budget.
func (g *guest) drain(ticks uint64) error {
	g.calls, g.drainSoon = 0, false
	return g.guarded(ticks, func() {
		_, err := g.noop(goja.Undefined())
		throw(err)
	})
}

// cutOff marks an error that a capped built-in threw because the watchdog had fired.
type cutOff struct {
	why   error
	cause *goja.Exception
}

func (e *cutOff) Error() string { return e.why.Error() }

func (e *cutOff) Unwrap() error { return e.why }

// guarded runs f as try does, and for so many ticks at most.
func (g *guest) guarded(ticks uint64, f func()) error {
	at := g.watch.enter(ticks)
	err := g.try(f)
	why := g.watch.exit(at)
	if why != nil && err != nil {
		var ex *goja.Exception
		if errors.As(err, &ex) {
			return &cutOff{why: why, cause: ex}
		}
	}
	return err
}

// ruined reports an error after which a guest is not used again: it was cut off in the
// middle, or the engine failed.
func ruined(err error) bool {
	var interrupted *goja.InterruptedError
	var bug *hostPanic
	var cut *cutOff
	return errors.As(err, &interrupted) || errors.As(err, &bug) || errors.As(err, &cut)
}
