package limit

import (
	"math"
	"strings"
	"time"
)

const (
	statusTooMany     = 429
	statusUnavailable = 503
	statusTimeout     = 504
	statusServerError = 500
)

// Feedback is what one answer of an upstream said about its limits. The zero
// Feedback claims a quota of zero: start from ParseFeedback or NoFeedback.
type Feedback struct {
	Status           int
	Sent             int64         // when the request left (the now of its Take), 0 unknown
	RetryAfter       time.Duration // -1 absent
	Limit, Remaining int64         // -1 absent
	Reset            time.Duration // until the window resets, -1 absent
	Window           time.Duration // -1 absent
}

// NoFeedback is an answer of that status that said nothing about limits.
func NoFeedback(status int) Feedback {
	return Feedback{Status: status, RetryAfter: -1, Limit: -1, Remaining: -1, Reset: -1, Window: -1}
}

// refused says that a Retry-After is about limits or load, not about a redirect
// or an accepted job.
func (f *Feedback) refused() bool { return f.Status == 0 || f.Status >= 400 }

func (f *Feedback) succeeded() bool { return f.Status >= 200 && f.Status < 400 }

// ParseFeedback reads the fields with which upstreams announce their limits:
//
//   - Retry-After, seconds or an HTTP date (RFC 9110, 10.2.3)
//   - RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers, as
//     of revision 10, and the one-policy form of revision 7)
//   - RateLimit-Limit, -Remaining, -Reset (its revisions up to 6)
//   - X-RateLimit-Limit, -Remaining, -Reset, their -Requests variants and
//     X-RateLimit-Reset-After
//   - X-Rate-Limit-* and Anthropic-RateLimit-Requests-*
//   - Retry-After-Ms, which counts where it is the longer one
//
// A reset is read as seconds from now, as Unix seconds or milliseconds where
// the number is too large for that, or as durations such as "6m0s" and "12ms", or
// as a date (RFC 3339, or of HTTP).
// Of several policies the one with the least remaining binds. Where fields
// contradict each other the more careful one counts: the lower limit and
// remaining, the later reset. What cannot be read is absent; waits are held at
// MaxPause. header returns a field's first value, or its values joined by ", ".
func ParseFeedback(now int64, status int, header func(name string) (string, bool)) Feedback {
	f := NoFeedback(status)
	// The names are in the canonical form of net/http: another one would be
	// rewritten, and allocated, at every look-up.
	f.retryAfter(now, header)
	if v, ok := header("Ratelimit"); ok {
		f.readRateLimitOf(v, "requests")
	}
	if v, ok := header("Ratelimit-Policy"); ok {
		name, _ := header("Ratelimit")
		f.readPolicy(v, bindingPolicy(name))
	}
	if v, ok := header("Ratelimit-Limit"); ok {
		f.readOldLimit(v)
	}
	f.remaining(header, "Ratelimit-Remaining")
	f.reset(now, header, "Ratelimit-Reset")
	if v, ok := header("X-Ratelimit-Limit"); ok {
		f.readOldLimit(v)
	}
	f.remaining(header, "X-Ratelimit-Remaining")
	f.reset(now, header, "X-Ratelimit-Reset")
	f.reset(now, header, "X-Ratelimit-Reset-After")
	if v, ok := header("X-Ratelimit-Limit-Requests"); ok {
		f.readOldLimit(v)
	}
	f.remaining(header, "X-Ratelimit-Remaining-Requests")
	f.reset(now, header, "X-Ratelimit-Reset-Requests")
	f.dialect(now, header, "X-Rate-Limit-Limit", "X-Rate-Limit-Remaining", "X-Rate-Limit-Reset")
	f.dialect(now, header, "Anthropic-Ratelimit-Requests-Limit", "Anthropic-Ratelimit-Requests-Remaining", "Anthropic-Ratelimit-Requests-Reset")
	return f
}

// ParseTokens is ParseFeedback of the quota of tokens, as providers of language
// models announce it beside that of requests:
//
//   - X-RateLimit-Limit-Tokens, -Remaining-Tokens, -Reset-Tokens
//   - Anthropic-RateLimit-Tokens-*, -Input-Tokens-*, -Output-Tokens-*
//   - RateLimit and RateLimit-Policy with qu="tokens"
//
// Of several the one with the least remaining binds.
func ParseTokens(now int64, status int, header func(name string) (string, bool)) Feedback {
	f := NoFeedback(status)
	f.retryAfter(now, header)
	if v, ok := header("Ratelimit"); ok {
		f.readRateLimitOf(v, "tokens")
	}
	f.dialect(now, header, "X-Ratelimit-Limit-Tokens", "X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Reset-Tokens")
	f.dialect(now, header, "Anthropic-Ratelimit-Tokens-Limit", "Anthropic-Ratelimit-Tokens-Remaining", "Anthropic-Ratelimit-Tokens-Reset")
	f.dialect(now, header, "Anthropic-Ratelimit-Input-Tokens-Limit", "Anthropic-Ratelimit-Input-Tokens-Remaining", "Anthropic-Ratelimit-Input-Tokens-Reset")
	f.dialect(now, header, "Anthropic-Ratelimit-Output-Tokens-Limit", "Anthropic-Ratelimit-Output-Tokens-Remaining", "Anthropic-Ratelimit-Output-Tokens-Reset")
	return f
}

