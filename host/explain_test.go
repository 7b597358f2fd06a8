package host

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/work"
	"github.com/gaia-host/gaia/subsystems/admission"
)

const explainPolicy = `
import { delay, deny, limiter, route } from "gaia";
const pace = limiter.tokenBucket("pace", { rate: 1, per: "1h", burst: 2 });
const slow = limiter.tokenBucket("slow", { rate: 1, burst: 1, maxWait: "1h" });
export function onRequest(req) {
  switch (req.path) {
    case "/slow": return slow.admit("s");
    case "/deny": return deny(403, { reason: "not there" });
    case "/named": return route("b");
    case "/nowhere": return route("nobody");
    case "/throws": throw new Error("boom");
    case "/delay": return delay(1500);
  }
  return pace.admit(req.tenant || req.key);
}`

// explain asks POST /v1/explain.
func (th *testHost) explain(action string, input map[string]any) (policy.Explanation, string) {
	th.t.Helper()
	sub, name, _ := strings.Cut(action, "/")
	code, _, body := th.ask("explain", map[string]any{"subsystem": sub, "action": name, "input": input})
	var x policy.Explanation
	if code != http.StatusOK {
		return x, fmt.Sprintf("%d %s", code, body)
	}
	if err := json.Unmarshal([]byte(body), &x); err != nil {
		th.t.Fatal(err, body)
	}
	return x, body
}

func TestExplainSaysWhoDecidesAndTakesNothing(t *testing.T) {
	var sent atomic.Int64
	up := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { sent.Add(1) }))
	defer up.Close()
	th := run(t, map[string]string{"p.js": explainPolicy}, "network.allow_ranges=[127.0.0.1]", "limits.api.per_key.rate=100", "limits.api.per_key.concurrency=3",
		"routes.r.upstreams.a.url="+up.URL+"/a", "routes.r.upstreams.b.url="+up.URL+"/b", "routes.r.upstreams.b.weight=0")
	at := filepath.Join(th.dir, "p.js")
	for _, tt := range []struct {
		input                      map[string]any
		verdict, by, line, limiter string
		status                     int
	}{
		{map[string]any{"url": up.URL + "/x", "tenant": "t"}, "go", "policy", at + ":14:", "p/pace", 0},
		{map[string]any{"url": up.URL + "/x", "tenant": "t", "cost": 9}, "deny", "policy", at + ":14:", "p/pace", 429},
		{map[string]any{"url": up.URL + "/slow"}, "go", "policy", at + ":7:", "p/slow", 0},
		{map[string]any{"url": up.URL + "/deny"}, "deny", "policy", at + ":8:", "", 403},
		{map[string]any{"url": up.URL + "/delay"}, "wait", "policy", at + ":12:", "", 0},
		{map[string]any{"url": up.URL + "/delay", "timeout": "1s"}, "deny", "deadline", "", "", 0},
		{map[string]any{"url": up.URL + "/throws"}, "go", "", "", "", 0},
	} {
		x, body := th.explain("api/request", tt.input)
		if x.Schema != policy.SchemaExplanation || !x.Dry || x.Generation != 1 || x.Attempt != 1 || x.Subsystem != "api" || x.Action != "request" {
			t.Errorf("%v: %s", tt.input, body)
		}
		if x.Verdict != tt.verdict || x.DecidedBy != tt.by || !strings.HasPrefix(x.Where, tt.line) || x.Limiter != tt.limiter || x.Decision.Status != tt.status {
			t.Errorf("%v: %s, want %+v", tt.input, body, tt)
		}
		if len(x.Limits) != 1 || x.Limits[0].Concurrency != 3 || x.Limits[0].Limit != 100 || x.Limits[0].Remaining != 100 {
			t.Errorf("%v: configured limits %+v", tt.input, x.Limits)
		}
	}
	if x, body := th.explain("api/request", map[string]any{"url": up.URL + "/throws"}); len(x.Faults) != 1 || !strings.Contains(x.Faults[0], "boom") || !strings.Contains(x.Faults[0], ":11:") {
		t.Errorf("a fault: %s", body)
	}
	if x, body := th.explain("api/request", map[string]any{"url": "/x", "route": "r"}); x.Key != "r" || len(x.Upstreams) != 1 || x.Upstreams[0] != (policy.Considered{Name: "a", Why: admission.WhyChosen}) {
		t.Errorf("a route: %s", body)
	}
	if x, body := th.explain("api/request", map[string]any{"url": "/../named", "route": "r"}); x.Verdict == "" {
		t.Errorf("a named upstream: %s", body)
	}
	for range 100 { // a thousand keys, and faults enough for a breaker
		th.explain("api/request", map[string]any{"url": up.URL + "/throws"})
	}
	if st := th.Status().Policies[0]; st.Calls != 0 || st.Faults != 0 || st.BreakerOpen {
		t.Errorf("explanations were counted: %+v", st)
	}
	if s := th.API().Stats(); sent.Load() != 0 || s.Requests != 0 || s.Keys != 0 || s.AllDenied() != 0 {
		t.Errorf("sent %d, counted %+v", sent.Load(), s)
	}
	for _, l := range th.natives.Limiters() {
		if l.Limit().Len() != 0 {
			t.Errorf("%s holds %d keys", l.Name(), l.Limit().Len())
		}
	}
}

