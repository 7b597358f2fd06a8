package api

import (
	"net/http"
	"testing"

	"github.com/gaia-host/gaia/extensions/limit"
)

// Reading what an answer says about limits allocates nothing, whether it says
// something or not.
func TestFeedbackOfFieldsAllocatesNothing(t *testing.T) {
	for name, h := range map[string]http.Header{
		"none":  {"Content-Type": {"text/plain"}},
		"older": {"X-Ratelimit-Limit": {"10"}, "X-Ratelimit-Remaining": {"4"}, "X-Ratelimit-Reset": {"7"}},
	} {
		l := &fieldLookup{h}
		var f limit.Feedback
		if n := testing.AllocsPerRun(100, func() { f = limit.ParseFeedback(1e18, 200, l.Lookup) }); n > 1 { // 1: the bound method
			t.Errorf("%s: %v allocations", name, n)
		}
		if name == "older" && (f.Limit != 10 || f.Remaining != 4) {
			t.Errorf("got %+v", f)
		}
	}
}
