package policy

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"time"
)

// Isolation says how many guests a policy has and which of them sees a request.
type Isolation string

// The isolation modes of module variables.
const (
	IsolationSingle Isolation = "single" // one guest: module variables just work
	IsolationKey    Isolation = "key"    // N guests: a request goes to hash(key)
	IsolationPool   Isolation = "pool"   // N stateless guests
)

// Failure says what answers for a policy that failed.
type Failure string

// The answers to a fault.
const (
	FailOpen     Failure = "open"     // no opinion: configured limits still hold
	FailClosed   Failure = "closed"   // deny 503
	FailPrevious Failure = "previous" // the earlier generation's policy of that name; none: open
)

// Options are what a policy says about itself: `options` of a JavaScript module,
// the manifest of a Wasm module, and what the operator's config overrides. Zero
// fields were not said.
type Options struct {
	Match     any // for ParseMatch
	Isolation Isolation
	Budget    time.Duration // of one hook: waiting for a guest and running
	OnFailure Failure
	Body      []string          // names of JSON scalars to extract
	Routes    map[string]string // name to URL: standard policies only
	// Capabilities are what the policy says it uses; the operator grants them.
	Capabilities Grants
}

// ParseOptions reads an options object and names every fault in it.
func ParseOptions(o map[string]any) (Options, error) {
	var opts Options
	var faults []string
	bad := func(format string, args ...any) { faults = append(faults, "options."+fmt.Sprintf(format, args...)) }
	keys := make([]string, 0, len(o))
	for k := range o {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		v := o[k]
		var err error
		switch k {
		case "match":
			opts.Match = v
			_, err = ParseMatch(v)
		case "isolation":
			opts.Isolation, err = ParseIsolation(v)
		case "budget":
			opts.Budget, err = ParseDuration(v)
			if err == nil && opts.Budget <= 0 {
				err = fmt.Errorf("want more than 0")
			}
		case "onFailure", "on_failure":
			opts.OnFailure, err = ParseFailure(v)
		case "body":
			opts.Body, err = parseScalars(v)
		case "routes":
			opts.Routes, err = parseRoutes(v)
		case "capabilities":
			opts.Capabilities, err = parseGrants(v)
		default:
			err = fmt.Errorf("unknown option (want match, isolation, budget, onFailure, body or capabilities)")
		}
		if err != nil && k == "match" {
			faults = append(faults, "options."+err.Error())
		} else if err != nil {
			bad("%s: %v", k, err)
		}
	}
	if len(faults) > 0 {
		return Options{}, fmt.Errorf("%s", strings.Join(faults, "; "))
	}
	return opts, nil
}

// The bounds of options.body.
const (
	maxScalars    = 16
	maxScalarName = 128 // bytes
)

// parseScalars reads names of JSON scalars: keys and indexes joined by dots.
func parseScalars(v any) ([]string, error) {
	names, err := parseTexts(v)
	if err != nil {
		return nil, err
	}
	if len(names) > maxScalars {
		return nil, fmt.Errorf("want at most %d names, got %d", maxScalars, len(names))
	}
	for _, name := range names {
		if len(name) > maxScalarName {
			return nil, fmt.Errorf("a name has %d bytes, want at most %d", len(name), maxScalarName)
		}
		if slices.Contains(strings.Split(name, "."), "") {
			return nil, fmt.Errorf("%q: want keys joined by dots, such as usage.total_tokens", name)
		}
	}
	return names, nil
}

// Override returns o with every field that over says replaced by it.
func (o Options) Override(over Options) Options {
	if over.Match != nil {
		o.Match = over.Match
	}
	if over.Isolation != "" {
		o.Isolation = over.Isolation
	}
	if over.Budget != 0 {
		o.Budget = over.Budget
	}
	if over.OnFailure != "" {
		o.OnFailure = over.OnFailure
	}
	if over.Body != nil {
		o.Body = over.Body
	}
	return o
}

// ParseIsolation reads an isolation mode.
func ParseIsolation(v any) (Isolation, error) {
	switch s, _ := v.(string); Isolation(s) {
	case IsolationSingle, IsolationKey, IsolationPool:
		return Isolation(s), nil
	}
	return "", fmt.Errorf(`want "single", "key" or "pool", got %v`, quoted(v))
}

// ParseFailure reads what answers for a failed policy.
func ParseFailure(v any) (Failure, error) {
	switch s, _ := v.(string); Failure(s) {
	case FailOpen, FailClosed, FailPrevious:
		return Failure(s), nil
	}
	return "", fmt.Errorf(`want "open", "closed" or "previous", got %v`, quoted(v))
}

// ParseDuration reads a length of time as policies write it: a bare number is
// milliseconds, a text says its unit ("2s", "1m30s"). Negative, infinite and
// absurd values are errors.
func ParseDuration(v any) (time.Duration, error) {
	var ms float64
	switch v := v.(type) {
	case time.Duration:
		ms = float64(v) / float64(time.Millisecond)
	case int:
		ms = float64(v)
	case int64:
		ms = float64(v)
	case uint64:
		ms = float64(v)
	case float64:
		ms = v
	case string:
		d, err := time.ParseDuration(strings.TrimSpace(v))
		if err != nil {
			return 0, fmt.Errorf(`want milliseconds or a text such as "250ms", "2s" or "1m", got %q`, v)
		}
		ms = float64(d) / float64(time.Millisecond)
	default:
		return 0, fmt.Errorf(`want milliseconds or a text such as "2s", got %v`, quoted(v))
	}
	switch {
	case math.IsNaN(ms) || ms < 0:
		return 0, fmt.Errorf("want a time of 0 or more, got %v", quoted(v))
	case ms > float64(math.MaxInt64/int64(time.Millisecond)):
		return 0, fmt.Errorf("%v is too long", quoted(v))
	}
	return time.Duration(ms * float64(time.Millisecond)), nil
}

func parseTexts(v any) ([]string, error) {
	switch v := v.(type) {
	case []string:
		return v, nil
	case []any:
		texts := make([]string, 0, len(v))
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				return nil, fmt.Errorf("want a list of texts, got %v in it", quoted(e))
			}
			texts = append(texts, s)
		}
		return texts, nil
	}
	return nil, fmt.Errorf("want a list of texts, got %v", quoted(v))
}

func parseRoutes(v any) (map[string]string, error) {
	o, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("want an object of {NAME: {url}}, got %v", quoted(v))
	}
	routes := make(map[string]string, len(o))
	for name, e := range o {
		r, _ := e.(map[string]any)
		url, ok := r["url"].(string)
		if !ok || len(r) != 1 {
			return nil, fmt.Errorf("%s: want {url: TEXT}", name)
		}
		routes[name] = url
	}
	return routes, nil
}

func quoted(v any) string {
	if s, ok := v.(string); ok {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%v", v)
}
