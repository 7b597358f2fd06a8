package js

import (
	"reflect"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/dop251/goja"
	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/file"
)

// Coverage counts which statements of policies ran. What counts is each statement of the policy's own files, and each body
// of an arrow function that is one expression; not declarations of functions, imports and types, which do nothing when they
// are reached. The same file in several policies is counted once. It is safe for concurrent use; the zero Coverage is empty.
type Coverage struct {
	mu    sync.Mutex
	files map[string]map[place]*atomic.Bool
}

// FileCoverage is one file of a Coverage.
type FileCoverage struct {
	File       string
	Statements int
	Ran        int
	Missed     []int // lines where a statement begins that never ran, sorted
}

// Files lists what was counted, by the name of the file.
func (c *Coverage) Files() []FileCoverage {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []FileCoverage
	for name, places := range c.files {
		f := FileCoverage{File: name, Statements: len(places)}
		missed := map[int]bool{}
		for at, ran := range places {
			if ran.Load() {
				f.Ran++
			} else if !missed[at.line] {
				missed[at.line] = true
				f.Missed = append(f.Missed, at.line)
			}
		}
		sort.Ints(f.Missed)
		all = append(all, f)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].File < all[j].File })
	return all
}

// mark returns the mark of a statement.
func (c *Coverage) mark(at place) *atomic.Bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.files == nil {
		c.files = map[string]map[place]*atomic.Bool{}
	}
	if c.files[at.file] == nil {
		c.files[at.file] = map[place]*atomic.Bool{}
	}
	m := c.files[at.file][at]
	if m == nil {
		m = &atomic.Bool{}
		c.files[at.file][at] = m
	}
	return m
}

// coverer puts a call of the guest's own function before each statement of a tree. The nodes stay where they are in the
// source, so errors keep their places.
type coverer struct {
	cover   *Coverage
	program *program
	source  *file.File
	seen    map[uintptr]bool
}

// instrument makes the bundle in tree tell cover what ran. It leaves out the outermost statement: the function that the
// whole bundle is.
func (p *program) instrument(tree *ast.Program, cover *Coverage) {
	c := &coverer{cover: cover, program: p, source: tree.File, seen: map[uintptr]bool{}}
	for _, s := range tree.Body {
		c.walk(reflect.ValueOf(s))
	}
}

// walk visits all that is below v: lists of statements are changed in place. The kinds of nodes are many and all alike to
// it, hence reflection.
func (c *coverer) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.Interface:
		c.walk(v.Elem())
	case reflect.Pointer:
		if v.IsNil() || c.seen[v.Pointer()] { // a declaration stands in its function's list too
			return
		}
		c.seen[v.Pointer()] = true
		if body, ok := v.Interface().(*ast.ExpressionBody); ok {
			defer c.expression(body)
		}
		c.walk(v.Elem())
	case reflect.Slice:
		for i := range v.Len() {
			c.walk(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Field(i)
			c.walk(f)
			if !f.CanSet() {
				continue
			}
			switch s := f.Interface().(type) {
			case []ast.Statement:
				f.Set(reflect.ValueOf(c.list(s)))
			case ast.Statement:
				if f.Type() == reflect.TypeFor[ast.Statement]() { // the body of an if or a loop
					f.Set(reflect.ValueOf(c.single(s)))
				}
			}
		}
	}
}

// list is a list of statements with a mark before each that counts.
func (c *coverer) list(in []ast.Statement) []ast.Statement {
	out := make([]ast.Statement, 0, 2*len(in))
	for _, s := range in {
		if call := c.call(s); call != nil {
			out = append(out, &ast.ExpressionStatement{Expression: call})
		}
		out = append(out, s)
	}
	return out
}

// single is a statement that stands where only one may.
func (c *coverer) single(s ast.Statement) ast.Statement {
	call := c.call(s)
	if call == nil {
		return s
	}
	return &ast.BlockStatement{LeftBrace: s.Idx0(), List: []ast.Statement{&ast.ExpressionStatement{Expression: call}, s}, RightBrace: s.Idx1()}
}

func (c *coverer) expression(b *ast.ExpressionBody) {
	if call := c.mark(b.Expression.Idx0()); call != nil {
		b.Expression = &ast.SequenceExpression{Sequence: []ast.Expression{call, b.Expression}}
	}
}

func (c *coverer) call(s ast.Statement) ast.Expression {
	switch s := s.(type) {
	case *ast.IfStatement: // whose own place goja's parser does not keep
		return c.mark(s.Test.Idx0())
	case *ast.FunctionDeclaration, *ast.BlockStatement, *ast.EmptyStatement, *ast.LabelledStatement, *ast.CaseStatement, *ast.CatchStatement:
		return nil
	}
	return c.mark(s.Idx0())
}

// mark is the call that marks the statement at idx, nil where that is no place of the user's.
func (c *coverer) mark(idx file.Idx) ast.Expression {
	pos := c.source.Position(int(idx) - 1)
	at, ok := c.program.placeOf(pos)
	if !ok {
		return nil
	}
	n := int64(len(c.program.marks))
	c.program.marks = append(c.program.marks, c.cover.mark(at))
	return &ast.CallExpression{
		Callee:           &ast.Identifier{Name: bundleWord, Idx: idx},
		ArgumentList:     []ast.Expression{&ast.NumberLiteral{Idx: idx, Literal: strconv.FormatInt(n, 10), Value: n}},
		LeftParenthesis:  idx,
		RightParenthesis: idx,
	}
}

// covered is the function of the bundle that makes words, and that marks statements where they are counted.
func (g *guest) covered(fc goja.FunctionCall) goja.Value {
	if isNumber(fc.Argument(0)) {
		if n := fc.Argument(0).ToInteger(); n >= 0 && n < int64(len(g.policy.program.marks)) {
			g.policy.program.marks[n].Store(true)
		}
		return goja.Undefined()
	}
	return g.word(fc)
}
