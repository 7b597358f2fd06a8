package limit

import (
	"math"
	"net/http"
	"strconv"
	"testing"
	"time"
)

const t0 = int64(1_780_000_000_000_000_000)

func headers(kv ...string) func(string) (string, bool) {
	h := http.Header{}
	for i := 0; i < len(kv); i += 2 {
		h.Add(kv[i], kv[i+1])
	}
	return func(name string) (string, bool) {
		v := h.Get(name)
		return v, v != "" || h.Values(name) != nil
	}
}

func TestParseFeedback(t *testing.T) {
	unix := t0 / 1e9
	s := time.Second
	for _, c := range []struct {
		name string
		h    []string
		want Feedback // Status ignored
	}{
		{"nothing", nil, Feedback{0, 0, -1, -1, -1, -1, -1}},
		{"retry seconds", []string{"Retry-After", "120"}, Feedback{0, 0, 120 * s, -1, -1, -1, -1}},
		{"retry spaces", []string{"Retry-After", " 3 "}, Feedback{0, 0, 3 * s, -1, -1, -1, -1}},
		{"retry fraction", []string{"Retry-After", "0.25"}, Feedback{0, 0, s / 4, -1, -1, -1, -1}},
		{"retry zero", []string{"Retry-After", "0"}, Feedback{0, 0, 0, -1, -1, -1, -1}},
		{"retry date", []string{"Retry-After", time.Unix(unix+90, 0).UTC().Format(http.TimeFormat)}, Feedback{0, 0, 90 * s, -1, -1, -1, -1}},
		{"retry past date", []string{"Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT"}, Feedback{0, 0, 0, -1, -1, -1, -1}},
		{"retry far date", []string{"Retry-After", "Sun, 06 Nov 2994 08:49:37 GMT"}, Feedback{0, 0, MaxPause, -1, -1, -1, -1}},
		{"retry first day", []string{"Retry-After", "Mon, 01 Jan 0001 00:00:00 GMT"}, Feedback{0, 0, 0, -1, -1, -1, -1}},
		{"x first day", []string{"X-RateLimit-Reset", "0000-01-01T00:00:00Z"}, Feedback{0, 0, -1, -1, -1, 0, -1}},
		{"retry rfc850", []string{"Retry-After", "Sunday, 06-Nov-94 08:49:37 GMT"}, Feedback{0, 0, 0, -1, -1, -1, -1}},
		{"retry negative", []string{"Retry-After", "-5"}, Feedback{0, 0, -1, -1, -1, -1, -1}},
		{"retry word", []string{"Retry-After", "soon"}, Feedback{0, 0, -1, -1, -1, -1, -1}},
		{"retry empty", []string{"Retry-After", ""}, Feedback{0, 0, -1, -1, -1, -1, -1}},
		{"retry overflow", []string{"Retry-After", "99999999999999999999999"}, Feedback{0, 0, MaxPause, -1, -1, -1, -1}},
		{"draft 10", []string{"RateLimit", `"default";r=50;t=30`, "RateLimit-Policy", `"default";q=100;w=60`}, Feedback{0, 0, -1, 100, 50, 30 * s, 60 * s}},
		{"draft 10 tightest", []string{"RateLimit", `"burst";r=90;t=5, "daily";r=3;t=600`, "RateLimit-Policy", `"burst";q=100;w=60, "daily";q=1000;w=86400`}, Feedback{0, 0, -1, 1000, 3, 600 * s, 86400 * s}},
		{"draft 10 equal", []string{"RateLimit", `"a";r=3;t=5,"b";r=3;t=9`}, Feedback{0, 0, -1, -1, 3, 9 * s, -1}},
		{"draft 10 no t", []string{"RateLimit", `"a";r=3`}, Feedback{0, 0, -1, -1, 3, -1, -1}},
		{"draft 10 quoted separators", []string{"RateLimit", `"a,b;r=1";r=7;t=2`}, Feedback{0, 0, -1, -1, 7, 2 * s, -1}},
		{"draft 10 escaped quote", []string{"RateLimit", `"a\",b";r=7;t=2`}, Feedback{0, 0, -1, -1, 7, 2 * s, -1}},
		{"draft 10 partition key", []string{"RateLimit", `"a";r=7;t=2;pk=:dHJpYWw=:`}, Feedback{0, 0, -1, -1, 7, 2 * s, -1}},
		{"draft 10 bytes", []string{"RateLimit", `"bytes";r=5;t=9;qu="content-bytes", "req";r=8;t=2`}, Feedback{0, 0, -1, -1, 8, 2 * s, -1}},
		{"draft 10 bytes spent", []string{"RateLimit", `"bytes";r=0;t=9;qu="content-bytes", "req";r=8;t=2`}, Feedback{0, 0, -1, -1, 0, 9 * s, -1}},
		{"draft 10 token name", []string{"RateLimit", `default;r=4;t=2`}, Feedback{0, 0, -1, -1, 4, 2 * s, -1}},
		{"policy alone", []string{"RateLimit-Policy", `"a";q=10;w=1, "b";q=5;w=9`}, Feedback{0, 0, -1, 5, -1, -1, 9 * s}},
		{"policy draft 7", []string{"RateLimit-Policy", `10;w=1;burst=1000, 1000;w=3600`}, Feedback{0, 0, -1, 10, -1, -1, s}},
		{"draft 7", []string{"RateLimit", `limit=100, remaining=50, reset=5`}, Feedback{0, 0, -1, 100, 50, 5 * s, -1}},
		{"draft 10 garbage", []string{"RateLimit", `;;;,,"";r=-3;t=x`}, Feedback{0, 0, -1, -1, -1, -1, -1}},
		{"draft 3", []string{"RateLimit-Limit", "100", "RateLimit-Remaining", "20", "RateLimit-Reset", "7"}, Feedback{0, 0, -1, 100, 20, 7 * s, -1}},
		{"draft 3 policies", []string{"RateLimit-Limit", "10, 10;w=1, 50;w=60", "RateLimit-Remaining", "2"}, Feedback{0, 0, -1, 10, 2, -1, s}},
		{"x delta", []string{"X-RateLimit-Limit", "60", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "30"}, Feedback{0, 0, -1, 60, 0, 30 * s, -1}},
		{"x unix", []string{"X-RateLimit-Reset", strconv.FormatInt(unix+15, 10)}, Feedback{0, 0, -1, -1, -1, 15 * s, -1}},
		{"x unix fraction", []string{"X-RateLimit-Reset", strconv.FormatInt(unix+15, 10) + ".5"}, Feedback{0, 0, -1, -1, -1, 15 * s, -1}},
		{"x unix past", []string{"X-RateLimit-Reset", strconv.FormatInt(unix-15, 10)}, Feedback{0, 0, -1, -1, -1, 0, -1}},
		{"x milliseconds", []string{"X-RateLimit-Reset", strconv.FormatInt(unix*1000+1500, 10)}, Feedback{0, 0, -1, -1, -1, 1500 * time.Millisecond, -1}},
		{"x durations", []string{"x-ratelimit-limit-requests", "60", "x-ratelimit-remaining-requests", "59", "x-ratelimit-reset-requests", "6m0s"}, Feedback{0, 0, -1, 60, 59, 6 * time.Minute, -1}},
		{"x short duration", []string{"X-RateLimit-Reset", "12ms"}, Feedback{0, 0, -1, -1, -1, 12 * time.Millisecond, -1}},
		{"x negative duration", []string{"X-RateLimit-Reset", "-12ms"}, Feedback{0, 0, -1, -1, -1, -1, -1}},
		{"x after", []string{"X-RateLimit-Reset-After", "1.001"}, Feedback{0, 0, -1, -1, -1, 1001 * time.Millisecond, -1}},
		{"x several", []string{"X-RateLimit-Remaining", "7, 3, 9"}, Feedback{0, 0, -1, -1, 3, -1, -1}},
		{"x absurd", []string{"X-RateLimit-Reset", "999999999999999999999", "X-RateLimit-Remaining", "-1", "X-RateLimit-Limit", "1e9"}, Feedback{0, 0, -1, -1, -1, MaxPause, -1}},
		{"contradiction", []string{"RateLimit", `"a";r=9;t=5`, "X-RateLimit-Remaining", "4", "X-RateLimit-Reset", "50", "X-RateLimit-Limit", "10", "RateLimit-Limit", "20"}, Feedback{0, 0, -1, 10, 4, 50 * s, -1}},
	} {
		got := ParseFeedback(t0, 200, headers(c.h...))
		c.want.Status = 200
		if got != c.want {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, got, c.want)
		}
	}
}

