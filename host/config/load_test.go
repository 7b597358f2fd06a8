package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// from returns Options whose files are those given; the first is the configuration.
func from(name, text string, more ...string) Options {
	files := map[string]string{name: text}
	for i := 0; i+1 < len(more); i += 2 {
		files[more[i]] = more[i+1]
	}
	return Options{File: name, ReadFile: func(path string) ([]byte, error) {
		text, ok := files[path]
		if !ok {
			return nil, fmt.Errorf("open: %w", fs.ErrNotExist)
		}
		return []byte(text), nil
	}}
}

func mustLoad(t *testing.T, o Options) *Config {
	t.Helper()
	cfg, err := Load(o)
	if err != nil {
		t.Fatalf("Load:\n%v", err)
	}
	return cfg
}

func TestPrecedence(t *testing.T) {
	const text = "listen: 127.0.0.1:1\napi: {max_attempts: 2, replay_max: 2KiB}\n"
	for _, tc := range []struct {
		name  string
		env   []string
		flags map[string]any
		set   []string
		file  bool
		want  string
	}{
		{name: "default", want: DefaultListen},
		{name: "file", file: true, want: "127.0.0.1:1"},
		{name: "env over file", file: true, env: []string{"GAIA_LISTEN=127.0.0.1:2"}, want: "127.0.0.1:2"},
		{name: "flag over env", file: true, env: []string{"GAIA_LISTEN=127.0.0.1:2"}, flags: map[string]any{"listen": "127.0.0.1:3"}, want: "127.0.0.1:3"},
		{name: "set over flag", file: true, env: []string{"GAIA_LISTEN=127.0.0.1:2"}, flags: map[string]any{"listen": "127.0.0.1:3"}, set: []string{"listen=127.0.0.1:4"}, want: "127.0.0.1:4"},
		{name: "last set", set: []string{"listen=127.0.0.1:4", "listen=127.0.0.1:5"}, want: "127.0.0.1:5"},
		{name: "set over file", file: true, set: []string{"listen=127.0.0.1:4"}, want: "127.0.0.1:4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := Options{}
			if tc.file {
				o = from("gaia.yaml", text)
			}
			o.Env, o.Flags, o.Set = tc.env, tc.flags, tc.set
			cfg := mustLoad(t, o)
			if cfg.Listen != tc.want {
				t.Errorf("listen = %q, want %q", cfg.Listen, tc.want)
			}
			wantAttempts, wantReplay := DefaultMaxAttempts, DefaultReplayMax
			if tc.file {
				wantAttempts, wantReplay = 2, 2*KiB
			}
			if cfg.API.MaxAttempts != wantAttempts || cfg.API.ReplayMax != wantReplay {
				t.Errorf("api of the lower layers was lost: %d, %s", cfg.API.MaxAttempts, cfg.API.ReplayMax)
			}
			if cfg.API.DialTimeout != DefaultDialTimeout || !cfg.API.HTTP2 || !cfg.Watch {
				t.Error("defaults beside the keys given were lost")
			}
		})
	}
}

const full = `
listen: 0.0.0.0:9000
control: "[::1]:4242"
watch: false
state_file: state.bin
allowed_hosts: [proxy.internal, "10.0.0.1:8080"]
log: {level: debug, format: json}
routes:
  openai: {url: "https://api.openai.com/v1"}
  search:
    path_prefix: /search/
    strip_prefix: true
    headers: {x-route: 5}
    upstreams:
      a.example.com: {url: "https://a.example.com", weight: 3}
      b: {url: "https://b.example.com", weight: 0, headers: {authorization: "Bearer ${env:B_KEY}"}}
policies:
  quota:
    use: ./quota.wasm
    order: -10
    on_failure: closed
    isolation: pool
    match: [{subsystem: api, host: ["*.example.com", x.org]}, {tenant: gold}]
    budget: 5ms
    instances: 2
    fuel: 100000
    memory_pages: 32
    grants: {state: true, shared_limiters: true, env: [REGION], headers: [x-tier], log_rate: 3}
    params: {rpm: 500, "api.example.com": {burst: 1.5, list: [1, two, "${file:k}"]}, off: null, on: true}
    enabled: false
  hints: # from the command line
limits:
  api: {global: {rate: 100.5}, per_key: {rate: 10, burst: 20, max_wait: 2s, per: 1m}, per_upstream: {concurrency: 50}, max_wait: 0, queue_max: 0}
api: {max_response_body: 10MB, breaker: {enabled: false}}
gateway: {drain_timeout: 1500}
`

