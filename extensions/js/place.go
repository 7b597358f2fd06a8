package js

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/dop251/goja"
	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/file"
	"github.com/dop251/goja/parser"
	"github.com/go-sourcemap/sourcemap"

	"github.com/gaia-host/gaia/extensions/policy"
)

// maxStack bounds the frames that an error shows.
const maxStack = 16

// program is a compiled bundle that can say where in the user's files it is.
type program struct {
	code   *goja.Program
	bundle *Bundle
	names  map[string]string // as goja names a source: as the user does
	marks  []*atomic.Bool    // of statements, where they are counted
}

// compilePlain bundles and compiles a module that is no policy, and names src's file
// where it has none.
func compilePlain(ctx context.Context, src *Source) (*program, error) {
	if src.Path == "" {
		src.Path = src.Name + ".js"
	}
	b, err := BundleSource(*src)
	if err != nil {
		return nil, err
	}
	prog, err := compile(*src, &b, nil)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("load %s: %w", src.Name, err)
	}
	return prog, nil
}

// compile parses and compiles a bundle. Where cover is not nil, what runs of it is told there.
func compile(src Source, b *Bundle, cover *Coverage) (*program, error) {
	p := &program{bundle: b, names: map[string]string{}}
	scriptMap, err := p.nameSources(src)
	if err != nil {
		return nil, &policy.LoadError{Policy: src.Name, File: src.Path, Message: "cannot be bundled: " + err.Error(), Err: err}
	}
	code := string(b.Code) + "//# sourceMappingURL=policy.map\n"
	tree, err := parser.ParseFile(nil, p.scriptName(src), code, 0, parser.WithSourceMapLoader(func(string) ([]byte, error) { return scriptMap, nil }))
	if err != nil {
		return nil, p.syntaxError(src, err)
	}
	if cover != nil {
		p.instrument(tree, cover)
	}
	if p.code, err = compileTree(tree); err != nil {
		return nil, p.syntaxError(src, err)
	}
	return p, nil
}

func compileTree(tree *ast.Program) (code *goja.Program, err error) {
	defer func() {
		if x := recover(); x != nil {
			err = fmt.Errorf("cannot be compiled: %v", x)
		}
	}()
	return goja.CompileAST(tree, true)
}

// scriptName decides how goja resolves the names in the source map: absolute ones only
// beside an absolute name.
func (p *program) scriptName(src Source) string {
	if path.IsAbs(src.entry()) {
		return "/policy.js"
	}
	return "policy.js"
}

// nameSources returns the source map with names that goja leaves as they are, so that
// error.stack is right where it can be, and remembers which file each means.
func (p *program) nameSources(src Source) ([]byte, error) {
	var m map[string]any
	if err := json.Unmarshal(p.bundle.Map, &m); err != nil {
		return nil, fmt.Errorf("read the source map: %w", err)
	}
	list, _ := m["sources"].([]any)
	for i, e := range list {
		name, _ := e.(string)
		name = strings.TrimPrefix(name, nsPolicy+":")
		shown := name
		if name == src.entry() {
			shown = src.Path
		}
		goes := resolved(p.scriptName(src), name)
		if goes != name || strings.ContainsAny(name, "%?# ") {
			name = fmt.Sprintf("%d/%s", i, "policy")
			goes = resolved(p.scriptName(src), name)
		}
		list[i] = name
		p.names[goes] = shown
	}
	return json.Marshal(m)
}

// resolved is what goja makes of a source's name.
func resolved(script, source string) string {
	if path.IsAbs(script) && path.IsAbs(source) {
		return path.Clean(source)
	}
	return path.Join(path.Dir(script), source)
}

// place is a position in a file of the user.
type place struct {
	file string
	line int
	col  int // from 1, in bytes
}

func (p place) String() string {
	return p.file + ":" + strconv.Itoa(p.line) + ":" + strconv.Itoa(p.col)
}

// at returns the place of a stack frame, false for native code and for gaia's own words.
func (p *program) at(f *goja.StackFrame) (place, bool) {
	return p.placeOf(f.Position())
}

// placeOf is at for a position as goja tells it.
func (p *program) placeOf(pos file.Position) (place, bool) {
	shown, ok := p.names[pos.Filename]
	if !ok || strings.HasPrefix(shown, nsWords+":") || strings.HasPrefix(shown, nsModule+":") || pos.Line < 1 {
		return place{}, false
	}
	return place{file: shown, line: pos.Line, col: byteCol(p.sourceLine(shown, pos.Line), pos.Column)}, true
}

func (p *program) sourceLine(file string, line int) string {
	if !p.bundle.has(file) {
		file = path.Clean(file)
	}
	return p.bundle.line(file, line)
}

// trace returns the first place of the user's in a stack, and the stack as text.
func (p *program) trace(frames []goja.StackFrame) (where place, known bool, stack string) {
	var sb strings.Builder
	for i := range frames {
		at, ok := p.at(&frames[i])
		if !ok {
			continue
		}
		if !known {
			where, known = at, true
		}
		name := frames[i].FuncName()
		if strings.HasPrefix(name, "<") {
			name = "module scope"
			if i < len(frames)-2 {
				name = "function"
			}
		}
		fmt.Fprintf(&sb, "at %s (%s)\n", name, at)
		if sb.Len() > maxStack*80 {
			sb.WriteString("...\n")
			break
		}
	}
	return where, known, sb.String()
}

// syntaxError places what goja's parser refuses and esbuild does not.
func (p *program) syntaxError(src Source, err error) *policy.LoadError {
	e := &policy.LoadError{Policy: src.Name, File: src.Path, Message: err.Error(), Err: err}
	var list parser.ErrorList
	if !errors.As(err, &list) || len(list) == 0 {
		return e
	}
	e.Message = list[0].Message
	consumer, mapErr := sourcemap.Parse("", p.bundle.Map)
	if mapErr != nil {
		return e
	}
	name, _, line, col, ok := consumer.Source(list[0].Position.Line, list[0].Position.Column-1)
	if !ok {
		return e
	}
	name = strings.TrimPrefix(name, nsPolicy+":")
	e.File = name
	if name == src.entry() {
		e.File = src.Path
	}
	e.Source = p.sourceLine(name, line)
	e.Line, e.Col = line, byteCol(e.Source, col)
	e.Hint = "goja, the engine, lacks this; write it another way"
	return e
}
