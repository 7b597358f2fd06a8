// Package docs_test runs the documents: every policy, configuration and session in
// them, and compares their tables with the code.
package docs_test

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gaia-host/gaia/extensions/js"
	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/state"
	"github.com/gaia-host/gaia/extensions/wasm"
	"github.com/gaia-host/gaia/host/config"
)

// key is a row of docs/configuration.md.
type key struct{ kind, value, when string }

func TestConfigurationNamesEveryKey(t *testing.T) {
	row := regexp.MustCompile("(?m)^\\| `([a-zA-Z0-9_.]+)` \\| ([^|]+) \\| ([^|]+) \\| (live|restart) \\| [^|]+ \\|$")
	told := map[string]key{}
	for _, m := range row.FindAllStringSubmatch(read(t, "docs/configuration.md"), -1) {
		told[m[1]] = key{m[2], strings.Trim(m[3], "`"), m[4]}
	}
	real := map[string]key{}
	keysOf(reflect.ValueOf(config.Default()).Elem(), "", false, real)
	for name, is := range real {
		says, ok := told[name]
		switch {
		case !ok:
			t.Errorf("%s (%s, default %q, %s) is not in the page", name, is.kind, is.value, is.when)
		case says.kind != is.kind || says.when != is.when:
			t.Errorf("%s is %s and %s; the page says %s and %s", name, is.kind, is.when, says.kind, says.when)
		case is.value != "" && says.value != is.value:
			t.Errorf("the default of %s is %s; the page says %s", name, is.value, says.value)
		}
		delete(told, name)
	}
	for name := range told {
		t.Errorf("%s is in the page and is no key", name)
	}
}

// keysOf collects the keys below v. A value of "" is one that means "not set".
func keysOf(v reflect.Value, path string, restart bool, into map[string]key) {
	for i := range v.NumField() {
		f, value := v.Type().Field(i), v.Field(i)
		name := strings.TrimPrefix(path+"."+f.Tag.Get("koanf"), ".")
		late := restart || f.Tag.Get("reload") == "restart"
		elem := f.Type
		if elem.Kind() == reflect.Map || elem.Kind() == reflect.Slice {
			elem = elem.Elem()
		}
		if elem.Kind() == reflect.Pointer && elem.Elem().Kind() == reflect.Struct { // a section that may be left out
			elem = elem.Elem()
			value = reflect.New(elem).Elem()
		}
		if elem.Kind() != reflect.Struct || elem == reflect.TypeFor[config.Secret]() || elem == reflect.TypeFor[config.URL]() {
			into[name] = key{kindOf(f.Type), valueOf(value), map[bool]string{true: "restart", false: "live"}[late]}
			continue
		}
		switch {
		case f.Type.Kind() == reflect.Map && elem == reflect.TypeFor[config.SubsystemLimits]():
			limits := config.DefaultSubsystemLimits()
			keysOf(reflect.ValueOf(&limits).Elem(), name+".NAME", late, into)
		case f.Type.Kind() == reflect.Map:
			keysOf(reflect.New(elem).Elem(), name+".NAME", late, into)
		case elem == reflect.TypeFor[config.LimitSpec]() && f.Type == elem: // not an upstream's own
			keysOf(value, path+".LEVEL", late, into)
		case f.Type.Kind() == reflect.Slice:
			keysOf(reflect.New(elem).Elem(), name, late, into)
		default:
			keysOf(value, name, late, into)
		}
	}
}

func kindOf(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[config.Duration]():
		return "duration"
	case reflect.TypeFor[config.ByteSize]():
		return "size"
	case reflect.TypeFor[config.URL]():
		return "url"
	case reflect.TypeFor[map[string]any]():
		return "map"
	case reflect.TypeFor[map[string]config.Secret](), reflect.TypeFor[map[string]string]():
		return "map of texts"
	case reflect.TypeFor[[]string]():
		return "list of texts"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "bool"
	case reflect.Int, reflect.Int64:
		return "integer"
	case reflect.Float64:
		return "number"
	case reflect.String:
		return "text"
	}
	return "unknown " + t.String()
}

func valueOf(v reflect.Value) string {
	switch {
	case v.Kind() == reflect.Pointer, v.IsZero() && v.Kind() != reflect.Bool:
		return ""
	}
	return fmt.Sprint(v.Interface())
}

