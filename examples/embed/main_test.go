package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestThePolicyPacesTheProgram(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") }))
	defer api.Close()
	file := filepath.Join(t.TempDir(), "policy.js")
	code := `import { limiter } from "gaia";
const once = limiter.tokenBucket("once", { rate: 1, per: "1h", burst: 1 });
export function onRequest() { return once.admit(); }`
	if err := os.WriteFile(file, []byte(code), 0o644); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := run(t.Context(), file, []string{api.URL + "/a", api.URL + "/b"}, &out); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, "/a: 200 OK") || !strings.Contains(got, "/b: denied, come back in") {
		t.Errorf("it printed:\n%s", got)
	}
}

func TestAPolicyThatDoesNotLoadIsAnError(t *testing.T) {
	if err := run(t.Context(), "no-such-file.js", nil, &strings.Builder{}); err == nil {
		t.Error("no error")
	}
}
