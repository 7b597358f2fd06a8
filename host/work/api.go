package work

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/route"
	"github.com/gaia-host/gaia/subsystems/api"
)

// APIConfig is what the actions of the API subsystem need. The zero APIConfig
// declares them.
type APIConfig struct {
	Pool *api.Pool
	// Profile is the pool's profile for targets that the caller names. Its dialer
	// is where addresses are refused.
	Profile string
	// Route finds a route's upstreams; those are the operator's own.
	Route func(name string) *route.Group
	// Refused says why a target was refused, "" where err is something else.
	Refused func(err error) string
}

const (
	maxRedirects    = 10
	maxJSONAnswer   = 16 << 20 // of an answer that is told as JSON
	schemaAPIAnswer = "gaia.api.answer/v1"
)

// requestInput is the input of `api request`.
type requestInput struct {
	URL       string            `json:"url" arg:"yes" need:"yes" doc:"where to; with route, what follows the upstream's base"`
	Method    string            `json:"method" doc:"GET unless told, POST with a body"`
	Headers   map[string]string `json:"headers" doc:"fields of the request"`
	Body      string            `json:"body" doc:"body of the request"`
	Route     string            `json:"route" doc:"a route of the configuration, with its upstreams and credentials"`
	Key       string            `json:"key" doc:"what limits count on; the route's name or the host unless told"`
	Redirects *int              `json:"redirects" doc:"how many redirects to follow, at most and by default 10"`
	Max       Size              `json:"max_bytes" doc:"largest body of the answer"`
	As        string            `json:"as" one:"body json" doc:"body: the answer's bytes as they come; json: status, fields and body"`
}

// requestAnswer is the answer where it is told as JSON.
type requestAnswer struct {
	Schema   string              `json:"schema"`
	Status   int                 `json:"status"`
	URL      string              `json:"url"`
	Headers  map[string][]string `json:"headers"`
	Body     string              `json:"body,omitempty"`
	Base64   string              `json:"body_base64,omitempty"` // instead of body, where it is not UTF-8
	Attempts int                 `json:"attempts"`
	WaitedMS float64             `json:"waited_ms"`
	Upstream string              `json:"upstream,omitempty"`
}

// API declares what can be asked of the API subsystem.
func API(c APIConfig) Subsystem {
	return Subsystem{
		Name: policy.SubsystemAPI, Doc: "requests to other people's APIs",
		Actions: []Action{
			Bytes("request", "send an HTTP request when the policies let it go, and give the answer", c.request).TakingBytes().Asking(),
		},
		Explain: c.explain,
	}
}

func (c APIConfig) explain(err error) *Error {
	if c.Refused != nil {
		if why := c.Refused(err); why != "" {
			return &Error{Code: CodeRefused, Title: "the target is refused", Detail: why, Hint: "name it as a route, or allow it in network.allow_ranges", Err: err}
		}
	}
	var e *api.Error
	if !errors.As(err, &e) {
		return nil
	}
	out := &Error{Code: CodeFailed, Title: "the upstream failed", Detail: e.Error(), Err: err}
	switch e.Kind {
	case policy.ErrorTimeout:
		out.Code, out.Title = CodeTimeout, "the upstream is late"
	case policy.ErrorTooLarge:
		out.Code, out.Status, out.Title = CodeTooLarge, http.StatusBadGateway, "the answer is too large"
	case policy.ErrorCanceled:
		out.Code, out.Title = CodeCanceled, ""
	case policy.ErrorRefused:
		out.Title = "the upstream cannot be reached"
	}
	return out
}

// request sends one request and follows redirects: each is a request of its own,
// with its own admission and its own check of the target.
func (c APIConfig) request(ctx context.Context, call *Call, in *requestInput, out *Out) error {
	q, e := c.prepare(call, in)
	if e != nil {
		return e
	}
	left := maxRedirects
	if in.Redirects != nil {
		left = min(max(*in.Redirects, 0), maxRedirects)
	}
	for {
		res, err := c.Pool.Do(ctx, q)
		call.Held(&q.Result)
		if err != nil {
			return err
		}
		next := redirect(q, res)
		if next == nil || in.Redirects != nil && *in.Redirects == 0 {
			return c.deliver(q, res, in, out)
		}
		_, _ = io.CopyN(io.Discard, res.Body, 64<<10) // so that the connection can be used again
		_ = res.Body.Close()
		if left--; left < 0 {
			return Errorf(CodeFailed, "more than %d redirects", maxRedirects)
		}
		q = next
	}
}

