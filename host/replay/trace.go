// Package replay decides recorded requests again, with a policy that was not there, at
// the times they came, and says what it would have done otherwise. Limiters and state
// start empty and live for the whole run; outcomes are those that were recorded.
package replay

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/record"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// Bounds of a trace.
const (
	maxRows = 2_000_000
	maxLine = 1 << 20
	maxTime = 4e12 // ms from 1970, some 126 years; with all that follows it stays in range
	maxLong = 1e12 // ms of a wait, an answer and so on
)

// row is one recorded attempt and where it stands.
type row struct {
	record.Line
	line int // from 1
}

// read reads a recording whole. An error names the line.
func read(r io.Reader, file string) ([]*row, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	var rows []*row
	n := 0
	for lines.Scan() {
		n++
		text := lines.Bytes()
		if len(text) == 0 {
			continue
		}
		if len(rows) == maxRows {
			return nil, fmt.Errorf("%s:%d: more than %d lines; cut the trace into pieces", file, n, maxRows)
		}
		one := &row{line: n}
		if err := json.Unmarshal(text, &one.Line); err != nil {
			return nil, fmt.Errorf("%s:%d: want a line of a recording: %w", file, n, plain(err))
		}
		if err := one.check(); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		rows = append(rows, one)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", file, n+1, err)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s has no lines", file)
	}
	return rows, nil
}

// plain says what is wrong in the words of JSON, not of Go.
func plain(err error) error {
	var t *json.UnmarshalTypeError
	switch {
	case !errors.As(err, &t):
	case t.Field == "":
		return fmt.Errorf("an object cannot be a %s", t.Value)
	default:
		return fmt.Errorf("%s cannot be a %s", t.Field, t.Value)
	}
	return err
}

func (r *row) check() error {
	if r.Schema != record.Schema {
		return fmt.Errorf("schema %.40q: want %q, as `gaia run --record` writes it", r.Schema, record.Schema)
	}
	known := false
	for _, name := range policy.Subsystems() {
		known = known || r.Subsystem == name
	}
	switch {
	case !known:
		return fmt.Errorf("subsystem %.40q: there is none of that name", r.Subsystem)
	case !within(r.Time, 0, maxTime):
		return fmt.Errorf("time %g is out of range", r.Time)
	case r.Cost < 0 || r.Cost > policy.MaxCost:
		return fmt.Errorf("cost %d: want 0 to %d", r.Cost, int64(policy.MaxCost))
	case r.Priority < 0 || r.Priority > policy.MaxPriority:
		return fmt.Errorf("priority %d: want 0 to %d", r.Priority, policy.MaxPriority)
	case r.Attempt < 1:
		return fmt.Errorf("attempt %d: want 1 or more", r.Attempt)
	case r.End != record.EndDone && r.End != record.EndDenied && r.End != record.EndCanceled:
		return fmt.Errorf("end %.40q: want done, denied or canceled", r.End)
	case r.End == record.EndDone && r.Service == nil:
		return errors.New("service is missing in an attempt that is done")
	}
	if err := r.checkUpstreams(); err != nil {
		return err
	}
	for name, v := range map[string]float64{"wait": r.Wait, "deadline": r.Deadline, "retry_after": r.RetryAfter, "said.delay": r.Said.Delay,
		"service": value(r.Service), "answered": value(r.Answered)} {
		if !within(v, -maxLong, maxLong) {
			return fmt.Errorf("%s %g is out of range", name, v)
		}
	}
	return nil
}

func (r *row) checkUpstreams() error {
	if len(r.Upstreams) > record.MaxUpstreams {
		return fmt.Errorf("upstreams: %d of them, want at most %d", len(r.Upstreams), record.MaxUpstreams)
	}
	for i, u := range r.Upstreams {
		if u.Name == "" || u.Weight < 0 || u.InFlight < 0 || !within(u.ErrorRate, 0, 1) || !within(u.P50, 0, maxLong) || !within(u.P95, 0, maxLong) {
			return fmt.Errorf("upstreams[%d]: want a name, an error_rate of 0 to 1, and no number below 0", i)
		}
	}
	return nil
}

// view is what the route hook was shown, or would have been; nil: nobody knows.
func (r *row) view() []policy.Upstream {
	var view []policy.Upstream
	for i := range r.Upstreams {
		u := &r.Upstreams[i]
		v := policy.Upstream{Name: u.Name, Host: u.Host, Weight: u.Weight, Healthy: u.Healthy, InFlight: u.InFlight,
			ErrorRate: u.ErrorRate, P50: time.Duration(ns(u.P50)), P95: time.Duration(ns(u.P95)), Remaining: -1}
		if u.Remaining != nil {
			v.Remaining = *u.Remaining
		}
		view = append(view, v)
	}
	return view
}

func within(v, low, high float64) bool { return !math.IsNaN(v) && v >= low && v <= high }

func value(p *float64) float64 {
	if p == nil {
		return 0
	}
	return *p
}

// ns is a number of milliseconds in nanoseconds.
func ns(ms float64) int64 { return int64(ms * float64(time.Millisecond)) }

func (r *row) at() int64    { return ns(r.Time) }
func (r *row) began() int64 { return r.at() + ns(r.Wait) }

// request is what the policies were asked.
func (r *row) request() policy.Request {
	q := policy.Request{
		Subsystem: r.Subsystem, Action: r.Action, Key: r.Key, Method: r.Method, URL: r.URL, Host: r.Host, Path: r.Path, Tenant: r.Tenant,
		Priority: r.Priority, Attempt: r.Attempt, Cost: r.Cost, Size: r.Size, Now: r.at(),
		Header: policy.Fields(r.Headers), Body: policy.Scalars(r.Body),
	}
	if r.Deadline != 0 {
		q.Deadline = q.Now + ns(r.Deadline)
	}
	return q
}

// response is how it was answered; done says that it is over.
func (r *row) response(done bool) *policy.Response {
	res := &policy.Response{Status: r.Status, Error: r.Error, Bytes: -1, RetryAfter: time.Duration(ns(r.RetryAfter)), Upstream: r.Upstream,
		Sent: r.began(), Header: policy.Fields(r.ResponseHeaders), Duration: time.Duration(ns(value(r.Answered)))}
	if done {
		res.Bytes, res.Duration, res.Body = r.Bytes, time.Duration(ns(value(r.Service))), policy.Scalars(r.ResponseBody)
	}
	return res
}

// said is what the policies of that time said.
func (r *row) said() admission.Said {
	return admission.Said{Deny: r.Said.Action == "deny", Delay: time.Duration(ns(r.Said.Delay)), Upstream: r.Said.Upstream}
}
