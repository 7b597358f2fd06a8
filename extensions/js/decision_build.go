package js

import (
	"errors"
	"fmt"
	"time"

	"github.com/dop251/goja"

	"github.com/gaia-host/gaia/extensions/policy"
)

// builders are the words that build decisions. What they are given wrongly is thrown
// where they are called.
func (g *guest) builders() map[string]func(goja.FunctionCall) goja.Value {
	return map[string]func(goja.FunctionCall) goja.Value{
		"allow": g.wordAllow, "deny": g.wordDeny, "delay": g.wordDelay, "route": g.wordRoute, "retry": g.wordRetry,
	}
}

func (g *guest) wordAllow(fc goja.FunctionCall) goja.Value {
	r := g.newRef()
	r.d.Action = policy.ActionAllow
	g.init("allow", fc.Argument(0), &r.d)
	return r.obj
}

func (g *guest) wordDeny(fc goja.FunctionCall) goja.Value {
	status := 0
	if v := fc.Argument(0); !isNil(v) {
		n, err := toInt(v, policy.MinStatus, policy.MaxStatus)
		if err != nil {
			panic(g.typeError("deny(status): %v", err))
		}
		status = int(n)
	}
	v := fc.Argument(1)
	if _, ok := v.(*goja.Object); ok {
		return g.denyWith(status, v)
	}
	var after time.Duration
	if !isNil(v) {
		var err error
		if after, err = toDuration(v); err != nil {
			panic(g.typeError("deny(status, retryAfter): %v", err))
		}
	}
	return g.plainRef(policy.ActionDeny, status, after, 0).obj
}

// denyWith is deny with {retryAfter, reason}.
func (g *guest) denyWith(status int, init goja.Value) goja.Value {
	r := g.newRef()
	r.d.Action, r.d.Status = policy.ActionDeny, status
	err := fields(init, func(name string, v goja.Value) (err error) {
		switch name {
		case "retryAfter":
			r.d.RetryAfter, err = toDuration(v)
		case "reason":
			r.d.Reason, err = toText(v, policy.MaxReason)
		default:
			return unknownField(name, []string{"retryAfter", "reason"})
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
		return err
	})
	if err != nil {
		panic(g.typeError("deny: %v", err))
	}
	return r.obj
}

func (g *guest) wordDelay(fc goja.FunctionCall) goja.Value {
	d, err := toDuration(fc.Argument(0))
	if err != nil {
		panic(g.typeError("delay(time): %v", err))
	}
	return g.plainRef(policy.ActionDelay, 0, 0, d).obj
}

func (g *guest) wordRoute(fc goja.FunctionCall) goja.Value {
	name, err := toText(fc.Argument(0), maxName)
	if err == nil && name == "" {
		err = errors.New("want the name of an upstream")
	}
	if err != nil {
		panic(g.typeError("route(upstream): %v", err))
	}
	r := g.newRef()
	r.d.Action = policy.ActionRoute
	g.init("route", fc.Argument(1), &r.d)
	r.d.Upstream = name
	return r.obj
}

func (g *guest) wordRetry(fc goja.FunctionCall) goja.Value {
	r := g.newRef()
	r.d.Action = policy.ActionRetry
	if v := fc.Argument(0); !isNil(v) {
		err := fields(v, func(name string, v goja.Value) (err error) {
			switch name {
			case "after":
				r.d.Delay, err = toDuration(v)
			case "upstream":
				r.d.Upstream, err = toText(v, maxName)
			case "reason":
				r.d.Reason, err = toText(v, policy.MaxReason)
			default:
				return unknownField(name, []string{"after", "upstream", "reason"})
			}
			if err != nil {
				err = fmt.Errorf("%s: %w", name, err)
			}
			return err
		})
		if err != nil {
			panic(g.typeError("retry: %v", err))
		}
	}
	return r.obj
}
