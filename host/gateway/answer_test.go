package gateway

import (
	"testing"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
)

func TestDenialsSayWhy(t *testing.T) {
	x := &exchange{s: &Server{clock: func() int64 { return 1 }}}
	for want, d := range map[string]*admission.Denial{
		"too late": {Reason: "too late", Policy: "p", Limit: policy.LimitInfo{Name: "l"}},
		`the limiter p/l is spent for the key "k"`: {Policy: "p", Limit: policy.LimitInfo{Name: "p/l", Key: "k"}},
		"the policy p denied the request":          {Policy: "p"},
		"the request was denied":                   {},
	} {
		if p := x.denied(d); p.detail != want || p.denial != d || p.now != 1 {
			t.Errorf("%s, want %s", p.detail, want)
		}
	}
}
