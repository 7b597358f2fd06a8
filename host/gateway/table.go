package gateway

import (
	"errors"
	"fmt"
	"net/url"
	"sort"
	"strings"

	"github.com/gaia-host/gaia/extensions/route"
)

// ErrRoute is wrapped by what is wrong with a Route.
var ErrRoute = errors.New("gateway: bad route")

// Route is one reverse route.
type Route struct {
	Name string // the key that limits count on
	// Host serves the route for this Host only, "name" or "name:port"; "": any.
	Host string
	// PathPrefix begins with "/" and is matched up to the end of a segment: "/a/"
	// and "/a" both serve "/a" and "/a/b", never "/ab". "" is "/".
	PathPrefix string
	// StripPrefix takes PathPrefix off before the upstream.
	StripPrefix bool
	Group       *route.Group
}

// table finds the route of a request. It is immutable.
type table struct {
	routes []Route             // as given
	hosted map[string][]*entry // by lower-case Host, longest prefix first
	other  []*entry            // of any Host, longest prefix first
}

// entry is a route made ready for matching.
type entry struct {
	*Route
	prefix  string // with a slash at its end
	decoded int    // length of prefix without escapes
	loop    bool   // an upstream is the gateway itself
}

// newTable checks routes. self tells whether a host and port are the gateway's own.
func newTable(routes []Route, self func(hostport string) bool) (*table, error) {
	t := &table{routes: routes, hosted: map[string][]*entry{}}
	for i := range routes {
		r := &routes[i]
		e := &entry{Route: r, prefix: r.PathPrefix}
		if !strings.HasSuffix(e.prefix, "/") {
			e.prefix += "/"
		}
		plain, err := url.PathUnescape(e.prefix)
		switch {
		case r.Name == "":
			return nil, fmt.Errorf("%w: route %d has no name", ErrRoute, i)
		case r.Group == nil:
			return nil, fmt.Errorf("%w: %s has no upstreams", ErrRoute, r.Name)
		case e.prefix[0] != '/' || err != nil || strings.ContainsAny(e.prefix, "?# "):
			return nil, fmt.Errorf("%w: %s: path prefix %q must begin with / and be a path", ErrRoute, r.Name, r.PathPrefix)
		}
		e.decoded = len(plain)
		for u := range r.Group.Len() {
			e.loop = e.loop || self(authority(r.Group.Upstream(u).URL))
		}
		host := strings.ToLower(r.Host)
		list := t.hosted[host]
		for _, o := range list {
			if o.prefix == e.prefix {
				return nil, fmt.Errorf("%w: %s and %s are both served at %s", ErrRoute, o.Name, r.Name, r.where())
			}
		}
		t.hosted[host] = append(list, e)
	}
	for _, list := range t.hosted {
		sort.SliceStable(list, func(i, j int) bool { return len(list[i].prefix) > len(list[j].prefix) })
	}
	t.other = t.hosted[""]
	delete(t.hosted, "")
	return t, nil
}

// authority is the host of a URL with its port.
func authority(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	if u.Scheme == "https" || u.Scheme == "wss" {
		return u.Host + ":443"
	}
	return u.Host + ":80"
}

// find returns the route of a request by its Host and its path as it was sent, nil
// for none. A route of that Host wins over one of any, then the longest prefix.
func (t *table) find(host, path string) *entry {
	if len(t.hosted) > 0 {
		host = lower(host)
		if e := longest(t.hosted[host], path); e != nil {
			return e
		}
		if name, _ := splitPort(host); name != host {
			if e := longest(t.hosted[name], path); e != nil {
				return e
			}
		}
	}
	return longest(t.other, path)
}

func longest(list []*entry, path string) *entry {
	for _, e := range list {
		if strings.HasPrefix(path, e.prefix) || len(path) == len(e.prefix)-1 && strings.HasPrefix(e.prefix, path) {
			return e
		}
	}
	return nil
}

// rest is what goes on of a path that the route serves, always with a slash first.
func (e *entry) rest(path string) string {
	switch {
	case !e.StripPrefix:
		return path
	case len(path) < len(e.prefix):
		return "/"
	}
	return path[len(e.prefix)-1:]
}

// where says under what the route is served.
func (r *Route) where() string {
	prefix := r.PathPrefix
	if prefix == "" {
		prefix = "/"
	}
	return r.Host + prefix
}

// maxListed is how many routes an answer names.
const maxListed = 50

// list names the routes, for people.
func (t *table) list() string {
	if len(t.routes) == 0 {
		return "no routes are configured; start gaia with --route NAME=URL"
	}
	var b strings.Builder
	b.WriteString("the routes are ")
	for i := range t.routes {
		if i == maxListed {
			fmt.Fprintf(&b, " and %d more", len(t.routes)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(t.routes[i].Name + " at " + t.routes[i].where())
	}
	return b.String()
}

// lower is strings.ToLower for a text that mostly is lower case already.
func lower(s string) string {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			return strings.ToLower(s)
		}
	}
	return s
}
