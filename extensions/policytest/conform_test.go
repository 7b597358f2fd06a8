package policytest

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
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
	first := func(s *natives.Scope) (policy.Policy, error) {
		return newReference(s, limit.Params{Max: 1, MaxQueue: 3, MaxWait: time.Minute}) // first come, first served
	}
	if err := Conform(first, 0, 3000); err == nil {
		t.Error("a line without the order conforms")
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

// The questions of Conform make lines in which some are granted, and some lose their place.
func TestConformMakesLines(t *testing.T) {
	s, err := newSide(func(s *natives.Scope) (policy.Policy, error) { return NewReference(s) })
	if err != nil {
		t.Fatal(err)
	}
	a := &asker{rand: rand.New(rand.NewPCG(0, 1)), now: conformStart}
	granted, lost := 0, 0
	for i := range 3000 {
		for _, let := range s.ask(a.next(i, len(s.under))).let {
			switch _, state, _ := strings.Cut(let, " "); state {
			case "granted":
				granted++
			case "lost":
				lost++
			default:
				t.Errorf("let go: %s", let)
			}
		}
	}
	if granted < 10 || lost < 10 {
		t.Errorf("%d granted, %d lost", granted, lost)
	}
}