func TestEveryKey(t *testing.T) {
	o := from("etc/gaia.yaml", full, "etc/k", "from-file\n")
	o.Env = []string{"B_KEY=b-secret", "XDG_RUNTIME_DIR=/run/user/7"}
	cfg := mustLoad(t, o)

	want := Default()
	want.Listen, want.Control, want.Watch, want.StateFile = "0.0.0.0:9000", "[::1]:4242", false, "etc/state.bin"
	want.Socket, want.TokenFile = "/run/user/7/gaia.sock", "/run/user/7/gaia.sock.token"
	want.AllowedHosts = []string{"proxy.internal", "10.0.0.1:8080"}
	want.Log = Log{Level: "debug", Format: "json"}
	want.Routes = map[string]Route{
		"openai": {URL: NewURL("https://api.openai.com/v1")},
		"search": {
			PathPrefix: "/search/", StripPrefix: new(true), Headers: map[string]Secret{"x-route": NewSecret("5")},
			Upstreams: map[string]Upstream{
				"a.example.com": {URL: NewURL("https://a.example.com"), Weight: new(3)},
				"b": {URL: NewURL("https://b.example.com"), Weight: new(0),
					Headers: map[string]Secret{"authorization": NewSecret("Bearer b-secret")}},
			},
		},
	}
	want.Policies = map[string]Policy{
		"quota": {
			Use: "etc/quota.wasm", Order: -10, OnFailure: "closed", Isolation: "pool", Budget: Duration(5 * time.Millisecond),
			Match:     []MatchRule{{Subsystem: []string{"api"}, Host: []string{"*.example.com", "x.org"}}, {Tenant: []string{"gold"}}},
			Instances: 2, Fuel: 100000, MemoryPages: 32,
			Grants: Grants{State: true, SharedLimiters: true, Env: []string{"REGION"}, Headers: []string{"x-tier"}, LogRate: 3},
			Params: map[string]any{
				"rpm": int64(500), "off": nil, "on": true,
				"api.example.com": map[string]any{"burst": 1.5, "list": []any{int64(1), "two", NewSecret("from-file")}},
			},
			Enabled: new(false),
		},
		"hints": {},
	}
	api := DefaultSubsystemLimits()
	api.Global = LimitSpec{Rate: 100.5, Per: DefaultLimitPer, Burst: 101}
	api.PerKey = LimitSpec{Rate: 10, Per: Duration(time.Minute), Burst: 20, MaxWait: new(Duration(2 * time.Second))}
	api.PerUpstream = LimitSpec{Concurrency: 50}
	api.MaxWait, api.QueueMax = 0, 0
	want.Limits = map[string]SubsystemLimits{"api": api}
	want.API.MaxResponseBody, want.API.Breaker.Enabled = 10_000_000, false
	want.Gateway.DrainTimeout = Duration(1500 * time.Millisecond)

	if !reflect.DeepEqual(cfg, want) {
		got, _ := cfg.JSON()
		expected, _ := want.JSON()
		t.Errorf("got\n%s\nwant\n%s", got, expected)
	}
}

func TestJSONFile(t *testing.T) {
	cfg := mustLoad(t, from("gaia.json", "{\n\t\"listen\": \"127.0.0.1:9\",\n\t\"limits\": {\"api\": {\"per_key\": {\"rate\": 1e1}}}\n}"))
	if cfg.Listen != "127.0.0.1:9" || cfg.Limits["api"].PerKey.Rate != 10 {
		t.Errorf("got %+v", cfg)
	}
}

