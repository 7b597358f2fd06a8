package admission

import (
	"strings"
	"testing"

	"github.com/gaia-host/gaia/extensions/policy"
)

func TestKeysAreBounded(t *testing.T) {
	r := newRig(t, nil)
	r.c.keys.max = 100
	held := r.op("held")
	r.begin(held, Go)
	for i := range 500 {
		op := r.op(strings.Repeat("x", i))
		r.begin(op, Go)
		r.end(op, policy.Response{Status: 200})
		op.Free()
	}
	if n := r.c.Stats().Keys; n > 100 {
		t.Errorf("%d keys kept", n)
	}
	if r.c.keys.byKey["held"] != held.key {
		t.Error("a key in use was forgotten")
	}
}

// A key that was forgotten begins anew, also where it is the one asked for last but one.
func TestAForgottenKeyBeginsAnew(t *testing.T) {
	r := newRig(t, nil)
	r.c.keys.max = 1
	for range 3 {
		for _, key := range []string{"a", "a", "b"} {
			op := r.op(key)
			r.begin(op, Go)
			if k := op.key; k != r.c.keys.byKey[key] || k.key != key || k.inFlight != 1 {
				t.Fatalf("%q has the state of %q with %d in flight", key, k.key, k.inFlight)
			}
			r.end(op, policy.Response{Status: 200})
			op.Free()
		}
	}
	if s := r.c.Stats(); s.Keys != 1 || s.InFlight != 0 || s.Requests != 9 || s.Succeeded != 9 {
		t.Errorf("%+v", s)
	}
}
