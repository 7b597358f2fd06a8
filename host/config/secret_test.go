package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

const secretConfig = `
routes:
  a:
    url: "https://u:S3CRET@a.example/${env:K}/v1?k=S3CRET"
    headers: {authorization: "Bearer ${file:/run/k}", x-literal: S3CRET}
  b: {upstreams: {b1: {url: "https://b.example", headers: {cookie: "${env:K}"}}}}
policies:
  p: {params: {deep: {list: ["x ${env:K}", plain]}, key: "${env:K}"}}
`

func loadSecrets(t *testing.T) *Config {
	t.Helper()
	o := from("gaia.yaml", secretConfig, "/run/k", "S3CRET-file\r\n")
	o.Env = []string{"K=S3CRET-env"}
	return mustLoad(t, o)
}

func TestSecretsAreResolved(t *testing.T) {
	cfg := loadSecrets(t)
	a := cfg.Routes["a"]
	params := RevealParams(cfg.Policies["p"].Params)
	for _, c := range []struct{ got, want any }{
		{a.URL.Reveal(), "https://u:S3CRET@a.example/S3CRET-env/v1?k=S3CRET"},
		{a.URL.String(), "https://***@a.example/***/v1?***"},
		{a.Headers["authorization"].Reveal(), "Bearer S3CRET-file"},
		{a.Headers["x-literal"].Reveal(), "S3CRET"},
		{cfg.Routes["b"].Upstreams["b1"].Headers["cookie"].Reveal(), "S3CRET-env"},
		{params["key"], "S3CRET-env"},
		{params["deep"], map[string]any{"list": []any{"x S3CRET-env", "plain"}}},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("got %v, want %v", c.got, c.want)
		}
	}
	if RevealParams(nil) != nil {
		t.Error("nil params")
	}
}

// Every way of printing the configuration, and each secret found in it by
// reflection, with every verb.
func TestSecretsAreNeverPrinted(t *testing.T) {
	cfg := loadSecrets(t)
	var out bytes.Buffer
	check := func(how string) {
		t.Helper()
		text := out.String()
		if strings.Contains(text, "S3CRET") || strings.Contains(text, "533343524554") {
			t.Errorf("%s prints a secret: %s", how, text)
		}
		out.Reset()
	}
	found := 0
	var values []any
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer, reflect.Interface:
			if !v.IsNil() {
				walk(v.Elem())
			}
		case reflect.Map:
			for _, k := range v.MapKeys() {
				walk(v.MapIndex(k))
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Struct:
			if v.Type() == reflect.TypeFor[Secret]() || v.Type() == reflect.TypeFor[URL]() {
				found++
				values = append(values, v.Interface())
				return
			}
			for i := range v.NumField() {
				walk(v.Field(i))
			}
		}
	}
	walk(reflect.ValueOf(cfg))
	if found < 8 {
		t.Fatalf("found %d secrets", found)
	}
	for _, v := range append(values, cfg, *cfg, cfg.Routes, cfg.Policies, cfg.Redacted()) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%b", "%t", "%p"} {
			fmt.Fprintf(&out, verb, v)
			check(verb)
		}
		for name, marshal := range map[string]func(any) ([]byte, error){"json": json.Marshal, "yaml": yaml.Marshal} {
			b, err := marshal(v)
			if err != nil {
				t.Fatal(name, err)
			}
			out.Write(b)
			check(name)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		check("slog text")
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
		check("slog json")
	}
}

func TestRedacted(t *testing.T) {
	cfg := loadSecrets(t)
	got, err := cfg.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(got, &tree); err != nil {
		t.Fatal(err)
	}
	a := tree["routes"].(map[string]any)["a"].(map[string]any)
	want := map[string]any{
		"url": "https://***@a.example/***/v1?***", "path_prefix": "", "host": "", "balance": "", "sticky": "",
		"headers": map[string]any{"authorization": "***", "x-literal": "***"},
	}
	if !reflect.DeepEqual(a, want) {
		t.Errorf("got %v", a)
	}
	if api := tree["api"].(map[string]any); api["dial_timeout"] != "10s" || api["replay_max"] != "1MiB" {
		t.Errorf("got %v", api)
	}
}

func TestExpand(t *testing.T) {
	lookup := func(kind, name string) (string, error) {
		if kind != "env" {
			return "", fmt.Errorf("no %s", kind)
		}
		return "<" + name + ">", nil
	}
	for _, tc := range []struct {
		in, value, shown string
		found, fails     bool
	}{
		{in: "plain $ {x}", value: "plain $ {x}", shown: "plain $ {x}"},
		{in: "a${env:A}b${env:B}", value: "a<A>b<B>", shown: "a***b***", found: true},
		{in: "$${env:A}", value: "${env:A}", shown: "${env:A}"},
		{in: "$${${env:A}", value: "${<A>", shown: "${***", found: true},
		{in: "${env:A", fails: true}, {in: "${x:A}", fails: true}, {in: "${}", fails: true},
	} {
		value, shown, found, err := expand(tc.in, lookup)
		if (err != nil) != tc.fails || !tc.fails && (value != tc.value || shown != tc.shown || found != tc.found) {
			t.Errorf("expand(%q) = %q, %q, %v, %v", tc.in, value, shown, found, err)
		}
	}
}

func TestShowURL(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "https://a.example:8/p%20q": "https://a.example:8/p%20q", "https://u@h/": "https://***@h/",
		"https://h?x=1#f": "https://h?***#***", "u:p@h": "***", "http://h/%zz": "***", "a.example/x": "a.example/x",
	} {
		if got := showURL(in); got != want {
			t.Errorf("showURL(%q) = %q, want %q", in, got, want)
		}
	}
}