func TestPoliciesNameEveryWord(t *testing.T) {
	text := read(t, "docs/policies.md")
	for _, w := range natives.Table() {
		cells := make([]string, 0, len(w.Wasm))
		for _, name := range w.Wasm {
			if action, ok := strings.CutPrefix(name, "decision:"); ok {
				cells = append(cells, "decision `"+action+"`")
				continue
			}
			cells = append(cells, "`"+name+"`")
		}
		if row := fmt.Sprintf("| `%s` | %s | %s |\n", w.JS, strings.Join(cells, ", "), w.Meaning); !strings.Contains(text, row) {
			t.Errorf("the page lacks the row %s", row)
		}
	}
	for _, k := range policy.FaultKinds() {
		if !strings.Contains(text, "| `"+k.String()+"` |") {
			t.Errorf("the page lacks the kind of fault %s", k)
		}
	}
	for _, h := range policy.Hooks(0xff).Names() {
		if !strings.Contains(text, "| `"+h+"(") {
			t.Errorf("the page lacks the hook %s", h)
		}
	}
}

func TestNumbersAreThose(t *testing.T) {
	spaced := func(n int) string {
		text := fmt.Sprint(n)
		for i := len(text) - 3; i > 0; i -= 3 {
			text = text[:i] + " " + text[i:]
		}
		return text
	}
	budget := strings.Replace(js.DefaultBudget.String(), "ms", " ms", 1)
	for _, want := range []struct{ page, text string }{
		{"docs/wasm.md", "| fuel | " + spaced(wasm.DefaultFuel) + " units a hook |"},
		{"docs/wasm.md", fmt.Sprintf("| memory | %d pages of 64 KiB |", wasm.DefaultMemoryPages)},
		{"docs/configuration.md", "| `policies.NAME.fuel` | integer | " + spaced(wasm.DefaultFuel) + " |"},
		{"docs/configuration.md", fmt.Sprintf("| `policies.NAME.memory_pages` | integer | %d |", wasm.DefaultMemoryPages)},
		{"docs/policies.md", "| time | `budget`, wall time, " + budget + " | `fuel` units of eight instructions, " + spaced(wasm.DefaultFuel) + " a hook;"},
		{"docs/policies.md", fmt.Sprintf("| `budget` | `%q` |", js.DefaultBudget.String())},
		{"docs/policies.md", fmt.Sprintf("| `memory_pages` of 64 KiB, %d |", wasm.DefaultMemoryPages)},
		{"docs/policies.md", "`maxKeys` too (" + spaced(limit.DefaultMaxKeys) + ")"},
		{"docs/policies.md", fmt.Sprintf("A store holds %s entries and %d MiB, a key %d bytes, a value %d KiB",
			spaced(state.DefaultMaxEntries), state.DefaultMaxBytes>>20, state.DefaultMaxKey, state.DefaultMaxValue>>10)},
		{"docs/policies.md", fmt.Sprintf("a policy may have %d names", metrics.MaxNames)},
		{"docs/policies.md", fmt.Sprintf("set on the request to the upstream, %d at most", policy.MaxHeaders)},
		{"docs/policies.md", fmt.Sprintf("logs and answers, %d bytes at most", policy.MaxReason)},
	} {
		if !strings.Contains(read(t, want.page), want.text) {
			t.Errorf("%s lacks %q", want.page, want.text)
		}
	}
}

// elsewhere is a number of another subsystem than the pool.
var elsewhere = regexp.MustCompile(`^gaia_(?:files|browser|process|network)_(\w+)$`)