func TestParseDialects(t *testing.T) {
	s := time.Second
	in := func(d time.Duration) string { return time.Unix(0, t0+int64(d)).UTC().Format(time.RFC3339) }
	openai := []string{
		"x-ratelimit-limit-requests", "60", "x-ratelimit-remaining-requests", "59", "x-ratelimit-reset-requests", "1s",
		"x-ratelimit-limit-tokens", "150000", "x-ratelimit-remaining-tokens", "149984", "x-ratelimit-reset-tokens", "6m0s",
	}
	anthropic := []string{
		"anthropic-ratelimit-requests-limit", "50", "anthropic-ratelimit-requests-remaining", "49", "anthropic-ratelimit-requests-reset", in(2 * s),
		"anthropic-ratelimit-tokens-limit", "60000", "anthropic-ratelimit-tokens-remaining", "59000", "anthropic-ratelimit-tokens-reset", in(60 * s),
		"anthropic-ratelimit-input-tokens-limit", "50000", "anthropic-ratelimit-input-tokens-remaining", "49000", "anthropic-ratelimit-input-tokens-reset", in(50 * s),
		"anthropic-ratelimit-output-tokens-limit", "10000", "anthropic-ratelimit-output-tokens-remaining", "9000", "anthropic-ratelimit-output-tokens-reset", in(40 * s),
	}
	for _, c := range []struct {
		name             string
		h                []string
		requests, tokens Feedback
	}{
		{"OpenAI", openai, Feedback{0, 0, -1, 60, 59, s, -1}, Feedback{0, 0, -1, 150_000, 149_984, 360 * s, -1}},
		{"Azure OpenAI", append([]string{"retry-after", "1", "retry-after-ms", "1250"}, openai...), Feedback{0, 0, 1250 * time.Millisecond, 60, 59, s, -1}, Feedback{0, 0, 1250 * time.Millisecond, 150_000, 149_984, 360 * s, -1}},
		{"Anthropic", anthropic, Feedback{0, 0, -1, 50, 49, 2 * s, -1}, Feedback{0, 0, -1, 10_000, 9000, 40 * s, -1}},
		{"GitHub", []string{"x-ratelimit-limit", "5000", "x-ratelimit-remaining", "4999", "x-ratelimit-reset", strconv.FormatInt(t0/1e9+3000, 10), "x-ratelimit-used", "1", "x-ratelimit-resource", "core"}, Feedback{0, 0, -1, 5000, 4999, 3000 * s, -1}, NoFeedback(0)},
		{"GitHub secondary", []string{"retry-after", "60"}, Feedback{0, 0, 60 * s, -1, -1, -1, -1}, Feedback{0, 0, 60 * s, -1, -1, -1, -1}},
		{"X", []string{"x-rate-limit-limit", "900", "x-rate-limit-remaining", "870", "x-rate-limit-reset", strconv.FormatInt(t0/1e9+400, 10)}, Feedback{0, 0, -1, 900, 870, 400 * s, -1}, NoFeedback(0)},
		{"Reddit", []string{"x-ratelimit-used", "4", "x-ratelimit-remaining", "596.0", "x-ratelimit-reset", "211"}, Feedback{0, 0, -1, -1, 596, 211 * s, -1}, NoFeedback(0)},
		{"Discord", []string{"x-ratelimit-limit", "5", "x-ratelimit-remaining", "0", "x-ratelimit-reset", strconv.FormatInt(t0/1e9+1, 10) + ".25", "x-ratelimit-reset-after", "1.25"}, Feedback{0, 0, -1, 5, 0, 1250 * time.Millisecond, -1}, NoFeedback(0)},
		{"draft units", []string{"RateLimit", `"rpm";r=5;t=9, "tpm";r=800;t=30;qu="tokens"`}, Feedback{0, 0, -1, -1, 5, 9 * s, -1}, Feedback{0, 0, -1, -1, 800, 30 * s, -1}},
		{"absurd", []string{"x-ratelimit-remaining-tokens", "99999999999999999999", "x-ratelimit-reset-tokens", "99999h", "retry-after-ms", "99999999999999999999", "anthropic-ratelimit-tokens-remaining", "-1", "anthropic-ratelimit-requests-remaining", "x", "x-rate-limit-remaining", "1", "x-rate-limit-reset", "2999-01-01T00:00:00Z"},
			Feedback{0, 0, MaxPause, -1, 1, MaxPause, -1}, Feedback{0, 0, MaxPause, -1, math.MaxInt64, MaxPause, -1}},
	} {
		if got := ParseFeedback(t0, 0, headers(c.h...)); got != c.requests {
			t.Errorf("%s, requests:\n got %+v\nwant %+v", c.name, got, c.requests)
		}
		if got := ParseTokens(t0, 0, headers(c.h...)); got != c.tokens {
			t.Errorf("%s, tokens:\n got %+v\nwant %+v", c.name, got, c.tokens)
		}
	}
}