// The overlay begins at the live levels.
func TestExplainStartsFromLiveLevels(t *testing.T) {
	th := run(t, map[string]string{"p.js": explainPolicy}, "network.allow_ranges=[127.0.0.1]")
	in := map[string]any{"url": plainUpstream(t), "tenant": "t"}
	for i, want := range []string{"go", "go", "deny"} {
		x, body := th.explain("api/request", in)
		if x.Verdict != want || len(x.Ledger) != 1 || x.Ledger[0].Remaining != max(1-int64(i), 0) {
			t.Errorf("before request %d: %s", i+1, body)
		}
		code, h, _ := th.ask("api/request", in, "Gaia-Explain", "1")
		var live policy.Explanation
		if err := json.Unmarshal([]byte(h.Get("Gaia-Explain")), &live); err != nil {
			t.Fatal(err, h)
		}
		if live.Dry || live.Verdict != want || (code == 429) != (want == "deny") || len(live.Ledger) != 1 || live.Ledger[0].Remaining != x.Ledger[0].Remaining || live.Where != x.Where {
			t.Errorf("request %d: %d %+v, explained before: %s", i+1, code, live, body)
		}
		if live.Verdict == "deny" && (live.WouldPass == nil || live.WouldPass.Sub(live.At) < time.Minute) {
			t.Errorf("it would pass at %v", live.WouldPass)
		}
	}
	if _, h, _ := th.ask("api/request", in); len(h.Values("Gaia-Explain")) != 0 {
		t.Errorf("nobody asked for %v", h.Values("Gaia-Explain"))
	}
	if code, _, body := th.ask("api/request", in, "Gaia-Explain", "yes"); code != 400 || !strings.Contains(body, "want 1") {
		t.Errorf("%d %s", code, body)
	}
}

// Each attempt is told of, and on the gateway the field does nothing.
func TestGaiaExplainTellsEachAttempt(t *testing.T) {
	var n atomic.Int64
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Gaia-Explain") != "" {
			t.Error("the field reached the upstream")
		}
		if n.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer up.Close()
	th := run(t, nil, "network.allow_ranges=[127.0.0.1]", "api.retry.base=1ms", "routes.r.url="+up.URL)
	_, h, body := th.ask("api/request", map[string]any{"url": up.URL}, "Gaia-Explain", "1")
	list := h.Values("Gaia-Explain")
	if len(list) != 2 || !strings.Contains(list[0], `"attempt":1`) || !strings.Contains(list[1], `"attempt":2`) {
		t.Errorf("%q %s", list, body)
	}
	if code, h, _ := th.get("/r/", "Gaia-Explain", "1"); code != 200 || h.Get("Gaia-Explain") != "" {
		t.Errorf("on the gateway: %d %v", code, h)
	}
}