func TestOperationsNamesEveryMetric(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs gaia")
	}
	s := newSession(t, false)
	b := block{page: "docs/operations.md"}
	s.write([]block{{lang: "js", kind: "policy", file: "p.js", page: b.page, text: `import { counter, gauge } from "gaia";
const seen = counter("seen"), level = gauge("level");
export function onRequest(req) { seen.add(1); level.set(1); if (req.method === "PUT") throw new Error("planted"); }
`}})
	s.start(b, "gaia run p.js --route api=https://api.example.com")
	s.expectRun(b, []string{"gaia ... ready in ... ms"})
	for _, method := range []string{"GET", "PUT"} {
		s.run(b, "curl -s -o /dev/null -X "+method+" http://127.0.0.1:8080/api/hello")
	}
	res, err := http.Get(s.stand.Replace("http://127.0.0.1:4242/metrics"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (gaia_\w+) (\w+)$`).FindAllStringSubmatch(string(text), -1) {
		kinds[m[1]] = m[2]
	}
	row := regexp.MustCompile("(?m)^\\| `(gaia_[a-z0-9_]+)[`{][^|]*\\| (\\w+) \\|")
	for _, m := range row.FindAllStringSubmatch(read(t, "docs/operations.md"), -1) {
		if kinds[m[1]] != m[2] {
			t.Errorf("%s is a %s in the page, and %q in /metrics", m[1], m[2], kinds[m[1]])
		}
		delete(kinds, m[1])
	}
	page := read(t, "docs/operations.md")
	for name, kind := range kinds {
		if other := elsewhere.FindStringSubmatch(name); other != nil && strings.Contains(page, "| `gaia_api_"+other[1]+"` | "+kind+" |") {
			continue // the page says that all subsystems have what the pool has
		}
		t.Errorf("the page lacks %s, a %s", name, kind)
	}
}

func TestGatewayNamesEveryProblem(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "host/gateway/*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	for _, f := range files {
		if !strings.HasSuffix(f, "_test.go") {
			code.WriteString(read(t, strings.TrimPrefix(filepath.ToSlash(f), root+"/")))
		}
	}
	text := read(t, "docs/gateway.md")
	kinds := regexp.MustCompile(`(?m)^\t(problem[A-Z]\w+) += "([a-z-]+)"$`).FindAllStringSubmatch(code.String(), -1)
	for _, m := range kinds {
		given := strings.Count(code.String(), m[1]) > 1
		if told := strings.Contains(text, "| `"+m[2]+"` | "); given != told {
			t.Errorf("the kind of problem %s: gaia answers so: %v; the page names it: %v", m[2], given, told)
		}
	}
	if len(kinds) < 5 {
		t.Errorf("only %d kinds were found", len(kinds))
	}
}

// command is a gaia command line in a page.
var command = regexp.MustCompile("(?:^|[\\s`(])gaia ((?:[a-z-]+)(?: [^`\n|;&#]*)?)")

func TestFlagsExist(t *testing.T) {
	help := map[string]string{}
	verbs := map[string]bool{"policy": true}
	helpOf := func(verb ...string) string {
		name := strings.Join(verb, " ")
		if _, ok := help[name]; !ok {
			out, err := exec.Command(filepath.Join(binDir(t), "gaia"), append(slices.Clone(verb), "--help")...).CombinedOutput()
			if err != nil {
				out = nil
			}
			help[name] = string(out)
		}
		return help[name]
	}
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z-]+) `).FindAllStringSubmatch(helpOf(), -1) {
		verbs[m[1]] = true
	}
	checked := 0
	for _, page := range pages(t) {
		for _, m := range command.FindAllStringSubmatch(read(t, page), -1) {
			words := strings.Fields(m[1])
			verb := words[:1]
			if !verbs[words[0]] {
				continue // prose: "gaia runs outbound work"
			}
			for len(verb) < len(words) && strings.Contains(helpOf(verb...), "\n  "+words[len(verb)]+" ") {
				verb = words[:len(verb)+1]
			}
			for _, w := range words {
				if w == "--" {
					break // what follows is another program's
				}
				flag, _, _ := strings.Cut(strings.TrimRight(w, ".,:)"), "=")
				if !strings.HasPrefix(flag, "-") || flag == "-" {
					continue
				}
				checked++
				if text := helpOf(verb...); !regexp.MustCompile(`(?m)^ .*(^|\s|,)` + regexp.QuoteMeta(flag) + `[\s,\[]`).MatchString(text) {
					t.Errorf("%s: gaia %s has no flag %s", page, strings.Join(verb, " "), flag)
				}
			}
		}
	}
	if checked < 10 {
		t.Errorf("only %d flags were found", checked)
	}
}

func TestExitCodesAreThose(t *testing.T) {
	out, err := exec.Command(filepath.Join(binDir(t), "gaia"), "help", "exit-codes").Output()
	if err != nil {
		t.Fatal(err)
	}
	text := read(t, "docs/operations.md")
	rows := regexp.MustCompile(`(?m)^ +(\d+) +(.+)$`).FindAllStringSubmatch(string(out), -1)
	for _, m := range rows {
		if !strings.Contains(text, "| "+m[1]+" | ") {
			t.Errorf("the page lacks the exit code %s: %s", m[1], m[2])
		}
	}
	if len(rows) < 5 {
		t.Errorf("only %d codes were found", len(rows))
	}
}
