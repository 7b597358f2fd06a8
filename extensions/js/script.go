package js

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sort"
	"time"

	"github.com/dop251/goja"

	"github.com/gaia-host/gaia/extensions/policy"
)

// maxFuncs bounds what a script may give its host to run later.
const maxFuncs = 10_000

// hostWord is the word by which the modules of a script reach their host.
const hostWord = "host"

// Place is a position in a file of the user; the zero Place is unknown.
type Place struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	Col  int    `json:"col,omitempty"` // from 1, in bytes
}

// String is "file:line", "" for the zero Place.
func (p Place) String() string {
	if p.File == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// ScriptConfig is how a script is opened. Policy.Scope and Host are required.
type ScriptConfig struct {
	Policy Config // Scope, Rand and Log are read
	// Host answers what the modules of the script ask: __gaia("host")(op, value). The value comes as JSON; so does the
	// answer, nil being undefined. An error is thrown in the script. at tells from where the user's code asks.
	Host func(op string, value []byte, at func() Place) ([]byte, error)
	// Clock is Date of the script, in nanoseconds; nil: the clock of the scope.
	Clock func() int64
}

// ScriptFunc is a function that a script gave to its host: __gaia("host")("func", name, function).
type ScriptFunc struct {
	Name string
	At   Place
	fn   goja.Callable
}

// Script is a module that is no policy, kept open to run its functions. It is used by one goroutine at a time; who opened it
// closes it.
type Script struct {
	p     *Policy
	g     *guest
	funcs []ScriptFunc
}

// OpenScript loads a script under the bounds of a policy. Errors are *policy.LoadError.
func OpenScript(ctx context.Context, src Source, c ScriptConfig) (*Script, error) {
	prog, err := compilePlain(ctx, &src)
	if err != nil {
		return nil, err
	}
	if c.Policy.Log == nil {
		c.Policy.Log = slog.New(slog.DiscardHandler)
	}
	s := &Script{p: newPolicy(src, prog, c.Policy)}
	s.p.plain, s.p.clock = true, c.Clock
	s.p.host = func(g *guest, fc goja.FunctionCall) goja.Value { return s.ask(g, c.Host, fc) }
	if err := s.load(); err != nil {
		s.p.dog.close()
		return nil, err
	}
	return s, nil
}

// load runs the module scope in a new guest.
func (s *Script) load() error {
	s.funcs = nil
	g, err := newGuest(s.p)
	s.g = g
	return err
}

// Files lists the script and all that it imports.
func (s *Script) Files() []string { return s.p.program.bundle.Files() }

// Funcs lists the functions that the script gave, in its order.
func (s *Script) Funcs() []ScriptFunc { return s.funcs }

// Close frees the script.
func (s *Script) Close() { s.p.dog.close() }

// Run calls a function of Funcs, for so long at most. The error is a *policy.Fault with the place. A script that was cut off
// is loaded anew for the next one.
func (s *Script) Run(i int, budget time.Duration) error {
	if s.g == nil {
		if err := s.load(); err != nil {
			return fmt.Errorf("load the script again: %w", err)
		}
	}
	if i < 0 || i >= len(s.funcs) {
		return errors.New("the script gives other functions each time it is loaded")
	}
	promised := false
	err := s.g.guarded(s.p.dog.ticks(budget), func() {
		v, err := s.funcs[i].fn(goja.Undefined())
		throw(err)
		_, promised = v.Export().(*goja.Promise)
	})
	switch {
	case err != nil:
		f := s.g.fault(policy.HookRequest, err)
		if ruined(err) {
			s.p.dog.remove(s.g.watch)
			s.g = nil
		}
		return f
	case promised:
		return &policy.Fault{Policy: s.p.name, Kind: policy.FaultException, Where: s.funcs[i].At.String(),
			Err: errors.New("the function is async: nothing waits for it; time is virtual, so call and advance instead")}
	}
	return nil
}

// ask is a call of the word "host".
func (s *Script) ask(g *guest, host func(string, []byte, func() Place) ([]byte, error), fc goja.FunctionCall) goja.Value {
	op := fc.Argument(0).String()
	at := func() Place { return g.caller() }
	if op == "func" {
		s.keep(g, fc, at())
		return goja.Undefined()
	}
	var in []byte
	if v := fc.Argument(1); !goja.IsUndefined(v) {
		text, err := g.jsonFn(goja.Undefined(), v)
		throw(err)
		in = []byte(text.String())
	}
	out, err := host(op, in, at)
	if err != nil {
		panic(g.newError(g.errors.plain, "%s", err))
	}
	if out == nil {
		return goja.Undefined()
	}
	var v any
	if err := json.Unmarshal(out, &v); err != nil {
		panic(g.fail(op, err))
	}
	return g.plainValue(v)
}

func (s *Script) keep(g *guest, fc goja.FunctionCall, at Place) {
	name, err := toText(fc.Argument(1), maxLine)
	fn, ok := goja.AssertFunction(fc.Argument(2))
	switch {
	case err != nil:
		panic(g.typeError("the name: %v", err))
	case !ok:
		panic(g.typeError("%s: want a function, got %s", quote(name), kindName(fc.Argument(2))))
	case !g.loading:
		panic(g.typeError("%s: want this at module scope, not inside of another", quote(name)))
	case len(s.funcs) >= maxFuncs:
		panic(g.rangeError("more than %d functions", maxFuncs))
	}
	s.funcs = append(s.funcs, ScriptFunc{Name: name, At: at, fn: fn})
}

// plainValue is a value of decoded JSON as objects that the script may change.
func (g *guest) plainValue(v any) goja.Value {
	switch v := v.(type) {
	case map[string]any:
		o := g.rt.NewObject()
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			g.must(o.Set(name, g.plainValue(v[name])))
		}
		return o
	case []any:
		items := make([]any, len(v))
		for i := range v {
			items[i] = g.plainValue(v[i])
		}
		return g.rt.NewArray(items...)
	}
	return g.rt.ToValue(v)
}

// caller is the place in the user's code that runs now.
func (g *guest) caller() Place {
	at, known, _ := g.policy.program.trace(g.rt.CaptureCallStack(0, nil))
	if !known {
		return Place{}
	}
	return Place{File: at.file, Line: at.line, Col: at.col}
}
