package js

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gaia-host/gaia/extensions/policy"
)

// The policies that ship load, and answer a plain request without a fault.
func TestStandardPolicies(t *testing.T) {
	files, err := filepath.Glob("../../scripts/policies/*.js")
	if err != nil || len(files) == 0 {
		t.Fatal("no standard policies: ", err)
	}
	for _, f := range files {
		code, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		w, err := openWith(t, string(code), setup{config: Config{Override: patient, Standard: true}})
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		var d policy.Decision
		res := &policy.Response{Status: 429, Upstream: "a", Header: headers{"Retry-After": {"2"}}}
		for _, err := range []error{w.OnRequest(request(), &d), w.OnRoute(request(), []policy.Upstream{{Name: "a", Healthy: true}}, &d),
			w.OnResponse(request(), res, &policy.Decision{}), w.OnDone(request(), res), w.OnTick(&policy.Tick{Now: epoch})} {
			if err != nil {
				t.Errorf("%s: %v", f, err)
			}
		}
	}
}
