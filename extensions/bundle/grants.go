package bundle

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/wasm"
)

// A gate holds one policy to what the operator granted while it is opened.
type gate struct {
	name, use string
	s         Settings
	scope     *natives.Scope
	now       int64
	declared  policy.Grants // by the manifest
	imported  policy.Grants // what a module imports is for
}

func (s Settings) gate(name, use string, c Config) *gate {
	scope := c.Tx.Scope(natives.ScopeConfig{Policy: name, Local: !s.Foreign, Foreign: s.Foreign, Survey: s.Survey, Grants: s.Grants, Params: s.Params, Getenv: c.Getenv})
	return &gate{name: name, use: use, s: s, scope: scope, now: scope.Now()}
}

// strict reports whether what is not granted is refused.
func (g *gate) strict() bool { return g.s.Foreign && !g.s.Survey }

// refuse returns the error that prints the grants to add, nil where there are none.
func (g *gate) refuse(asked policy.Grants) error {
	missing := g.s.Grants.Missing(asked)
	if !g.strict() || missing.IsZero() {
		return nil
	}
	return &policy.LoadError{Policy: g.name, File: g.use, Err: natives.ErrGrant,
		Message: "asks for what is not granted: " + strings.Join(missing.Names(), ", "),
		Hint:    "grant it in the configuration, or do not run it:\n" + g.s.Grants.Union(missing).YAML(g.name)}
}

// checkImports refuses a module that imports what it has no use for without a grant.
// A limiter's or value's name is known only later; one of the two grants is the least.
func (g *gate) checkImports(code []byte) error {
	info, err := wasm.Inspect(code)
	if err != nil {
		return nil //nolint:nilerr // the engine says what is wrong, and where
	}
	m := info.Manifest.Capabilities
	g.declared = policy.Grants{SharedState: m.SharedState, SharedLimiters: m.SharedLimiters, Env: m.Env}.Union(info.Manifest.Options.Capabilities)
	for _, imp := range info.Imports {
		g.imported.State = g.imported.State || strings.HasPrefix(imp.Name, "state_")
		g.imported.Limiters = g.imported.Limiters || strings.HasPrefix(imp.Name, "limiter_")
	}
	return g.refuse(g.least(g.s.Grants.SharedState, g.s.Grants.SharedLimiters).Union(g.declared))
}

// least is what imports need where the shared form of it is not there.
func (g *gate) least(sharedState, sharedLimiters bool) policy.Grants {
	return policy.Grants{State: g.imported.State && !sharedState, Limiters: g.imported.Limiters && !sharedLimiters}
}

// explain turns the error of a policy that stopped at its first refusal into one that
// prints all the grants it needs: survey opens it once more, refused nothing.
func (g *gate) explain(err error, survey func(Settings) (*Policy, error)) error {
	asked := g.scope.Asked()
	if g.refuse(asked) == nil {
		return err
	}
	s := g.s
	s.Survey = true
	if p, serr := survey(s); serr == nil {
		asked = asked.Union(p.Asked)
		if err := p.Close(); err != nil {
			return fmt.Errorf("close policy %s: %w", g.name, err)
		}
	}
	return g.refuse(asked)
}

// admit lets an opened policy pass, or closes it. One that is no local file is asked
// every hook once, dry: what it then reaches for must be granted.
func (g *gate) admit(p *Policy, err error) (*Policy, error) {
	if err != nil {
		return nil, err
	}
	p.Asked = g.declared.Union(p.Options.Capabilities)
	if !g.scope.Foreign() {
		return p, nil
	}
	p.Policy = &held{Policy: p.Policy, scope: g.scope}
	_ = SelfTest(p, g.now) // its faults are told when it is put in force
	p.Asked = p.Asked.Union(g.scope.Asked())
	if g.s.Survey { // a module that was not configured has opened nothing yet
		p.Asked = p.Asked.Union(g.least(p.Asked.SharedState, p.Asked.SharedLimiters))
	}
	if refused := g.refuse(p.Asked); refused != nil {
		return nil, errors.Join(refused, p.Close())
	}
	return p, nil
}

// held is a policy that sets only the headers it was granted.
type held struct {
	policy.Policy
	scope   *natives.Scope
	release func() // of what was fetched, nil for a local file
}

// Close closes the policy and lets the cache drop it.
func (h *held) Close() error {
	if h.release != nil {
		defer h.release()
	}
	return h.Policy.Close() //nolint:wrapcheck // of the policy itself
}

// OnRequest refuses a decision that sets a header without a grant.
func (h *held) OnRequest(req *policy.Request, d *policy.Decision) error {
	if err := h.Policy.OnRequest(req, d); err != nil {
		return err //nolint:wrapcheck // the fault of the policy itself
	}
	for _, f := range d.Headers {
		if !h.scope.MayHeader(f.Name) {
			return &policy.Fault{Policy: h.Name(), Hook: policy.HookRequest, Kind: policy.FaultBadDecision,
				Err: fmt.Errorf("header %.80q: %w (grants: {headers: [%.80s]})", f.Name, natives.ErrGrant, f.Name)}
		}
	}
	return nil
}