func TestYAMLAliasesAndMerges(t *testing.T) {
	cfg := mustLoad(t, from("gaia.yaml", `
limits:
  api:
    per_key: &slow {rate: 5, burst: 2}
    global: {<<: *slow, rate: 7}
    per_upstream: *slow
`))
	api := cfg.Limits["api"]
	if api.Global.Rate != 7 || api.Global.Burst != 2 || api.PerUpstream.Rate != 5 || api.PerUpstream.Burst != 2 {
		t.Errorf("got %+v", api)
	}
}

func TestEnvironment(t *testing.T) {
	cfg := mustLoad(t, Options{Env: []string{
		"GAIA_ALLOWED_HOSTS=a.example, b.example,,",
		"GAIA_API__RETRY__BUDGET_RATIO=0.5",
		"GAIA_WATCH=false",
		"GAIA_API__MAX_WAIT=1500",
		"GAIA_ROUTES__OPENAI__URL=https://api.openai.com",
		"GAIA_ROUTES__OPENAI__HEADERS__AUTHORIZATION=Bearer ${env:KEY}",
		"GAIA_POLICIES__QUOTA__PARAMS__RPM=500",
		"GAIA_POLICIES__QUOTA__GRANTS__ENV=A,B",
		"GAIA_POLICIES__QUOTA__MATCH__SUBSYSTEM=api,files",
		"GAIA_SOCKET=", "GAIA_CONTROL=127.0.0.1:0",
		"GAIA_TOKEN=abc", "GAIA_COLOR=never", "GAIA_KEY_PASSWORD=x", "OTHER=x", "KEY=k1",
	}})
	q := cfg.Policies["quota"]
	for _, c := range []struct{ got, want any }{
		{cfg.AllowedHosts, []string{"a.example", "b.example"}},
		{cfg.API.Retry.BudgetRatio, 0.5},
		{cfg.Watch, false},
		{cfg.API.MaxWait, Duration(1500 * time.Millisecond)},
		{cfg.Routes["openai"].URL.Reveal(), "https://api.openai.com"},
		{cfg.Routes["openai"].Headers["authorization"].Reveal(), "Bearer k1"},
		{q.Params["rpm"], int64(500)},
		{q.Grants.Env, []string{"A", "B"}},
		{q.Match, []MatchRule{{Subsystem: []string{"api", "files"}}}},
		{cfg.Socket, ""},
		{cfg.TokenFile, ""},
		{cfg.Control, "127.0.0.1:0"},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("got %#v, want %#v", c.got, c.want)
		}
	}
}

func TestFlagsAndSet(t *testing.T) {
	o := from("gaia.yaml", `
policies:
  q: {params: {"api.example.com": 5, "b.example": 6}}
routes:
  a: {upstreams: {"x.example.com": {url: "https://x.example.com"}}}
`)
	o.Flags = map[string]any{
		"routes.openai.url": "https://api.openai.com", "watch": false, "allowed_hosts": []string{"h1", "h2"},
		"gateway.drain_timeout": 2 * time.Second, "api.max_attempts": 3,
	}
	o.Set = []string{
		`policies.q.params."api.example.com"=7`, `policies.q.params.list=[1, two]`, `policies.q.params.expr=a: b=c`,
		`policies.q.params.text="5"`, `routes.a.upstreams."x.example.com".weight=2`, `token_file=@x`, `limits.api.global={rate: 3}`,
	}
	cfg := mustLoad(t, o)
	params := map[string]any{
		"api.example.com": int64(7), "b.example": int64(6), "list": []any{int64(1), "two"}, "expr": "a: b=c", "text": "5",
	}
	for _, c := range []struct{ got, want any }{
		{cfg.Policies["q"].Params, params},
		{*cfg.Routes["a"].Upstreams["x.example.com"].Weight, 2},
		{cfg.Routes["openai"].URL.Reveal(), "https://api.openai.com"},
		{cfg.Watch, false},
		{cfg.AllowedHosts, []string{"h1", "h2"}},
		{cfg.Gateway.DrainTimeout, Duration(2 * time.Second)},
		{cfg.API.MaxAttempts, 3},
		{cfg.TokenFile, "@x"},
		{cfg.Limits["api"].Global.Rate, 3.0},
		{cfg.Limits["api"].MaxWait, DefaultOperationWait},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("got %#v, want %#v", c.got, c.want)
		}
	}
}