// prepare makes the call.
func (c APIConfig) prepare(call *Call, in *requestInput) (*api.Call, *Error) {
	target, err := url.Parse(in.URL)
	if err != nil {
		return nil, BadInput("url", "it cannot be read")
	}
	q := &api.Call{Profile: c.Profile, Key: in.Key, Method: strings.ToUpper(in.Method), URL: target, Header: http.Header{},
		Tenant: call.Tenant, Priority: call.Priority, HasPriority: call.HasPriority, Cost: call.Cost, Timeout: call.Timeout, MaxResponseBody: int64(in.Max)}
	if in.Route != "" {
		if q.Group = c.Route(in.Route); q.Group == nil {
			return nil, Errorf(CodeNotFound, "there is no route %.64q", in.Route)
		}
		q.Profile = ""
		if q.Key == "" {
			q.Key = in.Route
		}
		if target.Host != "" || target.Scheme != "" {
			return nil, BadInput("url", "with a route it is a path such as /v1/models")
		}
	} else if target.Scheme != "http" && target.Scheme != "https" || target.Host == "" {
		return nil, BadInput("url", "want an absolute http or https URL, or a route")
	} else if u := target.User; u != nil {
		password, _ := u.Password()
		q.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)))
		target.User = nil
	}
	for name, value := range in.Headers {
		q.Header.Set(name, value)
	}
	if call.IdempotencyKey != "" && q.Header.Get("Idempotency-Key") == "" {
		q.Header.Set("Idempotency-Key", call.IdempotencyKey)
	}
	switch {
	case call.Body != nil && in.Body != "":
		return nil, BadInput("body", "given twice: in the input and as bytes")
	case call.Body != nil:
		q.Body, q.ContentLength = call.Body, call.Size
	case in.Body != "":
		q.Body, q.ContentLength = strings.NewReader(in.Body), int64(len(in.Body))
		q.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(in.Body)), nil }
	}
	if q.Method == "" && q.Body != nil {
		q.Method = http.MethodPost
	}
	return q, nil
}

// redirect is the call that an answer leads to, nil where it leads nowhere or cannot
// be followed.
func redirect(q *api.Call, res *http.Response) *api.Call {
	where := res.Header.Get("Location")
	if where == "" || q.Group != nil {
		return nil
	}
	target, err := q.URL.Parse(where)
	if err != nil || target.Scheme != "http" && target.Scheme != "https" || target.Host == "" {
		return nil
	}
	next := *q
	next.URL, next.Header = target, q.Header.Clone()
	if next.Key == route.Host(q.URL) {
		next.Key = ""
	}
	switch res.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther:
		if q.Method != http.MethodHead {
			next.Method = http.MethodGet
		}
		next.Body, next.GetBody, next.ContentLength = nil, nil, 0
		for _, name := range []string{"Content-Type", "Content-Encoding", "Content-Language", "Idempotency-Key"} {
			next.Header.Del(name)
		}
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		if q.Body != nil {
			if q.GetBody == nil {
				return nil
			}
			body, err := q.GetBody()
			if err != nil {
				return nil
			}
			next.Body = body
		}
	default:
		return nil
	}
	if target.Scheme != q.URL.Scheme || target.Host != q.URL.Host {
		for _, name := range []string{"Authorization", "Cookie", "Cookie2", "Proxy-Authorization", "Www-Authenticate"} {
			next.Header.Del(name) // they are for who they were given to
		}
	}
	return &next
}

// deliver passes the answer on.
func (c APIConfig) deliver(q *api.Call, res *http.Response, in *requestInput, out *Out) error {
	defer res.Body.Close()
	shown := *q.URL
	shown.User = nil
	if in.As == "json" {
		return deliverJSON(q, res, shown.String(), out)
	}
	fields, err := json.Marshal(res.Header)
	if err != nil {
		return err
	}
	h := out.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Gaia-Upstream-Status", res.Status)
	h.Set("Gaia-Upstream-Headers", string(fields))
	if q.Group == nil {
		h.Set("Gaia-Upstream-Url", shown.String())
	}
	if kind := res.Header.Get("Content-Type"); kind != "" {
		h.Set("Content-Type", kind)
	}
	if n := res.Header.Get("Content-Length"); n != "" && res.ContentLength >= 0 && q.Method != http.MethodHead {
		h.Set("Content-Length", n)
	}
	if err := out.Start(); err != nil {
		return err
	}
	_, err = out.Copy(res.Body)
	return err
}

func deliverJSON(q *api.Call, res *http.Response, shown string, out *Out) error {
	body, err := io.ReadAll(io.LimitReader(res.Body, maxJSONAnswer+1))
	if err != nil {
		return err
	}
	if len(body) > maxJSONAnswer {
		return &Error{Code: CodeTooLarge, Status: http.StatusBadGateway, Title: "the answer is too large to be told as JSON", Hint: `leave out "as"`}
	}
	a := requestAnswer{Schema: schemaAPIAnswer, Status: res.StatusCode, URL: shown, Headers: res.Header, Attempts: q.Result.Attempts,
		WaitedMS: float64(q.Result.Waited.Microseconds()) / 1000, Upstream: q.Result.Upstream}
	if utf8.Valid(body) {
		a.Body = string(body)
	} else {
		a.Base64 = base64.StdEncoding.EncodeToString(body)
	}
	out.Header().Set("Content-Type", "application/json")
	return out.Line(a)
}
