package policy

import (
	"fmt"
	"sort"
	"strings"
)

// Match says which requests a policy is asked about. It is compiled once and
// evaluated natively, so traffic that no policy matches never enters a guest.
// The zero Match takes everything. It is immutable and safe for concurrent use.
type Match struct{ any []matchRule }

type matchRule struct{ subsystem, host, path, method, tenant patterns }

// patterns is a list of alternatives; nil matches everything.
type patterns []pattern

// pattern is a text with "*" for any run of characters, cut at the stars.
type pattern struct {
	parts []string // at least one; exactly one: no star, equal texts
}

// Matches reports whether the policy wants to be asked about r.
func (m *Match) Matches(r *Request) bool {
	if m.any == nil {
		return !r.Part
	}
	for i := range m.any {
		rule := &m.any[i]
		if r.Part && rule.subsystem == nil {
			continue
		}
		if rule.subsystem.match(r.Subsystem) && rule.host.match(r.Host) && rule.path.match(r.Path) &&
			rule.method.match(r.Method) && rule.tenant.match(r.Tenant) {
			return true
		}
	}
	return false
}

// MatchesSubsystem reports whether some request of the subsystem could match.
func (m *Match) MatchesSubsystem(name string) bool {
	if m.any == nil {
		return true
	}
	for i := range m.any {
		if m.any[i].subsystem.match(name) {
			return true
		}
	}
	return false
}

// ParseMatch reads options.match: an object of the names subsystem, host, path,
// method and tenant, each a text with "*" or a list of such texts, or a list of
// such objects. nil takes everything.
func ParseMatch(v any) (Match, error) {
	switch v := v.(type) {
	case nil:
		return Match{}, nil
	case map[string]any:
		rule, err := parseRule(v)
		if err != nil {
			return Match{}, err
		}
		return Match{any: []matchRule{rule}}, nil
	case []any:
		if len(v) == 0 {
			return Match{}, fmt.Errorf("match: an empty list matches nothing; leave it out to match all")
		}
		m := Match{}
		for i, e := range v {
			o, ok := e.(map[string]any)
			if !ok {
				return Match{}, fmt.Errorf("match[%d]: want an object, got %T", i, e)
			}
			rule, err := parseRule(o)
			if err != nil {
				return Match{}, fmt.Errorf("match[%d]: %w", i, err)
			}
			m.any = append(m.any, rule)
		}
		return m, nil
	default:
		return Match{}, fmt.Errorf("match: want an object or a list of objects, got %T", v)
	}
}

func parseRule(o map[string]any) (matchRule, error) {
	var rule matchRule
	keys := make([]string, 0, len(o))
	for k := range o {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		fold := func(s string) string { return s }
		var dst *patterns
		switch k {
		case "subsystem":
			dst = &rule.subsystem
		case "host":
			dst, fold = &rule.host, strings.ToLower
		case "path":
			dst = &rule.path
		case "method":
			dst, fold = &rule.method, strings.ToUpper
		case "tenant":
			dst = &rule.tenant
		default:
			return rule, fmt.Errorf("match.%s: unknown key (want subsystem, host, path, method or tenant)", k)
		}
		ps, err := parsePatterns(o[k], fold)
		if err != nil {
			return rule, fmt.Errorf("match.%s: %w", k, err)
		}
		*dst = ps
	}
	return rule, checkSubsystems(rule.subsystem)
}

func parsePatterns(v any, fold func(string) string) (patterns, error) {
	var texts []string
	switch v := v.(type) {
	case string:
		texts = []string{v}
	case []string:
		texts = v
	case []any:
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				return nil, fmt.Errorf("want a text or a list of texts, got %T in the list", e)
			}
			texts = append(texts, s)
		}
	default:
		return nil, fmt.Errorf("want a text or a list of texts, got %T", v)
	}
	if len(texts) == 0 {
		return nil, fmt.Errorf("an empty list matches nothing")
	}
	ps := make(patterns, 0, len(texts))
	for _, s := range texts {
		ps = append(ps, pattern{parts: strings.Split(fold(s), "*")})
	}
	return ps, nil
}

func checkSubsystems(ps patterns) error {
next:
	for _, p := range ps {
		for _, name := range Subsystems() {
			if p.match(name) {
				continue next
			}
		}
		return fmt.Errorf("match.subsystem: %q is no subsystem (want api, files, browser, process or network)", strings.Join(p.parts, "*"))
	}
	return nil
}

func (ps patterns) match(s string) bool {
	if ps == nil {
		return true
	}
	for i := range ps {
		if ps[i].match(s) {
			return true
		}
	}
	return false
}

// match is linear in the text: the first part is a prefix, the last a suffix, and
// those between are found from left to right.
func (p *pattern) match(s string) bool {
	last := len(p.parts) - 1
	if last == 0 {
		return s == p.parts[0]
	}
	if !strings.HasPrefix(s, p.parts[0]) {
		return false
	}
	s = s[len(p.parts[0]):]
	for _, part := range p.parts[1:last] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return strings.HasSuffix(s, p.parts[last])
}
