package js

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/evanw/esbuild/pkg/api"

	"github.com/gaia-host/gaia/extensions/policy"
)

// Namespaces of the bundler.
const (
	nsPolicy = "policy"
	nsWords  = "words"
	nsModule = "module"
)

// The bundle is the body of a function of these names, so that it leaves nothing in the
// global object. goja looks for the source map in the line before a closing "})".
const (
	bundleHead = "(function(module,exports," + bundleWord + "){"
	bundleTail = "})"
	bundleWord = "__gaia" // makes the words of "gaia"
)

// Bundle is a policy in one piece.
type Bundle struct {
	Code []byte // one script; its value is a function of (module, exports, __gaia)
	Map  []byte // source map, version 3, without the contents of the sources

	files  []sourceFile // sorted by name
	entry  string       // name of the file that was named
	digest string
}

type sourceFile struct {
	name string // as shown to people
	text string
}

// Files lists the entry and all imported files, sorted.
func (b *Bundle) Files() []string {
	names := make([]string, 0, len(b.files))
	for _, f := range b.files {
		names = append(names, f.name)
	}
	return names
}

// Entry is the text of the entry file.
func (b *Bundle) Entry() string {
	for _, f := range b.files {
		if f.name == b.entry {
			return f.text
		}
	}
	return ""
}

// Digest is "sha256:..." of the files and their names relative to the entry file, so
// that the same policy in another place has the same digest.
func (b *Bundle) Digest() string { return b.digest }

// line returns a line of a file, "" where there is none.
func (b *Bundle) line(name string, n int) string {
	for _, f := range b.files {
		if f.name != name {
			continue
		}
		for i, line := range strings.SplitAfterN(f.text, "\n", n+1) {
			if i == n-1 {
				return strings.TrimRight(line, "\r\n")
			}
		}
	}
	return ""
}

func (b *Bundle) has(name string) bool {
	for _, f := range b.files {
		if f.name == name {
			return true
		}
	}
	return false
}

// byteCol turns a column of UTF-16 units, from 0, into one of bytes, from 1.
func byteCol(line string, units int) int {
	col := 0
	for units > 0 && col < len(line) {
		r, size := utf8.DecodeRuneInString(line[col:])
		units -= utf16.RuneLen(r)
		col += size
	}
	return col + 1
}

// BundleSource puts a policy and all it imports in one script. Errors are
// *policy.LoadError.
func BundleSource(src Source) (Bundle, error) {
	if src.Path == "" {
		src.Path = src.Name + ".js"
	}
	b := &bundler{src: src}
	code, err := src.read(src.entry())
	if err == nil && len(bytes.TrimSpace(code)) == 0 {
		err = ErrEmpty
	}
	if err != nil {
		return Bundle{}, src.unreadable(err)
	}
	result := api.Build(b.options())
	for _, w := range result.Warnings {
		if w.ID == "bigint" { // not an error to the bundler, which makes calls of BigInt
			result.Errors = append(result.Errors, w)
		}
	}
	if len(result.Errors) > 0 {
		return Bundle{}, b.loadError(result.Errors)
	}
	out := b.bundle
	for _, f := range result.OutputFiles {
		if strings.HasSuffix(f.Path, ".map") {
			out.Map = f.Contents
		} else {
			out.Code = f.Contents
		}
	}
	sort.Slice(out.files, func(i, j int) bool { return out.files[i].name < out.files[j].name })
	out.entry, out.digest = src.entry(), digest(src, out.files)
	return out, nil
}

