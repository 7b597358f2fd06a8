package wasm

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/wasm/abi"
)

const fullManifest = `{"name": "quota", "version": "1.2.0", "description": "d", "language": "rust", "reasons": ["too many"],
 "options": {"match": {"subsystem": "api"}}, "licence": "Apache-2.0", "source": "https://example.com/quota",
 "params": {"type": "object", "properties": {"rpm": {"type": "integer", "minimum": 1}}, "required": ["rpm"], "additionalProperties": false},
 "capabilities": {"shared_state": true, "env": ["REGION"]}}`

func TestWithManifest(t *testing.T) {
	hooks := policy.HooksOf(policy.HookRequest)
	code := module{custom: map[string]string{"gaia.manifest": `{"name": "old"}`, "name": ""}}.bytes()
	for range 2 { // a second time it replaces what the first put in
		var err error
		if code, err = WithManifest(code, []byte(fullManifest), hooks); err != nil {
			t.Fatal(err)
		}
	}
	info, err := Inspect(code)
	if err != nil || info.Problem != nil {
		t.Fatal(err, info.Problem)
	}
	m := info.Manifest
	if m.Name != "quota" || m.ABI != abi.Module || strings.Join(m.Hooks, " ") != "onRequest" || m.Licence != "Apache-2.0" || !m.Capabilities.SharedState ||
		m.Capabilities.Env[0] != "REGION" || m.Reasons[0] != "too many" || !json.Valid(m.Params) {
		t.Errorf("%+v", m)
	}
	for _, tt := range []struct{ params, contains string }{
		{`{"rpm": 5}`, ""},
		{`{}`, "params: lacks rpm"},
		{`{"rpm": "five"}`, "params.rpm: got string, want integer"},
		{`{"rpm": 0}`, "params.rpm"},
		{`{"rpm": 5, "rmp": 5}`, "rmp"},
	} {
		var params map[string]any
		if err := json.Unmarshal([]byte(tt.params), &params); err != nil {
			t.Fatal(err)
		}
		scope := natives.NewHost(natives.HostConfig{}).Begin(second).Scope(natives.ScopeConfig{Policy: "quota", Params: params})
		p, err := newEngine(t).Open(bg, Source{Code: code}, Config{Scope: scope, Instances: 1})
		if tt.contains == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.params, err)
			} else if err := p.Close(); err != nil {
				t.Error(err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.contains) {
			t.Errorf("%s: %v, want %q", tt.params, err, tt.contains)
		}
	}
}

func TestManifestsThatAreRefused(t *testing.T) {
	for _, tt := range []struct{ text, contains string }{
		{`[]`, "the manifest: want an object, not array"},
		{`{"name": 5}`, "name: want a text, not number"},
		{`{"name": "../x"}`, "want letters"},
		{`{"titel": "x"}`, `there is no key "titel"`},
		{`{"version": []}`, "version: want a text"},
		{`{"hooks": ["onRequst"]}`, "no hook"},
		{`{"hooks": "onRequest"}`, "hooks: want a list of texts, not string"},
		{`{"abi": "gaia_v9"}`, "speaks gaia_v1"},
		{`{"options": []}`, "options"},
		{`{"options": {"budjet": "5ms"}}`, "budjet"},
		{`{"capabilities": {"shared_state": "yes"}}`, "capabilities.shared_state: want true or false"},
		{`{"capabilities": {"root": true}}`, `"root"`},
		{`{"params": "x"}`, "want a JSON schema"},
		{`{"params": {"type": "itneger"}}`, "no JSON schema"},
		{`{"params": {"$ref": "file:///etc/passwd"}}`, "without $ref"},
		{`{"params": {"allOf": [{"$ref": "#/x"}]}}`, "without $ref"},
		{`{"params": {"$schema": "https://example.com/mine"}}`, "refers to itself only"},
		{`{"description": "` + strings.Repeat("x", maxFact+1) + `"}`, "description"},
		{`{} {}`, "more than one"},
		{`{"name": `, "read the JSON"},
	} {
		if _, err := ParseManifest([]byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.contains) {
			t.Errorf("%s: %v, want %q", tt.text, err, tt.contains)
		}
		if _, err := WithManifest(module{}.bytes(), []byte(tt.text), 1); err == nil {
			t.Errorf("%s: embedded", tt.text)
		}
	}
	if _, err := WithManifest([]byte("no module"), []byte("{}"), 1); err == nil {
		t.Error("no module, and no error")
	}
}

// What is read from modules never panics, and what is taken can be embedded and is read back the same.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(fullManifest))
	f.Add([]byte(`{"params": {"type": "object", "properties": {"a": {"pattern": "^(a+)+$"}}}}`))
	f.Add([]byte(`{"options": {"match": {"host": "a"}}, "reasons": [""]}`))
	plain := module{}.bytes()
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseManifest(data)
		if err != nil {
			return
		}
		code, err := WithManifest(plain, data, 1)
		if err != nil {
			return // it does not fit with what is filled in
		}
		info, err := Inspect(code)
		if err != nil || info.Manifest.Name != m.Name || info.Manifest.Version != m.Version {
			t.Errorf("%v: %+v, want %+v", err, info.Manifest, m)
		}
		_ = m.params.check([]byte(`{"a": "aaaaaaaaaaaaaaaaaaaaaaaa!", "b": [1, 2]}`))
	})
}

// The specification names the bounds that this host sets.
func TestLimitsAreThoseOfTheSpecification(t *testing.T) {
	want := map[string]int64{
		"fuel": DefaultFuel, "fuel_max": MaxFuel, "memory_pages": DefaultMemoryPages, "call_depth": maxDepth, "host_calls": maxHostCalls,
		"host_calls_loading": maxLoadHostCalls, "log_bytes": maxLogBytes, "module_bytes": maxModule, "manifest_bytes": maxManifest, "reasons": maxReasons,
		"reason_bytes": policy.MaxReason, "upstreams": maxUpstreams, "key_bytes": maxKey, "upstream_bytes": maxUpstream, "headers": policy.MaxHeaders,
		"header_bytes": policy.MaxHeaderText, "name_bytes": maxName, "list_entries": maxList, "limiter_params_bytes": maxParams, "delay_hours": int64(policy.MaxDelay.Hours()),
	}
	for _, l := range abi.Limits() {
		if want[l.Name] != l.Value {
			t.Errorf("%s is %d in the specification and %d here", l.Name, l.Value, want[l.Name])
		}
		delete(want, l.Name)
	}
	for name := range want {
		t.Errorf("the specification lacks %s", name)
	}
}
