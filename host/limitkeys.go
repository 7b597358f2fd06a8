package host

import (
	"cmp"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/control"
)

// keyFilter says which keys are shown: those that begin so, or match where the filter
// has a * or a ?.
type keyFilter string

func (f keyFilter) match(key string) bool {
	if strings.ContainsAny(string(f), "*?") {
		return glob(string(f), key)
	}
	return strings.HasPrefix(key, string(f))
}

// glob matches bytes: * is any run of them, ? is one. Its time is at most the product
// of both lengths.
func glob(pattern, text string) bool {
	p, t, star, mark := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p, t = p+1, t+1
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// place is where a key stands among all keys of all limiters.
type place struct {
	limiter int // in the order of the list
	key     string
}

func (a place) compare(b place) int {
	return cmp.Or(cmp.Compare(a.limiter, b.limiter), cmp.Compare(a.key, b.key))
}

// pick keeps the first n of the keys that come after a place, in order, however many
// are offered, in memory for 2n.
type pick struct {
	n     int
	after *place // nil: from the beginning
	rows  []row
	more  bool
}

type row struct {
	place
	level control.LimitKey
}

func (p *pick) add(limiter int, key string, level func() control.LimitKey) {
	at := place{limiter, policy.Shown(key)}
	if p.after != nil && at.compare(*p.after) <= 0 {
		return
	}
	if p.more && at.compare(p.rows[p.n-1].place) >= 0 {
		return
	}
	l := level()
	l.Key = at.key
	p.rows = append(p.rows, row{at, l})
	if len(p.rows) >= 2*p.n+2 {
		p.trim()
	}
}

// trim sorts and drops what is beyond n. From then on the n first are the least seen.
func (p *pick) trim() {
	slices.SortFunc(p.rows, func(a, b row) int { return a.compare(b.place) })
	if len(p.rows) > p.n {
		clear(p.rows[p.n:])
		p.rows, p.more = p.rows[:p.n], true
	}
}

// cursor is a place as callers keep it: by the limiter's name, for numbers may change.
func cursor(name, kind, key string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(name + "\x00" + kind + "\x00" + key))
}

func parseCursor(text string) (name, kind, key string, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	name, rest, one := strings.Cut(string(b), "\x00")
	kind, key, two := strings.Cut(rest, "\x00")
	return name, kind, key, err == nil && one && two
}
