package limit

import (
	"net/http"
	"strings"
	"time"
)

const (
	// A number of seconds from here on is a Unix time: as a wait it would be
	// over 30 years. From unixMilli on it counts milliseconds.
	unixSeconds = 1_000_000_000
	unixMilli   = 100_000_000_000
)

// parseRetryAfter returns the wait, or -1.
func parseRetryAfter(now int64, v string) time.Duration {
	v = strings.TrimSpace(v)
	if d, ok := parseSeconds(v); ok {
		return d
	}
	if t, err := http.ParseTime(v); err == nil {
		return until(now, t.Unix(), time.Second)
	}
	return -1
}

// parseReset reads a reset in any of the forms in use.
func parseReset(now int64, v string) (time.Duration, bool) {
	v = strings.TrimSpace(v)
	if n, ok := parseCount(v); ok {
		switch {
		case n >= unixMilli:
			return until(now, n, time.Millisecond), true
		case n >= unixSeconds:
			return until(now, n, time.Second), true
		}
		return parseSeconds(v)
	}
	if strings.IndexByte(v, ':') > 0 { // a date: durations and numbers have none
		t, err := time.Parse(time.RFC3339, v)
		if err != nil {
			t, err = http.ParseTime(v)
		}
		if err != nil {
			return 0, false
		}
		return until(now, t.Unix(), time.Second), true
	}
	if v == "" || v[0] < '0' || v[0] > '9' {
		return 0, false
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 {
		return 0, false
	}
	return min(d, MaxPause), true
}

// parseSeconds reads whole seconds, a fraction rounded up.
func parseSeconds(v string) (time.Duration, bool) {
	n, ok := parseCount(v)
	if !ok {
		return 0, false
	}
	d := seconds(n)
	if _, frac, _ := strings.Cut(v, "."); frac != "" && d < MaxPause {
		d += fraction(frac)
	}
	return d, true
}

// fraction is what the digits after the point are of a second, rounded up.
func fraction(digits string) time.Duration {
	unit, d := time.Second, time.Duration(0)
	for i := range len(digits) {
		unit /= 10
		if unit == 0 {
			return d + 1
		}
		d += time.Duration(digits[i]-'0') * unit
	}
	return d
}

// until is the time from now to a Unix time of that unit: 0 if it has passed,
// at most MaxPause.
func until(now, unix int64, unit time.Duration) time.Duration {
	if unix <= 0 { // also what would overflow
		return 0
	}
	if unix > (now+int64(MaxPause))/int64(unit) {
		return MaxPause
	}
	return time.Duration(max(unix*int64(unit)-now, 0))
}

// readRateLimitOf reads `"burst";r=50;t=30, "daily";r=900;t=3000`, and of
// revision 7 `limit=100, remaining=50, reset=5`.
func (f *Feedback) readRateLimitOf(v, unit string) {
	if l := (fieldItems{rest: v}); l.next() && l.key != "" {
		if unit == "requests" {
			f.readRateLimit7(v)
		}
		return
	}
	items := fieldItems{rest: v}
	for items.next() {
		r, t := items.param("r"), items.param("t")
		qu := items.text("qu")
		ours := qu == unit || qu == "" && unit == "requests"
		if r < 0 || !ours && (r > 0 || unit != "requests") {
			continue
		}
		f.bind(r, t)
	}
}

// bind keeps the tighter policy: less remaining, then the later reset.
func (f *Feedback) bind(r, t int64) {
	reset := time.Duration(-1)
	if t >= 0 {
		reset = seconds(t)
	}
	switch {
	case f.Remaining < 0 || r < f.Remaining:
		f.Remaining, f.Reset = r, reset
	case r == f.Remaining:
		f.Reset = max(f.Reset, reset)
	}
}

func (f *Feedback) readRateLimit7(v string) {
	items := fieldItems{rest: v}
	for items.next() {
		n, ok := parseCount(items.value)
		if !ok {
			continue
		}
		switch items.key {
		case "limit":
			f.Limit = lower(f.Limit, n)
		case "remaining":
			f.Remaining = lower(f.Remaining, n)
		case "reset":
			f.Reset = max(f.Reset, seconds(n))
		}
	}
}

// bindingPolicy is the name of the policy that readRateLimitOf takes, or "".
func bindingPolicy(v string) string {
	var f Feedback
	f.Remaining = -1
	name := ""
	items := fieldItems{rest: v}
	for items.next() {
		if r := items.param("r"); r >= 0 && items.key == "" && countsRequests(items.text("qu")) && (f.Remaining < 0 || r < f.Remaining) {
			f.Remaining, name = r, items.value
		}
	}
	return name
}

// readPolicy reads `"burst";q=100;w=60, "daily";q=1000;w=86400`: the policy of
// that name, without one the smallest quota.
func (f *Feedback) readPolicy(v, name string) {
	quota, window := int64(-1), int64(-1)
	items := fieldItems{rest: v}
	for items.next() {
		q, w := items.param("q"), items.param("w")
		if q < 0 { // revisions up to 7: 100;w=60
			q, _ = parseCountOr(items.value, -1)
		}
		if q < 0 || !countsRequests(items.text("qu")) {
			continue
		}
		if name != "" && items.value == name {
			quota, window = q, w
			break
		}
		if quota < 0 || q < quota || q == quota && w > window {
			quota, window = q, w
		}
	}
	if quota < 0 {
		return
	}
	f.Limit = lower(f.Limit, quota)
	if window > 0 {
		f.Window = seconds(window)
	}
}

func parseCountOr(v string, or int64) (int64, bool) {
	if n, ok := parseCount(v); ok {
		return n, true
	}
	return or, false
}

func countsRequests(unit string) bool { return unit == "" || unit == "requests" }

// fieldItems walks the members of a structured list or dictionary (RFC 9651)
// as far as rate limit fields use them: items or key=item, with parameters.
// Commas and semicolons in strings do not separate. No allocation.
type fieldItems struct {
	rest   string
	key    string // of a dictionary member
	value  string // without quotes
	params string
}

func (l *fieldItems) next() bool {
	for l.rest != "" {
		var member string
		member, l.rest = cutOutside(l.rest, ',')
		if member = strings.TrimSpace(member); member == "" {
			continue
		}
		item, params := cutOutside(member, ';')
		l.key, l.params = "", params
		if item != "" && item[0] != '"' {
			if k, v, ok := strings.Cut(item, "="); ok {
				l.key, item = strings.TrimSpace(k), v
			}
		}
		l.value = unquote(item)
		return true
	}
	return false
}

// param is the named parameter as a number, or -1.
func (l *fieldItems) param(name string) int64 {
	n, _ := parseCountOr(l.text(name), -1)
	return n
}

// text is the named parameter without quotes; the last of several counts.
func (l *fieldItems) text(name string) string {
	found, rest := "", l.params
	for rest != "" {
		var p string
		p, rest = cutOutside(rest, ';')
		if k, v, ok := strings.Cut(strings.TrimSpace(p), "="); ok && k == name {
			found = unquote(v)
		}
	}
	return found
}

func unquote(s string) string {
	s = strings.TrimSpace(s)
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}

// cutOutside cuts at the first sep that is not inside a quoted string.
func cutOutside(s string, sep byte) (before, after string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == sep && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}
