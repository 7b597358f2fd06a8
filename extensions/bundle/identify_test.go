package bundle

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/bundle/remote"
	"github.com/gaia-host/gaia/extensions/policy"
)

// What Identify says is what Open opens.
func TestIdentifySaysWhatOpens(t *testing.T) {
	c := testConfig(t)
	twin := filepath.Join("..", "..", "examples", "wasm-c", "policy.wasm")
	imports := write(t, "p.ts", `import { x } from "./lib"; export function onRequest() { return x; }`)
	if err := os.WriteFile(filepath.Join(filepath.Dir(imports), "lib.ts"), []byte("export const x: boolean = true;"), 0o600); err != nil {
		t.Fatal(err)
	}
	built := write(t, "b.js", jsManifest+`{"name": "built", "version": "3"}`+"\nexport function onRequest() {}")
	signed := write(t, "s.js", "export function onRequest() {}")
	secret, public, err := remote.Generate("")
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile(signed)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := remote.Sign(code, secret, "", "s.js", time.Unix(0, t0))
	if err == nil {
		err = os.WriteFile(signed+remote.SignatureSuffix, sig, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	keys := Settings{Keys: []string{string(public)}}
	for _, tt := range []struct {
		use string
		s   Settings
	}{{twin, Settings{}}, {imports, Settings{}}, {built, Settings{}}, {"std/retry-after", keys}, {signed, keys}} {
		id, err := Identify(t.Context(), tt.use, tt.s, c)
		if err != nil {
			t.Fatalf("%s: %v", tt.use, err)
		}
		tt.s.Digest = id.Digest
		p, err := Open(t.Context(), "", tt.use, tt.s, c)
		if err != nil {
			t.Fatalf("%s: %v", tt.use, err)
		}
		if p.Digest != id.Digest || p.Engine != id.Engine || p.Signer != id.Signer {
			t.Errorf("%s: %+v, opened %s %s %s", tt.use, id, p.Digest, p.Engine, p.Signer)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	if id, err := Identify(t.Context(), built, Settings{}, c); err != nil || id.Name != "built" || id.Version != "3" {
		t.Errorf("%+v, %v", id, err)
	}
	for _, use := range []string{"none.js", "none.wasm", "std/none", "p.txt", write(t, "x.wasm", "no module"), write(t, "x.js", "export {"), signed + "x"} {
		if _, err := Identify(t.Context(), use, Settings{}, c); !isLoadError(err) {
			t.Errorf("%s: %v", use, err)
		}
	}
	if _, err := Identify(t.Context(), imports, keys, c); !errors.Is(err, remote.ErrRefused) {
		t.Errorf("unsigned: %v", err)
	}
}

// Nothing runs, or is even compiled, of a policy that is not the one of the digest.
func TestNothingRunsOfAnotherDigest(t *testing.T) {
	c := testConfig(t)
	for _, use := range []string{write(t, "p.js", `throw new Error("ran"); export function onRequest() {}`), write(t, "p.wasm", "\x00asm garbage"), "std/per-host"} {
		_, err := Open(t.Context(), "", use, Settings{Digest: remote.Digest(nil)}, c)
		if !errors.Is(err, ErrLocked) {
			t.Errorf("%s: %v", use, err)
		}
	}
}

func isLoadError(err error) bool {
	var load *policy.LoadError
	return errors.As(err, &load)
}
