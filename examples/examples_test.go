// Package examples_test runs every example: the files as they stand, in a real host,
// against upstreams of its own.
package examples_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gaia-host/gaia/host"
	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/internal/testkit"
)

// serve starts a host with a configuration file and policies; set are further keys,
// as of --set. It returns the address of the gateway.
func serve(t *testing.T, file string, env, policies []string, set ...string) string {
	t.Helper()
	set = append(set, "listen=127.0.0.1:0", `control=""`, `socket=""`, "watch=false")
	cfg, err := config.Load(config.Options{File: file, Env: env, Set: set})
	if err != nil {
		t.Fatal(err)
	}
	h, err := host.New(cfg, host.Options{Policies: policies, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return "http://" + h.Addr()
}

func upstream(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s
}

func hello(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") }

// do sends a request and returns the answer with its body read.
func do(t *testing.T, method, url, body string, fields ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

// paces checks the promise of the first policy: twenty go at once, the next ones wait.
func paces(t *testing.T, policy string) {
	t.Helper()
	api := upstream(t, hello)
	base := serve(t, "", nil, []string{policy}, "routes.api.url="+api.URL)
	held := 0
	for range 22 {
		res, _ := do(t, "GET", base+"/api/", "")
		if res.StatusCode != 200 {
			t.Fatalf("status %d", res.StatusCode)
		}
		if res.Header.Get("Gaia-Wait") != "" {
			held++
		}
	}
	if held == 0 || held > 2 {
		t.Errorf("%d of 22 calls were held, want the last one or two", held)
	}
}

func TestFirstPolicy(t *testing.T) { paces(t, "first-policy/policy.js") }

func TestWasmTwin(t *testing.T) { paces(t, "wasm-c/policy.wasm") }

func TestTypedPolicy(t *testing.T) {
	api := upstream(t, hello)
	base := serve(t, "", nil, []string{"typed-policy/policy.ts"}, "routes.api.url="+api.URL)
	held := func(method string, n int) (held int) {
		for range n {
			res, _ := do(t, method, base+"/api/", "")
			if res.StatusCode != 200 {
				t.Fatalf("%s: status %d", method, res.StatusCode)
			}
			if res.Header.Get("Gaia-Wait") != "" {
				held++
			}
		}
		return held
	}
	if n := held("POST", 6); n == 0 {
		t.Error("six writes went at once, want five")
	}
	if n := held("GET", 20); n != 0 {
		t.Errorf("%d reads were held", n)
	}
}

func TestTypedPolicyHasItsTypes(t *testing.T) {
	t.Parallel()
	tsc := "../.cache/npm/node_modules/.bin/tsc"
	if _, err := os.Stat(tsc); err != nil {
		testkit.Missing(t, "no TypeScript compiler: %v; make deps installs it", err)
	}
	if out, err := exec.Command(tsc, "-p", "typed-policy").CombinedOutput(); err != nil {
		t.Errorf("tsc: %v\n%s", err, out)
	}
	dir := t.TempDir()
	for _, name := range []string{"methods.ts", "policy.ts"} {
		text, err := os.ReadFile(filepath.Join("typed-policy", name))
		if err != nil {
			t.Fatal(err)
		}
		wrong := strings.Replace(string(text), "req.method", "req.methode", 1)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(wrong), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	types, err := filepath.Abs("../extensions/sdk/gaia.d.ts")
	if err != nil {
		t.Fatal(err)
	}
	project := fmt.Sprintf(`{"compilerOptions": {"target": "ES2022", "lib": ["ES2022"], "types": [], "module": "ESNext",
		"moduleResolution": "Bundler", "strict": true, "noEmit": true}, "files": ["policy.ts", %q]}`, types)
	if err := os.WriteFile(filepath.Join(dir, "tsconfig.json"), []byte(project), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(tsc, "-p", dir).CombinedOutput(); err == nil || !strings.Contains(string(out), "methode") {
		t.Errorf("a misspelt field was accepted: %v\n%s", err, out)
	}
}

func TestTenantQuota(t *testing.T) {
	api := upstream(t, hello)
	base := serve(t, "tenant-quota/gaia.yaml", nil, nil, "routes.api.url="+api.URL)
	ask := func(tenant, path string) *http.Response {
		res, _ := do(t, "POST", base+"/api"+path, "{}", "Gaia-Tenant", tenant)
		return res
	}
	if res := ask("", "/v1/chat"); res.StatusCode != 400 {
		t.Errorf("without a tenant: status %d, want 400", res.StatusCode)
	}
	for i, want := range []int{200, 200, 429} { // 5 + 5 of 10
		res := ask("red", "/v1/batch/7")
		if res.StatusCode != want {
			t.Errorf("batch call %d: status %d, want %d", i+1, res.StatusCode, want)
		}
		if want == 429 && res.Header.Get("Retry-After") == "" {
			t.Error("the denial does not say when to come back")
		}
	}
	if res := ask("blue", "/v1/chat"); res.StatusCode != 200 {
		t.Errorf("another tenant: status %d", res.StatusCode)
	}
}

func TestFailover(t *testing.T) {
	var broken atomic.Bool
	var asked atomic.Int64
	broken.Store(true)
	main := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		if broken.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		fmt.Fprint(w, "main")
	})
	standby := upstream(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "standby") })
	base := serve(t, "failover/gaia.yaml", nil, nil, "routes.api.upstreams.main.url="+main.URL,
		"routes.api.upstreams.standby.url="+standby.URL, "policies.failover.params.rest=300ms")
	for range 3 {
		if res, body := do(t, "GET", base+"/api/x", ""); res.StatusCode != 200 || body != "standby" {
			t.Fatalf("status %d from %q, want 200 from standby", res.StatusCode, body)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the upstream that fails was asked %d times, want once", n)
	}
	broken.Store(false)
	for deadline := time.Now().Add(5 * time.Second); ; {
		if _, body := do(t, "GET", base+"/api/x", ""); body == "main" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the main upstream was not used again")
		}
	}
}

func TestLLM429(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var opens time.Time
	refused := 0
	left := 2
	provider := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer sk-test" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if now := time.Now(); now.After(opens) {
			opens, left = now.Add(time.Second), 2
		}
		if left--; left < 0 {
			refused++
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		w.Header().Set("RateLimit-Policy", `"requests";q=2;w=1`)
		w.Header().Set("RateLimit", fmt.Sprintf(`"requests";r=%d;t=1`, left))
		fmt.Fprintln(w, `{"ok": true}`)
	})
	base := serve(t, "llm-429/gaia.yaml", []string{"OPENAI_API_KEY=sk-test"}, nil, "routes.openai.url="+provider.URL)
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			res, err := http.Post(base+"/openai/v1/chat/completions", "application/json", strings.NewReader(`{"model": "m"}`))
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 200 {
				t.Errorf("status %d, want a wait instead: %v\n%s", res.StatusCode, err, body)
			}
		})
	}
	wg.Wait()
	mu.Lock()
	defer mu.Unlock()
	t.Logf("the provider refused %d times; no caller saw it", refused)
}

func TestLLM429NeedsItsKey(t *testing.T) {
	_, err := config.Load(config.Options{File: "llm-429/gaia.yaml"})
	if err == nil || !strings.Contains(err.Error(), "OPENAI_API_KEY") {
		t.Errorf("without the key: %v", err)
	}
}

func TestEveryFolderIsInTheList(t *testing.T) {
	list, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !strings.Contains(string(list), "["+e.Name()+"](") {
			t.Errorf("README.md does not name %s", e.Name())
		}
	}
}
