package browser

import (
	"net/url"
	"strings"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/route"
)

// describe fills what policies see of a job: its page's host is the key.
func (j *Job) describe(r *policy.Request, t *Tab) {
	j.Caller.describe(r)
	r.Action, r.Method, r.Size = "navigate", strings.ToUpper(string(j.Action)), 0
	r.Header = &tabFields{t}
	u, err := parseURL(j.URL)
	if err != nil || u.Host == "" {
		r.Key = string(t.Engine) // about:blank and data: have no host
		r.URL = schemeOnly(u)
		return
	}
	r.Host = route.Host(u)
	r.Key, r.Path = r.Host, u.Path
	shown := *u
	shown.User, shown.Fragment, shown.RawFragment = nil, "", ""
	r.URL = shown.String()
}

// schemeOnly keeps the text of a data URL away from policies and logs.
func schemeOnly(u *url.URL) string {
	if u == nil {
		return ""
	}
	return u.Scheme + ":"
}

// describeOpen fills what policies see of a lease: its engine is the key.
func describeOpen(r *policy.Request, c *Caller, t *Tab) {
	c.describe(r)
	r.Action, r.Key, r.Size = "open", string(t.Engine), 0
	r.Header = &tabFields{t}
}

// tabFields shows to policies, as fields of a header, what tab is wanted.
type tabFields struct{ t *Tab }

// Lookup knows engine, isolation and extensions.
func (f *tabFields) Lookup(name string) (string, bool) {
	switch strings.ToLower(name) {
	case "engine":
		return string(f.t.Engine), true
	case "isolation":
		return string(f.t.Isolation), true
	case "extensions":
		return strings.Join(f.t.Extensions, ", "), len(f.t.Extensions) > 0
	}
	return "", false
}
