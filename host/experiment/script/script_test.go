package script

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gaia-host/gaia/host/experiment"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const head = `import { arrivals, dist, keys, limit, policy, retry, strategy } from "gaia/experiment";
export const options = { duration: "20s", replicas: 2,
  scenarios: { s: { arrivals: arrivals.poisson({ rate: 40 }), patience: "1s" } },
  upstreams: { api: { latency: dist.exponential(20), limits: [limit.fixedWindow({ quota: 10 })] } },
  strategies: {`

// A user's own policy file and hooks in the script are compared with natives.
func TestLoadAndRun(t *testing.T) {
	file := write(t, "exp.ts", head+`
    bucket: strategy.tokenBucket({ rate: 10 }, { retry: retry.none() }),
    mine: policy("./mine.js", { rpm: 5 }),
    inline: { retry: retry.none(), onRequest: (req: any) => req.stats.inFlight < 1 },
  } };`)
	mine := filepath.Join(filepath.Dir(file), "mine.js")
	if err := os.WriteFile(mine, []byte(`import { params } from "gaia"; export function onRequest() { return params.rpm !== 5; }`), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Load(context.Background(), file)
	if err != nil {
		t.Fatal(err)
	}
	if st, _ := s.Spec.Strategies.Get("mine"); st.Use != "./mine.js" || s.Spec.Dir != filepath.Dir(file) {
		t.Errorf("use %q, of %q", st.Use, s.Spec.Dir)
	}
	res, err := experiment.Run(context.Background(), s.Spec, experiment.Options{Inline: s})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{experiment.KindLimiter, experiment.KindPolicy, experiment.KindInline} {
		st := res.Strategies[i]
		if st.Kind != want || st.Faults > 0 {
			t.Errorf("%s: %s, %d faults: %s", st.Name, st.Kind, st.Faults, st.Fault)
		}
	}
	if d := res.Strategies[1].Means["denied"].Mean; d != 1 {
		t.Errorf("the policy got no parameters: denied %v", d)
	}
	if d := res.Strategies[2].Means["denied"].Mean; d <= 0 || d >= 1 {
		t.Errorf("inline hooks: denied %v", d)
	}
}

func TestWrongScripts(t *testing.T) {
	for code, want := range map[string]string{
		head + `a: strategy.tokenBuckets({}) } };`:                           "exp.js:5:",
		head + `a: { onReqest() {} } } };`:                                   "onReqest is a function and no hook",
		head + `a: { kind: "none" } }, more: 1 };`:                           `unknown field "more"`,
		`import { x } from "gaia/experiment"; export const options = { x };`: `"x"`,
		`export const option = {};`:                                          `no export "options"`,
		head + `a: strategy.none() }, thresholds: { x: [() => 1] } };`:       "where no hook can be",
		`throw new Error("at load"); export const options = {};`:             "at load",
		`export const options = { duration: "10s", strategies: [1] };`:       "want an object",
		`import "fs"; export const options = {};`:                            "Node.js",
	} {
		if _, err := Load(context.Background(), write(t, "exp.js", code)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n  %v\n  want %q", code, err, want)
		}
	}
	if _, err := Load(context.Background(), "std/nothing"); err == nil {
		t.Error("std/nothing was loaded")
	}
	if _, err := Load(context.Background(), filepath.Join(t.TempDir(), "no.js")); err == nil {
		t.Error("a file that is not there was loaded")
	}
}

// Every experiment that comes along runs, without a fault of a policy, and what its
// thresholds say of it holds.
func TestStd(t *testing.T) {
	if len(Std()) == 0 {
		t.Fatal("there are none")
	}
	for _, name := range Std() {
		s, err := Load(context.Background(), name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		s.Spec.Replicas = 2
		res, err := experiment.Run(context.Background(), s.Spec, experiment.Options{Inline: s})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, st := range res.Strategies {
			if st.Faults > 0 || st.Means["offered"].Mean == 0 {
				t.Errorf("%s: %s: %d faults: %s", name, st.Name, st.Faults, st.Fault)
			}
		}
		for _, th := range res.Thresholds {
			if !th.OK {
				t.Errorf("%s: %s: %s of %s is %v", name, th.Metric, th.Condition, th.Strategy, th.Value)
			}
		}
		if len(res.Thresholds) == 0 {
			t.Errorf("%s says nothing that can be checked", name)
		}
	}
}
