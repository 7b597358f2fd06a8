package js

import (
	"errors"
	"strings"

	"github.com/dop251/goja"

	"github.com/gaia-host/gaia/extensions/policy"
)

// maxMessage bounds what a thrown value says in a fault.
const maxMessage = 1024

var errDeep = errors.New("more than 500 calls deep")

// fault turns the error of a hook into what the host counts and logs.
func (g *guest) fault(h policy.Hook, err error) *policy.Fault {
	f := &policy.Fault{Policy: g.policy.name, Hook: h, Kind: policy.FaultException, Err: err}
	var bad *badDecision
	var cut *goja.InterruptedError
	var deep *goja.StackOverflowError
	var bug *hostPanic
	var ex *goja.Exception
	var late *cutOff
	switch {
	case errors.As(err, &late):
		f.Kind, f.Err = policy.FaultBudget, late.why
		g.locate(f, late.cause.Stack())
	case errors.As(err, &bad):
		f.Kind, f.Err = policy.FaultBadDecision, bad.error
	case errors.As(err, &cut):
		f.Kind, f.Err = policy.FaultBudget, reason(cut)
		g.locate(f, cut.Stack())
	case errors.As(err, &deep):
		f.Err = errDeep
		g.locate(f, deep.Stack())
	case errors.As(err, &bug):
		f.Kind = policy.FaultPanic
	case errors.As(err, &ex):
		f.Err = errors.New(g.thrown(ex))
		g.locate(f, ex.Stack())
	}
	return f
}

func reason(cut *goja.InterruptedError) error {
	if why := cut.Unwrap(); why != nil {
		return why
	}
	return errBudget
}

func (g *guest) locate(f *policy.Fault, frames []goja.StackFrame) {
	where, known, stack := g.policy.program.trace(frames)
	if known {
		f.Where, f.Stack = where.String(), stack
	}
}

// here is the place of the policy that called the native function that runs, for
// explanations; "" where that is not known.
func (g *guest) here() string {
	where, known, _ := g.policy.program.trace(g.rt.CaptureCallStack(maxStack, nil))
	if !known {
		return ""
	}
	return where.String()
}

// thrown is what a thrown value says. Reading it may run code of the policy, so it is
// guarded like a hook.
func (g *guest) thrown(ex *goja.Exception) string {
	text := "it threw something that has no text"
	// A value that throws again, or takes too long, has no text.
	_ = g.guarded(g.policy.dog.ticks(g.policy.opts.Budget), func() { text = ex.Value().String() })
	if len(text) > maxMessage {
		text = text[:maxMessage] + "..."
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// loadError turns the error of module scope into one with its place.
func (g *guest) loadError(err error) error {
	var known *policy.LoadError
	if errors.As(err, &known) {
		return known
	}
	f := g.fault(policy.HookRequest, err)
	e := &policy.LoadError{Policy: g.policy.name, File: g.policy.source.Path, Message: f.Err.Error(), Stack: f.Stack, Err: err}
	switch f.Kind {
	case policy.FaultBudget:
		e.Message = "module scope: " + f.Err.Error()
		e.Hint = "module scope has 500 ms; prepare large tables outside and import them as JSON"
	case policy.FaultPanic:
		e.Message = "the engine failed: " + f.Err.Error()
	}
	if at, ok := g.firstPlace(err); ok {
		e.File, e.Line, e.Col, e.Source = at.file, at.line, at.col, g.policy.program.sourceLine(at.file, at.line)
	}
	if strings.Contains(e.Message, "require is not defined") {
		e.Hint = `policies are ES modules: import { ... } from "./file.js"`
	}
	return e
}

func (g *guest) firstPlace(err error) (place, bool) {
	var frames []goja.StackFrame
	var cut *goja.InterruptedError
	var deep *goja.StackOverflowError
	var ex *goja.Exception
	var late *cutOff
	switch {
	case errors.As(err, &late):
		frames = late.cause.Stack()
	case errors.As(err, &cut):
		frames = cut.Stack()
	case errors.As(err, &deep):
		frames = deep.Stack()
	case errors.As(err, &ex):
		frames = ex.Stack()
	}
	where, known, _ := g.policy.program.trace(frames)
	return where, known
}
