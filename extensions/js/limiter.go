package js

import (
	"errors"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/dop251/goja"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
)

// maxLimiterName bounds names before they are looked at.
const maxLimiterName = 128

// declare is limiter.KIND(name, params).
func (g *guest) declare(kind limit.Kind, fc goja.FunctionCall) goja.Value {
	what := "limiter." + kind.String()
	name, err := toText(fc.Argument(0), maxLimiterName)
	if err != nil {
		panic(g.typeError("%s(name, {...}): the name: %v", what, err))
	}
	p, err := readParams(kind, fc.Argument(1), true)
	if err != nil {
		panic(g.typeError("%s(%s): %v", what, quote(name), err))
	}
	l, err := g.call.Limiter(kind, name, p)
	if err != nil {
		panic(g.fail(what, err))
	}
	return g.limiterObject(l)
}

// readParams reads {rate, per, ...}. Of a declaration a missing rate or max is an error.
func readParams(kind limit.Kind, v goja.Value, declares bool) (limit.Params, error) {
	var p limit.Params
	needs, example := kind.Needs()
	if goja.IsUndefined(v) && needs == "" {
		return p, nil
	}
	err := fields(v, func(name string, v goja.Value) (err error) {
		if !contains(kind.Fields(), name) {
			return unknownField(name, kind.Fields())
		}
		var n int64
		switch name {
		case "min":
			p.Min, err = toInt(v, 0, policy.MaxCost)
		case "ratio":
			p.Ratio, err = positive(v)
		case "maxQueue":
			p.MaxQueue, err = toInt(v, 0, policy.MaxCost)
		case "order":
			p.Order, err = toText(v, maxLimiterName)
		case "algorithm":
			p.Algorithm, err = toText(v, maxLimiterName)
		case "every":
			p.Every, err = toText(v, maxLimiterName)
		case "zone":
			p.Zone, err = toText(v, maxLimiterName)
		case "unit":
			p.Unit, err = toText(v, maxLimiterName)
		case "weights":
			p.Weights, err = readWeights(v)
		case "rate":
			p.Rate, err = positive(v)
		case "per":
			p.Per, err = toDuration(v)
			if err == nil && p.Per == 0 {
				err = errors.New("want more than 0")
			}
		case "burst":
			p.Burst, err = toInt(v, 1, policy.MaxCost)
		case "maxWait":
			p.MaxWait, err = toDuration(v)
		case "max":
			p.Max, err = toInt(v, 1, policy.MaxCost)
		case "maxKeys":
			n, err = toInt(v, 1, 100*limit.DefaultMaxKeys)
			p.MaxKeys = int(n)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
		return err
	})
	if err == nil && declares && (needs == "rate" && p.Rate == 0 || needs == "max" && p.Max == 0) {
		err = fmt.Errorf("%s is missing: %s", needs, example)
	}
	return p, err
}

// maxWeights bounds the keys that a policy gives a weight.
const maxWeights = 1000

// readWeights reads {gold: 3, free: 1}.
func readWeights(v goja.Value) (string, error) {
	var parts []string
	err := fields(v, func(name string, v goja.Value) error {
		w, err := positive(v)
		if err == nil && (strings.Contains(name, ",") || len(parts) >= maxWeights) {
			err = fmt.Errorf("want keys without commas, %d at most", maxWeights)
		}
		parts = append(parts, name+"="+strconv.FormatFloat(w, 'g', -1, 64))
		return err
	})
	sort.Strings(parts)
	return strings.Join(parts, ","), err
}

func positive(v goja.Value) (float64, error) {
	if isNumber(v) {
		if f := v.ToFloat(); f > 0 && !math.IsInf(f, 0) {
			return f, nil
		}
	}
	return 0, fmt.Errorf("want a number over 0, got %s", kindName(v))
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

// admittedRef returns the ref for the answer of a limiter. An allow without a wait is the
// only one that is used again, in a later hook: who kept it kept an allow of this limiter.
func (g *guest) admittedRef(allowed *decisionRef, d *policy.Decision) *decisionRef {
	r := allowed
	if d.Action != policy.ActionAllow || d.Delay > 0 || r.seq == g.seq || g.loading {
		r = g.newRef()
	} else if r.seq = g.seq; r.obj == nil {
		g.makeRef(r)
	}
	r.d = *d
	g.lastRef = r
	return r
}

// limiterObject is a limiter as policies hold it.
func (g *guest) limiterObject(l *natives.Limiter) goja.Value {
	words := g.limiterWords(l)
	if l.Parts() != nil {
		delete(words, "set")
	}
	o := g.object(words)
	if g.limiters == nil {
		g.limiters = map[*goja.Object]*natives.Limiter{}
	}
	g.limiters[o] = l
	return o
}

// all is limiter.all(a, b): several limiters as one.
func (g *guest) all(fc goja.FunctionCall) goja.Value {
	var parts []*natives.Limiter
	for _, v := range fc.Arguments {
		o, _ := v.(*goja.Object)
		l := g.limiters[o]
		if l == nil {
			panic(g.typeError("limiter.all(a, b): want limiters, got %s", kindName(v)))
		}
		parts = append(parts, l)
	}
	l, err := g.call.All(parts)
	if err != nil {
		panic(g.fail("limiter.all", err))
	}
	return g.limiterObject(l)
}

// limiterWords are the methods of a limiter.
func (g *guest) limiterWords(l *natives.Limiter) map[string]func(goja.FunctionCall) goja.Value {
	allowed := &decisionRef{g: g} // what admit mostly answers
	return map[string]func(goja.FunctionCall) goja.Value{
		"admit": func(fc goja.FunctionCall) goja.Value {
			a, err := admitArg(fc)
			if err != nil {
				panic(g.typeError("admit(key?, {cost, maxWait}?): %v", err))
			}
			d := &g.admitted
			d.Reset()
			if err := g.call.Admit(l, a, d); err != nil {
				panic(g.fail("admit", err))
			}
			return g.admittedRef(allowed, d).obj
		},
		"take": func(fc goja.FunctionCall) goja.Value {
			a, err := keyCost(fc.Arguments)
			if err != nil {
				panic(g.typeError("take(key?, cost?): %v", err))
			}
			ok, err := g.call.Take(l, a)
			if err != nil {
				panic(g.fail("take", err))
			}
			if ok {
				return g.yes
			}
			return g.no
		},
		"peek": func(fc goja.FunctionCall) goja.Value {
			a, err := keyCost(fc.Arguments)
			if err != nil {
				panic(g.typeError("peek(key?, cost?): %v", err))
			}
			r, err := g.call.Peek(l, a)
			if err != nil {
				panic(g.fail("peek", err))
			}
			return g.level(r)
		},
		"learn": func(fc goja.FunctionCall) goja.Value {
			if res, ok := fc.Argument(0).(*goja.Object); !ok || res != g.res {
				panic(g.typeError("learn(res, key?): want the res of this hook, got %s", kindName(fc.Argument(0))))
			}
			a, err := keyOf(fc.Argument(1))
			if err != nil {
				panic(g.typeError("learn(res, key?): %v", err))
			}
			return g.done("learn", g.call.Learn(l, a))
		},
		"pause": func(fc goja.FunctionCall) goja.Value {
			a, err := keyOf(fc.Argument(0))
			var d time.Duration
			if err == nil {
				d, err = toDuration(fc.Argument(1))
			}
			if err != nil {
				panic(g.typeError("pause(key, time): %v", err))
			}
			return g.done("pause", g.call.Pause(l, a, d))
		},
		"settle": func(fc goja.FunctionCall) goja.Value {
			a, err := keyCost(fc.Arguments)
			if err == nil && !a.HasCost {
				err = errors.New("the cost is missing")
			}
			if err != nil {
				panic(g.typeError("settle(key, cost): %v", err))
			}
			return g.done("settle", g.call.Settle(l, a))
		},
		"set": func(fc goja.FunctionCall) goja.Value {
			p, err := readParams(l.Kind(), fc.Argument(0), false)
			if err != nil {
				panic(g.typeError("set({...}): %v", err))
			}
			return g.done("set", g.call.Set(l, p))
		},
	}
}

func (g *guest) done(what string, err error) goja.Value {
	if err != nil {
		panic(g.fail(what, err))
	}
	return goja.Undefined()
}

// level is what peek returns.
func (g *guest) level(r limit.Result) goja.Value {
	o := g.rt.NewObject()
	g.must(o.Set("ok", r.OK))
	g.must(o.Set("remaining", g.unknown(r.Remaining)))
	wait := goja.Undefined()
	if r.Wait != limit.Never {
		wait = g.number(millis(r.Wait))
	}
	g.must(o.Set("retryAfter", wait))
	return o
}

// keyOf reads an optional key.
func keyOf(v goja.Value) (natives.Arg, error) {
	if isNil(v) {
		return natives.Arg{}, nil
	}
	s, ok := v.(goja.String)
	if !ok {
		return natives.Arg{}, fmt.Errorf("the key: want a text, got %s", kindName(v))
	}
	key := s.String()
	if len(key) > maxName {
		return natives.Arg{}, fmt.Errorf("the key: want at most %d bytes, got %d", maxName, len(key))
	}
	return natives.Arg{Key: key, HasKey: true}, nil
}

// keyCost reads (key?, cost?).
func keyCost(args []goja.Value) (natives.Arg, error) {
	if len(args) == 0 {
		return natives.Arg{}, nil
	}
	a, err := keyOf(args[0])
	if err != nil || len(args) < 2 || isNil(args[1]) {
		return a, err
	}
	if err = readCost(&a, args[1]); err != nil {
		return a, fmt.Errorf("the cost: %w", err)
	}
	return a, nil
}

// readCost reads a cost, or a list of one for each limiter of limiter.all.
func readCost(a *natives.Arg, v goja.Value) (err error) {
	a.HasCost = true
	list, ok := v.(*goja.Object)
	if !ok {
		a.Cost, err = toInt(v, 0, policy.MaxCost)
		return err
	}
	n := 0
	if list.ClassName() == "Array" {
		n = int(min(list.Get("length").ToInteger(), maxCosts+1))
	}
	if n == 0 || n > maxCosts {
		return fmt.Errorf("want a number or a list of at most %d", maxCosts)
	}
	for i := range n {
		cost, err := toInt(list.Get(strconv.Itoa(i)), 0, policy.MaxCost)
		if err != nil {
			return err
		}
		a.Costs = append(a.Costs, cost)
	}
	return nil
}

// maxCosts bounds a list of costs.
const maxCosts = 8

// admitArg reads (key?, {cost, maxWait}?); the options may stand alone.
func admitArg(fc goja.FunctionCall) (natives.Arg, error) {
	if len(fc.Arguments) == 0 {
		return natives.Arg{}, nil
	}
	key, opts := fc.Argument(0), fc.Argument(1)
	if o, ok := key.(*goja.Object); ok && len(fc.Arguments) == 1 {
		key, opts = goja.Undefined(), o
	}
	a, err := keyOf(key)
	if err != nil || isNil(opts) {
		return a, err
	}
	err = fields(opts, func(name string, v goja.Value) (err error) {
		switch name {
		case "cost":
			err = readCost(&a, v)
		case "maxWait":
			a.MaxWait, err = toDuration(v)
			a.HasWait = true
		default:
			return unknownField(name, []string{"cost", "maxWait"})
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
		return err
	})
	return a, err
}
