package config

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxSecretFile bounds what ${file:PATH} reads.
const maxSecretFile = 64 << 10

// keyFault is a fault of a value, before it is known where the value came from.
type keyFault struct {
	path                []string
	message, suggestion string
}

// resolver replaces the references to secrets.
type resolver struct {
	options Options
	origins map[string]origin
	faults  []keyFault
}

func (r *resolver) resolve(cfg *Config) {
	for _, name := range sortedKeys(cfg.Routes) {
		route := cfg.Routes[name]
		route.URL = r.url(route.URL, "routes", name, "url")
		r.headers(route.Headers, "routes", name, "headers")
		for _, up := range sortedKeys(route.Upstreams) {
			u := route.Upstreams[up]
			u.URL = r.url(u.URL, "routes", name, "upstreams", up, "url")
			r.headers(u.Headers, "routes", name, "upstreams", up, "headers")
			route.Upstreams[up] = u
		}
		cfg.Routes[name] = route
	}
	for _, name := range sortedKeys(cfg.Policies) {
		policy := cfg.Policies[name]
		for _, key := range sortedKeys(policy.Params) {
			policy.Params[key] = r.param(policy.Params[key], []string{"policies", name, "params", key})
		}
	}
}

func (r *resolver) url(u URL, path ...string) URL {
	value, shown, _, _ := r.expand(u.Reveal(), path)
	return newURL(value, shown)
}

func (r *resolver) headers(headers map[string]Secret, path ...string) {
	for _, name := range sortedKeys(headers) {
		value, _, _, ok := r.expand(headers[name].Reveal(), append(path[:len(path):len(path)], name))
		if ok {
			headers[name] = NewSecret(value)
		}
	}
}

// param resolves the texts of a value of params in place.
func (r *resolver) param(value any, path []string) any {
	path = path[:len(path):len(path)]
	switch v := value.(type) {
	case string:
		text, _, found, ok := r.expand(v, path)
		if ok && found {
			return NewSecret(text)
		}
		return text
	case []any:
		for i := range v {
			v[i] = r.param(v[i], append(path, strconv.Itoa(i)))
		}
	case map[string]any:
		for _, key := range sortedKeys(v) {
			v[key] = r.param(v[key], append(path, key))
		}
	}
	return value
}

func (r *resolver) expand(text string, path []string) (value, shown string, found, ok bool) {
	lookup := func(kind, name string) (string, error) { return r.lookup(kind, name, path) }
	value, shown, found, err := expand(text, lookup)
	if err != nil {
		r.faults = append(r.faults, keyFault{path: path, message: err.Error()})
		return "", "", true, false
	}
	return value, shown, found, true
}

func (r *resolver) lookup(kind, name string, path []string) (string, error) {
	switch {
	case kind == "env" && name != "":
		value, ok := lookupEnv(r.options.Env, name)
		if !ok {
			return "", fmt.Errorf("environment variable %s is not set", name)
		}
		return value, nil
	case kind == "file" && name != "":
		return r.secretFile(name, path)
	}
	return "", fmt.Errorf("want ${env:NAME} or ${file:PATH} (write $${ for a plain ${)")
}

// secretFile reads a secret; the line end that editors leave is taken off.
func (r *resolver) secretFile(name string, path []string) (string, error) {
	if o, ok := r.origins[strings.Join(path, separator)]; ok && o.layer.label == r.options.File {
		name = besideFile(r.options.File, name)
	}
	data, err := r.options.ReadFile(name)
	switch {
	case err != nil:
		return "", fmt.Errorf("secret file %s cannot be read: %s", name, reason(err))
	case len(data) > maxSecretFile:
		return "", fmt.Errorf("secret file %s is larger than %s", name, ByteSize(maxSecretFile))
	case !utf8.Valid(data):
		return "", fmt.Errorf("secret file %s is not UTF-8 text", name)
	}
	text := strings.TrimSuffix(string(data), "\n")
	return strings.TrimSuffix(text, "\r"), nil
}

// besideFile makes a relative path count from the folder of a file.
func besideFile(file, path string) string {
	dir := filepath.Dir(file)
	if path == "" || dir == "." || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// anchorPaths makes the relative paths written in the file count from its
// folder; those of variables and flags count from the working directory.
func (l *loader) anchorPaths(cfg *Config) {
	anchor := func(value *string, path ...string) {
		if o, ok := l.origins[strings.Join(path, separator)]; ok && l.file != nil && o.layer == l.file {
			*value = besideFile(l.options.File, *value)
		}
	}
	anchor(&cfg.Socket, "socket")
	anchor(&cfg.TokenFile, "token_file")
	anchor(&cfg.StateFile, "state_file")
	anchor(&cfg.Record.File, "record", "file")
	if isPath(cfg.Shadow) {
		anchor(&cfg.Shadow, "shadow")
	}
	anchor(&cfg.API.CAFile, "api", "ca_file")
	anchor(&cfg.Process.LogDir, "process", "log_dir")
	anchor(&cfg.Browser.Dir, "browser", "dir")
	for name, dir := range cfg.Browser.Extensions {
		anchor(&dir, "browser", "extensions", name)
		cfg.Browser.Extensions[name] = dir
	}
	for name, root := range cfg.Files.Roots {
		anchor(&root.Path, "files", "roots", name, "path")
		cfg.Files.Roots[name] = root
	}
	for name, policy := range cfg.Policies {
		if isPath(policy.Use) {
			anchor(&policy.Use, "policies", name, "use")
			cfg.Policies[name] = policy
		}
	}
}

// isPath tells a path from std/NAME and other references.
func isPath(use string) bool {
	switch filepath.Ext(use) {
	case ".js", ".mjs", ".ts", ".mts", ".wasm":
		return !strings.HasPrefix(use, "std/") && !strings.Contains(use, "://")
	}
	return strings.HasPrefix(use, "./") || strings.HasPrefix(use, "../")
}

// RevealParams returns a copy of the params of a policy with its secrets in
// plain text, to be handed to the policy and nowhere else.
func RevealParams(params map[string]any) map[string]any {
	if params == nil {
		return nil
	}
	return reveal(params).(map[string]any)
}

func reveal(value any) any {
	switch v := value.(type) {
	case Secret:
		return v.Reveal()
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = reveal(v[i])
		}
		return list
	case map[string]any:
		m := make(map[string]any, len(v))
		for key := range v {
			m[key] = reveal(v[key])
		}
		return m
	}
	return value
}
