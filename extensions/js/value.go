package js

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"

	"github.com/dop251/goja"

	"github.com/gaia-host/gaia/extensions/policy"
)

// isNil reports undefined, null and absent.
func isNil(v goja.Value) bool { return v == nil || goja.IsUndefined(v) || goja.IsNull(v) }

// isNumber reports a primitive number.
func isNumber(v goja.Value) bool {
	if v == nil {
		return false
	}
	switch v.(type) {
	case *goja.Object, goja.String, *goja.Symbol:
		return false
	}
	t := v.ExportType()
	return t != nil && (t.Kind() == reflect.Int64 || t.Kind() == reflect.Float64)
}

// Types by which goja tells its objects apart; the table is never changed.
var (
	typePlain   = reflect.TypeFor[map[string]any]()
	typePromise = reflect.TypeFor[*goja.Promise]()
)

// isPlain reports an object literal or an instance of a class of the policy.
func isPlain(o *goja.Object) bool { return o.ExportType() == typePlain && o.ClassName() == "Object" }

func isPromise(o *goja.Object) bool { return o.ExportType() == typePromise }

// kindName says in words what a value is.
func kindName(v goja.Value) string {
	switch o := v.(type) {
	case nil:
		return "undefined"
	case *goja.Object:
		switch o.ClassName() {
		case "Array":
			return "an array"
		case "Function":
			return "a function"
		}
		if isPromise(o) {
			return "a Promise"
		}
		return "an object"
	case goja.String:
		return "the text " + quote(o.String())
	case *goja.Symbol:
		return "a symbol"
	}
	switch {
	case goja.IsUndefined(v), goja.IsNull(v), isNumber(v):
		return v.String()
	case v.ExportType() != nil && v.ExportType().Kind() == reflect.Bool:
		return v.String()
	}
	return "a value of another kind"
}

func quote(s string) string {
	if len(s) > 64 {
		s = s[:64] + "..."
	}
	return fmt.Sprintf("%q", s)
}

func (g *guest) typeError(format string, args ...any) *goja.Object {
	return g.newError(g.errors.typ, format, args...)
}

func (g *guest) rangeError(format string, args ...any) *goja.Object {
	return g.newError(g.errors.rng, format, args...)
}

// fail is the error that a native function of the host throws for err.
func (g *guest) fail(what string, err error) *goja.Object {
	return g.newError(g.errors.plain, "%s: %s", what, err)
}

func (g *guest) newError(class *goja.Object, format string, args ...any) *goja.Object {
	o, err := g.rt.New(class, g.rt.ToValue(fmt.Sprintf(format, args...)))
	if err != nil {
		return g.rt.NewGoError(err)
	}
	return o
}

// must panics for what cannot fail: objects that the guest itself just made.
func (g *guest) must(err error) {
	if err != nil {
		panic(err)
	}
}

// toDuration reads a length of time: milliseconds or a text with its unit.
func toDuration(v goja.Value) (time.Duration, error) {
	if isNumber(v) {
		ms := v.ToFloat()
		if ms >= 0 && ms <= float64(policy.MaxDelay/time.Millisecond) {
			return time.Duration(ms * float64(time.Millisecond)), nil
		}
		if ms > 0 && !math.IsInf(ms, 0) {
			return 0, fmt.Errorf("%v is more than %v", v, policy.MaxDelay)
		}
		return policy.ParseDuration(ms)
	}
	s, ok := v.(goja.String)
	if !ok {
		return 0, fmt.Errorf(`want milliseconds or a text such as "2s", got %s`, kindName(v))
	}
	d, err := policy.ParseDuration(s.String())
	if err == nil && d > policy.MaxDelay {
		return 0, fmt.Errorf("%v is more than %v", d, policy.MaxDelay)
	}
	return d, err
}

// toInt reads a whole number of a range.
func toInt(v goja.Value, lo, hi int64) (int64, error) {
	if !isNumber(v) {
		return 0, fmt.Errorf("want a whole number from %d to %d, got %s", lo, hi, kindName(v))
	}
	f := v.ToFloat()
	if f != math.Trunc(f) || f < float64(lo) || f > float64(hi) {
		return 0, fmt.Errorf("want a whole number from %d to %d, got %v", lo, hi, v)
	}
	return int64(f), nil
}

func toText(v goja.Value, most int) (string, error) {
	s, ok := v.(goja.String)
	if !ok {
		return "", fmt.Errorf("want a text, got %s", kindName(v))
	}
	text := s.String()
	if len(text) > most {
		return "", fmt.Errorf("want at most %d bytes, got %d", most, len(text))
	}
	return text, nil
}

// fields calls fn for each own field of an options object that is not undefined.
func fields(v goja.Value, fn func(name string, v goja.Value) error) error {
	o, ok := v.(*goja.Object)
	if !ok || !isPlain(o) {
		return fmt.Errorf("want an object, got %s", kindName(v))
	}
	const most = 64
	keys := o.Keys()
	if len(keys) > most {
		return fmt.Errorf("want at most %d fields, got %d", most, len(keys))
	}
	for _, k := range keys {
		if f := o.Get(k); f != nil && !goja.IsUndefined(f) {
			if err := fn(k, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// unknownField is the error of a field that is not one of names.
func unknownField(name string, names []string) error {
	if near := nearest(name, names); near != "" {
		return fmt.Errorf("unknown field %s: did you mean %q?", quote(name), near)
	}
	return fmt.Errorf("unknown field %s (want %s)", quote(name), strings.Join(names, ", "))
}

// nearest returns the name that a mistyped one probably means, "" where none is near.
func nearest(name string, names []string) string {
	if len(name) > 64 {
		return ""
	}
	best, at := "", max(2, len(name)/3)+1
	if len(name) < 3 {
		at = 2
	}
	for _, n := range names {
		if strings.EqualFold(n, strings.ReplaceAll(name, "_", "")) {
			return n
		}
		if d := distance(strings.ToLower(name), strings.ToLower(n)); d < at {
			best, at = n, d
		}
	}
	return best
}

// distance is the optimal string alignment distance: insertions, deletions,
// substitutions and swaps of neighbours (Damerau, 1964).
func distance(a, b string) int {
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
