package js

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
)

func TestLoadErrors(t *testing.T) {
	for _, c := range []struct{ name, code, where, want, hint string }{
		{"empty", ` `, "p.js: ", "is empty", ""},
		{"no hook", `export const x = 1;`, "p.js: ", "exports no hook", ""},
		{"syntax", "\nexport function onRequest( {", "p.js:2:", "", ""},
		{"async", `export async function onRequest() {}`, "p.js: ", "async function", "delay(500)"},
		{"generator", `export function* onRequest() {}`, "p.js: ", "generating function", ""},
		{"not a function", `export const onRequest = 5;`, "p.js: ", "must be a function, got 5", ""},
		{"class", `export class onRequest {}; export function onTick() {}`, "p.js: ", "must be a function, got a class", ""},
		{"case", `export function onrequest() {}`, "p.js: ", `"onrequest"`, `did you mean "onRequest"`},
		{"typo", `export function onReqest() {}; export function onTick() {}`, "p.js: ", `"onReqest"`, `did you mean "onRequest"`},
		{"no such hook", `export function onError() {}; export function onTick() {}`, "p.js: ", "", "the hooks are"},
		{"option", `export const option = {}; export function onTick() {}`, "p.js: ", "", `did you mean "options"`},
		{"bare import", "import x from 'lodash';\nexport function onRequest() { x() }", "p.js:1:15", "a policy imports from \"gaia\"", "./"},
		{"node", "import fs from 'node:fs';\nexport function onRequest() { fs() }", "p.js:1:16", "module of Node.js", "params"},
		{"node path", "import fs from 'fs/promises';\nexport function onRequest() { fs() }", "p.js:1:16", "module of Node.js", "params"},
		{"missing file", "import x from './x.js';\nexport function onRequest() { x() }", "p.js:1:15", "there is no file x.js", ""},
		{"outside", "import x from '../../x.js';\nexport function onRequest() { x() }", "p.js:1:15", "there is no file", ""},
		{"css", "import './x.css';\nexport function onRequest() {}", "p.js:1:8", "cannot import a .css file", ""},
		{"unknown word", "import { dney } from 'gaia';\nexport function onRequest() { return dney() }", "p.js:1:10", `"dney" is not in "gaia"`, `did you mean "deny"`},
		{"top-level await", "await 1;\nexport function onRequest() {}", "p.js:1:1", "top-level await", ""},
		{"throws", "const a = 1;\nnull.boom;\nexport function onRequest() {}", "p.js:2:6", "Cannot read property 'boom'", ""},
		{"declares badly", `import {limiter} from "gaia"; limiter.tokenBucket("a", {rtae: 1}); export function onRequest() {}`, "p.js:1:", `did you mean "rate"`, ""},
		{"no rate", `import {limiter} from "gaia"; limiter.tokenBucket("a", {}); export function onRequest() {}`, "p.js:1:", "rate is missing", ""},
		{"bad name", `import {limiter} from "gaia"; limiter.tokenBucket("a b", {rate: 1}); export function onRequest() {}`, "p.js:1:", "want a name", ""},
		{"options", "\nexport const options = {budgett: 1}; export function onRequest() {}", "p.js:2:1", "unknown option", ""},
		{"options number", `export const options = 5; export function onRequest() {}`, "p.js:1:1", "want an object, got 5", ""},
		{"match", `export const options = {match: {hots: "x"}}; export function onRequest() {}`, "p.js:1:1", "match.hots", ""},
		{"routes", `export const options = {routes: {a: {url: "http://x"}}}; export function onRequest() {}`, "p.js:1:1", "std/", "--route NAME=URL"},
		{"loops", "let i = 0;\nfor (;;) { i++ }\nexport function onRequest() {}", "p.js:2:", "budget of time", "500 ms"},
		{"recursion", "(function f() { f() })();\nexport function onRequest() {}", "p.js:1:", "500 calls deep", ""},
		{"twice", "export function onRequest() {}; export default { onRequest() {} }", "p.js: ", "exported twice", ""},
		{"global", "globalThis.x = 1; export function onRequest() {}", "p.js:1:", "x", ""},
		{"process", "const v = process.env.X; export function onRequest() {}", "p.js:1:", "process is not defined", ""},
		{"require", "const v = require(String('fs')); export function onRequest() {}", "p.js:1:", "not defined", "ES modules"},
		{"options getter", `export const options = {get match() { throw new Error("g") }}; export function onRequest() {}`, "p.js:1:", "g", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := setup{files: map[string]string{"x.css": ""}}
			e := loadError(t, c.code, s)
			if !strings.HasPrefix(e.Where(), c.where) || !strings.Contains(e.Message, c.want) || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("%v\nhint %q", e, e.Hint)
			}
			if e.Line > 0 && e.Source == "" {
				t.Errorf("no source line: %+v", e)
			}
		})
	}
}

