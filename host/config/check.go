package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode"
)

// layer is one source of values: the file, one variable, one flag.
type layer struct {
	// label is what the user calls it: "gaia.yaml", "env GAIA_LISTEN", "--listen".
	label string
	// secretLabel stands for label where the value may be a secret.
	secretLabel string
	// env marks a variable, whose faults are told in its own spelling.
	env bool
	// lines are the lines of a file.
	lines []string
	root  *node
}

// origin is where a key got its value from.
type origin struct {
	layer *layer
	at    position
}

// separator joins paths inside the program, since names may hold dots.
const separator = "\x1f"

// checker compares layers with the type of Config and collects faults, origins
// and the lines that must not be shown.
type checker struct {
	layer   *layer
	faults  Faults
	origins map[string]origin
	// bad are the paths of faults, whose consequences are not reported too.
	bad []string
	// hidden are the lines of the file that hold secrets.
	hidden map[int]bool
	// masked is set once the layer's value is known to be possibly secret.
	masked bool
}

// run checks one layer and returns its values, keyed and typed as Config is.
func (c *checker) run(l *layer) map[string]any {
	c.layer, c.masked = l, false
	first := len(c.faults)
	values, _ := c.value(reflect.TypeFor[Config](), l.root, nil)
	if c.masked && l.secretLabel != "" {
		l.label = l.secretLabel
		for i := first; i < len(c.faults); i++ {
			c.faults[i].File = l.label
		}
	}
	m, _ := values.(map[string]any)
	return m
}

// fail records a fault at a key and returns no value.
func (c *checker) fail(path []string, at position, format string, args ...any) (any, bool) {
	f := Fault{File: c.layer.label, Line: at.line, Col: at.col, Key: dotted(path), Message: fmt.Sprintf(format, args...)}
	c.faults = append(c.faults, f)
	c.bad = append(c.bad, strings.Join(path, separator))
	return nil, false
}

// value checks n against t and returns what mapstructure needs to fill it in.
func (c *checker) value(t reflect.Type, n *node, path []string) (any, bool) {
	switch t {
	case reflect.TypeFor[Duration]():
		return c.measure(n, path, func(text string) (any, error) { return ParseDuration(text) }, `a duration such as "250ms", "2s", "1m"`)
	case reflect.TypeFor[ByteSize]():
		return c.measure(n, path, func(text string) (any, error) { return ParseByteSize(text) }, `a size such as "64KiB", "1MB" or a number of bytes`)
	case reflect.TypeFor[Secret](), reflect.TypeFor[URL]():
		return c.secret(t, n, path)
	case reflect.TypeFor[[]string]():
		return c.list(n, path)
	case reflect.TypeFor[[]MatchRule]():
		return c.match(n, path)
	case reflect.TypeFor[map[string]any]():
		return c.params(n, path)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return c.value(t.Elem(), n, path)
	case reflect.Struct:
		return c.structure(t, n, path)
	case reflect.Map:
		return c.named(t.Elem(), n, path)
	case reflect.String:
		return c.text(n, path)
	case reflect.Bool:
		return c.boolean(n, path)
	case reflect.Float64:
		return c.number(n, path)
	}
	return c.integer(t, n, path)
}

// structure checks the keys of a section against the fields of its struct.
func (c *checker) structure(t reflect.Type, n *node, path []string) (any, bool) {
	if !c.isMapping(n, path) {
		return nil, false
	}
	out := map[string]any{}
	for _, e := range n.entries {
		at := append(path[:len(path):len(path)], e.name)
		field, ok := fieldByKey(t, e.name)
		if !ok {
			c.unknown(t, at, e)
			continue
		}
		c.enter(at, e)
		if v, ok := c.value(field.Type, e.value, at); ok {
			out[e.name] = v
		}
	}
	return out, true
}

// named checks a map whose keys are names.
func (c *checker) named(elem reflect.Type, n *node, path []string) (any, bool) {
	if !c.isMapping(n, path) {
		return nil, false
	}
	out := map[string]any{}
	for _, e := range n.entries {
		at := append(path[:len(path):len(path)], e.name)
		if e.name == "" || strings.ContainsFunc(e.name, unicode.IsControl) {
			c.hide(e.value)
			c.fail(at, e.at, "not a name: empty or with control characters")
			continue
		}
		c.enter(at, e)
		if v, ok := c.value(elem, e.value, at); ok {
			out[e.name] = v
		}
	}
	return out, true
}

