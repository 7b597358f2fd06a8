package generation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sort"

	"github.com/gaia-host/gaia/extensions/bundle"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
)

// Spec names one policy of a set and the operator's settings for it.
type Spec struct {
	Name     string // "" the policy's own
	Use      string // path or std/NAME
	Settings bundle.Settings
}

// set is one loaded set of policies. Its fields do not change once it is built.
type set struct {
	tx       *natives.Tx
	policies []*bundle.Policy
	specs    []Spec
}

// open loads every policy of specs, or none.
func open(ctx context.Context, specs []Spec, tx *natives.Tx, c bundle.Config) (*set, error) {
	s := &set{tx: tx, specs: specs}
	var errs []error
	names := map[string]string{}
	for _, spec := range specs {
		p, err := bundle.Open(ctx, spec.Name, spec.Use, spec.Settings, c)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.policies = append(s.policies, p)
		if other, taken := names[p.Name()]; taken {
			errs = append(errs, &policy.LoadError{Policy: p.Name(), File: spec.Use, Message: fmt.Sprintf("the name %q is taken by %s", p.Name(), other),
				Hint: "give one of them another name in the configuration: policies: { NAME: { use: " + spec.Use + " } }"})
		}
		names[p.Name()] = spec.Use
	}
	if len(errs) > 0 {
		return nil, errors.Join(append(errs, s.close())...)
	}
	return s, nil
}

// same reports whether s and o are made of the same bytes and settings.
func (s *set) same(o *set) bool {
	if o == nil || len(s.policies) != len(o.policies) {
		return false
	}
	for i, p := range s.policies {
		if !Same(p, s.specs[i], o.policies[i], o.specs[i]) {
			return false
		}
	}
	return true
}

// fingerprint is a stable text of the settings; fmt prints maps in key order.
func fingerprint(s Spec) string { return fmt.Sprintf("%#v", s.Settings) }

// chain builds the members of a generation. Every set that is put in force gets new
// members, so that its counts of faults are its own.
func (s *set) chain(previous *set, onFault func(*policy.Fault)) *policy.Chain {
	members := make([]*policy.Member, 0, len(s.policies))
	for _, p := range s.policies {
		members = append(members, policy.NewMember(p.Policy, policy.MemberConfig{
			Match: p.Match, Body: p.Options.Body, OnFailure: p.Options.OnFailure, Previous: previous.named(p.Name()), OnFault: onFault,
		}))
	}
	return policy.NewChain(members...)
}

// named returns the policy of that name, nil for none. A nil set has none.
func (s *set) named(name string) policy.Policy {
	if s == nil {
		return nil
	}
	for _, p := range s.policies {
		if p.Name() == name {
			return p.Policy
		}
	}
	return nil
}

// files lists what a watcher has to look at, sorted and without repeats.
func (s *set) files() []string {
	seen := map[string]bool{}
	var files []string
	for _, p := range s.policies {
		for _, f := range p.Files {
			if !seen[f] {
				seen[f] = true
				files = append(files, f)
			}
		}
	}
	sort.Strings(files)
	return files
}

func (s *set) selfTest(now int64, log *slog.Logger) {
	for _, p := range s.policies {
		for _, err := range bundle.SelfTest(p, now) {
			log.Warn("the self-test met a fault; on_failure will answer for such requests", "policy", p.Name(), "on_failure", string(p.Options.OnFailure), "error", err)
		}
	}
}

func (s *set) close() error {
	if s == nil {
		return nil
	}
	var errs []error
	for i := len(s.policies) - 1; i >= 0; i-- {
		errs = append(errs, s.policies[i].Close())
	}
	return errors.Join(errs...)
}
