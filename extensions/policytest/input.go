package policytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"sort"
	"strings"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
)

// Input is what a hook is asked, as written in JSON. Times are milliseconds, or
// texts such as "2s".
type Input struct {
	Request   policy.Request
	Response  policy.Response
	Upstreams []policy.Upstream
}

// values is a set of header fields or body scalars; names of fields are folded.
type values struct {
	fold bool
	m    map[string]string
}

// Lookup implements policy.Lookup.
func (v values) Lookup(name string) (string, bool) {
	if v.fold {
		name = strings.ToLower(name)
	}
	s, ok := v.m[name]
	return s, ok
}

func newValues(fold bool, in map[string]any) policy.Lookup {
	if in == nil {
		return nil
	}
	m := make(map[string]string, len(in))
	for name, v := range in {
		if fold {
			name = strings.ToLower(name)
		}
		switch v := v.(type) {
		case string:
			m[name] = v
		case nil:
		default:
			text, err := json.Marshal(v)
			if err == nil {
				m[name] = string(text)
			}
		}
	}
	return values{fold, m}
}

// fields reads one JSON object and collects what is wrong with it.
type fields struct {
	at     string
	m      map[string]any
	faults []string
}

func (f *fields) bad(name, format string, args ...any) {
	f.faults = append(f.faults, f.at+name+": "+fmt.Sprintf(format, args...))
}

func (f *fields) take(name string) (any, bool) {
	v, ok := f.m[name]
	delete(f.m, name)
	return v, ok
}

func (f *fields) text(name string, dst *string) {
	if v, ok := f.take(name); ok {
		s, isText := v.(string)
		if !isText {
			f.bad(name, "want a text, got %v", v)
		}
		*dst = s
	}
}

func (f *fields) number(name string, dst *float64) {
	if v, ok := f.take(name); ok {
		n, isNumber := v.(float64)
		if !isNumber {
			f.bad(name, "want a number, got %v", v)
		}
		*dst = n
	}
}

func (f *fields) whole(name string, dst *int64) {
	n := float64(*dst)
	f.number(name, &n)
	if n != float64(int64(n)) {
		f.bad(name, "want a whole number, got %v", n)
	}
	*dst = int64(n)
}

func (f *fields) small(name string, dst *int) {
	n := int64(*dst)
	f.whole(name, &n)
	*dst = int(n)
}

func (f *fields) duration(name string, dst *time.Duration) {
	if v, ok := f.take(name); ok {
		d, err := policy.ParseDuration(v)
		if err != nil {
			f.bad(name, "%v", err)
		}
		*dst = d
	}
}

func (f *fields) object(name string) map[string]any {
	v, ok := f.take(name)
	if !ok {
		return nil
	}
	m, isObject := v.(map[string]any)
	if !isObject {
		f.bad(name, "want an object, got %v", v)
	}
	return m
}

// rest reports what nobody asked for.
func (f *fields) rest(known string) {
	names := make([]string, 0, len(f.m))
	for name := range f.m {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		f.bad(name, "unknown field (want %s)", known)
	}
}

// ParseInput reads {"request": {...}, "response": {...}, "upstreams": [...]}, or the
// fields of a request alone. What is left out is a plain GET at now. All faults are
// named in one error.
func ParseInput(data []byte, now int64) (*Input, error) {
	top := map[string]any{}
	if len(bytes.TrimSpace(data)) > 0 {
		dec := json.NewDecoder(bytes.NewReader(data))
		if err := dec.Decode(&top); err != nil {
			return nil, fmt.Errorf("input: want a JSON object: %w", err)
		}
		if _, err := dec.Token(); err != io.EOF {
			return nil, fmt.Errorf("input: there is more after the JSON object")
		}
	}
	f := &fields{m: top}
	req, res := f.object("request"), f.object("response")
	list, hasList := f.take("upstreams")
	if req == nil {
		req = f.m
	} else {
		f.rest("request, response, upstreams")
	}
	in := &Input{}
	f.faults = append(f.faults, in.parseRequest(req, now)...)
	f.faults = append(f.faults, in.parseResponse(res)...)
	if hasList {
		f.faults = append(f.faults, in.parseUpstreams(list)...)
	}
	if len(f.faults) > 0 {
		return nil, fmt.Errorf("input: %s", strings.Join(f.faults, "; "))
	}
	return in, nil
}

