package config

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// parseYAML reads one YAML document. Aliases and merge keys are expanded, within
// maxNodes. A nil node is an empty document. Faults in several values are all
// found; a fault of the syntax ends the reading.
func parseYAML(data []byte) (root *node, faults []*syntaxFault) {
	if at := invalidUTF8(data); at.line > 0 {
		return nil, []*syntaxFault{syntaxErrorf(at, "not UTF-8 text")}
	}
	// The parser is not made for hostile input: it has panicked on some.
	defer func() {
		if recover() != nil {
			root, faults = nil, []*syntaxFault{syntaxErrorf(position{1, 1}, "not readable as YAML")}
		}
	}()
	tokens := lexer.Tokenize(string(data))
	if f := tooDeep(tokens); f != nil {
		return nil, []*syntaxFault{f}
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, []*syntaxFault{yamlSyntax(err)}
	}
	b := yamlBuilder{anchors: map[string]ast.Node{}}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc == nil || doc.Body == nil || doc.Body.Type() == ast.CommentType {
			continue
		}
		if body != nil {
			return nil, []*syntaxFault{syntaxErrorf(b.at(doc.Body), "a second document; one file holds one")}
		}
		body = doc.Body
	}
	if body == nil {
		return nil, nil
	}
	root = b.build(body, 0)
	return root, b.faults
}

func yamlSyntax(err error) *syntaxFault {
	var syntax *yaml.SyntaxError
	if errors.As(err, &syntax) {
		return syntaxErrorf(tokenAt(syntax.GetToken()), "%s", firstLine(syntax.GetMessage()))
	}
	return syntaxErrorf(position{1, 1}, "%s", firstLine(err.Error()))
}

func firstLine(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	return text
}

func tokenAt(tk *token.Token) position {
	if tk == nil || tk.Position == nil {
		return position{1, 1}
	}
	return position{max(1, tk.Position.Line), max(1, tk.Position.Column)}
}

// invalidUTF8 is the place of the first byte that is no text, zero if none.
func invalidUTF8(data []byte) position {
	if utf8.Valid(data) {
		return position{}
	}
	at := position{1, 1}
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		if r == utf8.RuneError && size == 1 {
			return at
		}
		if at.col++; r == '\n' {
			at = position{at.line + 1, 1}
		}
		data = data[size:]
	}
	return at
}

// tooDeep refuses what would make the parser, which recurses, run out of stack:
// a goroutine's overflow cannot be recovered from. Depth comes from brackets or
// from indicators on one line; depth by indentation takes the square of its bytes.
func tooDeep(tokens token.Tokens) *syntaxFault {
	flow, run, colons, line := 0, 0, 0, 0
	if len(tokens) > 4*maxNodes {
		return syntaxErrorf(position{1, 1}, "more than %d values", maxNodes)
	}
	for _, tk := range tokens {
		if tk.Position != nil && tk.Position.Line != line {
			line, colons, run = tk.Position.Line, 0, 0
		}
		switch tk.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
			run++
		case token.SequenceEndType, token.MappingEndType:
			flow = max(0, flow-1)
			run = 0
		case token.SequenceEntryType, token.MappingKeyType, token.TagType, token.AnchorType, token.AliasType,
			token.DirectiveType, token.LiteralType, token.FoldedType, token.CollectEntryType:
			run++
		case token.MappingValueType:
			if run++; flow == 0 {
				colons++
			}
		default:
			run = 0
		}
		if flow > maxDepth || run > maxDepth || colons > maxDepth {
			return syntaxErrorf(tokenAt(tk), "nested too deeply")
		}
	}
	return nil
}

// yamlBuilder turns the parser's tree into nodes.
type yamlBuilder struct {
	anchors map[string]ast.Node
	open    []string // anchors being expanded
	nodes   int
	full    bool // maxNodes was reported
	faults  []*syntaxFault
}

func (b *yamlBuilder) fail(at position, format string, args ...any) *node {
	b.faults = append(b.faults, syntaxErrorf(at, format, args...))
	return &node{kind: nullKind, at: at}
}