func TestDefaultExport(t *testing.T) {
	w := open(t, `export default { options: {match: {subsystem: "api"}}, onRequest(req) { return false } }`)
	if d := w.ask(t); d.Action != policy.ActionDeny || w.Options().Match == nil {
		t.Errorf("%+v %+v", d, w.Options())
	}
}

func TestOptions(t *testing.T) {
	w, err := openWith(t, `export const options = {match: {host: ["*.a", "b"]}, isolation: "pool", budget: "20ms", onFailure: "closed", body: ["model"]};
		export function onRequest() {}`, setup{config: Config{Override: policy.Options{Isolation: policy.IsolationKey}, Instances: 3}})
	if err != nil {
		t.Fatal(err)
	}
	o := w.Options()
	if o.Isolation != policy.IsolationKey || o.Budget != 20*time.Millisecond || o.OnFailure != policy.FailClosed || len(o.Body) != 1 {
		t.Errorf("%+v", o)
	}
	if idle, total := w.Guests(); idle != 3 || total != 3 {
		t.Error(idle, total)
	}
	w, err = openWith(t, `export function onRequest() {}`, setup{})
	if err != nil {
		t.Fatal(err)
	}
	if o := w.Options(); o.Isolation != policy.IsolationSingle || o.Budget != DefaultBudget || o.OnFailure != policy.FailOpen {
		t.Errorf("%+v", o)
	}
	if _, err := openWith(t, `export const options = {routes: {a: {url: "http://x"}}}; export function onRequest() {}`, setup{config: Config{Standard: true}}); err != nil {
		t.Error(err)
	}
}

func TestUnreadableFiles(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo.js")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Skip("no fifo: ", err)
	}
	large := filepath.Join(dir, "large.js")
	if err := os.WriteFile(large, make([]byte, maxSource+1), 0o600); err != nil {
		t.Fatal(err)
	}
	importer := filepath.Join(dir, "importer.js")
	if err := os.WriteFile(importer, []byte(`import "./large.js"; export function onTick() {}`), 0o600); err != nil {
		t.Fatal(err)
	}
	scope := natives.NewHost(natives.HostConfig{}).Begin(epoch).Scope(natives.ScopeConfig{Policy: "p"})
	for path, want := range map[string]string{fifo: "not a regular file", large: "4 MiB", dir: "not a regular file", filepath.Join(dir, "none.js"): "no such file",
		importer: "4 MiB"} {
		_, err := Open(context.Background(), Source{Name: "p", Path: path}, Config{Scope: scope})
		var e *policy.LoadError
		if !errors.As(err, &e) || !strings.Contains(e.Message, want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestCodeWithoutFile(t *testing.T) {
	scope := natives.NewHost(natives.HostConfig{}).Begin(epoch).Scope(natives.ScopeConfig{Policy: "p"})
	p, err := Open(context.Background(), Source{Name: "p", Code: []byte(`export function onRequest() { throw new Error("x") }`)}, Config{Scope: scope, Override: patient})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var d policy.Decision
	if err := p.OnRequest(request(), &d); err == nil || !strings.Contains(err.Error(), "p.js:1:") {
		t.Error(err)
	}
}
