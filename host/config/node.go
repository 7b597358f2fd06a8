package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Bounds on what a source may hold.
const (
	maxFileSize = 1 << 20
	maxNodes    = 100_000
	maxDepth    = 64
)

type kind uint8

const (
	nullKind kind = iota
	scalarKind
	mappingKind
	listKind
)

// position is a place in a file, both counted from 1; zero is none.
type position struct{ line, col int }

// node is a value of a source with its position: what YAML, JSON, variables
// and flags have in common.
type node struct {
	kind kind
	at   position
	// value is a string, bool, int64, uint64 or float64 of a scalar.
	value any
	// text is a scalar as it was written.
	text string
	// loose allows a scalar to be read from its text: it came from a place
	// that has only text.
	loose   bool
	entries []entry
	items   []*node
}

// entry is one key of a mapping.
type entry struct {
	name  string
	at    position
	value *node
}

// plain turns a node into strings, numbers, booleans, lists and maps.
func (n *node) plain() any {
	switch n.kind {
	case scalarKind:
		return n.value
	case listKind:
		list := make([]any, len(n.items))
		for i, item := range n.items {
			list[i] = item.plain()
		}
		return list
	case mappingKind:
		m := make(map[string]any, len(n.entries))
		for _, e := range n.entries {
			m[e.name] = e.value.plain()
		}
		return m
	}
	return nil
}

// nodeOf turns a Go value of a flag into a node.
func nodeOf(value any) *node {
	switch v := value.(type) {
	case nil:
		return &node{kind: nullKind}
	case string:
		return &node{kind: scalarKind, value: v, text: v, loose: true}
	case bool:
		return &node{kind: scalarKind, value: v, text: strconv.FormatBool(v)}
	case []string:
		n := &node{kind: listKind}
		for _, s := range v {
			n.items = append(n.items, nodeOf(s))
		}
		return n
	case []any:
		n := &node{kind: listKind}
		for _, item := range v {
			n.items = append(n.items, nodeOf(item))
		}
		return n
	case map[string]any:
		n := &node{kind: mappingKind}
		for _, name := range sortedKeys(v) {
			n.entries = append(n.entries, entry{name: name, value: nodeOf(v[name])})
		}
		return n
	}
	return nodeOf(fmt.Sprint(value))
}

// wrap puts a node under a path of keys.
func wrap(path []string, n *node) *node {
	for i := len(path) - 1; i >= 0; i-- {
		n = &node{kind: mappingKind, entries: []entry{{name: path[i], value: n}}}
	}
	return n
}

// syntaxFault is a fault of a document before its keys are known.
type syntaxFault struct {
	at      position
	message string
}

func (f *syntaxFault) Error() string { return f.message }

func syntaxErrorf(at position, format string, args ...any) *syntaxFault {
	return &syntaxFault{at: at, message: fmt.Sprintf(format, args...)}
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}

// describe says what a node is, for "want number, got ...".
func (n *node) describe() string {
	switch n.kind {
	case nullKind:
		return "nothing"
	case mappingKind:
		return "a mapping"
	case listKind:
		return "a list"
	}
	text, isText := n.value.(string)
	switch {
	case isText && strings.Contains(text, "://"):
		return quote(showURL(text))
	case isText, len(n.text) > 40:
		return quote(n.text)
	}
	return n.text
}