func TestSourcesAreLeftAlone(t *testing.T) {
	flags := map[string]any{"policies.q.params": map[string]any{"k": "${env:K}", "l": []any{"${env:K}"}}}
	o := Options{Env: []string{"K=v"}, Flags: flags}
	mustLoad(t, o)
	want := map[string]any{"policies.q.params": map[string]any{"k": "${env:K}", "l": []any{"${env:K}"}}}
	if !reflect.DeepEqual(flags, want) {
		t.Errorf("the flags were changed: %v", flags)
	}
}

func TestOverriddenReferencesAreNotResolved(t *testing.T) {
	o := from("gaia.yaml", `routes: {a: {url: "${env:UNSET}"}}`)
	o.Set = []string{"routes.a.url=https://a.example"}
	if got := mustLoad(t, o).Routes["a"].URL.Reveal(); got != "https://a.example" {
		t.Errorf("url = %q", got)
	}
}

func TestDefaultSocket(t *testing.T) {
	env := func(v string) func(string) string { return func(string) string { return v } }
	for _, tc := range []struct{ runtime, want string }{
		{"/run/user/5", "/run/user/5/gaia.sock"}, {"", "/tmp/gaia-7.sock"}, {"relative", "/tmp/gaia-7.sock"},
	} {
		if got := DefaultSocket(env(tc.runtime), "/tmp", 7); got != tc.want {
			t.Errorf("DefaultSocket(%q) = %q, want %q", tc.runtime, got, tc.want)
		}
	}
}

func TestDefaultIsValid(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
}

func TestReadsRealFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "gaia.yaml")
	if err := os.WriteFile(path, []byte("socket: run/gaia.sock\npolicies: {p: {use: p.js}, s: {use: std/per-host}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := mustLoad(t, Options{File: path, Set: []string{"state_file=s.bin"}})
	if cfg.Socket != filepath.Join(dir, "run/gaia.sock") || cfg.StateFile != "s.bin" ||
		cfg.Policies["p"].Use != filepath.Join(dir, "p.js") || cfg.Policies["s"].Use != "std/per-host" {
		t.Errorf("paths: %q %q %q %q", cfg.Socket, cfg.StateFile, cfg.Policies["p"].Use, cfg.Policies["s"].Use)
	}
	if err := os.WriteFile(path, make([]byte, maxFileSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(Options{File: path}); err == nil || !strings.Contains(err.Error(), "larger than 1MiB") {
		t.Errorf("a large file: %v", err)
	}
	if _, err := Load(Options{File: dir}); err == nil || !strings.Contains(err.Error(), "it is a folder") {
		t.Errorf("a folder: %v", err)
	}
}

func TestEffectiveRoutes(t *testing.T) {
	cfg := mustLoad(t, from("gaia.yaml", `
routes:
  plain: {url: "https://p.example", headers: {x: "1"}}
  kept: {url: "https://k.example", strip_prefix: false}
  hosted: {url: "https://h.example", host: API.Example.com}
  prefix: {path_prefix: /a/, url: "https://a.example"}
  longer: {path_prefix: /a/longer/, strip_prefix: true, upstreams: {z: {url: "https://z.example"}, b: {url: "http://b.example", weight: 0}}}
`))
	var got []string
	for _, r := range cfg.EffectiveRoutes() {
		ups := ""
		for _, u := range r.Upstreams {
			ups += fmt.Sprintf(" %s=%s*%d", u.Name, u.URL, u.Weight)
		}
		got = append(got, fmt.Sprintf("%s %s%s strip=%v%s", r.Name, r.Host, r.PathPrefix, r.StripPrefix, ups))
	}
	want := []string{
		"hosted api.example.com/ strip=false hosted=https://h.example*1",
		"longer /a/longer/ strip=true b=http://b.example*0 z=https://z.example*1",
		"plain /plain/ strip=true plain=https://p.example*1",
		"kept /kept/ strip=false kept=https://k.example*1",
		"prefix /a/ strip=false prefix=https://a.example*1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestDiff(t *testing.T) {
	base := from("gaia.yaml", full, "k", "x")
	base.Env = []string{"B_KEY=1"}
	for _, tc := range []struct {
		set           []string
		env           string
		live, restart []string
	}{
		{},
		{set: []string{"listen=127.0.0.1:1", "gateway.idle_timeout=1s"}, restart: []string{"gateway.idle_timeout", "listen"}},
		{set: []string{"routes.new.url=https://n.example"}, live: []string{"routes.new"}},
		{set: []string{"routes.search.upstreams.b.weight=1", "api.retry.base=1s", "api.http2=false"},
			live: []string{"api.retry.base", "routes.search.upstreams.b.weight"}, restart: []string{"api.http2"}},
		{env: "B_KEY=2", live: []string{"routes.search.upstreams.b.headers.authorization"}},
		{set: []string{"policies.quota.params.rpm=1", "limits.api.per_key.burst=7", "log.level=warn"},
			live: []string{"limits.api.per_key.burst", "log.level", "policies.quota.params"}},
		{set: []string{"limits.api.max_keys=7"}, restart: []string{"limits.api.max_keys"}},
	} {
		changed := base
		changed.Set = tc.set
		if tc.env != "" {
			changed.Env = []string{tc.env}
		}
		got := Diff(mustLoad(t, base), mustLoad(t, changed))
		if !slices.Equal(got.Live, tc.live) || !slices.Equal(got.Restart, tc.restart) {
			t.Errorf("%v: %+v", tc.set, got)
		}
		if got.Empty() != (len(tc.live)+len(tc.restart) == 0) || got.Has("routes") != slices.ContainsFunc(tc.live, func(k string) bool { return strings.HasPrefix(k, "routes.") }) {
			t.Errorf("%v: Empty, Has: %v, %v", tc.set, got.Empty(), got.Has("routes"))
		}
	}
}

// Every key is snake_case, every field has one, and every type is known to the checker.
func TestKeys(t *testing.T) {
	var walk func(typ reflect.Type, path string)
	walk = func(typ reflect.Type, path string) {
		switch {
		case typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Map || typ.Kind() == reflect.Slice:
			walk(typ.Elem(), path)
		case typ.Kind() == reflect.Struct && typ != reflect.TypeFor[Secret]() && typ != reflect.TypeFor[URL]():
			for i := range typ.NumField() {
				f := typ.Field(i)
				key := f.Tag.Get("koanf")
				if key == "" || key != snakeCase(key) {
					t.Errorf("%s.%s: key %q is not snake_case", path, f.Name, key)
				}
				walk(f.Type, path+"."+key)
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
}

func TestFaultsAreFaults(t *testing.T) {
	_, err := Load(from("gaia.yaml", "listen: 5\nx: 1\n"))
	var faults Faults
	if !errors.As(err, &faults) || len(faults) != 2 {
		t.Fatalf("got %v", err)
	}
	f := faults[0]
	if f.File != "gaia.yaml" || f.Line != 1 || f.Col != 9 || f.Key != "listen" || f.Source != "listen: 5" {
		t.Errorf("got %+v", f)
	}
	if got := f.Error(); got != "gaia.yaml:1:9  listen: want text, got 5 (put it in quotes)" {
		t.Errorf("got %q", got)
	}
	if f.Place() != "gaia.yaml:1:9" {
		t.Errorf("place %q", f.Place())
	}
}
