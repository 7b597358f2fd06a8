package browser

import (
	"errors"
	"strings"
	"testing"

	"github.com/gaia-host/gaia/extensions/policy"
)

func TestConfigSaysAllItsFaults(t *testing.T) {
	c := DefaultConfig()
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	c.MaxBrowsers, c.MinBrowsers, c.MaxTabs, c.LaunchTimeout, c.MaxResult = 0, 5, 5000, 0, 0
	c.Dir, c.Proxy, c.Extensions = "profiles", "ftp://x", map[string]string{"a b": "rel"}
	err := c.Check()
	for _, want := range []string{"max_browsers", "min_browsers", "max_tabs", "launch_timeout", "max_result", "dir must", "proxy must", "not a name", "absolute path"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

func TestOnlyPagesMayBeLoaded(t *testing.T) {
	for text, ok := range map[string]bool{
		"http://a.example": true, "https://a.example/x?y#z": true, "HTTPS://A.example": true, "about:blank": true, "data:text/html,hi": true,
		"file:///etc/passwd": false, "chrome://settings": false, "javascript:alert(1)": false, "view-source:http://a.example": false,
		"about:about": false, "http://": false, "a.example": false, "": false, "ftp://a.example": false, "http://a b": false,
		"data:text/html," + strings.Repeat("x", maxURL): false, "devtools://x": false, "blob:http://a/b": false,
	} {
		if _, err := parseURL(text); (err == nil) != ok || err != nil && !errors.Is(err, ErrURL) {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

func TestWhatPoliciesSeeOfAJob(t *testing.T) {
	for to, want := range map[string][4]string{
		"https://user:secret@A.Example:443/p?q=1#f": {"a.example", "a.example", "/p", "https://A.Example:443/p?q=1"},
		"http://a.example:8080/":                    {"a.example:8080", "a.example:8080", "/", "http://a.example:8080/"},
		"data:text/html,secret":                     {"headless-shell", "", "", "data:"},
		"about:blank":                               {"headless-shell", "", "", "about:"},
	} {
		j, tab := Job{Action: PDF, URL: to, Caller: Caller{Tenant: "t", HasPriority: true, Priority: 20}}, Tab{Engine: HeadlessShell, Isolation: IsolateTab}
		var r policy.Request
		j.describe(&r, &tab)
		if got := [4]string{r.Key, r.Host, r.Path, r.URL}; got != want || r.Method != "PDF" || r.Action != "navigate" || r.Priority != policy.MaxPriority {
			t.Errorf("%s: %q %+v", to, got, r)
		}
		if v, _ := r.HeaderValue("Isolation"); v != "tab" {
			t.Errorf("isolation %q", v)
		}
	}
}

func TestJobsAreChecked(t *testing.T) {
	r := newRig(t, func(c *Config) { c.HeadlessShell, c.Chromium = "/nonexistent", "/nonexistent" })
	for name, c := range map[string]struct {
		t Tab
		j Job
	}{
		"no url":     {Tab{}, Job{}},
		"action":     {Tab{}, Job{URL: "about:blank", Action: "dance"}},
		"wait":       {Tab{}, Job{URL: "about:blank", Wait: "long"}},
		"no script":  {Tab{}, Job{URL: "about:blank", Action: Evaluate}},
		"script":     {Tab{}, Job{URL: "about:blank", Script: strings.Repeat("x", maxScript+1)}},
		"quality":    {Tab{}, Job{URL: "about:blank", Quality: 101}},
		"scale":      {Tab{Scale: 5}, Job{URL: "about:blank"}},
		"width":      {Tab{Width: maxSide + 1}, Job{URL: "about:blank"}},
		"engine":     {Tab{Engine: "gecko"}, Job{URL: "about:blank"}},
		"isolation":  {Tab{Isolation: "none"}, Job{URL: "about:blank"}},
		"extension":  {Tab{Extensions: []string{"x"}}, Job{URL: "about:blank"}},
		"page scale": {Tab{}, Job{URL: "about:blank", Print: Print{Scale: 3}}},
		"timeout":    {Tab{}, Job{URL: "about:blank", Timeout: -1}},
	} {
		if _, err := r.Do(t.Context(), c.t, c.j); !errors.Is(err, ErrJob) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := r.Open(t.Context(), Tab{}, Caller{}, 0); !errors.Is(err, ErrNotInstalled) {
		t.Error(err)
	}
	if st := r.Stats(); st.Requests != 1 || st.InFlight != 0 {
		t.Errorf("what is not a job was asked for: %+v", st.Stats)
	}
	s := r.Schema()
	if got := r.Read(nil); len(got) != s.Len() {
		t.Errorf("%d numbers for %d fields", len(got), s.Len())
	}
	if n := testing.AllocsPerRun(100, func() { _ = r.Stats() }); n != 0 {
		t.Errorf("Stats allocates %v times", n)
	}
}
