package policy

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Bounds of what a policy may ask for.
const (
	maxGrantNames = 64
	maxGrantName  = 128 // bytes
	maxLogRate    = 1000
)

// Grants are what a policy may use beyond deciding. As options.capabilities they are
// what a policy asks for; in the operator's configuration, what it gets. The zero
// Grants are nothing.
type Grants struct {
	State          bool // values of its own
	Limiters       bool // limiters of its own
	SharedState    bool // values under shared/
	SharedLimiters bool // limiters under shared/
	Env            []string
	Headers        []string // names that it may read and set, whatever their case
	LogRate        int      // lines a second; 0 is the default
}

// IsZero reports whether nothing is asked for.
func (g Grants) IsZero() bool { return len(g.Names()) == 0 }

// HasHeader reports whether a header is among the names.
func (g Grants) HasHeader(name string) bool {
	for _, h := range g.Headers {
		if equalFold(h, name) {
			return true
		}
	}
	return false
}

// Missing returns what of asked is not in g.
func (g Grants) Missing(asked Grants) Grants {
	m := Grants{
		State: asked.State && !g.State, Limiters: asked.Limiters && !g.Limiters,
		SharedState: asked.SharedState && !g.SharedState, SharedLimiters: asked.SharedLimiters && !g.SharedLimiters,
	}
	for _, name := range asked.Env {
		if !slices.Contains(g.Env, name) {
			m.Env = append(m.Env, name)
		}
	}
	for _, name := range asked.Headers {
		if !g.HasHeader(name) {
			m.Headers = append(m.Headers, name)
		}
	}
	if asked.LogRate > g.LogRate {
		m.LogRate = asked.LogRate
	}
	return m
}

// Union returns what is in g or in o.
func (g Grants) Union(o Grants) Grants {
	m := g.Missing(o)
	g.State, g.Limiters = g.State || o.State, g.Limiters || o.Limiters
	g.SharedState, g.SharedLimiters = g.SharedState || o.SharedState, g.SharedLimiters || o.SharedLimiters
	g.Env = slices.Concat(g.Env, m.Env)
	g.Headers = slices.Concat(g.Headers, m.Headers)
	g.LogRate = max(g.LogRate, o.LogRate)
	return g
}

// fields lists the keys and values of what is asked for, as the configuration has
// them.
func (g Grants) fields() [][2]string {
	var list [][2]string
	for _, f := range [...]struct {
		name string
		on   bool
	}{{"state", g.State}, {"limiters", g.Limiters}, {"shared_state", g.SharedState}, {"shared_limiters", g.SharedLimiters}} {
		if f.on {
			list = append(list, [2]string{f.name, "true"})
		}
	}
	for _, f := range [...]struct {
		name  string
		texts []string
	}{{"env", g.Env}, {"headers", g.Headers}} {
		if len(f.texts) == 0 {
			continue
		}
		quoted := make([]string, 0, len(f.texts))
		for _, t := range f.texts {
			quoted = append(quoted, yamlText(t))
		}
		sort.Strings(quoted)
		list = append(list, [2]string{f.name, "[" + strings.Join(quoted, ", ") + "]"})
	}
	if g.LogRate > 0 {
		list = append(list, [2]string{"log_rate", fmt.Sprint(g.LogRate)})
	}
	return list
}

// yamlText quotes what YAML could take for something else than a text.
func yamlText(s string) string {
	plain := !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-')
	})
	switch strings.ToLower(s) {
	case "", "y", "n", "yes", "no", "on", "off", "true", "false", "null":
		plain = false
	}
	if plain && (s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z') {
		return s
	}
	return fmt.Sprintf("%q", s)
}

// Names lists what is asked for in words, such as "shared_state" and "env [REGION]".
func (g Grants) Names() []string {
	var names []string
	for _, f := range g.fields() {
		if f[1] == "true" {
			names = append(names, f[0])
		} else {
			names = append(names, f[0]+" "+f[1])
		}
	}
	return names
}

// YAML returns the lines that grant this to the policy of that name in a
// configuration.
func (g Grants) YAML(name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "policies:\n  %s:\n    grants:\n", yamlText(name))
	for _, f := range g.fields() {
		fmt.Fprintf(&b, "      %s: %s\n", f[0], f[1])
	}
	return b.String()
}

// parseGrants reads options.capabilities; its keys are camelCase or snake_case.
func parseGrants(v any) (Grants, error) {
	var g Grants
	o, ok := v.(map[string]any)
	if !ok {
		return g, fmt.Errorf("want an object, got %v", quoted(v))
	}
	keys := make([]string, 0, len(o))
	for k := range o {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		var err error
		switch k {
		case "state":
			g.State, err = parseBool(o[k])
		case "limiters":
			g.Limiters, err = parseBool(o[k])
		case "sharedState", "shared_state":
			g.SharedState, err = parseBool(o[k])
		case "sharedLimiters", "shared_limiters":
			g.SharedLimiters, err = parseBool(o[k])
		case "env":
			g.Env, err = parseNames(o[k])
		case "headers":
			g.Headers, err = parseNames(o[k])
		case "logRate", "log_rate":
			g.LogRate, err = parseLogRate(o[k])
		default:
			err = fmt.Errorf("unknown (want state, limiters, sharedState, sharedLimiters, env, headers or logRate)")
		}
		if err != nil {
			return Grants{}, fmt.Errorf("%.80s: %w", k, err)
		}
	}
	return g, nil
}

func parseBool(v any) (bool, error) {
	b, ok := v.(bool)
	if !ok {
		return false, fmt.Errorf("want true or false, got %v", quoted(v))
	}
	return b, nil
}

func parseNames(v any) ([]string, error) {
	names, err := parseTexts(v)
	if err != nil {
		return nil, err
	}
	if len(names) > maxGrantNames {
		return nil, fmt.Errorf("want at most %d names, got %d", maxGrantNames, len(names))
	}
	for _, n := range names {
		if n == "" || len(n) > maxGrantName || strings.ContainsFunc(n, func(r rune) bool { return r <= ' ' || r == '=' || r > '~' }) {
			return nil, fmt.Errorf("%.80q is no name", n)
		}
	}
	return names, nil
}

func parseLogRate(v any) (int, error) {
	var n float64
	switch v := v.(type) {
	case int64:
		n = float64(v)
	case float64:
		n = v
	default:
		return 0, fmt.Errorf("want lines a second, got %v", quoted(v))
	}
	if !(n >= 1 && n <= maxLogRate) || n != float64(int(n)) {
		return 0, fmt.Errorf("want 1 to %d lines a second, got %v", maxLogRate, n)
	}
	return int(n), nil
}
