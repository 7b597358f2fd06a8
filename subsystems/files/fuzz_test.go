package files

import (
	"encoding/json"
	"errors"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

func FuzzClean(f *testing.F) {
	for _, s := range []string{"", ".", "a/b", "../x", "/etc", "a/../b", "a//b/", ".gaia", "./.gaia/x", "a\x00", "..."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		clean, err := Clean(name)
		if err != nil {
			if !errors.Is(err, ErrPath) {
				t.Fatal(err)
			}
			return
		}
		again, err := Clean(clean)
		if err != nil || again != clean || !filepath.IsLocal(clean) || path.IsAbs(clean) || strings.Contains("/"+clean+"/", "/../") || isStage(clean) {
			t.Fatalf("%q became %q, then %q, %v", name, clean, again, err)
		}
	})
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,"\"[",{}]}`, `[[[[`, `"`, `{"a":1}{`, "\xff", `"\u12"`} {
		f.Add([]byte(s))
	}
	m, err := New(DefaultConfig())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v any
		err := m.parseJSON(data, &v)
		if err == nil != json.Valid(data) && !strings.Contains(err.Error(), "within each other") {
			t.Fatalf("%q: %v, valid: %v", data, err, json.Valid(data))
		}
		if err != nil && !errors.Is(err, ErrSyntax) {
			t.Fatal(err)
		}
	})
}

func FuzzXML(f *testing.F) {
	for _, s := range []string{"<a/>", "<a x='1'>t<b/></a>", "<a><a><a>", "<!DOCTYPE a><a/>", "<a>&lt;</a>", "<?xml version='1.0' encoding='latin1'?><a/>"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := parseXML(data, 20)
		if err == nil && (n == nil || n.Name == "") || err != nil && !errors.Is(err, ErrSyntax) {
			t.Fatalf("%q: %v, %v", data, n, err)
		}
		if n != nil && depthOf(n) > 20 {
			t.Fatalf("%q is %d deep", data, depthOf(n))
		}
	})
}

func depthOf(n *Node) int {
	deep := 0
	for _, c := range n.Children {
		deep = max(deep, depthOf(c))
	}
	return deep + 1
}

func FuzzGlob(f *testing.F) {
	m, dir := newManager(f, nil)
	mustWrite(f, filepath.Join(dir, "a/b.txt"), "x")
	for _, s := range []string{"*", "**", "a/*.txt", "{a,b}/**", "[", "\\", "../*", "a/../../*", "{,}", "[^a]*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		entries, _, err := m.Glob(t.Context(), data(""), pattern, Options{})
		for _, e := range entries {
			if e.Path != "a" && e.Path != "a/b.txt" {
				t.Fatalf("%q gives %q", pattern, e.Path)
			}
		}
		_ = err // any error will do; no panic, and nothing from outside
	})
}
