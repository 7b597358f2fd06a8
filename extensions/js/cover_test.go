package js

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
)

const coveredPolicy = `import { deny, limiter } from "gaia";
const all = limiter.tokenBucket("all", { rate: 1 });
function unused() {
  return 1;
}
const double = (n) => n * 2;
const never = (n) => n * 3;
class Late { static { double(1); } go() { return 1; } }
export function onRequest(req) {
  if (req.path === "/no") return deny(403);
  for (let i = 0; i < 2; i++) double(i);
  switch (req.method) {
    case "PUT":
      throw new Error("no");
    default:
      label: while (true) break label;
  }
  try { double(3); } catch { double(4); } finally { double(5); }
  return all.admit();
}
`

func TestCoverageNamesWhatDidNotRun(t *testing.T) {
	cover := &Coverage{}
	tx := natives.NewHost(natives.HostConfig{}).Begin(1)
	p, err := Open(context.Background(), Source{Name: "c", Path: "c.js", Code: []byte(coveredPolicy)},
		Config{Scope: tx.Scope(natives.ScopeConfig{Policy: "c", Local: true}), Cover: cover})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	missed := func() []int {
		files := cover.Files()
		if len(files) != 1 || files[0].File != "c.js" {
			t.Fatalf("%+v", files)
		}
		return files[0].Missed
	}
	if got, want := missed(), []int{4, 7, 8, 10, 11, 12, 14, 16, 18, 19}; !reflect.DeepEqual(got, want) {
		t.Errorf("after load: lines %v, want %v", got, want)
	}
	ask := func(method, path string) error {
		var d policy.Decision
		return p.OnRequest(&policy.Request{Subsystem: "api", Key: "k", Method: method, Path: path, Now: 1, Cost: 1}, &d)
	}
	if err := ask("GET", "/"); err != nil {
		t.Fatal(err)
	}
	if got, want := missed(), []int{4, 7, 8, 10, 14, 18}; !reflect.DeepEqual(got, want) {
		t.Errorf("after a request: lines %v, want %v", got, want)
	}
	_ = ask("GET", "/no")
	err = ask("PUT", "/")
	if f := new(policy.Fault); !errors.As(err, &f) || f.Where != "c.js:14:13" {
		t.Errorf("the place of a fault moved: %v", err)
	}
	f := cover.Files()[0]
	if want := []int{4, 7, 8, 18}; !reflect.DeepEqual(f.Missed, want) || f.Ran >= f.Statements || f.Ran < 15 {
		t.Errorf("%+v, want lines %v", f, want)
	}
}

// What every shipped policy decides is the same whether it is counted or not.
func TestCoverageChangesNoDecision(t *testing.T) {
	open := func(cover *Coverage) policy.Policy {
		tx := natives.NewHost(natives.HostConfig{}).Begin(1)
		p, err := Open(context.Background(), Source{Name: "conform", Path: "../policytest/conformance/policy.js"},
			Config{Scope: tx.Scope(natives.ScopeConfig{Policy: "conform", Local: true}), Cover: cover})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Close() })
		return p
	}
	plain, counted := open(nil), open(&Coverage{})
	for _, method := range []string{"admit", "take", "peek", "deny", "delay", "route", "all", "none", "fail"} {
		var a, b policy.Decision
		req := policy.Request{Subsystem: "api", Key: "k", Method: method, Path: "/", Now: 1, Cost: 1}
		again := req
		errA, errB := plain.OnRequest(&req, &a), counted.OnRequest(&again, &b)
		if !reflect.DeepEqual(a, b) || (errA == nil) != (errB == nil) {
			t.Errorf("%s: %+v, %v; counted %+v, %v", method, a, errA, b, errB)
		}
	}
}
