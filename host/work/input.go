package work

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/gaia-host/gaia/host/config"
)

// maxInput bounds the JSON of one request.
const maxInput = 16 << 20

// steerNames are fields that every action takes besides its own.
func steerNames() []string { return []string{"tenant", "priority", "cost", "timeout"} }

// steerField is a Gaia- field of HTTP that a field of the input stands for.
func steerField(name string) string { return "Gaia-" + strings.ToUpper(name[:1]) + name[1:] }

// readInput reads JSON into a new input of a, strictly. What steers the call is
// given to steer.
func (a *Action) readInput(body []byte, steer func(name, value string) *Error) (any, *Error) {
	in := reflect.New(a.input).Interface()
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		body = []byte("{}")
	}
	var members map[string]json.RawMessage
	if err := decode(body, &members); err != nil {
		return nil, badJSON(err)
	}
	own := a.Fields()
	for _, name := range steerNames() {
		raw, ok := members[name]
		if !ok || slices.ContainsFunc(own, func(f Field) bool { return f.Name == name }) {
			continue
		}
		delete(members, name)
		text, err := textOf(raw)
		if err != nil {
			return nil, BadInput(name, "%v", err)
		}
		if e := steer(steerField(name), text); e != nil {
			return nil, e
		}
	}
	rest, err := json.Marshal(members)
	if err != nil {
		return nil, badJSON(err)
	}
	if err := decode(rest, in); err != nil {
		return nil, a.badInput(err)
	}
	return in, a.checkInput(in)
}

// decode reads exactly one JSON value and refuses fields that v has not.
func decode(body []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more after the object")
	}
	return nil
}

func badJSON(err error) *Error {
	e := &Error{Code: CodeBadRequest, Title: "the input is not a JSON object", Detail: err.Error()}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		e.Detail = fmt.Sprintf("%v, at byte %d", err, syntax.Offset)
	}
	return e
}

// badInput says which field is wrong, and which was probably meant.
func (a *Action) badInput(err error) *Error {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return BadInput(kind.Field, "want %s, got %s", wantOf(kind.Type), kind.Value)
	}
	quoted, ok := strings.CutPrefix(err.Error(), "json: unknown field ")
	if !ok {
		return &Error{Code: CodeBadRequest, Title: "the input is wrong", Detail: err.Error()}
	}
	name, uerr := strconv.Unquote(quoted)
	if uerr != nil {
		name = quoted
	}
	known := append(namesOf(a.input, map[reflect.Type]bool{}), steerNames()...)
	return unknownField(name, known)
}

func unknownField(name string, known []string) *Error {
	e := BadInput(name, "there is no such field")
	if near := config.Suggest(name, known); near != "" {
		e.Hint = "did you mean " + strconv.Quote(near) + "?"
	} else {
		e.Hint = "the fields are: " + strings.Join(known, ", ")
	}
	return e
}

func wantOf(t reflect.Type) string {
	switch k := kindOf(t); k {
	case Value:
		return "an object"
	case Integer:
		return "an integer"
	case Texts, TextMap, Text, Bool, Number, Time, Bytesize:
		return "a " + string(k)
	}
	return t.String()
}

// checkInput refuses an input without what it needs, or with a word that is none.
func (a *Action) checkInput(in any) *Error {
	v := reflect.ValueOf(in).Elem()
	for _, f := range a.Fields() {
		value := v.FieldByIndex(f.index)
		if f.Required && value.IsZero() {
			return BadInput(f.Name, "is missing")
		}
		if len(f.OneOf) > 0 && value.Kind() == reflect.String && value.String() != "" && !slices.Contains(f.OneOf, value.String()) {
			e := BadInput(f.Name, "want one of %s, got %q", strings.Join(f.OneOf, ", "), value.String())
			if near := config.Suggest(value.String(), f.OneOf); near != "" {
				e.Hint = "did you mean " + strconv.Quote(near) + "?"
			}
			return e
		}
	}
	return nil
}

// queryInput turns a query into the JSON of an input: NAME=VALUE by the kind of the
// field, a list by repetition, a map by NAME.KEY=VALUE.
func (a *Action) queryInput(q url.Values) ([]byte, *Error) {
	members := map[string]any{}
	fields := map[string]Field{}
	for _, f := range a.Fields() {
		fields[f.Name] = f
	}
	for _, name := range steerNames() {
		if _, own := fields[name]; !own {
			fields[name] = Field{Name: name, Kind: Text}
		}
	}
	for name, values := range q {
		base, key, dotted := strings.Cut(name, ".")
		f, ok := fields[base]
		if !ok || dotted != (f.Kind == TextMap) {
			return nil, unknownField(name, append(namesOf(a.input, map[reflect.Type]bool{}), steerNames()...))
		}
		if f.Kind == TextMap {
			m, _ := members[base].(map[string]string)
			if m == nil {
				m = map[string]string{}
				members[base] = m
			}
			m[key] = values[0]
			continue
		}
		v, err := ParseField(f, values)
		if err != nil {
			return nil, err
		}
		members[base] = v
	}
	data, err := json.Marshal(members)
	if err != nil {
		return nil, badJSON(err)
	}
	return data, nil
}

// ParseField reads texts as the value of a field: for queries and command lines.
func ParseField(f Field, values []string) (any, *Error) {
	if f.Kind == Texts {
		return values, nil
	}
	if len(values) != 1 {
		return nil, BadInput(f.Name, "given %d times", len(values))
	}
	text := values[0]
	switch f.Kind {
	case Bool:
		v, err := strconv.ParseBool(text)
		if err != nil {
			return nil, BadInput(f.Name, "want true or false, got %q", text)
		}
		return v, nil
	case Integer:
		v, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, BadInput(f.Name, "want an integer, got %q", text)
		}
		return v, nil
	case Number:
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, BadInput(f.Name, "want a number, got %q", text)
		}
		return v, nil
	case Value:
		if !json.Valid([]byte(text)) {
			return nil, BadInput(f.Name, "want JSON, got %q", text)
		}
		return json.RawMessage(text), nil
	case Text, Time, Bytesize, Texts, TextMap:
	}
	return text, nil
}
