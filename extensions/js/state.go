package js

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/dop251/goja"

	"github.com/gaia-host/gaia/extensions/state"
)

// stateWords are the functions of the word state.
func (g *guest) stateWords() map[string]func(goja.FunctionCall) goja.Value {
	return map[string]func(goja.FunctionCall) goja.Value{
		"get": func(fc goja.FunctionCall) goja.Value {
			s, key := g.store("get", fc.Argument(0), false)
			v, ok := s.Get(g.call.Now(), key)
			if !ok {
				return goja.Undefined()
			}
			return g.fromState(v)
		},
		"set": func(fc goja.FunctionCall) goja.Value {
			s, key := g.store("set", fc.Argument(0), true)
			v := g.toState("set", fc.Argument(1))
			return g.done("state.set", s.Set(g.call.Now(), key, v, g.ttl("set", fc.Argument(2))))
		},
		"delete": func(fc goja.FunctionCall) goja.Value {
			s, key := g.store("delete", fc.Argument(0), true)
			return g.truth(s.Delete(g.call.Now(), key))
		},
		"incr": func(fc goja.FunctionCall) goja.Value {
			s, key := g.store("incr", fc.Argument(0), true)
			by := 1.0
			if v := fc.Argument(1); !goja.IsUndefined(v) {
				by = g.finite("state.incr", v)
			}
			sum, err := s.Incr(g.call.Now(), key, by, g.ttl("incr", fc.Argument(2)))
			if err != nil {
				panic(g.fail("state.incr", err))
			}
			return g.number(sum)
		},
		"compareAndSet": func(fc goja.FunctionCall) goja.Value {
			s, key := g.store("compareAndSet", fc.Argument(0), true)
			var expect, next state.Value
			if v := fc.Argument(1); !goja.IsUndefined(v) {
				expect = g.toState("compareAndSet", v)
			}
			if v := fc.Argument(2); !goja.IsUndefined(v) {
				next = g.toState("compareAndSet", v)
			}
			ok, err := s.CompareAndSet(g.call.Now(), key, expect, next, g.ttl("compareAndSet", fc.Argument(3)))
			if err != nil {
				panic(g.fail("state.compareAndSet", err))
			}
			return g.truth(ok)
		},
		"setIfAbsent": func(fc goja.FunctionCall) goja.Value {
			s, key := g.store("setIfAbsent", fc.Argument(0), true)
			v := g.toState("setIfAbsent", fc.Argument(1))
			ok, err := s.SetIfAbsent(g.call.Now(), key, v, g.ttl("setIfAbsent", fc.Argument(2)))
			if err != nil {
				panic(g.fail("state.setIfAbsent", err))
			}
			return g.truth(ok)
		},
	}
}

func (g *guest) truth(ok bool) goja.Value {
	if ok {
		return g.yes
	}
	return g.no
}

func (g *guest) store(word string, key goja.Value, write bool) (*state.Store, string) {
	text, ok := key.(goja.String)
	if !ok {
		panic(g.typeError("state.%s(key): want a text, got %s", word, kindName(key)))
	}
	s, within, err := g.call.StateFor(text.String(), write)
	if err != nil {
		panic(g.fail("state."+word, err))
	}
	return s, within
}

// toState takes a number, a text, a boolean or bytes.
func (g *guest) toState(word string, v goja.Value) state.Value {
	switch o := v.(type) {
	case goja.String:
		return state.Text(o.String())
	case *goja.Object:
		if o.ExportType() != g.bytesType {
			break
		}
		if b, ok := o.Export().([]byte); ok {
			return state.Bytes(b)
		}
	default:
		switch {
		case v == g.yes:
			return state.Bool(true)
		case v == g.no:
			return state.Bool(false)
		case isNumber(v):
			return state.Num(v.ToFloat())
		}
	}
	panic(g.typeError("state.%s: want a number, a text, a boolean or a Uint8Array, got %s", word, kindName(v)))
}

func (g *guest) fromState(v state.Value) goja.Value {
	switch v.Kind {
	case state.KindNumber:
		return g.number(v.Num)
	case state.KindText:
		return g.rt.ToValue(v.Text)
	case state.KindBool:
		return g.truth(v.Num != 0)
	case state.KindBytes:
		o, err := g.rt.New(g.bytes, g.rt.ToValue(g.rt.NewArrayBuffer([]byte(v.Text))))
		if err != nil {
			panic(err)
		}
		return o
	}
	return goja.Undefined()
}

// ttl reads {ttl}.
func (g *guest) ttl(word string, opts goja.Value) time.Duration {
	if isNil(opts) {
		return 0
	}
	var ttl time.Duration
	err := fields(opts, func(name string, v goja.Value) (err error) {
		if name != "ttl" {
			return unknownField(name, []string{"ttl"})
		}
		if ttl, err = lifetime(v); err != nil {
			err = fmt.Errorf("ttl: %w", err)
		}
		return err
	})
	if err != nil {
		panic(g.typeError("state.%s: %v", word, err))
	}
	return ttl
}

// maxTTL is a hundred years; the store would take any.
const maxTTL = 100 * 365 * 24 * time.Hour

// lifetime is a duration that may be longer than a decision may wait.
func lifetime(v goja.Value) (time.Duration, error) {
	if isNumber(v) {
		if ms := v.ToFloat(); ms > 0 && ms <= float64(maxTTL/time.Millisecond) {
			return time.Duration(ms * float64(time.Millisecond)), nil
		}
		return 0, fmt.Errorf("want milliseconds over 0, got %v", v)
	}
	s, ok := v.(goja.String)
	if !ok {
		return 0, fmt.Errorf(`want milliseconds or a text such as "1h", got %s`, kindName(v))
	}
	d, err := time.ParseDuration(s.String())
	if err != nil || d <= 0 || d > maxTTL {
		return 0, fmt.Errorf(`want milliseconds or a text such as "1h", got %s`, quote(s.String()))
	}
	return d, nil
}

var errFinite = errors.New("want a finite number")

func (g *guest) finite(what string, v goja.Value) float64 {
	if isNumber(v) {
		if f := v.ToFloat(); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f
		}
	}
	panic(g.typeError("%s: %v, got %s", what, errFinite, kindName(v)))
}
