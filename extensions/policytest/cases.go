package policytest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
)

// maxCases bounds the bytes of a file of cases, maxTimes how often one step is done.
const (
	maxCases = 4 << 20
	maxTimes = 1_000_000
)

// caseFile is a test file in JSON.
type caseFile struct {
	Policy string          `json:"policy"` // beside the file; "": that of the folder
	Config json.RawMessage `json:"config"` // of the gaia that calls are sent through
	Setup
	Cases []struct {
		Name  string            `json:"name"`
		Skip  bool              `json:"skip"`
		Steps []json.RawMessage `json:"steps"`
		Setup
	} `json:"cases"`
}

// step is one thing that a case does. Exactly one of its first kinds is set.
type step struct {
	OnRequest  json.RawMessage `json:"onRequest"`
	OnRoute    json.RawMessage `json:"onRoute"`
	OnResponse json.RawMessage `json:"onResponse"`
	OnDone     json.RawMessage `json:"onDone"`
	OnTick     json.RawMessage `json:"onTick"`
	Send       json.RawMessage `json:"send"`
	Advance    any             `json:"advance"`
	Level      string          `json:"level"`
	State      string          `json:"state"`
	Value      string          `json:"value"`

	Key   string          `json:"key"`  // of level
	Cost  *int64          `json:"cost"` // of level; 1
	Times int             `json:"times"`
	Want  json.RawMessage `json:"want"`       // what the answer must hold, at every time
	Error string          `json:"want_error"` // what the error must say
}

// located is a step and where it stands.
type located struct {
	step
	at Place
}

func strictly(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more after the value")
	}
	return nil
}

// lineAt counts the lines up to an offset.
func lineAt(data []byte, offset int) int { return bytes.Count(data[:offset], []byte("\n")) + 1 }

// parseCases reads a file of cases, with the line of every step.
func parseCases(path string, data []byte) (*caseFile, [][]located, error) {
	var f caseFile
	if err := strictly(data, &f); err != nil {
		return nil, nil, caseError(path, data, err)
	}
	if len(f.Cases) == 0 {
		return nil, nil, &policy.LoadError{File: path, Message: "there are no cases", Hint: `{"cases": [{"name": "...", "steps": [{"onRequest": {"host": "a"}, "want": {"action": "allow"}}]}]}`}
	}
	steps := make([][]located, len(f.Cases))
	from := 0
	for i, c := range f.Cases {
		if c.Name == "" {
			return nil, nil, &policy.LoadError{File: path, Message: fmt.Sprintf("cases[%d] has no name", i)}
		}
		for _, raw := range c.Steps {
			at := from + max(bytes.Index(data[from:], raw), 0) // steps stand in their order
			from = at + len(raw)
			l := located{at: Place{path, lineAt(data, at)}}
			if err := strictly(raw, &l.step); err == nil {
				err = l.check()
				if err == nil {
					steps[i] = append(steps[i], l)
					continue
				}
				return nil, nil, &policy.LoadError{File: path, Line: l.at.Line, Col: 1, Message: err.Error()}
			} else {
				return nil, nil, &policy.LoadError{File: path, Line: l.at.Line, Col: 1, Message: tidy(err)}
			}
		}
	}
	return &f, steps, nil
}

func tidy(err error) string { return strings.TrimPrefix(err.Error(), "json: ") }

func caseError(path string, data []byte, err error) *policy.LoadError {
	e := &policy.LoadError{File: path, Message: tidy(err), Err: err}
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		e.Line, e.Col = lineAt(data, min(int(syntax.Offset), len(data))), 1
	case errors.As(err, &kind):
		e.Line, e.Col = lineAt(data, min(int(kind.Offset), len(data))), 1
	}
	return e
}

// hook is the hook that a step asks, if it does.
func (s *step) hook() (h policy.Hook, input json.RawMessage, ok bool) {
	for h, in := range map[policy.Hook]json.RawMessage{policy.HookRequest: s.OnRequest, policy.HookRoute: s.OnRoute,
		policy.HookResponse: s.OnResponse, policy.HookDone: s.OnDone, policy.HookTick: s.OnTick} {
		if in != nil {
			return h, in, true
		}
	}
	return 0, nil, false
}

func (s *step) check() error {
	kinds := 0
	for _, set := range []bool{s.OnRequest != nil, s.OnRoute != nil, s.OnResponse != nil, s.OnDone != nil, s.OnTick != nil, s.Send != nil,
		s.Advance != nil, s.Level != "", s.State != "", s.Value != ""} {
		if set {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		return errors.New("want one of onRequest, onRoute, onResponse, onDone, onTick, send, advance, level, state and value")
	case s.Times < 0 || s.Times > maxTimes:
		return fmt.Errorf("times: want 1 to %d", maxTimes)
	case s.Want != nil && s.Error != "":
		return errors.New("want and want_error: one of them")
	}
	return nil
}

func readCases(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &policy.LoadError{File: path, Message: "cannot be read: " + errors.Unwrap(err).Error(), Err: err}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCases+1))
	if err == nil && len(data) > maxCases {
		err = &policy.LoadError{File: path, Message: fmt.Sprintf("is larger than %d MiB", maxCases>>20)}
	}
	return data, err
}

