package gateway

import (
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
)

func TestProblemJSON(t *testing.T) {
	p := &problem{status: 429, kind: problemDenied, title: "denied", detail: "too\n\"much\"", now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano(),
		denial: &admission.Denial{Kind: admission.KindPolicy, Status: 429, RetryAfter: 1500 * time.Millisecond, Reason: "too much", Policy: "quota", Generation: 3, Attempt: 2,
			Limit: policy.LimitInfo{Name: "quota/per-tenant", Key: "acme", Limit: 10, Remaining: 0, Reset: 2250 * time.Millisecond}}}
	const want = `{"schema":"gaia.problem/v1","type":"urn:gaia:problem:denied","title":"denied","status":429,"detail":"too\u000a\"much\"",` +
		`"denied_by":"policy","policy":"quota","generation":3,"attempt":2,"limiter":"quota/per-tenant","key":"acme",` +
		`"level":{"limit":10,"remaining":0,"reset_seconds":2.25},"retry_after_seconds":1.5,"would_pass":"2026-01-02T03:04:06.500Z"}` + "\n"
	if got := string(p.append(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	buf := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(200, func() { p.append(buf) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	bare := &problem{status: 404, kind: problemNoRoute, title: "no route"}
	if got := string(bare.append(nil)); got != `{"schema":"gaia.problem/v1","type":"urn:gaia:problem:no-route","title":"no route","status":404}`+"\n" {
		t.Error(got)
	}
}

func TestRateLimitFields(t *testing.T) {
	for _, c := range []struct {
		limit         policy.LimitInfo
		policy, field string
	}{
		{policy.LimitInfo{}, "", ""},
		{policy.LimitInfo{Name: "a", Limit: 10, Remaining: 3, Reset: 1001 * time.Millisecond}, `"a";q=10`, `"a";r=3;t=2`},
		{policy.LimitInfo{Name: "a", Limit: 10, Remaining: -1}, `"a";q=10`, ""},
		{policy.LimitInfo{Name: "a", Remaining: 0}, "", `"a";r=0;t=0`},
		{policy.LimitInfo{Name: `q"\` + "\né", Limit: 1, Remaining: -1}, `"q\"\\???";q=1`, ""},
	} {
		h := http.Header{}
		setRateLimit(h, &c.limit)
		get := func(name string) string { return strings.Join(h[name], "|") }
		if p, f := get("RateLimit-Policy"), get("RateLimit"); p != c.policy || f != c.field {
			t.Errorf("%+v: %s and %s, want %s and %s", c.limit, p, f, c.policy, c.field)
		}
	}
}

func TestSeconds(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0", 1: "0.001", time.Millisecond: "0.001", 1500 * time.Millisecond: "1.5", 1250 * time.Millisecond: "1.25",
		time.Minute: "60", 10*time.Second + 10*time.Millisecond: "10.01", -time.Second: "0", math.MaxInt64: "9223372036.854",
	} {
		if got := string(appendSeconds(nil, d)); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "", -1: "", 1: "0.001", 1250 * time.Millisecond: "1.250", 61 * time.Second: "61.000"} {
		if got := waitField(d); got != want {
			t.Errorf("waited %v: %s, want %s", d, got, want)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("plain")
	f.Add("\x00\x1f\x7f\"\\/\u2028\xff\xc3é")
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		if err := json.Unmarshal(appendText(nil, s), &got); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		if utf8.ValidString(s) && got != s {
			t.Errorf("%q became %q", s, got)
		}
		for _, c := range appendSFText(nil, s) {
			if c < 0x20 || c > 0x7e {
				t.Errorf("%q: %q in a field", s, c)
			}
		}
	})
}
