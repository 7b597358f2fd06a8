package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
)

// envPrefix begins every variable that sets a key; "__" stands for the dots.
const envPrefix = "GAIA_"

// reservedEnv names the variables that belong to other verbs than run.
func reservedEnv(name string) bool {
	return name == "GAIA_TOKEN" || name == "GAIA_COLOR" || name == "GAIA_KEY_PASSWORD"
}

// envName is the variable that sets a path.
func envName(path []string) string {
	return envPrefix + strings.ToUpper(strings.Join(path, "__"))
}

// fileLayer reads and parses the file; the faults are those of its syntax.
func fileLayer(o Options) (*layer, Faults) {
	name := o.File
	broken := func(format string, args ...any) (*layer, Faults) {
		return nil, Faults{{File: name, Message: fmt.Sprintf(format, args...)}}
	}
	data, err := o.ReadFile(name)
	switch {
	case err != nil:
		return broken("cannot be read: %s", reason(err))
	case len(data) > maxFileSize:
		return broken("larger than %s", ByteSize(maxFileSize))
	}
	text := strings.TrimPrefix(string(data), "\ufeff")
	l := &layer{label: name, lines: strings.Split(text, "\n")}
	parse := parseYAML
	if strings.EqualFold(filepath.Ext(name), ".json") {
		parse = parseJSON
	}
	root, syntax := parse([]byte(text))
	if len(syntax) > 0 {
		var faults Faults
		for _, f := range syntax {
			faults = append(faults, Fault{
				File: name, Line: f.at.line, Col: f.at.col, Message: f.message, Source: harmless(l.line(f.at.line)),
			})
		}
		return nil, faults
	}
	if root == nil || root.kind == nullKind {
		return broken("the file is empty; give it at least one key, or leave it out")
	}
	l.root = root
	return l, nil
}

// line is a line of the file, counted from 1.
func (l *layer) line(number int) string {
	if number < 1 || number > len(l.lines) {
		return ""
	}
	return strings.TrimRight(l.lines[number-1], "\r ")
}

// harmless returns a line of a file that could not be parsed, unless it looks
// as if it held a secret.
func harmless(line string) string {
	lower := strings.ToLower(line)
	for _, word := range [...]string{"auth", "token", "secret", "passw", "key:", "key\"", "api-key", "api_key", "cookie", "bearer", "@", "?"} {
		if strings.Contains(lower, word) {
			return ""
		}
	}
	return line
}

// reason is an error of the file system without the path, which the reader knows.
func reason(err error) string {
	var errno syscall.Errno
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "no such file"
	case errors.As(err, &errno):
		return errno.Error()
	}
	return err.Error()
}

// envLayers turns the GAIA_ variables into layers, in the order of their names.
func envLayers(environ []string) []*layer {
	vars := map[string]string{}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, envPrefix) && !reservedEnv(name) {
			vars[name] = value
		}
	}
	var layers []*layer
	for _, name := range sortedKeys(vars) {
		path := strings.Split(strings.ToLower(strings.TrimPrefix(name, envPrefix)), "__")
		layers = append(layers, &layer{label: "env " + name, env: true, root: wrap(path, envNode(path, vars[name]))})
	}
	return layers
}

// envNode is the value of a variable: text, but in params typed as YAML is.
func envNode(path []string, value string) *node {
	if len(path) > 3 && path[0] == "policies" && path[2] == "params" {
		return yamlValue(value)
	}
	return nodeOf(value)
}

// flagLayers turns the flags into layers. Keys are dotted paths.
func flagLayers(flags map[string]any) ([]*layer, Faults) {
	var layers []*layer
	var faults Faults
	for _, key := range sortedKeys(flags) {
		path, err := splitPath(key)
		if err != nil {
			faults = append(faults, Fault{File: "--" + key, Message: err.Error()})
			continue
		}
		layers = append(layers, &layer{label: flagName(path), root: wrap(path, nodeOf(flags[key]))})
	}
	return layers, faults
}

// flagName is the flag that sets a path: --listen, --route NAME.
func flagName(path []string) string {
	if len(path) == 3 && path[0] == "routes" && path[2] == "url" {
		return "--route " + path[1]
	}
	return "--" + strings.ReplaceAll(strings.Join(path, "."), "_", "-")
}

// setLayers turns --set KEY=VALUE into layers; later ones win.
func setLayers(sets []string) ([]*layer, Faults) {
	var layers []*layer
	var faults Faults
	for _, set := range sets {
		key, value, ok := cutSet(set)
		path, err := splitPath(key)
		if !ok || err != nil {
			faults = append(faults, Fault{File: "--set", Message: fmt.Sprintf("want KEY=VALUE with a dotted key, got %s", quote(key))})
			continue
		}
		layers = append(layers, &layer{
			label: "--set " + set, secretLabel: "--set " + key + "=" + stars, root: wrap(path, yamlValue(value)),
		})
	}
	return layers, faults
}

// cutSet cuts at the first "=" that is not inside a quoted segment of the key.
func cutSet(set string) (key, value string, ok bool) {
	quoted := false
	for i, r := range set {
		switch {
		case r == '"':
			quoted = !quoted
		case r == '=' && !quoted:
			return strings.TrimSpace(set[:i]), set[i+1:], true
		}
	}
	return set, "", false
}

// splitPath splits a dotted path; a segment in double quotes may hold dots.
func splitPath(key string) ([]string, error) {
	var path []string
	var part strings.Builder
	quoted := false
	for _, r := range key {
		switch {
		case r == '"':
			quoted = !quoted
		case r == '.' && !quoted:
			path = append(path, part.String())
			part.Reset()
		default:
			part.WriteRune(r)
		}
	}
	path = append(path, part.String())
	for _, p := range path {
		if p == "" || quoted || len(path) > maxDepth {
			return nil, fmt.Errorf("%s is not a dotted key", quote(key))
		}
	}
	return path, nil
}

// yamlValue reads a value of the command line as YAML: 5, true, [a, b], {x: 1}.
// What is no YAML is text. Positions are dropped: there is no file.
func yamlValue(text string) *node {
	plain := nodeOf(text)
	if len(text) > maxFileSize {
		return plain
	}
	n, faults := parseYAML([]byte(text))
	if n == nil || len(faults) > 0 || n.kind == nullKind {
		return plain
	}
	if n.kind == mappingKind && !strings.HasPrefix(strings.TrimSpace(text), "{") {
		return plain // "a: b" on a command line is text
	}
	placeless(n)
	return n
}

func placeless(n *node) {
	n.at, n.loose = position{}, true
	for i := range n.entries {
		n.entries[i].at = position{}
		placeless(n.entries[i].value)
	}
	for _, item := range n.items {
		placeless(item)
	}
}