// enter records where a key was set: a scalar by its value, the rest by the key.
func (c *checker) enter(path []string, e entry) {
	at := e.at
	if e.value.kind == scalarKind && e.value.at.line > 0 {
		at = e.value.at
	}
	c.origins[strings.Join(path, separator)] = origin{c.layer, at}
}

func (c *checker) isMapping(n *node, path []string) bool {
	switch n.kind {
	case mappingKind, nullKind:
		return true
	}
	c.hide(n)
	got := "text"
	if n.kind == listKind {
		got = "a list"
	} else if _, ok := n.value.(string); !ok {
		got = n.describe()
	}
	c.fail(path, n.at, "want a mapping (keys and values), got %s", got)
	return false
}

// unknown reports a key that does not exist, with the one that was probably meant.
func (c *checker) unknown(t reflect.Type, path []string, e entry) {
	c.hide(e.value)
	name := Suggest(e.name, keysOf(t))
	message := "unknown key"
	if c.layer.env {
		message = strings.Replace(message, "key", "variable", 1)
	}
	c.fail(path, e.at, "%s", message)
	f := &c.faults[len(c.faults)-1]
	if c.layer.env {
		f.Key = ""
		if name != "" {
			name = envName(append(path[:len(path)-1:len(path)-1], name))
		}
	}
	f.Suggestion = name
}

// match reads one rule or a list of rules.
func (c *checker) match(n *node, path []string) (any, bool) {
	rules, listed := []*node{n}, n.kind == listKind
	if listed {
		rules = n.items
	}
	if n.kind == nullKind {
		return c.fail(path, n.at, "want a mapping or a list of mappings, got nothing")
	}
	out, good := []any{}, true
	for i, rule := range rules {
		at := path
		if listed {
			at = append(path[:len(path):len(path)], strconv.Itoa(i))
			c.origins[strings.Join(at, separator)] = origin{c.layer, rule.at}
		}
		v, ok := c.structure(reflect.TypeFor[MatchRule](), rule, at)
		good = good && ok
		out = append(out, v)
	}
	return out, good
}

// params takes any value.
func (c *checker) params(n *node, path []string) (any, bool) {
	if !c.isMapping(n, path) {
		return nil, false
	}
	c.hide(n) // any of them may be a secret
	c.enterAll(n, path)
	if n.kind == nullKind {
		return map[string]any{}, true
	}
	return n.plain(), true
}

func (c *checker) enterAll(n *node, path []string) {
	for _, e := range n.entries {
		at := append(path[:len(path):len(path)], e.name)
		if strings.ContainsFunc(e.name, unicode.IsControl) {
			c.fail(at, e.at, "not a name: control characters")
		}
		c.enter(at, e)
		c.enterAll(e.value, at)
	}
	for i, item := range n.items {
		at := append(path[:len(path):len(path)], strconv.Itoa(i))
		c.origins[strings.Join(at, separator)] = origin{c.layer, item.at}
		c.enterAll(item, at)
	}
}

// hide keeps the lines of a value, and the text of a flag, out of the messages.
func (c *checker) hide(n *node) {
	c.masked = true
	if n.at.line > 0 {
		for i := range 1 + strings.Count(n.text, "\n") {
			c.hidden[n.at.line+i] = true
		}
	}
	for _, e := range n.entries {
		c.hide(e.value)
	}
	for _, item := range n.items {
		c.hide(item)
	}
}

// fieldByKey finds the field of a key; the comparison is exact.
func fieldByKey(t reflect.Type, key string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		if f := t.Field(i); f.Tag.Get("koanf") == key && key != "" {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

func keysOf(t reflect.Type) []string {
	keys := make([]string, 0, t.NumField())
	for i := range t.NumField() {
		keys = append(keys, t.Field(i).Tag.Get("koanf"))
	}
	return keys
}

// dotted is a path as the user writes it.
func dotted(path []string) string {
	parts := make([]string, len(path))
	for i, p := range path {
		parts[i] = p
		if p == "" || strings.ContainsAny(p, ". \"=") || strings.ContainsFunc(p, unicode.IsControl) {
			parts[i] = strconv.Quote(p)
		}
	}
	return strings.Join(parts, ".")
}