func digest(src Source, files []sourceFile) string {
	sum := sha256.New()
	for _, f := range files {
		name := f.name
		if rel, err := filepath.Rel(filepath.Dir(src.entry()), name); err == nil {
			name = filepath.ToSlash(rel)
		}
		fmt.Fprintf(sum, "%d %s %d\n%s", len(name), name, len(f.text), f.text)
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

// Standalone puts a policy and all it imports in one module that is a policy again: it imports nothing but "gaia". Types are gone,
// names and comments stay. Errors are *policy.LoadError.
func Standalone(src Source) ([]byte, error) {
	b := &bundler{src: src, standalone: true}
	if _, err := src.read(src.entry()); err != nil {
		return nil, src.unreadable(err)
	}
	o := b.options()
	o.Format, o.Sourcemap, o.Banner, o.Footer = api.FormatESModule, api.SourceMapNone, nil, nil
	o.LegalComments = api.LegalCommentsInline
	result := api.Build(o)
	if len(result.Errors) > 0 {
		return nil, b.loadError(result.Errors)
	}
	return result.OutputFiles[0].Contents, nil
}

// bundler is one run of esbuild, which calls the plugin on goroutines of its own.
type bundler struct {
	src        Source
	standalone bool // "gaia" stays an import

	mu     sync.Mutex // guards what follows
	bundle Bundle
	bytes  int
}

func (b *bundler) options() api.BuildOptions {
	shaking := api.TreeShakingDefault
	if b.src.whole {
		shaking = api.TreeShakingFalse
	}
	return api.BuildOptions{
		TreeShaking:       shaking,
		EntryPoints:       []string{b.src.entry()},
		Outfile:           "policy.js",
		Bundle:            true,
		Write:             false,
		Format:            api.FormatCommonJS,
		Platform:          api.PlatformNeutral,
		Target:            api.ES2022, // a lower one turns #private into WeakMaps, 20 times slower
		Supported:         map[string]bool{"for-await": false, "async-generator": false, "top-level-await": false, "decorators": false, "using": false, "dynamic-import": false, "bigint": false},
		Sourcemap:         api.SourceMapExternal,
		SourcesContent:    api.SourcesContentExclude,
		LegalComments:     api.LegalCommentsNone,
		TsconfigRaw:       `{"compilerOptions":{"target":"ES2022"}}`,
		LogLevel:          api.LogLevelSilent,
		LogLimit:          20,
		Banner:            map[string]string{"js": bundleHead},
		Footer:            map[string]string{"js": bundleTail},
		ResolveExtensions: []string{".ts", ".js"},
		Plugins:           []api.Plugin{{Name: "policy", Setup: b.setup}},
	}
}

func (b *bundler) setup(build api.PluginBuild) {
	build.OnResolve(api.OnResolveOptions{Filter: ".*"}, b.resolve)
	build.OnLoad(api.OnLoadOptions{Filter: ".*", Namespace: nsPolicy}, b.load)
	build.OnLoad(api.OnLoadOptions{Filter: ".*", Namespace: nsWords}, func(api.OnLoadArgs) (api.OnLoadResult, error) {
		text := wordsModule()
		return api.OnLoadResult{Contents: &text, Loader: api.LoaderJS}, nil
	})
	build.OnLoad(api.OnLoadOptions{Filter: ".*", Namespace: nsModule}, func(a api.OnLoadArgs) (api.OnLoadResult, error) {
		text := b.src.Modules[a.Path]
		return api.OnLoadResult{Contents: &text, Loader: api.LoaderJS}, nil
	})
}

func (b *bundler) resolve(a api.OnResolveArgs) (api.OnResolveResult, error) {
	switch {
	case a.Kind == api.ResolveEntryPoint:
		return api.OnResolveResult{Path: b.src.entry(), Namespace: nsPolicy}, nil
	case a.Path == "gaia" && b.standalone:
		return api.OnResolveResult{Path: "gaia", External: true}, nil
	case a.Path == "gaia":
		return api.OnResolveResult{Path: "gaia", Namespace: nsWords, SideEffects: api.SideEffectsFalse}, nil
	case b.src.Modules[a.Path] != "":
		return api.OnResolveResult{Path: a.Path, Namespace: nsModule, SideEffects: api.SideEffectsFalse}, nil
	case strings.HasPrefix(a.Path, "./"), strings.HasPrefix(a.Path, "../"), a.Path == ".", a.Path == "..":
		name, err := b.src.resolve(a.Importer, a.Path)
		if err != nil {
			return failed(fmt.Sprintf("cannot import %q: %v", a.Path, err), ""), nil
		}
		return api.OnResolveResult{Path: name, Namespace: nsPolicy}, nil
	}
	return failed(foreignImport(a.Path)), nil
}

// failed is the answer to an import that cannot be; esbuild adds the place.
func failed(message, hint string) api.OnResolveResult {
	m := api.Message{Text: message}
	if hint != "" {
		m.Notes = []api.Note{{Text: hint}}
	}
	return api.OnResolveResult{Errors: []api.Message{m}}
}

// nodeModules names what policies have instead of a module of Node.js.
var nodeModules = map[string]string{
	"fs":             `policies cannot read files: give values as "params", keep them in "state", or import a JSON file`,
	"http":           "policies cannot use the network: they decide, gaia sends",
	"https":          "policies cannot use the network: they decide, gaia sends",
	"net":            "policies cannot use the network: they decide, gaia sends",
	"dns":            "policies cannot use the network: they decide, gaia sends",
	"tls":            "policies cannot use the network: they decide, gaia sends",
	"crypto":         `import { hash } from "gaia" for stable hashes; Math.random() for chance`,
	"timers":         "there are no timers: export function onTick() runs once a second",
	"process":        `import { env, params } from "gaia" for settings`,
	"os":             `import { env, params } from "gaia" for settings`,
	"child_process":  "policies cannot start processes: they decide, gaia acts",
	"worker_threads": `there are no threads: options.isolation "key" or "pool" gives several guests`,
	"buffer":         "use Uint8Array",
	"events":         "hooks are called by gaia; there are no emitters",
	"util":           "use the methods of the language: String(), JSON.stringify()",
	"path":           "use the methods of strings",
	"url":            "req.host and req.path are already parsed",
	"assert":         "throw new Error(...)",
	"stream":         "policies see no bodies; options.body names JSON scalars to extract",
}

func foreignImport(spec string) (message, hint string) {
	name := strings.TrimPrefix(spec, "node:")
	base, _, _ := strings.Cut(name, "/")
	if hint, ok := nodeModules[base]; ok {
		return fmt.Sprintf("%q is a module of Node.js, which policies do not run in", spec), hint
	}
	if strings.HasPrefix(spec, "node:") {
		return fmt.Sprintf("%q is a module of Node.js, which policies do not run in", spec), ""
	}
	if strings.HasPrefix(spec, "gaia/") {
		return fmt.Sprintf("there is no module %q", spec), `import from "gaia"`
	}
	return fmt.Sprintf("cannot import %q: a policy imports from \"gaia\" and from its own files", spec),
		"copy the code beside the policy and import it by a path that begins with ./ or ../"
}

func (b *bundler) load(a api.OnLoadArgs) (api.OnLoadResult, error) {
	var loader api.Loader
	switch ext := strings.ToLower(path.Ext(a.Path)); ext {
	case ".ts", ".mts":
		loader = api.LoaderTS
	case ".json":
		loader = api.LoaderJSON
	case ".js", ".mjs", "":
		loader = api.LoaderJS
	default:
		if a.Path == b.src.entry() {
			loader = api.LoaderJS
			break
		}
		return api.OnLoadResult{}, fmt.Errorf("cannot import a %s file: want .js, .ts or .json", ext)
	}
	code, err := b.src.read(a.Path)
	if err != nil {
		return api.OnLoadResult{}, err
	}
	text := string(code)
	if chainTooLong(text) {
		return api.OnLoadResult{}, ErrTooDeep
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes += len(text)
	if b.bytes > maxSource {
		return api.OnLoadResult{}, ErrTooLarge
	}
	b.bundle.files = append(b.bundle.files, sourceFile{name: a.Path, text: text})
	return api.OnLoadResult{Contents: &text, Loader: loader}, nil
}

// loadError tells the first fault and counts the rest.
func (b *bundler) loadError(messages []api.Message) *policy.LoadError {
	m := messages[0]
	e := &policy.LoadError{Policy: b.src.Name, File: b.src.Path, Message: m.Text, Err: errors.New(m.Text)}
	if m.Location != nil {
		e.File = strings.TrimPrefix(m.Location.File, nsPolicy+":")
		if e.File == b.src.entry() {
			e.File = b.src.Path
		}
		e.Line, e.Col, e.Source = m.Location.Line, m.Location.Column+1, m.Location.LineText
	}
	for _, n := range m.Notes {
		if n.Text != "" && n.Location == nil && e.Hint == "" {
			e.Hint = n.Text
		}
	}
	b.explain(e)
	if n := len(messages) - 1; n > 0 {
		e.Message += fmt.Sprintf(" (and %d more)", n)
	}
	return e
}

// explain puts what esbuild says about its own notions into those of a policy.
func (b *bundler) explain(e *policy.LoadError) {
	const missing = `No matching export in "` + nsWords + `:gaia" for import "`
	switch {
	case strings.HasPrefix(e.Message, missing):
		word := strings.TrimSuffix(strings.TrimPrefix(e.Message, missing), `"`)
		e.Message = fmt.Sprintf("%q is not in \"gaia\"", word)
		if near := nearest(word, topWords()); near != "" {
			e.Hint = fmt.Sprintf("did you mean %q?", near)
		} else {
			e.Hint = "it has " + strings.Join(topWords(), ", ")
		}
	case strings.HasPrefix(e.Message, "Big integer"):
		e.Message = "there are no BigInts here: one operator on large ones cannot be ended"
		e.Hint = "numbers are exact up to 2**53"
	case strings.HasPrefix(e.Message, "Top-level await"):
		e.Message = "top-level await: a policy loads at once and waits for nothing"
	}
}

// find returns the place of a text in a file, 0 where it is not in it.
func (b *Bundle) find(name, text string) (line, col int, source string) {
	for _, f := range b.files {
		if f.name != name {
			continue
		}
		for i, l := range strings.Split(f.text, "\n") {
			if at := strings.Index(l, text); at >= 0 {
				return i + 1, at + 1, strings.TrimRight(l, "\r")
			}
		}
	}
	return 0, 0, ""
}