func TestParseFeedbackAllocs(t *testing.T) {
	none := func(string) (string, bool) { return "", false }
	if n := testing.AllocsPerRun(100, func() { ParseFeedback(t0, 200, none) }); n != 0 {
		t.Errorf("no field: %v allocations", n)
	}
	some := func(name string) (string, bool) {
		switch name {
		case "Ratelimit":
			return `"default";r=50;t=30`, true
		case "Ratelimit-Policy":
			return `"default";q=100;w=60`, true
		}
		return "", false
	}
	if n := testing.AllocsPerRun(100, func() { ParseFeedback(t0, 200, some) }); n != 0 {
		t.Errorf("RateLimit fields: %v allocations", n)
	}
}

func FuzzParseFeedback(f *testing.F) {
	f.Add(t0, `"burst";q=100;w=60,"daily";q=1000;w=86400`, `"burst";r=50;t=30`, "6m0s", "120")
	f.Add(int64(0), `10;w=1, `, `limit=100, remaining=50, reset=5`, "1780000000", "Sun, 06 Nov 1994 08:49:37 GMT")
	f.Add(t0, `"\`, `"a\",b";r=7`, "9e9", "0.0000000000001")
	f.Fuzz(func(t *testing.T, now int64, policy, rate, reset, retry string) {
		now = max(now, 0) % (1 << 62)
		parse := ParseFeedback
		if now%2 == 1 {
			parse = ParseTokens
		}
		fb := parse(now, 429, func(name string) (string, bool) {
			switch name {
			case "Ratelimit-Policy", "Ratelimit-Limit", "X-Ratelimit-Limit-Tokens":
				return policy, true
			case "Ratelimit", "X-Ratelimit-Remaining", "X-Ratelimit-Remaining-Tokens", "Anthropic-Ratelimit-Requests-Remaining":
				return rate, true
			case "X-Ratelimit-Reset", "X-Ratelimit-Reset-After", "X-Ratelimit-Reset-Tokens", "Anthropic-Ratelimit-Requests-Reset":
				return reset, true
			}
			return retry, true
		})
		if fb.Limit < -1 || fb.Remaining < -1 {
			t.Errorf("counts out of range: %+v", fb)
		}
		for _, d := range []time.Duration{fb.RetryAfter, fb.Reset, fb.Window} {
			if d < -1 || d > MaxPause {
				t.Errorf("wait out of range: %+v", fb)
			}
		}
		for _, k := range Kinds() {
			l, err := New(k, Params{Rate: 1, Max: 1, Min: 1})
			if err != nil {
				t.Fatal(err)
			}
			l.Learn(now, "k", fb)
			if r := l.Take(addSat(now, 2*int64(MaxPause)), "k", 1, 0); !r.OK {
				t.Errorf("%v still closed two days after %+v: %+v", k, fb, r)
			}
		}
	})
}

// What is not announced is never looked for, so every name that is looked for must be.
func TestEveryFieldIsAnnounced(t *testing.T) {
	asked := 0
	read := func(name string) (string, bool) {
		asked++
		if !Announces(http.CanonicalHeaderKey(name)) {
			t.Errorf("%s is read and not announced", name)
		}
		return "1", true
	}
	ParseFeedback(t0, 200, read)
	ParseTokens(t0, 200, read)
	if asked == 0 {
		t.Error("nothing was asked for")
	}
	for _, name := range []string{"Date", "Content-Type", "Content-Length", "Server", "Cache-Control", "Etag"} {
		if Announces(name) {
			t.Errorf("%s is announced", name)
		}
	}
}
