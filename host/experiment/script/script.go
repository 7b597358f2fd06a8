// Package script reads experiments that are written in JavaScript or TypeScript, or as
// a Spec in JSON, and opens the hooks that stand in them. It runs nothing.
package script

import (
	"bytes"
	"context"
	_ "embed" // the module "gaia/experiment"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"github.com/gaia-host/gaia/extensions/js"
	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/experiment"
	"github.com/gaia-host/gaia/scripts"
)

// StdPrefix starts the reference of an experiment that comes along.
const StdPrefix = "std/"

// Module is the name of the module that experiments import from.
const Module = "gaia/experiment"

//go:embed module.js
var module string

// hookBudget is that of inline hooks: see experiment.
const hookBudget = experiment.HookBudget

// Script is an experiment that was read. It opens inline hooks: an experiment.Inline.
type Script struct {
	Spec *experiment.Spec
	Text string // of the script itself
	src  js.Source
}

// Std lists the experiments that come along as std/NAME, sorted.
func Std() []string {
	paths, err := fs.Glob(scripts.FS, "experiments/*.js")
	if err != nil {
		return nil
	}
	names := make([]string, 0, len(paths))
	for _, p := range paths {
		names = append(names, StdPrefix+strings.TrimSuffix(path.Base(p), ".js"))
	}
	sort.Strings(names)
	return names
}

// Load reads an experiment: a .js or .ts file, a .json file with a Spec, or std/NAME.
// Errors about the script are *policy.LoadError.
func Load(ctx context.Context, use string) (*Script, error) {
	s := &Script{}
	name, std := strings.CutPrefix(use, StdPrefix)
	switch {
	case std:
		code, err := scripts.FS.ReadFile("experiments/" + name + ".js")
		if err != nil || strings.Contains(name, "/") {
			return nil, &policy.LoadError{File: use, Message: "there is no such experiment", Err: fs.ErrNotExist,
				Hint: "experiments that come along: " + strings.Join(Std(), ", ")}
		}
		s.Text = string(code)
		s.src = js.Source{Name: name, Path: "experiments/" + name + ".js", Code: code, FS: scripts.FS}
	case strings.EqualFold(filepath.Ext(use), ".json"):
		return loadJSON(use)
	default:
		s.src = js.Source{Name: strings.TrimSuffix(filepath.Base(use), filepath.Ext(use)), Path: use}
		code, err := os.ReadFile(use) // for the report; js reads with its own bounds
		if err == nil {
			s.Text = string(code)
		}
	}
	s.src.Modules = map[string]string{Module: withLimiters(module)}
	text, err := js.Evaluate(ctx, s.src, js.Config{Scope: scratch(s.src.Name)}, "options")
	if err != nil {
		return nil, err
	}
	return s, s.decode(use, text)
}

func loadJSON(use string) (*Script, error) {
	text, err := os.ReadFile(use)
	if err != nil {
		return nil, &policy.LoadError{File: use, Message: "cannot be read: " + err.Error(), Err: err}
	}
	s := &Script{Text: string(text)}
	return s, s.decode(use, text)
}

// withLimiters adds strategy.NAME for every kind of limiter.
func withLimiters(module string) string {
	var b strings.Builder
	b.WriteString(module)
	for k := limit.Kind(1); ; k++ {
		if known, err := limit.ParseKind(k.String()); err != nil || known != k {
			return b.String()
		}
		fmt.Fprintf(&b, "strategy.%[1]s = (params, more) => strategy.limiter(%[1]q, params, more);\n", k)
	}
}

// scratch is a scope whose declarations nobody keeps.
func scratch(name string) *natives.Scope {
	return natives.NewHost(natives.HostConfig{}).Begin(1).Scope(natives.ScopeConfig{Policy: name, Local: true})
}

// decode reads the Spec, finds the inline hooks, and lets file names count from the
// script's folder.
func (s *Script) decode(use string, text []byte) error {
	fail := func(err error) error {
		return &policy.LoadError{File: use, Message: "options: " + err.Error(), Err: err, Hint: "docs/experiments.md has the names"}
	}
	text, err := markHooks(text)
	if err != nil {
		return fail(err)
	}
	if s.Spec, err = experiment.Decode(text); err != nil {
		return fail(errors.New(strings.ReplaceAll(err.Error(), "json: ", "")))
	}
	if s.Spec.Name == "" {
		s.Spec.Name = strings.TrimSuffix(filepath.Base(use), filepath.Ext(use))
	}
	s.Spec.Dir = filepath.Dir(use)
	return nil
}

// markHooks turns strategies that hold functions into those of the kind inline.
func markHooks(text []byte) ([]byte, error) {
	mark, err := json.Marshal(js.FunctionMark)
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(text, mark) {
		return text, nil
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal(text, &top); err != nil {
		return nil, err
	}
	var all experiment.Ordered[map[string]json.RawMessage]
	if err := json.Unmarshal(top["strategies"], &all); err != nil {
		return nil, fmt.Errorf("strategies: %w", err)
	}
	for name, st := range all.All() {
		var hooks []string
		for key, v := range st {
			if !bytes.Equal(v, mark) {
				continue
			}
			if _, ok := policy.ParseHook(key); !ok {
				return nil, fmt.Errorf("strategies.%s.%s is a function and no hook (want onRequest, onRoute, onResponse, onDone or onTick)", name, key)
			}
			hooks = append(hooks, key)
			delete(st, key)
		}
		if hooks == nil {
			continue
		}
		sort.Strings(hooks)
		delete(st, "options") // the engine's
		if st["hooks"], err = json.Marshal(hooks); err != nil {
			return nil, err
		}
		st["kind"] = json.RawMessage(`"` + experiment.KindInline + `"`)
	}
	if top["strategies"], err = json.Marshal(all); err != nil {
		return nil, err
	}
	out, err := json.Marshal(top)
	if err == nil && bytes.Contains(out, mark) {
		err = errors.New("there is a function where no hook can be: hooks stand in strategies.NAME")
	}
	return out, err
}

// Open implements experiment.Inline.
func (s *Script) Open(ctx context.Context, strategy string, scope *natives.Scope, random func() float64) (policy.Policy, policy.Match, error) {
	name, _, _ := strings.Cut(strategy, "[") // of a sweep
	p, err := js.Open(ctx, s.src, js.Config{Scope: scope, Rand: random, Log: slog.New(slog.DiscardHandler), At: []string{"options", "strategies", name},
		Override: policy.Options{Budget: hookBudget, Isolation: policy.IsolationSingle}})
	if err != nil {
		return nil, policy.Match{}, err
	}
	m, err := policy.ParseMatch(p.Options().Match)
	if err != nil {
		return nil, m, errors.Join(err, p.Close())
	}
	return p, m, nil
}
