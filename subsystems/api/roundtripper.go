package api

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/gaia-host/gaia/subsystems/admission"
)

// RoundTripperOptions say how requests of an http.Client become calls. The zero
// value counts on the host and returns denials as errors.
type RoundTripperOptions struct {
	// Key gives what limits count on; nil or "": the host.
	Key func(*http.Request) string
	// Tenant gives the tenant; nil: none.
	Tenant func(*http.Request) string
	// Synthesize turns a denial into an answer with its status, Retry-After and a
	// problem+json body, instead of an *admission.DeniedError.
	Synthesize bool
	Profile    string
}

// RoundTripper returns the pool as the transport of an http.Client. It is safe for
// concurrent use.
func (p *Pool) RoundTripper(o RoundTripperOptions) http.RoundTripper { return &roundTripper{p, o} }

type roundTripper struct {
	pool *Pool
	o    RoundTripperOptions
}

// RoundTrip sends one request under policy.
func (t *roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	c := Call{
		Profile: t.o.Profile, Method: r.Method, URL: r.URL, Header: r.Header, Trailer: r.Trailer,
		ContentLength: r.ContentLength, GetBody: r.GetBody,
	}
	if r.Body != nil && r.Body != http.NoBody {
		c.Body = r.Body
		if c.ContentLength == 0 {
			c.ContentLength = -1 // of a client's request 0 means unknown
		}
	}
	if t.o.Key != nil {
		c.Key = t.o.Key(r)
	}
	if t.o.Tenant != nil {
		c.Tenant = t.o.Tenant(r)
	}
	res, err := t.pool.Do(r.Context(), &c)
	if d := IsDenied(err); d != nil && t.o.Synthesize {
		res, err = synthesize(&d.Denial), nil
	}
	if err != nil {
		return nil, err
	}
	res.Request = r
	return res, nil
}

// synthesize makes the answer of a denial.
func synthesize(d *admission.Denial) *http.Response {
	body, err := json.Marshal(map[string]any{
		"type": "about:blank", "title": http.StatusText(d.Status), "status": d.Status, "detail": d.Reason,
		"kind": d.Kind.String(), "policy": d.Policy, "generation": d.Generation, "limiter": d.Limit.Name,
	})
	if err != nil {
		body = []byte("{}")
	}
	h := http.Header{"Content-Type": {"application/problem+json"}}
	if d.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((d.RetryAfter+time.Second-1)/time.Second), 10))
	}
	return &http.Response{
		Status: strconv.Itoa(d.Status) + " " + http.StatusText(d.Status), StatusCode: d.Status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h,
		ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
	}
}
