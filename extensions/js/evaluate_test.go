package js

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
)

func evaluate(t *testing.T, code string) (string, error) {
	t.Helper()
	tx := natives.NewHost(natives.HostConfig{}).Begin(1)
	b, err := Evaluate(context.Background(), Source{Name: "e", Path: "e.js", Code: []byte(code), Modules: map[string]string{"gaia/more": "export const two = 2;"}},
		Config{Scope: tx.Scope(natives.ScopeConfig{Policy: "e", Local: true})}, "options")
	return string(b), err
}

func TestEvaluate(t *testing.T) {
	got, err := evaluate(t, `import { two } from "gaia/more"; import { limiter } from "gaia";
export const options = { n: two, list: [1, "a"], strategies: { mine: { onRequest(req) {} } }, skipped: undefined };`)
	mark, _ := json.Marshal(FunctionMark)
	if want := `{"n":2,"list":[1,"a"],"strategies":{"mine":{"onRequest":` + string(mark) + `}}}`; err != nil || got != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	for code, want := range map[string]string{
		`export const x = 1;`: `no export "options"`,
		`export const options = { get a() { throw new Error("no") } };`: "no",
		`export const options = {}; options.me = options;`:              "circular",
		`for (;;) {} export const options = {};`:                        "",
		`export const options = {`:                                      "e.js:1",
	} {
		if _, err := evaluate(t, code); err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(want)) {
			t.Errorf("%s: %v, want %q", code, err, want)
		}
	}
}

// Hooks may stand in an object among the exports.
func TestHooksElsewhere(t *testing.T) {
	tx := natives.NewHost(natives.HostConfig{}).Begin(1)
	src := Source{Name: "e", Path: "e.js", Code: []byte(`export const options = { strategies: { mine: { retry: 1, onRequest(req) { return { action: "deny", status: 418 } } }, other: {} } };`)}
	c := Config{Scope: tx.Scope(natives.ScopeConfig{Policy: "e", Local: true}), At: []string{"options", "strategies", "mine"}}
	p, err := Open(context.Background(), src, c)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var d policy.Decision
	if err := p.OnRequest(&policy.Request{Subsystem: "api", Now: 1}, &d); err != nil || d.Status != 418 {
		t.Errorf("%+v, %v", d, err)
	}
	for _, at := range [][]string{{"options", "strategies", "other"}, {"options", "nothing"}} {
		c.At = at
		if _, err := Open(context.Background(), src, c); err == nil {
			t.Errorf("%v was opened", at)
		}
	}
}
