package config

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
)

func (c *checker) text(n *node, path []string) (any, bool) {
	s, ok := n.value.(string)
	if !ok && n.loose {
		s, ok = n.text, true
	}
	switch {
	case n.kind != scalarKind:
		c.hide(n)
		return c.fail(path, n.at, "want text, got %s", n.describe())
	case !ok:
		return c.fail(path, n.at, "want text, got %s (put it in quotes)", n.describe())
	case strings.Contains(s, "${env:"), strings.Contains(s, "${file:"):
		return c.fail(path, n.at, "${...} is read only in url, headers and params")
	}
	return s, true
}

func (c *checker) boolean(n *node, path []string) (any, bool) {
	if b, ok := n.value.(bool); ok {
		return b, true
	}
	if n.loose {
		if b, err := strconv.ParseBool(strings.TrimSpace(n.text)); err == nil {
			return b, true
		}
	}
	return c.fail(path, n.at, "want true or false, got %s", n.describe())
}

func (c *checker) number(n *node, path []string) (any, bool) {
	var f float64
	switch v := n.value.(type) {
	case int64:
		f = float64(v)
	case uint64:
		f = float64(v)
	case float64:
		f = v
	default:
		parsed, err := strconv.ParseFloat(strings.TrimSpace(n.text), 64)
		if !n.loose || err != nil {
			return c.fail(path, n.at, "want number, got %s", n.describe())
		}
		f = parsed
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return c.fail(path, n.at, "want a finite number, got %s", n.describe())
	}
	return f, true
}

func (c *checker) integer(t reflect.Type, n *node, path []string) (any, bool) {
	var i int64
	switch v := n.value.(type) {
	case int64:
		i = v
	case float64:
		if v != math.Trunc(v) || math.Abs(v) >= math.MaxInt64 {
			return c.fail(path, n.at, "want integer, got %s", n.describe())
		}
		i = int64(v)
	default:
		parsed, err := strconv.ParseInt(strings.TrimSpace(n.text), 10, 64)
		if !n.loose || err != nil {
			return c.fail(path, n.at, "want integer, got %s", n.describe())
		}
		i = parsed
	}
	if t.Kind() == reflect.Int {
		if i < math.MinInt32 || i > math.MaxInt32 {
			return c.fail(path, n.at, "want integer below %d, got %d", math.MaxInt32, i)
		}
		return int(i), true
	}
	return i, true
}

// measure reads a scalar that is a number or a text with a unit.
func (c *checker) measure(n *node, path []string, parse func(string) (any, error), want string) (any, bool) {
	text := n.text
	switch n.value.(type) {
	case float64, int64, uint64: // in its canonical form: 0x10 and 1_000 are YAML's
		text = fmt.Sprint(n.value)
	case string:
	default:
		return c.fail(path, n.at, "want %s, got %s", want, n.describe())
	}
	v, err := parse(text)
	if err != nil {
		return c.fail(path, n.at, "%s", err)
	}
	return v, true
}

// secret reads the value of a header or a URL, which is never shown.
func (c *checker) secret(t reflect.Type, n *node, path []string) (any, bool) {
	if t == reflect.TypeFor[Secret]() || strings.ContainsAny(n.text, "@?") || n.kind != scalarKind {
		c.hide(n)
	}
	switch n.kind {
	case nullKind, mappingKind, listKind:
		return c.fail(path, n.at, "want text, got %s", n.describe())
	}
	return n.text, true
}

// list reads a list of texts; one text is a list of one, or of those between
// commas if it comes from a variable or a flag.
func (c *checker) list(n *node, path []string) (any, bool) {
	switch n.kind {
	case nullKind:
		return []string{}, true
	case mappingKind:
		return c.fail(path, n.at, "want a list, got a mapping")
	case scalarKind:
		s, ok := c.text(n, path)
		if !ok {
			return nil, false
		}
		if !n.loose {
			return []string{s.(string)}, true
		}
		return splitList(s.(string)), true
	}
	out, good := []string{}, true
	for i, item := range n.items {
		at := append(path[:len(path):len(path)], strconv.Itoa(i))
		c.origins[strings.Join(at, separator)] = origin{c.layer, item.at}
		s, ok := c.text(item, at)
		if !ok {
			good = false
			continue
		}
		out = append(out, s.(string))
	}
	return out, good
}

func splitList(text string) []string {
	out := []string{}
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}
