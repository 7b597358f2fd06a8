package config

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

const someDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func aLock() *Lock {
	l := NewLock()
	l.Policies["./p.js"] = Locked{Digest: someDigest, Engine: "js"}
	l.Policies["https://example.com/q.wasm?a=1&b=<2>"] = Locked{Digest: someDigest, Engine: "wasm", Name: "quota", Version: "1.2.0", Signer: "0123456789ABCDEF"}
	return l
}

func lockFrom(text string) (*Lock, error) {
	return ReadLock("gaia.lock", func(string) ([]byte, error) { return []byte(text), nil })
}

func TestLockIsReadAsItWasWritten(t *testing.T) {
	text := string(aLock().Text())
	l, err := lockFrom(text)
	if err != nil {
		t.Fatal(err)
	}
	if again := string(l.Text()); again != text || !strings.Contains(text, `b=<2>`) {
		t.Errorf("%s\nthen\n%s", text, again)
	}
	if lines := l.Differences(aLock()); lines != nil {
		t.Error(lines)
	}
	if l, err := lockFrom(string(NewLock().Text())); err != nil || len(l.Policies) != 0 {
		t.Errorf("an empty lock: %v", err)
	}
}

func TestDamagedLockIsRefusedWithThePlace(t *testing.T) {
	good := string(aLock().Text())
	for _, tt := range []struct{ old, with, want string }{
		{"gaia.lock/v1", "gaia.lock/v2", `gaia.lock:2:13  schema: want "gaia.lock/v1"`},
		{`"schema": "gaia.lock/v1",`, "", `schema: want "gaia.lock/v1"`},
		{someDigest, someDigest[:60], `gaia.lock:5:17  policies."./p.js".digest: want sha256:`},
		{someDigest, strings.ToUpper(someDigest), "gaia.lock:5:17"},
		{`"engine": "js"`, `"engine": "lua"`, `gaia.lock:6:17  policies."./p.js".engine: want js or wasm`},
		{`"engine": "js"`, `"engine": "js", "engine": "js"`, "gaia.lock:6:23  duplicate key"},
		{`"engine": "js"`, `"engine": "js", "at": "today"`, "unknown key"},
		{`"engine": "js"`, `"engine": 5`, "want text, got 5"},
		{`,
      "engine": "js"`, "", `gaia.lock:4:5  policies."./p.js".engine: want js or wasm`},
		{"0123456789ABCDEF", "0123456789abcdef", "signer: want the 16 digits of a key"},
		{"1.2.0", strings.Repeat("1", 300), "version: want a short text"},
		{"quota", `a\u0000b`, "name: want a short text"},
		{`"./p.js": {`, `"./p\u001b.js": {`, "not a name"},
		{good, "", "want an object with schema and policies"},
		{good, "[]", "gaia.lock:1:1  want an object"},
		{good, `{"schema": "gaia.lock/v1"}`, "policies: is missing"},
		{good, good + good, "gaia.lock:17:"},
		{good, "\xff", "not UTF-8 text"},
		{good, strings.Repeat("[", 1000), "gaia.lock:1:"},
		{good, strings.Repeat(" ", maxFileSize+1), "larger than 1MiB"},
	} {
		l, err := lockFrom(strings.Replace(good, tt.old, tt.with, 1))
		var faults Faults
		if l != nil || !errors.As(err, &faults) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.40q for %.40q: %v, want %s", tt.with, tt.old, err, tt.want)
		}
	}
	if _, err := ReadLock(filepath.Join(t.TempDir(), LockName), nil); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
}

func TestDifferencesAreALineEach(t *testing.T) {
	locked, now := aLock(), aLock()
	other := strings.Replace(someDigest, "0", "f", 1)
	locked.Policies["./p.js"] = Locked{Digest: other, Engine: "js"}
	locked.Policies["std/gone"] = Locked{Digest: someDigest, Engine: "js"}
	now.Policies["https://example.com/q.wasm?a=1&b=<2>"] = Locked{Digest: someDigest, Engine: "wasm", Name: "quota", Version: "1.2.0"}
	now.Policies["b\nc"] = Locked{}
	now.Policies["d"] = Locked{Digest: someDigest, Engine: "wasm", Version: "2"}
	locked.Policies["d"] = Locked{Digest: someDigest, Engine: "js", Version: "1"}
	got := strings.Join(locked.Differences(now), "\n")
	want := "./p.js: has changed: it is " + someDigest + ", locked is " + other + `
"b\nc": is not locked
d: is wasm 2, locked is js 1
https://example.com/q.wasm?a=1&b=<2>: is signed by nobody, locked is 0123456789ABCDEF
std/gone: is locked, but no policy of the configuration`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestLockAddressesArePathsFromItsFolder(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "conf", LockName)
	for use, want := range map[string]string{
		filepath.Join(dir, "conf", "p.js"): "./p.js", filepath.Join(dir, "p.wasm"): "../p.wasm", filepath.Join(dir, "conf", "..x.js"): "./..x.js",
		"std/per-host": "std/per-host", "https://h/p.js#sha256:1": "https://h/p.js#sha256:1",
	} {
		if got := LockAddress(file, use); got != want {
			t.Errorf("%s: %s, want %s", use, got, want)
		}
	}
	t.Chdir(dir)
	if got := LockAddress(LockFile(""), "sub/p.js"); got != "./sub/p.js" {
		t.Error(got)
	}
	if got := LockFile("conf/gaia.yaml"); got != filepath.Join("conf", LockName) {
		t.Error(got)
	}
}

// A lock is read or refused, and what is read is written as it was.
func FuzzLock(f *testing.F) {
	f.Add(aLock().Text())
	f.Add([]byte(`{"schema":"gaia.lock/v1","policies":{"a":{"digest":"` + someDigest + `","engine":"js"}}}`))
	f.Add([]byte("{\"a\":[{}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := lockFrom(string(text))
		if (l == nil) != (err != nil) {
			t.Fatalf("%v, %v", l, err)
		}
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an error without a text")
			}
			return
		}
		again, err := lockFrom(string(l.Text()))
		if err != nil || len(l.Differences(again)) > 0 {
			t.Fatalf("%s\n%v", l.Text(), err)
		}
	})
}
