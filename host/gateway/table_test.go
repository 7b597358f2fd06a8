package gateway

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/gaia-host/gaia/extensions/route"
)

func never(string) bool { return false }

func tableOf(t testing.TB, routes ...Route) *table {
	t.Helper()
	for i := range routes {
		if routes[i].Group == nil {
			routes[i].Group = groupOf(t, "u", "http://u.example")
		}
	}
	tab, err := newTable(routes, never)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func TestFind(t *testing.T) {
	tab := tableOf(t,
		Route{Name: "root", PathPrefix: "/"},
		Route{Name: "a", PathPrefix: "/a/"},
		Route{Name: "ab", PathPrefix: "/a/b"},
		Route{Name: "host", Host: "API.example"},
		Route{Name: "host-v1", Host: "api.example", PathPrefix: "/v1/"},
		Route{Name: "port", Host: "api.example:9000", PathPrefix: "/v1/"},
		Route{Name: "part", Host: "part.example", PathPrefix: "/only/"},
	)
	for _, c := range []struct{ host, path, want string }{
		{"x", "/", "root"},
		{"x", "/ab", "root"},
		{"x", "/a", "a"},
		{"x", "/a/", "a"},
		{"x", "/a/x/b", "a"},
		{"x", "/a/b", "ab"},
		{"x", "/a/b/c", "ab"},
		{"x", "/a/bc", "a"},
		{"x", "/A/b", "root"},
		{"x", "//a/", "root"},
		{"x", "/%61/", "root"},
		{"api.example", "/a/b", "host"},
		{"Api.Example:8080", "/a/b", "host"},
		{"api.example:8080", "/v1/x", "host-v1"},
		{"api.example:9000", "/v1/x", "port"},
		{"api.example:9000", "/v2/x", "host"},
		{"part.example", "/only", "part"},
		{"part.example", "/a/b", "ab"},
		{"", "/a", "a"},
	} {
		if e := tab.find(c.host, c.path); e == nil || e.Name != c.want {
			t.Errorf("%s %s: %v, want %s", c.host, c.path, e, c.want)
		}
	}
	if e := tableOf(t, Route{Name: "a", PathPrefix: "/a/"}).find("x", "/b"); e != nil {
		t.Errorf("/b is served by %s", e.Name)
	}
}

func TestRest(t *testing.T) {
	tab := tableOf(t, Route{Name: "s", PathPrefix: "/s/", StripPrefix: true}, Route{Name: "k", PathPrefix: "/k"}, Route{Name: "all", Host: "h", StripPrefix: true})
	for _, c := range []struct{ host, path, want string }{
		{"", "/s", "/"}, {"", "/s/", "/"}, {"", "/s/a%2Fb//", "/a%2Fb//"}, {"", "/s//a", "//a"}, {"", "/k", "/k"}, {"", "/k/x", "/k/x"}, {"h", "/x", "/x"},
	} {
		if got := tab.find(c.host, c.path).rest(c.path); got != c.want {
			t.Errorf("%s: %s, want %s", c.path, got, c.want)
		}
	}
}

func TestNewTableRefuses(t *testing.T) {
	g := groupOf(t, "u", "http://u.example")
	for name, routes := range map[string][]Route{
		"no name":  {{PathPrefix: "/a/", Group: g}},
		"no group": {{Name: "a", PathPrefix: "/a/"}},
		"relative": {{Name: "a", PathPrefix: "a/", Group: g}},
		"escape":   {{Name: "a", PathPrefix: "/%zz/", Group: g}},
		"query":    {{Name: "a", PathPrefix: "/a?b/", Group: g}},
		"twice":    {{Name: "a", PathPrefix: "/a/", Group: g}, {Name: "b", PathPrefix: "/a", Group: g}},
		"host":     {{Name: "a", Host: "x", Group: g}, {Name: "b", Host: "X", PathPrefix: "/", Group: g}},
	} {
		if _, err := newTable(routes, never); !errors.Is(err, ErrRoute) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestList(t *testing.T) {
	if got := tableOf(t).list(); !strings.Contains(got, "--route") {
		t.Error(got)
	}
	if got := tableOf(t, Route{Name: "a", PathPrefix: "/a/"}, Route{Name: "h", Host: "h.example"}).list(); got != "the routes are a at /a/, h at h.example/" {
		t.Error(got)
	}
	var many []Route
	for i := range maxListed + 3 {
		many = append(many, Route{Name: "r", PathPrefix: "/" + strings.Repeat("x", i+1)})
	}
	if got := tableOf(t, many...).list(); !strings.HasSuffix(got, " and 3 more") {
		t.Error(got)
	}
}

func TestLoopsAreFound(t *testing.T) {
	self := newSelfSet("127.0.0.1:8080", nil)
	var ups []route.Upstream
	for name, text := range map[string]string{"far": "https://api.example", "near": "http://localhost:8080/x"} {
		u, _ := url.Parse(text)
		ups = append(ups, route.Upstream{Name: name, URL: u, Weight: 1})
	}
	g, err := route.NewGroup(ups, nil)
	if err != nil {
		t.Fatal(err)
	}
	tab, err := newTable([]Route{{Name: "loop", PathPrefix: "/l/", Group: g}, {Name: "far", PathPrefix: "/f/", Group: groupOf(t, "f", "http://localhost:8081")}}, self.has)
	if err != nil {
		t.Fatal(err)
	}
	if !tab.find("", "/l/").loop || tab.find("", "/f/").loop {
		t.Error("the loop was not told from what is none")
	}
}
