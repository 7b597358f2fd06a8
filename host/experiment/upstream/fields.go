package upstream

import (
	"strconv"
	"strings"
	"time"
)

// Styles of the header fields by which an upstream tells of its limits.
const (
	StyleNone       = "none"
	StyleRetryAfter = "retry-after" // on refusals only
	StyleRateLimit  = "ratelimit"   // RateLimit, RateLimit-Policy, and Retry-After on refusals
	StyleX          = "x-ratelimit" // X-RateLimit-*, and Retry-After on refusals
)

// Styles lists the styles.
func Styles() []string { return []string{StyleNone, StyleRetryAfter, StyleRateLimit, StyleX} }

// Fields are the header fields of one answer: a policy.Names. They are written only
// when they are read.
type Fields struct {
	style             string
	limit, remaining  int64
	window            time.Duration
	reset, retryAfter time.Duration // retryAfter 0: the answer is no refusal
}

// RetryAfter is what the answer asks to wait, in whole seconds as it is written.
func (f *Fields) RetryAfter() time.Duration {
	if f.style == StyleNone || f.retryAfter == 0 {
		return 0
	}
	return time.Duration(seconds(f.retryAfter)) * time.Second
}

// seconds rounds up.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// Lookup implements policy.Lookup.
func (f *Fields) Lookup(name string) (string, bool) {
	number := func(n int64) (string, bool) { return strconv.FormatInt(n, 10), true }
	is := func(s string) bool { return strings.EqualFold(name, s) }
	switch {
	case f.style == StyleNone:
	case is("Retry-After") && f.retryAfter > 0:
		return number(seconds(f.retryAfter))
	case f.style == StyleRateLimit && is("RateLimit"):
		return `"default";r=` + strconv.FormatInt(f.remaining, 10) + ";t=" + strconv.FormatInt(seconds(f.reset), 10), true
	case f.style == StyleRateLimit && is("RateLimit-Policy"):
		return `"default";q=` + strconv.FormatInt(f.limit, 10) + ";w=" + strconv.FormatInt(seconds(f.window), 10), true
	case f.style == StyleX && is("X-RateLimit-Limit"):
		return number(f.limit)
	case f.style == StyleX && is("X-RateLimit-Remaining"):
		return number(f.remaining)
	case f.style == StyleX && is("X-RateLimit-Reset"):
		return number(seconds(f.reset))
	}
	return "", false
}

// AnyName implements policy.Names.
func (f *Fields) AnyName(match func(string) bool) bool {
	if f.style == StyleNone {
		return false
	}
	return f.retryAfter > 0 && match("Retry-After") || f.style == StyleRateLimit && match("Ratelimit") || f.style == StyleX && match("X-Ratelimit-Limit")
}