// A key of a megabyte, one of control characters and one that is no text make an
// answer of some kilobytes.
func TestExplainOfHostileKeys(t *testing.T) {
	th := run(t, map[string]string{"p.js": `
import { limiter } from "gaia";
export const options = { budget: "1s" };
const pace = limiter.tokenBucket("pace", { rate: 1, per: "1h", burst: 200 });
export function onRequest(req) { for (let i = 0; i < 100; i++) pace.take(); }`}, "network.allow_ranges=[127.0.0.1]")
	for _, key := range []string{strings.Repeat("k", 1<<20), "\x1b]0;x\x07\r\nGaia-X: 1", "ключ 🔑", strings.Repeat("\x01", 200), "<script>"} {
		in := map[string]any{"url": plainUpstream(t), "key": key}
		x, body := th.explain("api/request", in)
		if len(body) > 256<<10 || x.Key != policy.Shown(key) || len(x.Ledger) != 64 || x.More != 36 {
			t.Errorf("%.20q: %d bytes, %.80q, %d entries and %d more", key, len(body), x.Key, len(x.Ledger), x.More)
		}
		code, h, body := th.ask("api/request", in, "Gaia-Explain", "1")
		field := h.Get("Gaia-Explain")
		var live policy.Explanation
		if err := json.Unmarshal([]byte(field), &live); code != 200 || err != nil || len(field) > 8<<10 || live.Key != policy.Shown(key) || live.More+len(live.Ledger) != 100 {
			t.Errorf("%.20q: %d %v: %d bytes: %.200s %.100s", key, code, err, len(field), field, body)
		}
		if strings.ContainsFunc(field, func(r rune) bool { return r < ' ' || r > '~' }) || h.Get("Gaia-X") != "" {
			t.Errorf("%.20q: %q", key, field)
		}
	}
}

