package js

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
)

func TestBundle(t *testing.T) {
	w, err := openWith(t, `import { limit, type Shape } from "./lib/util.js";
		import table from "./table.json";
		import { deny, type OnRequest } from "gaia";
		const s: Shape = { n: 1 };
		export const onRequest: OnRequest = (req) => deny(table.status, limit(s.n));`,
		setup{entry: "pol/p.ts", config: Config{Override: patient}, files: map[string]string{
			"pol/lib/util.ts": `import * as x from "./deep"; export interface Shape { n: number } export const limit = (n: number): number => n * x.factor;`,
			"pol/lib/deep.ts": `export const factor = 1000;`, "pol/table.json": `{"status": 503}`}})
	if err != nil {
		t.Fatal(err)
	}
	if d := w.ask(t); d.Status != 503 || d.RetryAfter != time.Second {
		t.Errorf("%+v", d)
	}
	if got := fmt.Sprint(w.Files()); got != "[pol/lib/deep.ts pol/lib/util.ts pol/p.ts pol/table.json]" {
		t.Error(got)
	}
	if !strings.HasPrefix(w.Digest(), "sha256:") {
		t.Error(w.Digest())
	}
}

func TestDiskAndDigest(t *testing.T) {
	digests := map[string]bool{}
	host := natives.NewHost(natives.HostConfig{})
	for range 2 {
		dir := filepath.Join(t.TempDir(), "with space")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "a.js")
		if err := os.WriteFile(path, []byte("import {x} from './b.js';\nexport function onRequest() {\n  é(); x()\n}\nfunction é() {}"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "b.js"), []byte("export const x = () => {\n  throw new Error('deep');\n}"), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := Open(context.Background(), Source{Name: "a", Path: path}, Config{Scope: host.Begin(epoch).Scope(natives.ScopeConfig{Policy: "a"}), Override: patient})
		if err != nil {
			t.Fatal(err)
		}
		digests[p.Digest()] = true
		var d policy.Decision
		var f *policy.Fault
		if err := p.OnRequest(request(), &d); !errors.As(err, &f) {
			t.Fatal(err)
		}
		if want := filepath.Join(dir, "b.js") + ":2:"; !strings.HasPrefix(f.Where, want) || !strings.Contains(f.Stack, "onRequest ("+path+":3:") {
			t.Errorf("where %q, want %q\n%s", f.Where, want, f.Stack)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if err := p.OnRequest(request(), &d); !errors.Is(err, policy.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
	if len(digests) != 1 {
		t.Errorf("the digest depends on the folder: %v", digests)
	}
}
