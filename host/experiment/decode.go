package experiment

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/experiment/dist"
)

// Decode reads a Spec. Unknown fields are errors, and so is a null, which is what NaN and
// Infinity of a script become. It does not Check.
func Decode(text []byte) (*Spec, error) {
	var all any
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	if at := nullIn(all, ""); at != "" {
		return nil, fmt.Errorf("%s has no value: it is null, or was NaN or Infinity", strings.TrimPrefix(at, "."))
	}
	var s Spec
	if err := strict(text, &s); err != nil {
		return nil, err
	}
	return &s, nil
}

// nullIn is where a null stands in v, "" nowhere. The parameters of policies may be null.
func nullIn(v any, at string) string {
	switch v := v.(type) {
	case nil:
		return at
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if name == "params" {
				continue
			}
			if found := nullIn(v[name], at+"."+name); found != "" {
				return found
			}
		}
	case []any:
		for i := range v {
			if found := nullIn(v[i], fmt.Sprintf("%s[%d]", at, i)); found != "" {
				return found
			}
		}
	}
	return ""
}

func strict(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// Duration is a number of milliseconds, or a text such as "1m30s".
type Duration time.Duration

// UnmarshalJSON implements json.Unmarshaler.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	t, err := policy.ParseDuration(v)
	*d = Duration(t)
	return err
}

// MarshalJSON implements json.Marshaler.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// Dist is a distribution: a number, or {kind, ...} with the parameters of its kind.
type Dist struct {
	dist.Dist
	text json.RawMessage
}

// UnmarshalJSON implements json.Unmarshaler.
func (d *Dist) UnmarshalJSON(b []byte) error {
	d.text = bytes.Clone(b)
	var err error
	if v := 0.0; json.Unmarshal(b, &v) == nil {
		d.Dist, err = dist.Constant(v)
		return err
	}
	var p struct {
		Kind    string    `json:"kind"`
		Value   float64   `json:"value"`
		Mean    float64   `json:"mean"`
		Min     float64   `json:"min"`
		Max     float64   `json:"max"`
		P50     float64   `json:"p50"`
		P99     float64   `json:"p99"`
		Alpha   float64   `json:"alpha"`
		Values  []float64 `json:"values"`
		Weights []float64 `json:"weights"`
	}
	if err := strict(b, &p); err != nil {
		return fmt.Errorf("want a number or a distribution: %w", err)
	}
	switch p.Kind {
	case "constant":
		d.Dist, err = dist.Constant(p.Value)
	case "uniform":
		d.Dist, err = dist.Uniform(p.Min, p.Max)
	case "exponential":
		d.Dist, err = dist.Exponential(p.Mean)
	case "lognormal":
		d.Dist, err = dist.Lognormal(p.P50, p.P99)
	case "pareto":
		d.Dist, err = dist.Pareto(p.Min, p.Alpha, p.Max)
	case "choice":
		d.Dist, err = dist.Choice(p.Values, p.Weights)
	default:
		err = fmt.Errorf("unknown distribution %q (want constant, uniform, exponential, lognormal, pareto or choice)", p.Kind)
	}
	return err
}

// MarshalJSON implements json.Marshaler: as it was written.
func (d Dist) MarshalJSON() ([]byte, error) {
	if d.text == nil {
		return []byte("0"), nil
	}
	return d.text, nil
}

// Ordered is a JSON object whose fields keep the order in which they were written:
// the first strategy is what the others are compared with.
type Ordered[T any] struct {
	names  []string
	values map[string]T
}

// Len is how many fields there are.
func (o *Ordered[T]) Len() int { return len(o.names) }

// Names lists the fields in order. The slice must not be changed.
func (o *Ordered[T]) Names() []string { return o.names }

// Get returns a field.
func (o *Ordered[T]) Get(name string) (T, bool) {
	v, ok := o.values[name]
	return v, ok
}

// Set adds a field, or replaces it in its place.
func (o *Ordered[T]) Set(name string, v T) {
	if o.values == nil {
		o.values = map[string]T{}
	}
	if _, ok := o.values[name]; !ok {
		o.names = append(o.names, name)
	}
	o.values[name] = v
}

// All gives the fields in order.
func (o *Ordered[T]) All() iter.Seq2[string, T] {
	return func(yield func(string, T) bool) {
		for _, n := range o.names {
			if !yield(n, o.values[n]) {
				return
			}
		}
	}
}

// UnmarshalJSON implements json.Unmarshaler.
func (o *Ordered[T]) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("want an object, got %.40s", b)
	}
	*o = Ordered[T]{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		name, _ := t.(string) // a key is one
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return err
		}
		var v T
		if err := strict(raw, &v); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		o.Set(name, v)
	}
	return nil
}

// MarshalJSON implements json.Marshaler.
func (o Ordered[T]) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, n := range o.names {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(n)
		if err != nil {
			return nil, err
		}
		v, err := json.Marshal(o.values[n])
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(v)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
