package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// LockName is the name of the lock file, beside the configuration or in the working folder.
const LockName = "gaia.lock"

// SchemaLock is the schema of the lock files that this package reads and writes.
const SchemaLock = "gaia.lock/v1"

// maxLockText bounds a name or version in a lock file, in bytes.
const maxLockText = 256

// Lock says which bytes stand for each policy. It is a function of the policies and of
// nothing else: no time, no machine, no order.
type Lock struct {
	Schema string `json:"schema" koanf:"schema"`
	// Policies are by address: a path from the folder of the lock file, which begins with "./"
	// or "../", std/NAME, or a URL as it is in the configuration.
	Policies map[string]Locked `json:"policies" koanf:"policies"`
}

// Locked is one policy of a Lock. Two that are equal are the same policy.
type Locked struct {
	// Digest is "sha256:" and the digits: of the file, or of all files that a local script imports.
	Digest string `json:"digest" koanf:"digest"`
	Engine string `json:"engine" koanf:"engine"`
	// Name and Version are what the manifest says, "" where it says nothing.
	Name    string `json:"name,omitempty" koanf:"name"`
	Version string `json:"version,omitempty" koanf:"version"`
	// Signer is the identifier of the key that signed it, "" where no signature is asked for.
	Signer string `json:"signer,omitempty" koanf:"signer"`
}

// NewLock returns a lock without policies.
func NewLock() *Lock { return &Lock{Schema: SchemaLock, Policies: map[string]Locked{}} }

// LockFile returns where the lock of a configuration file is; "" is the working folder.
func LockFile(configFile string) string { return filepath.Join(filepath.Dir(configFile), LockName) }

// LockAddress returns what a lock file calls the policy that the configuration calls use.
func LockAddress(lockFile, use string) string {
	if !isPath(use) {
		return use
	}
	dir, err := filepath.Abs(filepath.Dir(lockFile))
	if err != nil {
		return use
	}
	abs, err := filepath.Abs(use)
	if err != nil {
		return use
	}
	rel, err := filepath.Rel(dir, abs)
	if err != nil {
		return use
	}
	if rel = filepath.ToSlash(rel); !strings.HasPrefix(rel, "../") {
		rel = "./" + rel
	}
	return rel
}

// Text is the lock file.
func (l *Lock) Text() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(l) // strings and maps of strings cannot fail
	return b.Bytes()
}

// ReadLock reads a lock file; readFile nil reads the file system. The error is a Faults with
// everything that is wrong.
func ReadLock(file string, readFile func(path string) ([]byte, error)) (*Lock, error) {
	if readFile == nil {
		readFile = readBounded
	}
	data, err := readFile(file)
	switch {
	case err != nil:
		return nil, Faults{{File: file, Message: fmt.Sprintf("cannot be read: %s; `gaia policy lock` writes it", reason(err))}}
	case len(data) > maxFileSize:
		return nil, Faults{{File: file, Message: fmt.Sprintf("larger than %s", ByteSize(maxFileSize))}}
	}
	return parseLock(file, data)
}

func parseLock(file string, data []byte) (*Lock, error) {
	c := checker{layer: &layer{label: file, lines: strings.Split(string(data), "\n")}, origins: map[string]origin{}, hidden: map[int]bool{}}
	root, syntax := parseJSON(data)
	for _, f := range syntax {
		c.fail(nil, f.at, "%s", f.message)
	}
	if len(syntax) == 0 && (root == nil || root.kind != mappingKind) {
		c.fail(nil, position{1, 1}, "want an object with schema and policies")
	}
	var l Lock
	if len(c.faults) == 0 {
		values, _ := c.value(reflect.TypeFor[Lock](), root, nil)
		l.fill(values)
		c.lock(&l, root)
	}
	for i := range c.faults {
		c.faults[i].Source = c.layer.line(c.faults[i].Line)
	}
	if err := c.faults.finish(); err != nil {
		return nil, err
	}
	return &l, nil
}

// fill takes over what the checker found to have the right types.
func (l *Lock) fill(values any) {
	top, _ := values.(map[string]any)
	l.Schema, _ = top["schema"].(string)
	policies, _ := top["policies"].(map[string]any)
	l.Policies = make(map[string]Locked, len(policies))
	for address, fields := range policies {
		m, _ := fields.(map[string]any)
		var p Locked
		for key, to := range map[string]*string{"digest": &p.Digest, "engine": &p.Engine, "name": &p.Name, "version": &p.Version, "signer": &p.Signer} {
			*to, _ = m[key].(string)
		}
		l.Policies[address] = p
	}
}

var (
	lockDigest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	lockSigner = regexp.MustCompile(`^([0-9A-F]{16})?$`)
)

// lock checks the values of a lock. A fault is told once, where its value stands.
func (c *checker) lock(l *Lock, root *node) {
	at := func(path ...string) position {
		if o, ok := c.origins[strings.Join(path, separator)]; ok {
			return o.at
		}
		return root.at
	}
	if len(c.faults) > 0 {
		return
	}
	if l.Schema != SchemaLock {
		c.fail([]string{"schema"}, at("schema"), "want %q; `gaia policy lock` writes it anew", SchemaLock)
		return
	}
	if _, ok := c.origins["policies"]; !ok {
		c.fail([]string{"policies"}, root.at, "is missing")
	}
	for _, address := range sortedKeys(l.Policies) {
		p := l.Policies[address]
		for _, f := range [...]struct {
			key, want string
			ok        bool
		}{
			{"digest", "sha256: and 64 hexadecimal digits in small letters", lockDigest.MatchString(p.Digest)},
			{"engine", "js or wasm", p.Engine == "js" || p.Engine == "wasm"},
			{"name", "a short text", lockText(p.Name)},
			{"version", "a short text", lockText(p.Version)},
			{"signer", "the 16 digits of a key", lockSigner.MatchString(p.Signer)},
		} {
			if f.ok {
				continue
			}
			path := []string{"policies", address, f.key}
			where := at(path...)
			if where == root.at {
				where = at("policies", address)
			}
			c.fail(path, where, "want %s", f.want)
		}
	}
}

func lockText(s string) bool {
	return len(s) <= maxLockText && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// Differences says, one line for each, in what the policies of now are not those of the lock; nil
// where they are the same.
func (l *Lock) Differences(now *Lock) []string {
	var lines []string
	say := func(address, format string, args ...any) {
		lines = append(lines, shownAddress(address)+": "+fmt.Sprintf(format, args...))
	}
	for _, address := range sortedKeys(now.Policies) {
		p := now.Policies[address]
		locked, ok := l.Policies[address]
		switch {
		case !ok:
			say(address, "is not locked")
		case p.Signer != locked.Signer:
			say(address, "is signed by %s, locked is %s", orNobody(p.Signer), orNobody(locked.Signer))
		case p.Digest != locked.Digest:
			say(address, "has changed: it is %s, locked is %s", p.Digest, locked.Digest)
		case p != locked:
			say(address, "is %s, locked is %s", p.described(), locked.described())
		}
	}
	for _, address := range sortedKeys(l.Policies) {
		if _, ok := now.Policies[address]; !ok {
			say(address, "is locked, but no policy of the configuration")
		}
	}
	return lines
}

func (p Locked) described() string {
	return strings.Join(strings.Fields(fmt.Sprintf("%s %s %s", p.Engine, p.Name, p.Version)), " ")
}

func orNobody(signer string) string {
	if signer == "" {
		return "nobody"
	}
	return signer
}

// shownAddress is an address on one line.
func shownAddress(address string) string {
	if strings.ContainsFunc(address, unicode.IsControl) {
		return quote(address)
	}
	return address
}
