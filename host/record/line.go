// Package record writes what gaia was asked, what it decided and how it ended: one
// JSON object a line, which experiments and replays read as it is. Nothing of it runs
// on the path of the traffic but the copy of what is to be written.
package record

import (
	"net/textproto"
	"strings"
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// Schema is the value of Line.Schema.
const Schema = "gaia.record/v1"

// Ends of an attempt, in Line.End.
const (
	EndDone     = "done"     // its action ran
	EndDenied   = "denied"   // it never started
	EndCanceled = "canceled" // its caller left before it started
)

// Line is one attempt. Times are milliseconds; what is unknown is left out. Its field
// names are stable.
type Line struct {
	Schema    string   `json:"schema"`
	Time      float64  `json:"time"` // when the policies were asked, since the Unix epoch
	Key       string   `json:"key"`  // as asked, before a policy changed it; so are cost and priority
	Cost      int64    `json:"cost"`
	Service   *float64 `json:"service,omitempty"` // from the start of the action to its end; none: it never started
	Tenant    string   `json:"tenant,omitempty"`
	Subsystem string   `json:"subsystem"`
	Action    string   `json:"action"`
	Method    string   `json:"method,omitempty"`
	URL       string   `json:"url,omitempty"` // without its query, which may hold secrets
	Host      string   `json:"host,omitempty"`
	Path      string   `json:"path,omitempty"`
	Priority  int      `json:"priority"`
	Attempt   int      `json:"attempt"`
	Size      int64    `json:"size"`               // bytes of the body, -1 unknown
	Deadline  float64  `json:"deadline,omitempty"` // when the caller gives up, from time on

	Headers map[string]string `json:"headers,omitempty"`
	Body    map[string]string `json:"body,omitempty"`

	Generation uint64  `json:"generation"` // of the policies, 0 none
	Said       Said    `json:"said"`       // by the policies, whatever the configured limits did
	End        string  `json:"end"`
	By         string  `json:"by,omitempty"`     // denied: policy, limit, queue, breaker, max_wait, deadline, closed
	Policy     string  `json:"policy,omitempty"` // that decided
	Limiter    string  `json:"limiter,omitempty"`
	LimiterKey string  `json:"limiter_key,omitempty"`
	Status     int     `json:"status,omitempty"` // of the answer, or of the denial
	Reason     string  `json:"reason,omitempty"`
	RetryAfter float64 `json:"retry_after,omitempty"` // that the caller was told, or the upstream asked for
	Wait       float64 `json:"wait"`                  // from time to the start of the action or the end
	Upstream   string  `json:"upstream,omitempty"`

	Upstreams []Upstream `json:"upstreams,omitempty"` // there were to choose from, up to MaxUpstreams

	Answered        *float64          `json:"answered,omitempty"` // from the start of the action to the headers
	Error           string            `json:"error,omitempty"`
	Bytes           int64             `json:"bytes,omitempty"`
	Again           bool              `json:"again,omitempty"` // tried again afterwards
	ResponseHeaders map[string]string `json:"response_headers,omitempty"`
	ResponseBody    map[string]string `json:"response_body,omitempty"`
}

// Said is what the policies said of an attempt.
type Said struct {
	Action   string  `json:"action"` // allow, delay or deny
	Delay    float64 `json:"delay,omitempty"`
	Upstream string  `json:"upstream,omitempty"` // that one named
}

// SaidOf is the form of what admission knows.
func SaidOf(s admission.Said) Said {
	r := Said{Action: "allow", Upstream: s.Upstream}
	switch {
	case s.Deny:
		r.Action = "deny"
	case s.Delay > 0:
		r.Action, r.Delay = "delay", ms(s.Delay)
	}
	return r
}

// MaxUpstreams is how many upstreams a line tells of; where there are more it tells of none.
const MaxUpstreams = 16

// Upstream is one that an attempt could go to, as policies saw it.
type Upstream struct {
	Name      string  `json:"name"`
	Host      string  `json:"host,omitempty"`
	Weight    int     `json:"weight"`
	Healthy   bool    `json:"healthy"`
	InFlight  int64   `json:"in_flight,omitempty"`
	ErrorRate float64 `json:"error_rate,omitempty"` // 0 to 1
	P50       float64 `json:"p50,omitempty"`
	P95       float64 `json:"p95,omitempty"`
	Remaining *int64  `json:"remaining,omitempty"` // of its configured limit; none: there is no limit
}

// upstreamsOf is the form of what admission knows.
func upstreamsOf(view []policy.Upstream) []Upstream {
	list := make([]Upstream, len(view))
	for i := range view {
		u := &view[i]
		list[i] = Upstream{Name: u.Name, Host: u.Host, Weight: u.Weight, Healthy: u.Healthy, InFlight: u.InFlight,
			ErrorRate: u.ErrorRate, P50: ms(u.P50), P95: ms(u.P95)}
		if u.Remaining >= 0 {
			list[i].Remaining = &u.Remaining
		}
	}
	return list
}

// Fields says what of headers and bodies is recorded. The zero Fields records only the
// fields of answers that announce limits.
type Fields struct {
	Headers []string // names of header fields, of requests and answers
	Mask    []string // those of them whose values are not shown, besides the usual ones
	Body    []string // names of JSON scalars that policies read of bodies
}

const masked = "***"

// secret are the fields whose values are never shown.
var secret = []string{
	"Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "X-Auth-Token",
	"X-Amz-Security-Token", "X-Csrf-Token", "X-Gitlab-Token", "Private-Token",
}

const maxValue = 4096 // bytes of a value that is kept

// plan is Fields, ready for use.
type plan struct {
	headers []string        // canonical
	mask    map[string]bool // canonical
	body    []string
}

func (f *Fields) plan() plan {
	p := plan{mask: map[string]bool{}, body: f.Body}
	for _, name := range secret {
		p.mask[name] = true
	}
	for _, name := range f.Mask {
		p.mask[textproto.CanonicalMIMEHeaderKey(name)] = true
	}
	for _, name := range f.Headers {
		p.headers = append(p.headers, textproto.CanonicalMIMEHeaderKey(name))
	}
	return p
}

// fields copies the fields of a message that are to be kept.
func (p *plan) fields(h policy.Lookup, announced bool) map[string]string {
	if h == nil {
		return nil
	}
	var m map[string]string
	keep := func(name string) {
		v, ok := h.Lookup(name)
		if !ok {
			return
		}
		if p.mask[name] {
			v = masked
		}
		if m == nil {
			m = map[string]string{}
		}
		m[name] = cut(v)
	}
	for _, name := range p.headers {
		keep(name)
	}
	if names, ok := h.(policy.Names); ok && announced {
		var list []string
		names.AnyName(func(name string) bool {
			if limit.Announces(name) {
				list = append(list, name)
			}
			return false
		})
		for _, name := range list {
			keep(name)
		}
	}
	return m
}

func (p *plan) scalars(b policy.Lookup) map[string]string {
	if b == nil {
		return nil
	}
	var m map[string]string
	for _, name := range p.body {
		if v, ok := b.Lookup(name); ok {
			if m == nil {
				m = map[string]string{}
			}
			m[name] = cut(v)
		}
	}
	return m
}

// cut bounds a text and copies it: what it is a part of may be large.
func cut(v string) string { return strings.Clone(v[:min(len(v), maxValue)]) }

// begin is the line of an attempt as it was decided.
func (p *plan) begin(op *admission.Op, maxWait time.Duration) *Line {
	r := &op.Req
	l := &Line{
		Schema: Schema, Time: float64(r.Now) / float64(time.Millisecond), Tenant: r.Tenant,
		Subsystem: r.Subsystem, Action: r.Action, Method: r.Method, Host: r.Host, Path: cut(r.Path), Attempt: r.Attempt, Size: r.Size,
		Headers: p.fields(r.Header, false), Body: p.scalars(r.Body), Generation: op.Generation(),
		Said:   SaidOf(admission.SaidBy(&op.Decision, op.Entries(), maxWait)),
		Policy: op.Decision.Policy, Limiter: op.Decision.Limit.Name, LimiterKey: op.Decision.Limit.Key, Reason: op.Decision.Reason,
	}
	l.Key, l.Cost, l.Priority = op.Asked()
	l.URL, _, _ = strings.Cut(r.URL, "?")
	l.URL = cut(l.URL)
	if r.Deadline != 0 {
		l.Deadline = float64(r.Deadline-r.Now) / float64(time.Millisecond)
	}
	if op.Group == nil {
		return l
	}
	if i := op.Upstream(); i >= 0 {
		l.Upstream = op.Group.Upstream(i).Name
	}
	if op.Group.Len() <= MaxUpstreams {
		l.Upstreams = upstreamsOf(op.View(r.Now, make([]policy.Upstream, 0, op.Group.Len())))
	}
	return l
}

func (l *Line) denied(d *admission.Denial) {
	l.End, l.By, l.Status, l.RetryAfter = EndDenied, d.Kind.String(), d.Status, ms(d.RetryAfter)
	l.Policy, l.Limiter, l.LimiterKey, l.Reason = d.Policy, d.Limit.Name, d.Limit.Key, d.Reason
}

func (l *Line) at(now int64) float64 { return float64(now)/float64(time.Millisecond) - l.Time }

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