func (in *Input) parseRequest(m map[string]any, now int64) []string {
	r := &in.Request
	*r = policy.Request{Subsystem: policy.SubsystemAPI, Action: "request", Method: "GET", Path: "/", Priority: policy.DefaultPriority, Attempt: 1, Cost: 1, Size: -1, Now: now}
	f := &fields{m: m}
	f.text("url", &r.URL)
	if u, err := url.Parse(r.URL); err == nil && u.Host != "" {
		r.Host, r.Path = strings.ToLower(u.Host), u.Path
	}
	for name, dst := range map[string]*string{"subsystem": &r.Subsystem, "action": &r.Action, "method": &r.Method, "host": &r.Host, "path": &r.Path, "key": &r.Key, "tenant": &r.Tenant} {
		f.text(name, dst)
	}
	if r.Key == "" {
		r.Key = r.Host
	}
	if r.URL == "" && r.Host != "" {
		r.URL = "https://" + r.Host + r.Path
	}
	f.small("priority", &r.Priority)
	f.small("attempt", &r.Attempt)
	f.whole("cost", &r.Cost)
	f.whole("size", &r.Size)
	f.clock("now", &r.Now)
	f.clock("deadline", &r.Deadline)
	r.Header, r.Body = newValues(true, f.object("headers")), newValues(false, f.object("body"))
	if stats := f.object("stats"); stats != nil {
		s := &fields{at: "stats.", m: stats}
		s.whole("in_flight", &r.Stats.InFlight)
		s.whole("queued", &r.Stats.Queued)
		s.number("rate", &r.Stats.Rate)
		s.number("error_rate", &r.Stats.ErrorRate)
		s.duration("p50", &r.Stats.P50)
		s.duration("p95", &r.Stats.P95)
		s.rest("in_flight, queued, rate, error_rate, p50, p95")
		f.faults = append(f.faults, s.faults...)
	}
	f.rest("url, subsystem, action, method, host, path, key, tenant, priority, attempt, cost, size, now, deadline, headers, body, stats")
	return f.faults
}

// clock reads milliseconds since the epoch.
func (f *fields) clock(name string, dst *int64) {
	ms := float64(*dst) / 1e6
	_, told := f.m[name]
	f.number(name, &ms)
	switch {
	case !told:
	case ms < 0 || ms > 8.64e15/1e3:
		f.bad(name, "want milliseconds since 1970, got %v", ms)
	default:
		*dst = int64(ms * 1e6)
	}
}

func (in *Input) parseResponse(m map[string]any) []string {
	r := &in.Response
	*r = policy.Response{Status: 200, Bytes: -1, Sent: in.Request.Now}
	if m == nil {
		return nil
	}
	f := &fields{at: "response.", m: m}
	f.small("status", &r.Status)
	f.text("error", &r.Error)
	f.text("upstream", &r.Upstream)
	f.duration("duration", &r.Duration)
	f.duration("retry_after", &r.RetryAfter)
	f.whole("bytes", &r.Bytes)
	r.Header, r.Body = newValues(true, f.object("headers")), newValues(false, f.object("body"))
	f.rest("status, error, upstream, duration, retry_after, bytes, headers, body")
	return f.faults
}

func (in *Input) parseUpstreams(v any) []string {
	list, ok := v.([]any)
	if !ok {
		return []string{fmt.Sprintf("upstreams: want a list, got %v", v)}
	}
	var faults []string
	for i, e := range list {
		u := policy.Upstream{Weight: 1, Healthy: true, Remaining: -1}
		switch e := e.(type) {
		case string:
			u.Name = e
		case map[string]any:
			f := &fields{at: fmt.Sprintf("upstreams[%d].", i), m: e}
			f.text("name", &u.Name)
			f.text("host", &u.Host)
			f.small("weight", &u.Weight)
			f.whole("in_flight", &u.InFlight)
			f.number("error_rate", &u.ErrorRate)
			f.duration("p50", &u.P50)
			f.duration("p95", &u.P95)
			f.whole("remaining", &u.Remaining)
			if h, ok := f.take("healthy"); ok {
				u.Healthy = h == true
			}
			f.rest("name, host, weight, healthy, in_flight, error_rate, p50, p95, remaining")
			faults = append(faults, f.faults...)
		default:
			faults = append(faults, fmt.Sprintf("upstreams[%d]: want a name or an object, got %v", i, e))
		}
		in.Upstreams = append(in.Upstreams, u)
	}
	return faults
}
