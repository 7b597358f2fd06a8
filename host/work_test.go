package host

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/work"
)

// ask sends an input to the work API over the socket and returns status, fields and
// body.
func (th *testHost) ask(action string, in any, head ...string) (int, http.Header, string) {
	th.t.Helper()
	data, err := json.Marshal(in)
	if err != nil {
		th.t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, "http://gaia/v1/"+action, strings.NewReader(string(data)))
	if err != nil {
		th.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(head); i += 2 {
		req.Header.Set(head[i], head[i+1])
	}
	res, err := socketClient(th).Do(req)
	if err != nil {
		th.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		th.t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(body)
}

// jump is an upstream that redirects: /CODE/to?URL.
func jump(t *testing.T, seen func(r *http.Request, body string)) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen(r, string(body))
		var code int
		if n, _ := fmt.Sscanf(r.URL.Path, "/%d/to", &code); n == 1 {
			w.Header().Set("Location", r.URL.RawQuery)
			w.WriteHeader(code)
			return
		}
		fmt.Fprintf(w, "%s %s", r.Method, body)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestRedirectsAreRequestsOfTheirOwn(t *testing.T) {
	var last *http.Request
	here := jump(t, func(r *http.Request, _ string) { last = r })
	there := jump(t, func(r *http.Request, _ string) { last = r })
	th := run(t, map[string]string{"p.js": `
import { deny } from "gaia";
export function onRequest(req) { if (req.path === "/forbidden") return deny(403, { reason: "not there" }); }`}, "network.allow_ranges=[127.0.0.1]")
	secret := map[string]string{"Authorization": "Bearer s", "Content-Type": "text/plain", "X-Kept": "1"}
	for _, tt := range []struct {
		in     map[string]any
		status int
		want   string
		fields string // of the last request: those of Authorization, Content-Type, X-Kept that came
	}{
		{map[string]any{"url": here + "/302/to?" + here + "/end", "body": "b", "headers": secret}, 200, "GET ", "Authorization X-Kept"},
		{map[string]any{"url": here + "/303/to?/end", "method": "put", "body": "b", "headers": secret}, 200, "GET ", "Authorization X-Kept"},
		{map[string]any{"url": here + "/307/to?" + here + "/end", "body": "b", "headers": secret}, 200, "POST b", "Authorization Content-Type X-Kept"},
		{map[string]any{"url": here + "/308/to?" + there + "/end", "body": "b", "headers": secret}, 200, "POST b", "Content-Type X-Kept"},
		{map[string]any{"url": here + "/302/to?" + here + "/forbidden"}, 403, "not there", ""},
		{map[string]any{"url": here + "/302/to?" + here + "/302/to%3F/302/to", "redirects": 0}, 200, "", ""},
		{map[string]any{"url": here + "/302/to?ftp://127.0.0.1/"}, 200, "", ""},
		{map[string]any{"url": here + "/302/to?http://192.168.1.1/"}, 403, "urn:gaia:problem:refused", ""},
		{map[string]any{"url": "http://192.168.1.1/"}, 403, "urn:gaia:problem:refused", ""},
		{map[string]any{"url": "http://10.0.0.1.nip.invalid/"}, 502, "cannot be reached", ""},
	} {
		code, h, body := th.ask("api/request", tt.in)
		if code != tt.status || !strings.Contains(body, tt.want) {
			t.Errorf("%v: %d %v %s, want %d with %s", tt.in["url"], code, h, body, tt.status, tt.want)
			continue
		}
		var came []string
		for _, name := range []string{"Authorization", "Content-Type", "X-Kept"} {
			if tt.fields != "" && last.Header.Get(name) != "" {
				came = append(came, name)
			}
		}
		if got := strings.Join(came, " "); got != tt.fields {
			t.Errorf("%v: fields %q, want %q", tt.in["url"], got, tt.fields)
		}
	}
	n := 0
	loop := jump(t, func(*http.Request, string) { n++ })
	if code, _, body := th.ask("api/request", map[string]any{"url": loop + "/302/to?" + loop + "/302/to"}); code != 200 || n != 2 {
		t.Errorf("a redirect to nowhere: %d %s after %d", code, body, n)
	}
	n = 0
	round := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { n++; http.Redirect(w, r, "/", http.StatusFound) }))
	defer round.Close()
	if code, _, body := th.ask("api/request", map[string]any{"url": round.URL}); code != 502 || n != 11 || !strings.Contains(body, "redirects") {
		t.Errorf("a round of redirects: %d %s after %d requests", code, body, n)
	}
}

// A request that is asked for again with its key is not sent again, and the upstream
// sees the key.
func TestIdempotencyKeyReachesTheUpstreamOnce(t *testing.T) {
	n, key := 0, ""
	up := jump(t, func(r *http.Request, _ string) { n++; key = r.Header.Get("Idempotency-Key") })
	th := run(t, nil, "network.allow_ranges=[127.0.0.1]")
	in := map[string]any{"url": up, "body": "pay"}
	_, _, one := th.ask("api/request", in, "Idempotency-Key", "k1")
	_, h, two := th.ask("api/request", in, "Idempotency-Key", "k1")
	if one != "POST pay" || one != two || n != 1 || key != "k1" || h.Get("Gaia-Upstream-Status") != "200 OK" {
		t.Errorf("%q then %q, sent %d times with key %q, %v", one, two, n, key, h)
	}
}

// Asking the control plane is no work: nothing is counted but the operation itself.
func TestControlTrafficIsNotWork(t *testing.T) {
	th := run(t, nil, "network.allow_ranges=[127.0.0.1]")
	for range 5 {
		overSocket(t, th, "/v1/status")
		overSocket(t, th, "/v1/api")
		th.ask("api/nothing", nil)
		th.ask("api/request", map[string]any{"url": "nonsense"})
	}
	if s := th.API().Stats(); s.Requests != 0 {
		t.Errorf("%d requests were counted", s.Requests)
	}
	th.ask("api/request", map[string]any{"url": plainUpstream(t)})
	if s := th.API().Stats(); s.Requests != 1 || s.Succeeded != 1 {
		t.Errorf("one request: %+v", s)
	}
}

// Every action that can be asked for is declared for the command line too, and says
// what it does.
func TestCatalogIsWhatTheHostServes(t *testing.T) {
	th := run(t, nil)
	var served []work.Subsystem
	for _, name := range policy.Subsystems() {
		if p := th.part(name); p != nil {
			served = append(served, p.actions)
		}
	}
	catalog := map[string]work.Subsystem{}
	for _, sub := range work.Catalog() {
		catalog[sub.Name] = sub
	}
	if len(catalog) != len(served) {
		t.Errorf("the host serves %d subsystems, the catalog has %d", len(served), len(catalog))
	}
	for _, sub := range served {
		if len(sub.Actions) != len(catalog[sub.Name].Actions) {
			t.Errorf("%s: %d actions are served, %d are declared", sub.Name, len(sub.Actions), len(catalog[sub.Name].Actions))
		}
		for _, a := range sub.Actions {
			if a.Doc == "" || strings.HasSuffix(a.Doc, ".") {
				t.Errorf("%s %s: %q does not say what it does", sub.Name, a.Name, a.Doc)
			}
			for _, f := range a.Fields() {
				if f.Doc == "" && len(f.OneOf) == 0 {
					t.Errorf("%s %s: the field %s says nothing", sub.Name, a.Name, f.Name)
				}
			}
		}
	}
}
