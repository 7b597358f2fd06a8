package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
	"unicode/utf8"
)

// SchemaExplanation is the schema of an Explanation as JSON.
const SchemaExplanation = "gaia.explain/v1"

// Bounds of an Explanation.
const (
	maxExplained    = 64  // entries of the ledger, upstreams, faults
	maxExplainedKey = 256 // bytes of a text that others chose
)

// Verdicts of an Explanation.
const (
	VerdictGo    = "go"    // at once
	VerdictWait  = "wait"  // after wait_ms
	VerdictQueue = "queue" // when a slot comes free
	VerdictDeny  = "deny"

	VerdictCanceled = "canceled" // the caller left before it went
)

// Explanation says why one attempt of an operation goes, waits or does not go. It is
// a copy: it refers to nothing of the attempt. Fields are not redacted further than
// this: values of header fields and bodies are never in it. Times are milliseconds.
type Explanation struct {
	Schema    string `json:"schema"`
	Subsystem string `json:"subsystem"`
	Action    string `json:"action"`
	Key       string `json:"key"` // what limits counted on
	Host      string `json:"host,omitempty"`
	Tenant    string `json:"tenant,omitempty"`
	Attempt   int    `json:"attempt"`
	Dry       bool   `json:"dry"` // nothing was taken, nothing was sent

	At         time.Time  `json:"at"`
	Verdict    string     `json:"verdict"`
	WaitMS     float64    `json:"wait_ms"`              // all waits so far, or the one ahead
	WouldPass  *time.Time `json:"would_pass,omitempty"` // when it goes, or would; nil: nobody knows, or never
	DecidedBy  string     `json:"decided_by,omitempty"` // policy, limit, queue, breaker, max_wait, deadline, closed
	Policy     string     `json:"policy,omitempty"`
	Where      string     `json:"where,omitempty"` // FILE:LINE:COLUMN of what decided, where the engine can tell
	Generation uint64     `json:"generation"`      // 0: no host runs it, or no policy is in force
	Limiter    string     `json:"limiter,omitempty"`
	Reason     string     `json:"reason,omitempty"`

	Decision  Decided      `json:"decision"`
	Ledger    []Taken      `json:"ledger"`
	Upstreams []Considered `json:"upstreams,omitempty"`
	Limits    []Configured `json:"limits,omitempty"`
	Faults    []string     `json:"faults,omitempty"` // of policies that failed: on_failure answered
	More      int          `json:"more,omitempty"`   // entries and upstreams left out
}

// Decided is what the policies said.
type Decided struct {
	Action       string   `json:"action"`
	Status       int      `json:"status,omitempty"`
	RetryAfterMS float64  `json:"retry_after_ms,omitempty"`
	DelayMS      float64  `json:"delay_ms,omitempty"`
	Key          string   `json:"key,omitempty"`
	Upstream     string   `json:"upstream,omitempty"`
	TimeoutMS    float64  `json:"timeout_ms,omitempty"`
	Cost         *int64   `json:"cost,omitempty"`
	Priority     *int     `json:"priority,omitempty"`
	Headers      []string `json:"headers,omitempty"` // names only: values may be secrets
	Reason       string   `json:"reason,omitempty"`
}

// Taken is one entry of the ledger: a take, or the refusal of one, with the level of
// the limiter after it.
type Taken struct {
	Limiter   string  `json:"limiter"`
	Policy    string  `json:"policy,omitempty"` // "" a configured limit
	Where     string  `json:"where,omitempty"`
	Key       string  `json:"key"`
	Cost      int64   `json:"cost"`
	OK        bool    `json:"ok"`
	WaitMS    float64 `json:"wait_ms"`   // ok: to wait first; else until it would pass, -1 never
	Limit     int64   `json:"limit"`     // 0 unknown
	Remaining int64   `json:"remaining"` // -1 unknown
	ResetMS   float64 `json:"reset_ms"`
	Place     int     `json:"place,omitempty"` // in the limiter's line when it was joined, 1 the next to go
}

// Considered is an upstream that was looked at, and why it was chosen or not.
type Considered struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

// Configured is the level of a configured limit, whether it was asked or not.
type Configured struct {
	Name        string  `json:"name"`
	Key         string  `json:"key"`
	Limit       int64   `json:"limit,omitempty"` // of the rate; 0 it is not limited
	Remaining   int64   `json:"remaining"`
	ResetMS     float64 `json:"reset_ms"`
	Concurrency int64   `json:"concurrency,omitempty"` // 0 it is not limited
	InFlight    int64   `json:"in_flight"`
	Waiting     int64   `json:"waiting"`
}

