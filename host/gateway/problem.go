package gateway

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// schemaProblem is the schema of the body of every answer that is gaia's own.
const schemaProblem = "gaia.problem/v1"

// Kinds of problem: the last part of the body's type, "urn:gaia:problem:KIND".
const (
	problemDenied      = "denied"
	problemUpstream    = "upstream-failed"
	problemNoRoute     = "no-route"
	problemBadRequest  = "bad-request"
	problemBadTarget   = "bad-target"
	problemTooLarge    = "too-large"
	problemHost        = "host-not-allowed"
	problemCrossSite   = "cross-site"
	problemNoForward   = "forward-proxy-off"
	problemLoop        = "loop"
	problemTimeout     = "timeout"
	problemUnavailable = "unavailable"
	problemRefused     = "refused"
)

// problem is an answer of gaia's own, by RFC 9457.
type problem struct {
	status int
	kind   string
	title  string
	detail string
	hint   string // how to mend it, "" nothing to say
	cause  string // upstream failures: one of policy's kinds of failure

	denial *admission.Denial // nil: not a denial
	now    int64             // of the denial
}

// append appends the JSON of p to b. Members that say nothing are left out.
func (p *problem) append(b []byte) []byte {
	b = append(b, `{"schema":"`+schemaProblem+`","type":"urn:gaia:problem:`...)
	b = append(b, p.kind...)
	b = append(b, `","title":`...)
	b = appendText(b, p.title)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(p.status), 10)
	b = appendMember(b, "detail", p.detail)
	b = appendMember(b, "hint", p.hint)
	b = appendMember(b, "error", p.cause)
	if p.denial != nil {
		b = appendDenial(b, p.denial, p.now)
	}
	return append(b, '}', '\n')
}

// appendDenial appends what explains a denial: who, on what, at what level, and when
// it would pass.
func appendDenial(b []byte, d *admission.Denial, now int64) []byte {
	b = appendMember(b, "denied_by", d.Kind.String())
	b = appendMember(b, "policy", d.Policy)
	if d.Generation > 0 {
		b = append(b, `,"generation":`...)
		b = strconv.AppendUint(b, d.Generation, 10)
	}
	if d.Attempt > 1 {
		b = append(b, `,"attempt":`...)
		b = strconv.AppendInt(b, int64(d.Attempt), 10)
	}
	if l := &d.Limit; l.Name != "" {
		b = appendMember(b, "limiter", l.Name)
		b = appendMember(b, "key", l.Key)
		b = append(b, `,"level":{"limit":`...)
		b = strconv.AppendInt(b, l.Limit, 10)
		if l.Remaining >= 0 {
			b = append(b, `,"remaining":`...)
			b = strconv.AppendInt(b, l.Remaining, 10)
		}
		b = append(b, `,"reset_seconds":`...)
		b = appendSeconds(b, l.Reset)
		b = append(b, '}')
	}
	if d.RetryAfter > 0 {
		b = append(b, `,"retry_after_seconds":`...)
		b = appendSeconds(b, d.RetryAfter)
		b = append(b, `,"would_pass":"`...)
		b = appendTime(b, time.Unix(0, now).Add(d.RetryAfter).UTC())
		b = append(b, '"')
	}
	return b
}

// appendTime appends a time in UTC to the millisecond. The layout of whole seconds has a
// quick way in package time.
func appendTime(b []byte, t time.Time) []byte {
	b = t.AppendFormat(b, time.RFC3339)
	ms := t.Nanosecond() / 1e6
	return append(b[:len(b)-1], '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z')
}

// appendMember appends a member with a text, unless the text is empty.
func appendMember(b []byte, name, text string) []byte {
	if text == "" {
		return b
	}
	b = append(b, `,"`...)
	b = append(b, name...)
	b = append(b, `":`...)
	return appendText(b, text)
}

// appendText appends a JSON string. What is not UTF-8 becomes U+FFFD.
func appendText(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		from := i
		for i < len(s) && s[i] >= 0x20 && s[i] < 0x7f && s[i] != '"' && s[i] != '\\' {
			i++
		}
		b = append(b, s[from:i]...)
		if i == len(s) {
			break
		}
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < utf8.RuneSelf:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			r, size := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += size
			continue
		}
		i++
	}
	return append(b, '"')
}

// appendSeconds appends a duration in seconds, to the millisecond, rounded up.
func appendSeconds(b []byte, d time.Duration) []byte {
	ms := int64(roundUp(d, time.Millisecond))
	b = strconv.AppendInt(b, ms/1000, 10)
	if ms%1000 == 0 {
		return b
	}
	b = append(b, '.', byte('0'+ms/100%10), byte('0'+ms/10%10), byte('0'+ms%10))
	for b[len(b)-1] == '0' {
		b = b[:len(b)-1]
	}
	return b
}

// roundUp is how many units d takes, at least 0.
func roundUp(d, unit time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	if d > math.MaxInt64-unit {
		return d / unit
	}
	return (d + unit - 1) / unit
}

// eachRateLimit tells set RateLimit-Policy and RateLimit, by
// draft-ietf-httpapi-ratelimit-headers-10, as far as they are known. The values lie in
// room, if that is large enough, and are good until set returns.
func eachRateLimit(room []byte, l *policy.LimitInfo, set func(name string, value []byte)) {
	if l.Name == "" {
		return
	}
	b := appendSFText(room[:0], l.Name)
	name := len(b)
	if l.Limit > 0 {
		b = strconv.AppendInt(append(b, ";q="...), l.Limit, 10)
		set("RateLimit-Policy", b)
	}
	if l.Remaining >= 0 {
		b = strconv.AppendInt(append(b[:name], ";r="...), l.Remaining, 10)
		b = strconv.AppendInt(append(b, ";t="...), int64(roundUp(l.Reset, time.Second)), 10)
		set("RateLimit", b)
	}
}

// appendSFText appends a string of RFC 9651. It knows printable ASCII only; anything
// else becomes a question mark.
func appendSFText(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20 || c > 0x7e:
			b = append(b, '?')
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// waitField is the value of Gaia-Wait: seconds with three decimals, rounded up, ""
// for an answer that was not held.
func waitField(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	ms := int64(roundUp(d, time.Millisecond))
	b := strconv.AppendInt(make([]byte, 0, 16), ms/1000, 10)
	return string(append(b, '.', byte('0'+ms/100%10), byte('0'+ms/10%10), byte('0'+ms%10)))
}