func (s *Suite) runJSON(ctx context.Context, path string) ([]Result, error) {
	data, err := readCases(path)
	if err != nil {
		return nil, err
	}
	f, steps, err := parseCases(path, data)
	if err != nil {
		return nil, err
	}
	var results []Result
	for i, c := range f.Cases {
		if !s.wants(c.Name) {
			continue
		}
		if c.Skip {
			results = append(results, Result{File: path, Name: c.Name, Skipped: true})
			continue
		}
		if err := ctx.Err(); err != nil {
			return results, err
		}
		results = append(results, s.measured(ctx, path, c.Name, Place{File: path}, func(ctx context.Context, r *Result) error {
			w := newWorld(ctx, s, path)
			setup := f.Setup
			if c.Params != nil {
				setup.Params = c.Params
			}
			if c.Env != nil {
				setup.Env = c.Env
			}
			if f.Config != nil {
				if _, err := w.openWholeOf(f.Config, setup); err != nil {
					return errors.Join(err, w.close())
				}
			}
			if f.Config == nil || f.Policy != "" {
				if _, err := w.openTrial(f.Policy, setup); err != nil {
					return errors.Join(err, w.close())
				}
			}
			return errors.Join(w.steps(steps[i], r), w.close())
		}))
	}
	return results, nil
}

// steps does all steps; one whose expectation is not met does not end the case.
func (w *world) steps(steps []located, r *Result) error {
	for i := range steps {
		s := &steps[i]
		for n := range max(s.Times, 1) {
			if err := w.ctx.Err(); err != nil {
				r.fail(Failure{At: s.at, Message: err.Error()})
				return nil
			}
			got, err := w.do(&s.step)
			if !r.held(s, n, got, err) {
				break
			}
		}
	}
	return nil
}

func (w *world) do(s *step) (any, error) {
	switch {
	case s.Advance != nil:
		by, err := policy.ParseDuration(s.Advance)
		if err == nil {
			err = w.advance(by)
		}
		return w.now / int64(time.Millisecond), err
	case s.Send != nil:
		return w.sendStep(s.Send)
	case len(w.trials) == 0:
		return nil, errors.New(`want "policy" in the file, to ask a hook or look at a limiter`)
	}
	t := w.trials[0]
	if h, in, ok := s.hook(); ok {
		if h == policy.HookRequest {
			in = append(append([]byte(`{"request":`), in...), '}')
		}
		a, err := w.ask(t, h, in)
		if a == nil {
			return nil, err
		}
		return a, err
	}
	switch {
	case s.Level != "":
		cost := int64(1)
		if s.Cost != nil {
			cost = *s.Cost
		}
		return w.level(t, s.Level, s.Key, cost)
	case s.State != "":
		return w.stateOf(t, s.State), nil
	}
	return t.value(s.Value), nil
}

// sendStep sends a call and waits for its end.
func (w *world) sendStep(data []byte) (any, error) {
	if len(w.wholes) == 0 {
		return nil, errors.New(`want "config" in the file, to send a call`)
	}
	id, err := w.send(w.wholes[0], data)
	if err != nil {
		return nil, err
	}
	return w.end(w.wholes[0], id)
}

// held compares what came of a step with what it wants, and reports whether it was that.
func (r *Result) held(s *located, n int, got any, err error) bool {
	f := Failure{At: s.at}
	if s.Times > 1 {
		f.Message = fmt.Sprintf("at the %d. of %d times: ", n+1, s.Times)
	}
	if s.Want != nil || s.Error != "" {
		r.Checks++
	}
	switch {
	case err != nil && s.Error != "" && strings.Contains(err.Error(), s.Error):
		return true
	case err != nil:
		f.Message += err.Error()
		r.fail(f)
		return false
	case s.Error != "":
		f.Message += fmt.Sprintf("want an error with %q, got none", s.Error)
		r.fail(f)
		return false
	case s.Want == nil:
		return true
	}
	text, err := json.Marshal(got)
	if err != nil {
		f.Message += err.Error()
		r.fail(f)
		return false
	}
	var have, want any
	if json.Unmarshal(text, &have) != nil || json.Unmarshal(s.Want, &want) != nil {
		return true // both were JSON before
	}
	if at, ok := holds(have, want, ""); !ok {
		if _, decided := got.(*Answer); decided {
			f.Decision = text
		}
		var compact bytes.Buffer
		if json.Compact(&compact, s.Want) == nil {
			f.Want = compact.String()
		}
		f.Got = string(text)
		f.Message += at
		r.fail(f)
		return false
	}
	return true
}

// holds reports whether got has all that want names; at says what it has not.
func holds(got, want any, path string) (at string, ok bool) {
	switch want := want.(type) {
	case map[string]any:
		have, isObject := got.(map[string]any)
		if !isObject {
			break
		}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if at, ok := holds(have[name], want[name], strings.TrimPrefix(path+"."+name, ".")); !ok {
				return at, false
			}
		}
		return "", true
	case []any:
		have, isList := got.([]any)
		if !isList || len(have) != len(want) {
			break
		}
		for i := range want {
			if at, ok := holds(have[i], want[i], fmt.Sprintf("%s[%d]", path, i)); !ok {
				return at, false
			}
		}
		return "", true
	default:
		if got == want {
			return "", true
		}
	}
	w, _ := json.Marshal(want)
	g, _ := json.Marshal(got)
	if path != "" {
		path += ": "
	}
	return fmt.Sprintf("%swant %s, got %s", path, w, g), false
}