// Explain makes the explanation of r as far as the policies' decision and the ledger
// tell it.
func Explain(r *Request, d *Decision, entries []Entry) Explanation {
	e := Explanation{
		Schema: SchemaExplanation, Subsystem: r.Subsystem, Action: r.Action, Key: Shown(r.Key), Host: Shown(r.Host), Tenant: Shown(r.Tenant),
		Attempt: r.Attempt, Dry: r.Dry != nil, At: time.Unix(0, r.Now).UTC(), Decision: decided(d),
		Policy: d.Policy, Where: d.Where, Limiter: d.Limit.Name, Reason: d.Reason, Ledger: []Taken{},
	}
	for i := range entries {
		if i == maxExplained {
			e.More += len(entries) - i
			break
		}
		e.Ledger = append(e.Ledger, taken(&entries[i]))
	}
	if d.Action == ActionDeny {
		e.deny(r.Now, d, entries)
		return e
	}
	var longest *Entry
	wait := time.Duration(0)
	if d.Action == ActionDelay || d.Action == ActionRetry {
		wait = d.Delay
	}
	for i := range entries {
		if t := &entries[i]; t.OK && t.Wait > wait {
			wait, longest = t.Wait, t
		}
	}
	if longest != nil {
		e.Policy, e.Where, e.Limiter = longest.Policy, longest.Where, longest.Limiter
	}
	if e.Policy != "" {
		e.DecidedBy = "policy"
	} else if longest != nil {
		e.DecidedBy = "limit"
	}
	e.Waits(r.Now, wait)
	return e
}

// deny fills in a denial of a policy.
func (e *Explanation) deny(now int64, d *Decision, entries []Entry) {
	e.Verdict, e.DecidedBy = VerdictDeny, "policy"
	after := d.RetryAfter
	for i := len(entries) - 1; i >= 0; i-- {
		t := &entries[i]
		if t.OK || e.Limiter != "" && t.Limiter != e.Limiter {
			continue
		}
		if e.Limiter == "" {
			e.Limiter = t.Limiter
		}
		if e.Where == "" {
			e.Where = t.Where
		}
		if after == 0 && t.Wait < MaxDelay {
			after = t.Wait
		}
		break
	}
	e.PassesIn(now, after)
}

// Waits says that it goes after a wait from now; 0 at once.
func (e *Explanation) Waits(now int64, wait time.Duration) {
	e.Verdict, e.WaitMS = VerdictGo, millis(wait)
	if wait > 0 {
		e.Verdict = VerdictWait
	}
	at := time.Unix(0, now+int64(min(wait, MaxDelay))).UTC()
	e.WouldPass = &at
}

// PassesIn says when the same would pass; 0: nobody knows.
func (e *Explanation) PassesIn(now int64, after time.Duration) {
	e.WouldPass = nil
	if after > 0 {
		at := time.Unix(0, now+int64(min(after, MaxDelay))).UTC()
		e.WouldPass = &at
	}
}

// Consider adds an upstream.
func (e *Explanation) Consider(name, why string) {
	if len(e.Upstreams) >= maxExplained {
		e.More++
		return
	}
	e.Upstreams = append(e.Upstreams, Considered{Shown(name), why})
}

// Trim leaves out the end of the lists until at most n entries of each are left, for
// a carrier with little room.
func (e *Explanation) Trim(n int) {
	if len(e.Ledger) > n {
		e.More += len(e.Ledger) - n
		e.Ledger = e.Ledger[:n]
	}
	if len(e.Upstreams) > n {
		e.More += len(e.Upstreams) - n
		e.Upstreams = e.Upstreams[:n]
	}
	e.Faults = e.Faults[:min(len(e.Faults), n)]
}

func decided(d *Decision) Decided {
	o := Decided{Action: d.Action.String(), Status: d.Status, RetryAfterMS: millis(d.RetryAfter), DelayMS: millis(d.Delay), Key: Shown(d.Key),
		Upstream: Shown(d.Upstream), TimeoutMS: millis(d.Timeout), Reason: d.Reason}
	if d.Action == ActionDeny && o.Status == 0 {
		o.Status = 429
	}
	if d.HasCost {
		cost := d.Cost
		o.Cost = &cost
	}
	if d.HasPriority {
		priority := d.Priority
		o.Priority = &priority
	}
	for _, h := range d.Headers {
		o.Headers = append(o.Headers, h.Name)
	}
	return o
}

func taken(t *Entry) Taken {
	o := Taken{Limiter: t.Limiter, Policy: t.Policy, Where: t.Where, Key: Shown(t.Key), Cost: t.Cost, OK: t.OK,
		WaitMS: millis(t.Wait), Limit: t.Limit, Remaining: t.Remaining, ResetMS: millis(t.Reset), Place: t.InLine}
	if t.Wait > 100*365*24*time.Hour { // a wait that never ends
		o.WaitMS = -1
	}
	return o
}

// millis are milliseconds with their microseconds.
func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Shown is a text that others chose, such as a key, as answers show it: itself, or
// where it is longer than 256 bytes or no text its beginning and a hash, so that two
// never look alike.
func Shown(text string) string {
	if len(text) <= maxExplainedKey && utf8.ValidString(text) {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return strings.ToValidUTF8(text[:min(len(text), maxExplainedKey)], "\uFFFD") + "...#" + hex.EncodeToString(sum[:8])
}
