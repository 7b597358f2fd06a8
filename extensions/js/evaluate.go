package js

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/dop251/goja"

	"github.com/gaia-host/gaia/extensions/policy"
)

// FunctionMark stands for a function in what Evaluate returns.
const FunctionMark = "\x00function"

// Evaluate loads a module that is no policy, under the bounds of one, and returns its
// export of that name as JSON, with FunctionMark in place of functions. Errors are
// *policy.LoadError. Of c it reads Scope, Rand and Log.
func Evaluate(ctx context.Context, src Source, c Config, export string) ([]byte, error) {
	prog, err := compilePlain(ctx, &src)
	if err != nil {
		return nil, err
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	p := newPolicy(src, prog, c)
	p.plain = true
	defer p.dog.close()
	g, err := newGuest(p)
	if err != nil {
		return nil, err
	}
	defer p.dog.remove(g.watch)
	v := g.exports.Get(export)
	if v == nil || goja.IsUndefined(v) || goja.IsNull(v) {
		return nil, &policy.LoadError{Policy: src.Name, File: src.Path, Message: fmt.Sprintf("there is no export %q", export),
			Hint: fmt.Sprintf("export const %s = { ... }", export), Err: errors.New("no export")}
	}
	var text string
	err = g.guarded(p.dog.ticks(loadBudget), func() {
		mark := g.rt.ToValue(func(fc goja.FunctionCall) goja.Value {
			if _, is := goja.AssertFunction(fc.Argument(1)); is {
				return g.rt.ToValue(FunctionMark)
			}
			return fc.Argument(1)
		})
		out, err := g.jsonFn(goja.Undefined(), v, mark)
		throw(err)
		text = out.String()
	})
	if err != nil {
		return nil, g.loadError(err)
	}
	return []byte(text), nil
}
