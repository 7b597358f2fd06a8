package api

import (
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/route"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// Call is one request to send. The caller fills it in and may use the Call again
// once Do has returned; what Header, Trailer and Body refer to belongs to the
// exchange until the answer's body has ended. Do changes nothing but Result and Held.
type Call struct {
	// Key is what limits count on: the route's name. "" is the target's host.
	Key string
	// Group are the upstreams to choose among. nil: URL says where to.
	Group *route.Group
	// Profile names the TLS settings, "" the default ones.
	Profile string

	Method string // "" is GET
	// URL is absolute, or, with a Group, what follows the upstream's base: path and query.
	URL     *url.URL
	Header  http.Header
	Trailer http.Header // announced; filled in by the time Body ends
	// Body is read once, as far as the upstream wants it, and closed if it can be.
	Body io.Reader
	// ContentLength is the body's size, -1 unknown. It counts only with Body; an
	// empty body is nil or http.NoBody.
	ContentLength int64
	// GetBody returns the body again for a retry. nil: the body is kept as it is
	// read, up to replay_max.
	GetBody func() (io.ReadCloser, error)

	Tenant      string
	Priority    int // counts only with HasPriority
	HasPriority bool
	Cost        int64         // 0 is 1
	Timeout     time.Duration // of the operation with all its waits; 0: the pool's
	// Scalars are the JSON scalars of the body that policies asked for.
	Scalars policy.Lookup
	// MaxResponseBody replaces the pool's; 0 does not, below 0 is no bound.
	MaxResponseBody int64
	// Got1xx is told of informational answers other than 101, while Do runs, maybe on
	// another goroutine; an error ends the attempt.
	Got1xx func(code int, header textproto.MIMEHeader) error

	// Result is how it went. Do and Admit fill it in, also with an error.
	Result admission.Outcome
	// Held says after Do that something may still look at Header, Body and the
	// context when the answer has ended: whoever sends a body, and net/http's client.
	// Otherwise they are the caller's again then.
	Held bool
}

func (c *Call) hasBody() bool { return c.Body != nil && c.Body != http.NoBody }

func (c *Call) method() string {
	if c.Method == "" {
		return http.MethodGet
	}
	return c.Method
}

// idempotent says whether sending it twice does no harm (RFC 9110, 9.2.2).
func (c *Call) idempotent() bool {
	switch c.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return len(c.Header["Idempotency-Key"]) > 0 || len(c.Header["X-Idempotency-Key"]) > 0
}

// target makes t the URL of the call at an upstream's URL.
func (c *Call) target(t, up *url.URL) {
	*t = url.URL{Scheme: up.Scheme, Host: up.Host, Path: c.URL.Path, RawPath: c.URL.RawPath, RawQuery: c.URL.RawQuery, ForceQuery: c.URL.ForceQuery}
	if base := up.EscapedPath(); base != "" && base != "/" {
		t.Path, t.RawPath = joinPaths(up, c.URL)
	}
	if q := up.RawQuery; q != "" {
		t.RawQuery = strings.TrimSuffix(q+"&"+c.URL.RawQuery, "&")
	}
}

// joinPaths puts one slash between two paths, decoded and as they were written.
func joinPaths(base, rest *url.URL) (path, raw string) {
	join := func(a, b string) string {
		switch {
		case b == "":
			return a
		case strings.HasSuffix(a, "/"):
			return a + strings.TrimPrefix(b, "/")
		case strings.HasPrefix(b, "/"):
			return a + b
		}
		return a + "/" + b
	}
	path = join(base.Path, rest.Path)
	if base.RawPath != "" || rest.RawPath != "" {
		raw = join(base.EscapedPath(), rest.EscapedPath())
	}
	return path, raw
}

// describe fills the request that policies see. The URL is built only for them.
func (c *Call) describe(r *policy.Request, asked bool) {
	var up *route.Upstream
	if c.Group != nil {
		up = c.Group.Upstream(0)
	}
	r.Action, r.Method, r.Tenant, r.Body, r.Key = "request", c.method(), c.Tenant, c.Scalars, c.Key
	r.Path = c.URL.Path
	if up != nil {
		r.Host = up.Host
	} else {
		r.Host = route.Host(c.URL)
	}
	if r.Key == "" {
		r.Key = r.Host
	}
	if asked {
		t := c.URL
		if up != nil {
			t = &url.URL{}
			c.target(t, up.Public) // the URL itself may hold secrets
		}
		r.Path = t.Path
		r.URL = urlText(t)
	}
	if c.HasPriority {
		r.Priority = min(max(c.Priority, 0), policy.MaxPriority)
	}
	if c.Cost != 0 {
		r.Cost = c.Cost
	}
	r.Size = 0
	if c.hasBody() {
		r.Size = max(c.ContentLength, -1)
	}
}

// urlText is the URL without credentials and fragment.
func urlText(u *url.URL) string {
	if u.RawQuery != "" || u.ForceQuery {
		return u.Scheme + "://" + u.Host + u.EscapedPath() + "?" + u.RawQuery
	}
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}

// fieldLookup shows header fields to policies.
type fieldLookup struct{ fields http.Header }

// Lookup returns a field's values joined by ", ".
func (l *fieldLookup) Lookup(name string) (string, bool) {
	vs, ok := l.fields[name]
	if !ok {
		if canonical := textproto.CanonicalMIMEHeaderKey(name); canonical != name {
			vs, ok = l.fields[canonical]
		}
	}
	switch {
	case !ok || len(vs) == 0:
		return "", false
	case len(vs) == 1:
		return vs[0], true
	}
	return strings.Join(vs, ", "), true
}

// AnyName reports whether match holds for the name of a field; names are in the
// canonical form of net/http.
func (l *fieldLookup) AnyName(match func(name string) bool) bool {
	for name := range l.fields {
		if match(name) {
			return true
		}
	}
	return false
}