func TestExplainRefuses(t *testing.T) {
	th := run(t, nil)
	for _, tt := range []struct{ body, want string }{
		{`{"subsystem":"apy","action":"request"}`, `did you mean \"api\"`},
		{`{"subsystem":"api","action":"reqest"}`, `did you mean \"request\"`},
		{`{"subsystem":"process","action":"kill","input":{"id":"x"}}`, "asks no policy"},
		{`{"subsystem":"api","action":"request"}`, "url: is missing"},
		{`{"subsystem":"api","action":"request","input":{"url":"nonsense"}}`, "want an absolute"},
		{`{"subsystem":"api","action":"request","input":{"url":"http://a","prioritty":1}}`, `did you mean \"priority\"`},
		{`{"subsystem":"api","action":"request","input":{"url":"http://a","priority":10}}`, "0 to 9"},
		{`{"sub":"api"}`, "there is no such field"},
		{`[]`, "not a JSON object"},
		{``, "not a JSON object"},
		{`{"subsystem":"api","action":"request","input":{"url":"/x","route":"nobody"}}`, "there is no route"},
	} {
		res, err := socketClient(th).Post("http://gaia/v1/explain", "application/json", strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode < 400 || !strings.Contains(string(body), tt.want) {
			t.Errorf("%s: %d %s, want %s", tt.body, res.StatusCode, body, tt.want)
		}
	}
}

// Whatever can be explained is not done by it.
func TestExplainOfEverySubsystemDoesNothing(t *testing.T) {
	root := t.TempDir()
	save(t, filepath.Join(root, "here"), "text")
	th := run(t, map[string]string{"p.js": `import { allow } from "gaia"; export function onRequest(req) { return allow({ reason: "of " + req.action }); }`},
		"files.roots.d.path="+root)
	inputs := map[string]map[string]any{
		"api/request": {"url": "http://127.0.0.1:1/"}, "network/resolve": {"host": "example.invalid"}, "network/connect": {"address": "127.0.0.1:1"},
		"process/start": {"args": []string{"touch", filepath.Join(root, "made")}}, "process/run": {"args": []string{"touch", filepath.Join(root, "made")}},
		"files/read": {"file": "d:here"}, "files/write": {"file": "d:made", "data": "x"}, "files/append": {"file": "d:here", "data": "x"},
		"files/copy": {"file": "d:here", "to": "d:made"}, "files/move": {"file": "d:here", "to": "d:made"}, "files/remove": {"file": "d:here"},
		"files/mkdir": {"file": "d:made"}, "files/stat": {"file": "d:here"}, "files/list": {"file": "d:"}, "files/walk": {"file": "d:"},
		"files/glob": {"file": "d:", "pattern": "*"}, "files/json": {"file": "d:here"}, "files/xml": {"file": "d:here"},
		"browser/screenshot": {"url": "about:blank"}, "browser/pdf": {"url": "about:blank"}, "browser/html": {"url": "about:blank"},
		"browser/evaluate": {"url": "about:blank", "script": "1"}, "browser/cookies": {"url": "about:blank"}, "browser/navigate": {"url": "about:blank"}, "browser/open": {},
	}
	for _, sub := range work.Catalog() {
		for _, a := range sub.Actions {
			if name := sub.Name + "/" + a.Name; a.Asks() {
				x, body := th.explain(name, inputs[name])
				if x.Verdict != "go" || x.Policy != "p" || !strings.HasPrefix(x.Decision.Reason, "of ") || !x.Dry {
					t.Errorf("%s %v: %s", name, inputs[name], body)
				}
			}
		}
	}
	names, err := filepath.Glob(filepath.Join(root, "[^.]*"))
	if err != nil || len(names) != 1 {
		t.Errorf("the folder holds %v, %v", names, err)
	}
	for i := range th.parts {
		if s := th.parts[i].Core().Stats(); s.Requests != 0 || s.Started != 0 || s.AllDenied() != 0 || s.InFlight != 0 {
			t.Errorf("%s counted %+v", th.parts[i].name(), s)
		}
	}
	if _, _, body := th.ask("process/list", nil); strings.Contains(body, "touch") {
		t.Error(body)
	}
}

// A concurrency that is full is told, and explanations go on under load and swaps.
func TestExplainHammer(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			close(arrived)
			<-release
		}
	}))
	defer up.Close()
	th := run(t, map[string]string{"p.js": `export function onRequest(req) {}`}, "network.allow_ranges=[127.0.0.1]", "limits.api.per_key.concurrency=1", "watch=false", "routes.r.url="+up.URL)
	held := make(chan struct{})
	go func() {
		defer close(held)
		th.ask("api/request", map[string]any{"url": up.URL + "/hold", "key": "full"})
	}()
	<-arrived
	if x, body := th.explain("api/request", map[string]any{"url": up.URL, "key": "full"}); x.Verdict != "queue" || x.Limiter != "limits.api.per_key" || x.WouldPass != nil || x.Limits[0].InFlight != 1 {
		t.Errorf("a full limit: %s", body)
	}
	close(release)
	<-held
	end := time.Now().Add(300 * time.Millisecond)
	var wg sync.WaitGroup
	loop := func(fn func(i int)) {
		wg.Go(func() {
			for i := 0; time.Now().Before(end); i++ {
				fn(i)
			}
		})
	}
	for range 3 {
		loop(func(i int) { th.explain("api/request", map[string]any{"url": up.URL, "key": fmt.Sprint(i)}) })
		loop(func(i int) {
			th.ask("api/request", map[string]any{"url": up.URL, "key": fmt.Sprint(i % 5)}, "Gaia-Explain", "1")
		})
		loop(func(int) { th.get("/r/") })
	}
	loop(func(int) {
		if _, err := th.Reload(t.Context(), true); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
}
