package js

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
)

const scriptModule = `const host = __gaia("host");
export const give = (name, fn) => host("func", name, fn);
export const echo = (v) => host("echo", v);`

func openScript(t *testing.T, code string, host func(string, []byte, func() Place) ([]byte, error)) (*Script, error) {
	t.Helper()
	tx := natives.NewHost(natives.HostConfig{}).Begin(1)
	s, err := OpenScript(context.Background(), Source{Name: "s", Path: "s.js", Code: []byte(code), Modules: map[string]string{"gaia/x": scriptModule}},
		ScriptConfig{Policy: Config{Scope: tx.Scope(natives.ScopeConfig{Policy: "s", Local: true})}, Host: host, Clock: func() int64 { return 7e6 }})
	if err == nil {
		t.Cleanup(s.Close)
	}
	return s, err
}

func TestScript(t *testing.T) {
	var asked []string
	s, err := openScript(t, `import { give, echo } from "gaia/x";
give("first", () => { if (echo({ a: [1] }).a[0] !== 1 || Date.now() !== 7) throw new Error("no"); });
give("throws", () => { echo("fail"); });
give("loops", () => { for (;;); });
give("waits", async () => {});
`, func(op string, in []byte, at func() Place) ([]byte, error) {
		asked = append(asked, op+" "+string(in)+" "+at().String())
		if string(in) == `"fail"` {
			return nil, errors.New("the host says no")
		}
		return in, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range s.Funcs() {
		names = append(names, f.Name+" "+f.At.String())
	}
	if got := strings.Join(names, ", "); got != "first s.js:2, throws s.js:3, loops s.js:4, waits s.js:5" {
		t.Error(got)
	}
	for i, want := range []string{"", "the host says no", "budget", "async"} {
		for range 2 { // a script that was cut off works again
			err := s.Run(i, 20*time.Millisecond)
			if err == nil && want == "" {
				continue
			}
			var f *policy.Fault
			if !errors.As(err, &f) || !strings.Contains(f.Error(), want) || !strings.HasPrefix(f.Where, "s.js:") {
				t.Errorf("%d: %v, want %q", i, err, want)
			}
		}
	}
	if len(asked) != 4 || asked[0] != `echo {"a":[1]} s.js:2` {
		t.Error(asked)
	}
}

// Who ends the load of a script or of options meanwhile gets no half of it.
func TestLoadThatIsEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	scope := natives.NewHost(natives.HostConfig{}).Begin(1).Scope(natives.ScopeConfig{Policy: "s", Local: true})
	src := Source{Name: "s", Code: []byte("export const options = {}")}
	s, err := OpenScript(ctx, src, ScriptConfig{Policy: Config{Scope: scope}})
	if s != nil || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "load s:") {
		t.Errorf("a script: %v", err)
	}
	if b, err := Evaluate(ctx, src, Config{Scope: scope}, "options"); b != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("options: %s, %v", b, err)
	}
}

func TestScriptIsRefused(t *testing.T) {
	for code, want := range map[string]string{
		`import { give } from "gaia/x"; give("a", 1);`: "want a function",
		`import { give } from "gaia/y";`:               "no module",
		`for (;;);`:                                    "module scope",
	} {
		if _, err := openScript(t, code, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", code, err, want)
		}
	}
}