// retryAfter reads Retry-After and, where a provider says it finer, Retry-After-Ms.
func (f *Feedback) retryAfter(now int64, header func(string) (string, bool)) {
	if v, ok := header("Retry-After"); ok {
		f.RetryAfter = parseRetryAfter(now, v)
	}
	if v, ok := header("Retry-After-Ms"); ok {
		if n, ok := parseCount(v); ok {
			f.RetryAfter = max(f.RetryAfter, min(time.Duration(min(n, int64(MaxPause/time.Millisecond)))*time.Millisecond, MaxPause))
		}
	}
}

// dialect reads three fields of one quota. They bind if less remains than of what
// was read before, and are looked for only if it says what remains.
func (f *Feedback) dialect(now int64, header func(string) (string, bool), limit, remaining, reset string) {
	v, ok := header(remaining)
	if !ok {
		return
	}
	one := Feedback{Limit: -1, Remaining: -1, Reset: -1}
	if one.Remaining, ok = parseCountOr(v, -1); !ok || f.Remaining >= 0 && f.Remaining < one.Remaining {
		return
	}
	if v, ok := header(limit); ok {
		one.Limit, _ = parseCountOr(v, -1)
	}
	one.reset(now, header, reset)
	f.Limit, f.Remaining, f.Reset = one.Limit, one.Remaining, one.Reset
}

// Announces reports whether a header field of that name, in the canonical form of
// net/http, may say something about limits. An answer without such a field says
// nothing that ParseFeedback would find: most answers are of that kind, and looking at
// their few names is quicker than looking for every name in use.
func Announces(name string) bool {
	return strings.Contains(name, "imit") || strings.Contains(name, "etry")
}

func (f *Feedback) remaining(header func(string) (string, bool), name string) {
	v, ok := header(name)
	if !ok {
		return
	}
	// Lists happen where several limiters each added a field: the least counts.
	for part := range strings.SplitSeq(v, ",") {
		if n, ok := parseCount(part); ok {
			f.Remaining = lower(f.Remaining, n)
		}
	}
}

func (f *Feedback) reset(now int64, header func(string) (string, bool), name string) {
	v, ok := header(name)
	if !ok {
		return
	}
	for part := range strings.SplitSeq(v, ",") {
		if d, ok := parseReset(now, part); ok {
			f.Reset = max(f.Reset, d)
		}
	}
}

// readOldLimit reads "100" and "100, 100;w=10, 1000;w=3600".
func (f *Feedback) readOldLimit(v string) {
	for part := range strings.SplitSeq(v, ",") {
		num, params, _ := strings.Cut(part, ";")
		n, ok := parseCount(num)
		if !ok {
			continue
		}
		w := time.Duration(-1)
		for p := range strings.SplitSeq(params, ";") {
			name, val, _ := strings.Cut(strings.TrimSpace(p), "=")
			if s, ok := parseCount(val); ok && name == "w" && s > 0 {
				w = seconds(s)
			}
		}
		switch {
		case f.Limit < 0 || n < f.Limit:
			f.Limit = n
			if w > 0 {
				f.Window = w
			}
		case n == f.Limit:
			f.Window = max(f.Window, w)
		}
	}
}

// lower is the lower of a known number and perhaps one so far (-1: none).
func lower(have, n int64) int64 {
	if have < 0 {
		return n
	}
	return min(have, n)
}

// seconds is n seconds, at most MaxPause.
func seconds(n int64) time.Duration {
	if n > int64(MaxPause/time.Second) {
		return MaxPause
	}
	return time.Duration(n) * time.Second
}

// parseCount reads a whole number from 0, a fraction cut off; a larger one than
// fits is held at the largest.
func parseCount(s string) (int64, bool) {
	s = strings.TrimSpace(s)
	if whole, frac, found := strings.Cut(s, "."); found {
		if !digits(frac) {
			return 0, false
		}
		s = whole
	}
	if !digits(s) {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		d := int64(s[i] - '0')
		if n > (math.MaxInt64-d)/10 {
			return math.MaxInt64, true
		}
		n = n*10 + d
	}
	return n, true
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
