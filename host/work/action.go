package work

import (
	"context"
	"encoding/json"
	"net/url"
	"reflect"
)

// Gives says what the answer of an action is.
type Gives string

// The kinds of answer.
const (
	GivesJSON  Gives = "json"  // one JSON object
	GivesLines Gives = "lines" // JSON lines as they come; server-sent events where the caller accepts them
	GivesBytes Gives = "bytes" // bytes as they come
)

// Action is one thing that can be asked of a subsystem. Make one with JSON, Lines
// or Bytes.
type Action struct {
	Name  string // as in the path: lower case, words joined by "_"
	Doc   string // one line, without a full stop
	Gives Gives

	takesBytes, follows, quiet bool

	asks  bool // see Asking
	stdin string
	input reflect.Type // a struct
	// fields are those of input, read once: every request is checked against them.
	fields []Field
	run    func(ctx context.Context, c *Call, in any, out *Out) (any, error)
}

// Subsystem is what can be asked of one subsystem.
type Subsystem struct {
	Name    string // one of policy.Subsystems
	Doc     string // one line
	Actions []Action
	// Explain turns an error of the subsystem into an answer; nil, or a nil answer,
	// leaves it to the package, which knows denials and what contexts say.
	Explain func(err error) *Error
}

// JSON declares an action that answers with one JSON object. In is a struct whose
// exported fields have json tags; see fields.go for the other tags. The error is an
// *Error, one that the subsystem explains, or any other.
func JSON[In, Answer any](name, doc string, run func(ctx context.Context, c *Call, in *In) (Answer, error)) Action {
	return Action{Name: name, Doc: doc, Gives: GivesJSON, input: reflect.TypeFor[In](), fields: fieldsOf(reflect.TypeFor[In]()),
		run: func(ctx context.Context, c *Call, in any, _ *Out) (any, error) { return run(ctx, c, in.(*In)) }}
}

// Lines declares an action that answers with JSON objects as they come, one a line.
// An error after the first line is told in a last line {"problem":{...}}.
func Lines[In any](name, doc string, run func(ctx context.Context, c *Call, in *In, out *Out) error) Action {
	return Action{Name: name, Doc: doc, Gives: GivesLines, input: reflect.TypeFor[In](), fields: fieldsOf(reflect.TypeFor[In]()), run: streamed(run)}
}

// Bytes declares an action that answers with bytes as they come. An error after the
// first byte cuts the connection, so that nobody takes a part for the whole.
func Bytes[In any](name, doc string, run func(ctx context.Context, c *Call, in *In, out *Out) error) Action {
	return Action{Name: name, Doc: doc, Gives: GivesBytes, input: reflect.TypeFor[In](), fields: fieldsOf(reflect.TypeFor[In]()), run: streamed(run)}
}

func streamed[In any](run func(context.Context, *Call, *In, *Out) error) func(context.Context, *Call, any, *Out) (any, error) {
	return func(ctx context.Context, c *Call, in any, out *Out) (any, error) {
		return nil, run(ctx, c, in.(*In), out)
	}
}

// TakingBytes makes the action take raw bytes too: a body whose type is not
// application/json is Call.Body, and the input comes in the query.
func (a Action) TakingBytes() Action {
	a.takesBytes = true
	return a
}

// FromInput makes the command send its standard input, unless the field is given or
// another file is named.
func (a Action) FromInput(field string) Action {
	a.stdin = field
	return a
}

// InputUnless is the field that stands for standard input, "" for none.
func (a *Action) InputUnless() string { return a.stdin }

// Following says that the answer has no end of its own (tail -f): its context ends
// when gaia stops, so that a stop does not wait for it.
func (a Action) Following() Action {
	a.follows = true
	return a
}

// Asking says that the action does nothing before admission let it go, and goes
// through it: it can be explained without being done.
func (a Action) Asking() Action {
	a.asks = true
	return a
}

// Asks reports whether it can be explained without being done.
func (a *Action) Asks() bool { return a.asks }

// Special keeps the action from getting a command of its own: the client has a
// hand-written one.
func (a Action) Special() Action {
	a.quiet = true
	return a
}

// IsSpecial reports whether the client has a hand-written command for it.
func (a *Action) IsSpecial() bool { return a.quiet }

// TakesBytes reports whether it takes raw bytes.
func (a *Action) TakesBytes() bool { return a.takesBytes }

// Fields describes the input. The list must not be changed.
func (a *Action) Fields() []Field { return a.fields }

// InputOf turns a query into the JSON of the input, by the kinds of its fields.
func (a *Action) InputOf(q url.Values) (json.RawMessage, error) {
	data, e := a.queryInput(q)
	if e != nil {
		return nil, e
	}
	return data, nil
}
