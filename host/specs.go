package host

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sort"
	"strings"

	"github.com/gaia-host/gaia/extensions/bundle"
	"github.com/gaia-host/gaia/extensions/bundle/remote"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/host/generation"
)

// Specs returns the policies to load, in the order of their chain: those of the
// command line first, then the configuration's by order and name. A configuration
// entry without `use` configures the policy of that name from the command line, or the
// shadow.
func Specs(cfg *config.Config, commandLine []string) ([]generation.Spec, error) {
	var specs []generation.Spec
	var faults []error
	named := map[string]bool{}
	for _, use := range commandLine {
		name := policyName(use)
		entry, configured := cfg.Policies[name]
		if configured && entry.Use != "" {
			faults = append(faults, &policy.LoadError{Policy: name, File: use,
				Message: fmt.Sprintf("the name %q is taken by policies.%s of the configuration, which uses %s", name, name, entry.Use),
				Hint:    "leave out `use` there to configure this one, or name that one otherwise"})
			continue
		}
		named[name] = true
		specs = append(specs, generation.Spec{Name: name, Use: use, Settings: settings(cfg, entry)})
	}
	for _, name := range sortedPolicies(cfg) {
		entry := cfg.Policies[name]
		switch {
		case !entry.IsEnabled() || named[name]:
		case entry.Use == "" && cfg.Shadow != "" && name == policyName(cfg.Shadow): // it configures the shadow
		case entry.Use == "":
			faults = append(faults, &policy.LoadError{Policy: name, Message: "policies." + name + " has no `use`, and no policy of that name is on the command line",
				Hint: missingUseHint(commandLine)})
		default:
			specs = append(specs, generation.Spec{Name: name, Use: entry.Use, Settings: settings(cfg, entry)})
		}
	}
	return specs, errors.Join(faults...)
}

// policyName is the name that a reference on the command line has: a file's
// manifest may say it.
func policyName(use string) string {
	return bundle.NameOf(bundle.ManifestName(use), strings.TrimPrefix(use, bundle.StdPrefix))
}

func missingUseHint(commandLine []string) string {
	if len(commandLine) == 0 {
		return "add `use: FILE` or name the file on the command line"
	}
	names := make([]string, 0, len(commandLine))
	for _, use := range commandLine {
		names = append(names, policyName(use))
	}
	return "the command line has: " + strings.Join(names, ", ")
}

func sortedPolicies(cfg *config.Config) []string {
	names := make([]string, 0, len(cfg.Policies))
	for name := range cfg.Policies {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		a, b := cfg.Policies[names[i]], cfg.Policies[names[j]]
		if a.Order != b.Order {
			return a.Order < b.Order
		}
		return names[i] < names[j]
	})
	return names
}

func settings(cfg *config.Config, p config.Policy) bundle.Settings {
	return bundle.Settings{
		Keys: cfg.RequireSigned, PlainHTTP: cfg.PlainHTTP,
		Options: policy.Options{Match: matchOf(p.Match), Isolation: policy.Isolation(p.Isolation), Budget: p.Budget.Std(), OnFailure: policy.Failure(p.OnFailure)},
		Grants:  grantsOf(p.Grants),
		Params:  config.RevealParams(p.Params), Instances: p.Instances, Fuel: p.Fuel, MemoryPages: uint32(p.MemoryPages),
	}
}

// NewRemote returns what fetches policies: it keeps them beside the compiled Wasm of
// cacheDir, or nowhere where that is "".
func NewRemote(cacheDir string, log *slog.Logger) *remote.Store {
	c := remote.Config{Log: log}
	if cacheDir != "" {
		c.Dir = filepath.Join(filepath.Dir(cacheDir), "policies")
	}
	return remote.New(c)
}

func grantsOf(g config.Grants) natives.Grants {
	return natives.Grants{State: g.State, Limiters: g.Limiters, SharedState: g.SharedState, SharedLimiters: g.SharedLimiters,
		Env: g.Env, Headers: g.Headers, LogRate: g.LogRate}
}

// matchOf is the list of objects that policy.ParseMatch reads; nil for none.
func matchOf(rules []config.MatchRule) any {
	if len(rules) == 0 {
		return nil
	}
	list := make([]any, 0, len(rules))
	for _, r := range rules {
		o := map[string]any{}
		for key, texts := range map[string][]string{"subsystem": r.Subsystem, "host": r.Host, "path": r.Path, "method": r.Method, "tenant": r.Tenant} {
			if len(texts) > 0 {
				o[key] = texts
			}
		}
		list = append(list, o)
	}
	return list
}
