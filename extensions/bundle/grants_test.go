package bundle

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
)

const greedy = `import { limiter, state, env, allow } from "gaia";
const own = limiter.tokenBucket("a", { rate: 1 });
const common = limiter.tokenBucket("shared/a", { rate: 1 });
export function onRequest(req) {
  state.incr("n");
  state.get("shared/n");
  return allow({ headers: { "X-Set": "1" }, reason: String(req.header("X-Read")) + String(env.REGION) });
}`

// everything is what greedy uses.
func everything() policy.Grants {
	return policy.Grants{State: true, Limiters: true, SharedState: true, SharedLimiters: true, Env: []string{"REGION"}, Headers: []string{"x-read", "x-set"}}
}

func getenv(string) (string, bool) { return "eu", true }

func TestForeignPolicyGetsWhatIsGranted(t *testing.T) {
	c := testConfig(t)
	c.Getenv = getenv
	path := write(t, "greedy.js", greedy)
	p, err := Open(t.Context(), "", path, Settings{Foreign: true, Grants: everything()}, c)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var d policy.Decision
	req := &policy.Request{Subsystem: "api", Key: "k", Now: t0, Header: fields{"X-Read": "seen"}, Dry: natives.NewOverlay()}
	if err := p.OnRequest(req, &d); err != nil || d.Reason != "seeneu" || len(d.Headers) != 1 {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestForeignPolicyIsRefusedWithTheGrantToAdd(t *testing.T) {
	c := testConfig(t)
	c.Getenv = getenv
	twin := filepath.Join("..", "..", "examples", "wasm-c", "policy.wasm")
	without := func(change func(*policy.Grants)) policy.Grants {
		g := everything()
		change(&g)
		return g
	}
	for _, tt := range []struct {
		use, missing string
		grants       policy.Grants
	}{
		{write(t, "greedy.js", greedy), "limiters", policy.Grants{}},
		{write(t, "greedy.js", greedy), "limiters", without(func(g *policy.Grants) { g.Limiters = false })},
		{write(t, "greedy.js", greedy), "shared_limiters", without(func(g *policy.Grants) { g.SharedLimiters = false })},
		{write(t, "greedy.js", greedy), "state", without(func(g *policy.Grants) { g.State = false })},
		{write(t, "greedy.js", greedy), "shared_state", without(func(g *policy.Grants) { g.SharedState = false })},
		{write(t, "greedy.js", greedy), "env [REGION]", without(func(g *policy.Grants) { g.Env = nil })},
		{write(t, "greedy.js", greedy), "headers [x-set]", without(func(g *policy.Grants) { g.Headers = []string{"X-Read"} })},
		{write(t, "greedy.js", greedy), "headers [x-read]", without(func(g *policy.Grants) { g.Headers = []string{"X-Set"} })},
		{write(t, "asks.js", `export const options = { capabilities: { logRate: 50 } };
export function onRequest() {}`), "log_rate 50", policy.Grants{LogRate: 49}},
		{twin, "limiters", policy.Grants{}},
	} {
		p, err := Open(t.Context(), "", tt.use, Settings{Foreign: true, Grants: tt.grants}, c)
		var load *policy.LoadError
		if p != nil || !errors.As(err, &load) || !errors.Is(err, natives.ErrGrant) {
			t.Errorf("%s: %v", tt.missing, err)
			continue
		}
		if !strings.Contains(load.Message, tt.missing) || !strings.Contains(load.Hint, "policies:\n  "+load.Policy+":\n    grants:\n") {
			t.Errorf("%s: %s\n%s", tt.missing, load.Message, load.Hint)
		}
	}
}

// One refusal names all that is missing, though the policy stopped at the first.
func TestRefusalNamesEveryGrant(t *testing.T) {
	c := testConfig(t)
	_, err := Open(t.Context(), "", write(t, "greedy.js", greedy), Settings{Foreign: true}, c)
	var load *policy.LoadError
	if !errors.As(err, &load) {
		t.Fatal(err)
	}
	want := "policies:\n  greedy:\n    grants:\n      state: true\n      limiters: true\n      shared_state: true\n      shared_limiters: true\n      env: [REGION]\n      headers: [x-read, x-set]\n"
	if !strings.HasSuffix(load.Hint, want) {
		t.Errorf("got %s", load.Hint)
	}
}

// What inspect prints is all that a policy uses.
func TestSurveyFindsEveryGrant(t *testing.T) {
	c := testConfig(t)
	c.Getenv = getenv
	path := write(t, "greedy.js", greedy)
	p, err := Open(t.Context(), "", path, Settings{Survey: true}, c)
	if err != nil {
		t.Fatal(err)
	}
	asked := p.Asked
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(asked.Headers)
	if m := everything().Missing(asked); !m.IsZero() || !asked.Missing(everything()).IsZero() {
		t.Errorf("asked %+v", asked)
	}
}

// A path that the first questions do not reach is held at run time.
func TestUndeclaredUseIsAFaultAtRunTime(t *testing.T) {
	c := testConfig(t)
	path := write(t, "late.js", `import { state, allow } from "gaia";
export function onRequest(req) {
  if (req.key === "state") state.incr("n");
  if (req.key === "set") return allow({ headers: { authorization: "x" } });
  if (req.key === "read") return allow({ reason: String(req.header("authorization")) });
}`)
	p, err := Open(t.Context(), "", path, Settings{Foreign: true}, c)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var d policy.Decision
	for _, key := range []string{"state", "set"} {
		d.Reset()
		if err := p.OnRequest(&policy.Request{Key: key, Now: t0}, &d); err == nil || !strings.Contains(err.Error(), "not granted") {
			t.Errorf("%s: %v", key, err)
		}
	}
	d.Reset()
	req := &policy.Request{Key: "read", Now: t0, Header: fields{"authorization": "secret"}}
	if err := p.OnRequest(req, &d); err != nil || d.Reason != "undefined" {
		t.Errorf("%q, %v", d.Reason, err)
	}
}

// What a module would open once it is configured is seen in one that is only looked at.
func TestSurveySeesWhatImportsAreFor(t *testing.T) {
	twin := filepath.Join("..", "..", "examples", "wasm-c", "policy.wasm")
	p, err := Open(t.Context(), "", twin, Settings{Survey: true, Probe: true}, testConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if got := p.Asked.Names(); !slices.Equal(got, []string{"limiters"}) {
		t.Errorf("asks for %v", got)
	}
}