// at is where a node begins: a mapping at its first key, not at its colon.
func (b *yamlBuilder) at(n ast.Node) position {
	switch v := n.(type) {
	case *ast.MappingNode:
		if !v.IsFlowStyle && len(v.Values) > 0 {
			return b.at(v.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return b.at(v.Key)
	}
	return tokenAt(n.GetToken())
}

func (b *yamlBuilder) build(n ast.Node, depth int) *node {
	if n == nil {
		return &node{kind: nullKind, at: position{1, 1}}
	}
	at := b.at(n)
	if b.nodes++; b.nodes > maxNodes {
		if b.full {
			return &node{kind: nullKind, at: at}
		}
		b.full = true
		return b.fail(at, "more than %d values (are aliases nested?)", maxNodes)
	}
	if depth > maxDepth {
		return b.fail(at, "nested too deeply")
	}
	switch v := n.(type) {
	case *ast.NullNode:
		return &node{kind: nullKind, at: at}
	case *ast.MappingNode:
		return b.mapping(v.Values, at, depth)
	case *ast.MappingValueNode:
		return b.mapping([]*ast.MappingValueNode{v}, at, depth)
	case *ast.SequenceNode:
		list := &node{kind: listKind, at: at}
		for _, item := range v.Values {
			list.items = append(list.items, b.build(item, depth+1))
		}
		return list
	case *ast.AnchorNode:
		name := v.Name.GetToken().Value
		b.anchors[name] = v.Value
		return b.expand(name, v.Value, at, depth)
	case *ast.AliasNode:
		name := v.Value.GetToken().Value
		target, ok := b.anchors[name]
		if !ok {
			return b.fail(at, "no anchor &%s above", name)
		}
		return b.expand(name, target, at, depth)
	case *ast.TagNode:
		return b.fail(at, "YAML tags are not accepted")
	}
	return b.scalar(n, at)
}

func (b *yamlBuilder) expand(name string, target ast.Node, at position, depth int) *node {
	for _, other := range b.open {
		if other == name {
			return b.fail(at, "anchor &%s holds itself", name)
		}
	}
	b.open = append(b.open, name)
	defer func() { b.open = b.open[:len(b.open)-1] }()
	return b.build(target, depth+1)
}

func (b *yamlBuilder) scalar(n ast.Node, at position) *node {
	leaf := &node{kind: scalarKind, at: at}
	switch v := n.(type) {
	case *ast.StringNode:
		leaf.value, leaf.text = v.Value, v.Value
	case *ast.LiteralNode:
		leaf.value, leaf.text = v.Value.Value, v.Value.Value
	case *ast.BoolNode:
		leaf.value, leaf.text = v.Value, v.Token.Value
	case *ast.IntegerNode:
		leaf.value, leaf.text = v.Value, v.Token.Value
		if u, ok := v.Value.(uint64); ok && u < 1<<63 {
			leaf.value = int64(u)
		}
	case *ast.FloatNode:
		leaf.value, leaf.text = v.Value, v.Token.Value
	case *ast.InfinityNode:
		leaf.value, leaf.text = v.Token.Value, v.Token.Value
	case *ast.NanNode:
		leaf.value, leaf.text = v.Token.Value, v.Token.Value
	default:
		return b.fail(at, "not a value")
	}
	return leaf
}

// mapping builds the entries in order; merged ones give way to those written out.
func (b *yamlBuilder) mapping(values []*ast.MappingValueNode, at position, depth int) *node {
	m := &node{kind: mappingKind, at: at}
	own := map[string]position{}
	var merged []entry
	for _, mv := range values {
		keyAt := b.at(mv.Key)
		if _, ok := mv.Key.(*ast.MergeKeyNode); ok {
			merged = append(merged, b.merged(b.build(mv.Value, depth+1))...)
			continue
		}
		name, ok := keyName(mv.Key)
		if !ok {
			b.fail(keyAt, "want a name as the key")
			continue
		}
		if first, ok := own[name]; ok {
			b.fail(keyAt, "duplicate key %s, first in line %d", quote(name), first.line)
			continue
		}
		own[name] = keyAt
		m.entries = append(m.entries, entry{name: name, at: keyAt, value: b.build(mv.Value, depth+1)})
	}
	for _, e := range merged {
		if _, ok := own[e.name]; !ok {
			own[e.name] = e.at
			m.entries = append(m.entries, e)
		}
	}
	return m
}

// merged are the entries of the value of "<<": a mapping or a list of mappings.
func (b *yamlBuilder) merged(n *node) []entry {
	switch n.kind {
	case mappingKind:
		return n.entries
	case listKind:
		var all []entry
		for _, item := range n.items {
			all = append(all, b.merged(item)...)
		}
		return all
	}
	b.fail(n.at, "want a mapping after <<, got %s", n.describe())
	return nil
}

func keyName(key ast.MapKeyNode) (string, bool) {
	switch v := key.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		return v.GetToken().Value, true
	case *ast.MappingKeyNode:
		if inner, ok := v.Value.(ast.MapKeyNode); ok {
			if _, again := inner.(*ast.MappingKeyNode); !again {
				return keyName(inner)
			}
		}
	}
	return "", false
}
