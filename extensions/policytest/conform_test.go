package policytest

import (
	"strings"
	"testing"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
)

// off is the reference with one mistake.
type off struct {
	*Reference
	op string
}

func (o off) OnRequest(req *policy.Request, d *policy.Decision) error {
	err := o.Reference.OnRequest(req, d)
	if req.Method == o.op {
		d.Reason += "!"
	}
	return err
}

// The reference conforms to itself, and a policy with one mistake in any one operation does not.
func TestConform(t *testing.T) {
	reference := func(s *natives.Scope) (policy.Policy, error) { return NewReference(s) }
	for seed := range uint64(3) {
		if err := Conform(reference, seed, 3000); err != nil {
			t.Error(err)
		}
	}
	for _, op := range Operations() {
		if op == "fail" {
			continue // the decision does not count
		}
		err := Conform(func(s *natives.Scope) (policy.Policy, error) {
			r, err := NewReference(s)
			return off{r, op}, err
		}, 1, 100)
		if err == nil || !strings.Contains(err.Error(), op) {
			t.Errorf("%s: got %v", op, err)
		}
	}
}
