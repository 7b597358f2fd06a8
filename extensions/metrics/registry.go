package metrics

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/valyala/bytebufferpool"
)

// Bounds of a Registry.
const (
	MaxNames      = 64  // names of one policy
	MaxNameLength = 128 // bytes of one name
)

// Errors of a Registry.
var (
	// ErrName: the name is not [a-zA-Z_][a-zA-Z0-9_]* or is too long.
	ErrName = errors.New("metrics: bad name")
	// ErrTooManyNames: the policy has MaxNames names already.
	ErrTooManyNames = errors.New("metrics: too many names")
	// ErrOtherKind: the name is in use for a counter where a gauge is asked for, or the other way round.
	ErrOtherKind = errors.New("metrics: name is of the other kind")
)

// Registry holds the counters and gauges that policies keep, by policy and name. They belong to the name, not to a
// generation: a policy that is replaced finds them as they were. It is safe for concurrent use.
type Registry struct {
	mu       sync.RWMutex
	policies map[string]map[string]*Value
}

// NewRegistry makes an empty registry.
func NewRegistry() *Registry {
	return &Registry{policies: make(map[string]map[string]*Value)}
}

// Counter gives the counter of that name, which starts at 0. Errors: ErrName, ErrTooManyNames, ErrOtherKind.
func (r *Registry) Counter(policy, name string) (*Value, error) {
	return r.value(policy, name, Counter)
}

// Gauge gives the gauge of that name, which starts at 0. Errors: ErrName, ErrTooManyNames, ErrOtherKind.
func (r *Registry) Gauge(policy, name string) (*Value, error) { return r.value(policy, name, Gauge) }

func (r *Registry) value(policy, name string, kind FieldKind) (*Value, error) {
	r.mu.RLock()
	v := r.policies[policy][name]
	r.mu.RUnlock()
	if v == nil {
		var err error
		if v, err = r.create(policy, name, kind); err != nil {
			return nil, fmt.Errorf("open %v %.64q: %w", kind, name, err)
		}
	}
	if v.kind != kind {
		return nil, fmt.Errorf("open %v %.64q, a %v: %w", kind, name, v.kind, ErrOtherKind)
	}
	return v, nil
}

// create adds a name, unless somebody else just did.
func (r *Registry) create(policy, name string, kind FieldKind) (*Value, error) {
	if !validName(name) || len(name) > MaxNameLength {
		return nil, ErrName
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	names := r.policies[policy]
	if v := names[name]; v != nil {
		return v, nil
	}
	if len(names) >= MaxNames {
		return nil, ErrTooManyNames
	}
	if names == nil {
		names = make(map[string]*Value)
		r.policies[policy] = names
	}
	v := &Value{kind: kind}
	names[name] = v
	return v, nil
}

// Forget drops all names of a policy that is gone for good. Who still holds one of its Values counts unseen.
func (r *Registry) Forget(policy string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.policies, policy)
}

// sample is one number of a registry.
type sample struct {
	policy, name string
	kind         FieldKind
	value        float64
}

// samples lists everything, ordered by policy and name.
func (r *Registry) samples() []sample {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var all []sample
	for policy, names := range r.policies {
		for name, v := range names {
			all = append(all, sample{policy, name, v.kind, v.Load()})
		}
	}
	slices.SortFunc(all, func(a, b sample) int {
		return cmp.Or(cmp.Compare(a.policy, b.policy), cmp.Compare(a.name, b.name))
	})
	return all
}

// Range calls fn with every number, ordered by policy and name. No lock is held while fn runs.
func (r *Registry) Range(fn func(policy, name string, kind FieldKind, value float64)) {
	for _, s := range r.samples() {
		fn(s.policy, s.name, s.kind, s.value)
	}
}

// AppendJSON appends {"POLICY":{"NAME":1,...},...}, ordered by policy and name.
func (r *Registry) AppendJSON(dst *bytebufferpool.ByteBuffer) {
	all := r.samples()
	b := append(dst.B, '{')
	for i, s := range all {
		switch {
		case i == 0:
			b = append(appendString(b, s.policy), ":{"...)
		case s.policy != all[i-1].policy:
			b = append(appendString(append(b, "},"...), s.policy), ":{"...)
		default:
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), s.name...), `":`...)
		b = appendNumber(b, s.value)
	}
	if len(all) > 0 {
		b = append(b, '}')
	}
	dst.B = append(b, '}')
}

// appendString appends s as JSON.
func appendString(b []byte, s string) []byte {
	text, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("metrics: a string has no JSON: %v", err)) // json.Marshal replaces what is not UTF-8
	}
	return append(b, text...)
}
