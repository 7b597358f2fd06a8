package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/control"
)

// limitsPolicy has a limiter of each kind, and a shared one.
const limitsPolicy = `
import { limiter } from "gaia";
const pace = limiter.tokenBucket("pace", { rate: 100, per: "1h", burst: 3 });
const all = limiter.tokenBucket("shared/all", { rate: 1000, per: "1h" });
limiter.concurrency("slots", { max: 7 });
export function onRequest(req) { all.take("everybody"); return pace.admit(req.header("x-key") ?? "k"); }`

// limiter finds one limiter in an answer.
func limiterIn(t *testing.T, l control.Limits, name, kind string) control.Limiter {
	t.Helper()
	i := slices.IndexFunc(l.Limiters, func(l control.Limiter) bool { return l.Name == name && l.Kind == kind })
	if i < 0 {
		t.Fatalf("no %s %s in %+v", name, kind, l.Limiters)
	}
	return l.Limiters[i]
}

func (th *testHost) limits(q control.LimitsQuery) control.Limits {
	th.t.Helper()
	l, err := th.Limits(q)
	if err != nil {
		th.t.Fatal(err)
	}
	return l
}

func TestLimitsShowsEveryLimiterInForce(t *testing.T) {
	th := run(t, map[string]string{"p.js": limitsPolicy}, "routes.api.url="+plainUpstream(t),
		"limits.api.global.rate=50", "limits.api.global.concurrency=4", "limits.network.per_key.rate=9")
	if code, _, body := th.get("/api/"); code != 200 {
		t.Fatal(code, body)
	}
	l := th.limits(control.LimitsQuery{})
	pace := limiterIn(t, l, "p/pace", "tokenBucket")
	if !slices.Equal(pace.Policies, []string{"p"}) || pace.Generation != 1 || pace.Held != 1 || pace.Altered {
		t.Errorf("%+v", pace)
	}
	if len(pace.Keys) != 1 || pace.Keys[0].Key != "k" || pace.Keys[0].Remaining != 2 || pace.Keys[0].Limit != 3 || pace.Keys[0].ResetMS <= 0 {
		t.Errorf("keys %+v", pace.Keys)
	}
	if p := fmt.Sprint(pace.Params); !strings.Contains(p, "burst:3") || !strings.Contains(p, "per:1h0m0s") || !strings.Contains(p, "rate:100") {
		t.Errorf("parameters %s", p)
	}
	if all := limiterIn(t, l, "shared/all", "tokenBucket"); len(all.Keys) != 1 || all.Keys[0].Key != "everybody" {
		t.Errorf("shared: %+v", all)
	}
	limiterIn(t, l, "p/slots", "concurrency")
	limiterIn(t, l, "limits.network.per_key", "tokenBucket")
	if g := limiterIn(t, l, "limits.api.global", "tokenBucket"); len(g.Keys) != 1 || g.Keys[0].Key != "" || g.Generation != 0 {
		t.Errorf("configured: %+v", g)
	}
	if c := limiterIn(t, l, "limits.api.global", "concurrency"); fmt.Sprint(c.Params) != "map[concurrency:4]" {
		t.Errorf("configured concurrency: %+v", c)
	}
	if some := th.limits(control.LimitsQuery{Key: "every*"}); len(some.Limiters) != 1 || some.Limiters[0].Name != "shared/all" {
		t.Errorf("filtered: %+v", some)
	}
	_, err := th.Limits(control.LimitsQuery{Limiter: "p/pase"})
	var bad *control.BadRequest
	if !errors.As(err, &bad) || !bad.Missing || !strings.Contains(bad.Hint, "p/pace") {
		t.Errorf("a misspelt name: %v", err)
	}
	if _, err := th.Limits(control.LimitsQuery{After: "nonsense"}); !errors.As(err, &bad) {
		t.Errorf("a wrong place: %v", err)
	}
}

// A thousand keys come in pages, each once and in order; whatever a key holds.
func TestLimitsPagesHostileKeys(t *testing.T) {
	th := run(t, map[string]string{"p.js": limitsPolicy})
	found, err := th.named("p/pace")
	if err != nil {
		t.Fatal(err)
	}
	pace := found[0].lim
	huge := strings.Repeat("m", 1<<20)
	want := map[string]bool{policy.Shown(huge): true, policy.Shown(huge + "2"): true, "\x1b[2J\n\t": true, policy.Shown("\xff\xfe"): true, "": true}
	for _, key := range []string{huge, huge + "2", "\x1b[2J\n\t", "\xff\xfe", ""} {
		pace.Take(th.clock(), key, 1, 0)
	}
	for i := range 1000 {
		key := fmt.Sprintf("key-%04d", i)
		pace.Take(th.clock(), key, 1, 0)
		want[key] = true
	}
	q, last, pages := control.LimitsQuery{Limiter: "p/pace", Count: 97}, "", 0
	for {
		l := th.limits(q)
		pages++
		data, err := json.Marshal(l)
		if err != nil || len(data) > 64<<10 {
			t.Fatalf("a page of %d bytes, %v", len(data), err)
		}
		for _, k := range l.Limiters[0].Keys {
			if !want[k.Key] || pages > 1 && k.Key <= last {
				t.Fatalf("key %.80q after %.80q", k.Key, last)
			}
			delete(want, k.Key)
			last = k.Key
		}
		if l.Next == "" {
			break
		}
		q.After = l.Next
	}
	if len(want) != 0 || pages != 11 {
		t.Errorf("%d keys were not shown on %d pages", len(want), pages)
	}
	// the shortened form names the key
	name := policy.Shown(huge)
	if done, err := th.PauseLimit(control.LimitChange{Limiter: "p/pace", Key: &name, For: "30s"}); err != nil || done.Limiter.Keys[0].Key != name || done.Limiter.Keys[0].PausedMS < 1000 {
		t.Errorf("%+v %v", done, err)
	}
	if r := pace.Peek(th.clock(), huge, 1); r.OK {
		t.Errorf("the huge key is not paused: %+v", r)
	}
}

func TestLimitsSetResetPause(t *testing.T) {
	th := run(t, map[string]string{"p.js": limitsPolicy}, "routes.api.url="+plainUpstream(t))
	change := func(what, body string) (int, string) {
		t.Helper()
		res, err := socketClient(th).Post("http://gaia/v1/limits/"+what, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		data, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(data)
	}
	spend := func(n int) (code int) {
		for range n {
			code, _, _ = th.get("/api/")
		}
		return code
	}
	if code := spend(4); code != 429 {
		t.Fatalf("after the burst: %d", code)
	}
	for _, tt := range []struct {
		what, body, want string
		code, then       int // then: what a request gets
	}{
		{"reset", `{"limiter":"p/pace","key":"k"}`, `"keys":1`, 200, 200},
		{"pause", `{"limiter":"p/pace","key":"k","for":"1h"}`, `"paused_ms":3`, 200, 429},
		{"pause", `{"limiter":"p/pace","key":"k","for":"0"}`, `"keys":1`, 200, 200},
		{"pause", `{"limiter":"p/pace","key":"k","for":"25h"}`, "want a time up to 24h", 400, 200},
		{"pause", `{"limiter":"p/pace","for":"1s"}`, "which one", 400, 429},
		{"reset", `{"limiter":"p/pace"}`, `"keys":1`, 200, 200},
		{"reset", `{"limiter":"nobody"}`, "there is no limiter", 404, 200},
		{"set", `{"limiter":"p/pace","params":{"burst":"1000","per":"1m"}}`, `"altered":true`, 200, 200},
		{"set", `{"limiter":"p/pace","params":{"burts":1}}`, `did you mean \"burst\"`, 400, 200},
		{"set", `{"limiter":"p/pace","params":{"maxWait":1}}`, `did you mean \"max_wait\"`, 400, 200},
		{"set", `{"limiter":"p/pace","params":{"rate":"NaN"}}`, "rate: want a number", 400, 200},
		{"set", `{"limiter":"p/pace","params":{"rate":-1}}`, "rate: want a number", 400, 200},
		{"set", `{"limiter":"p/pace","params":{"rate":0}}`, "rate", 400, 200},
		{"set", `{"limiter":"p/pace","params":{"rate":[1]}}`, "want a number or a text", 400, 200},
		{"set", `{"limiter":"p/pace","params":{"burst":1e30}}`, "whole number", 400, 200},
		{"set", `{"limiter":"p/pace","params":{}}`, "no parameter", 400, 200},
		{"set", `{"limiter":"p/pace","key":"k","params":{"rate":1}}`, "for all its keys", 400, 200},
		{"set", `{"limiter":"p/slots","params":{"max":"9"}}`, `"max":9`, 200, 200},
		{"set", `{"limiter":"limits.api.global","params":{"rate":1,"per":"1h"}}`, `"altered":true`, 200, 200},
		{"pause", `{"limiter":"limits.api.global","key":"x","for":"1h"}`, "no keys", 400, 429},
		{"set", `{"limiter":"limits.api.global","params":{"rate":0}}`, `"altered":true`, 200, 200},
		{"set", `{"limiter":"limits.api.globel","params":{"rate":1}}`, "there is no limiter", 404, 200},
		{"set", `{"limiter":"limits.api.per_key","params":{"concurrency":5}}`, `"concurrency":5`, 200, 200},
		{"reset", `{"limiter":"limits.api.per_key"}`, "counts what runs now", 400, 200},
		{"set", `{"limter":"x"}`, `did you mean \"limiter\"`, 400, 200},
		{"set", `nonsense`, "not as wanted", 400, 200},
		{"set", `{} {}`, "there is more", 400, 200},
		{"set", `{"limiter":"` + strings.Repeat("x", 1<<20) + `"}`, "at most", 400, 200},
	} {
		code, body := change(tt.what, tt.body)
		if code != tt.code || !strings.Contains(body, tt.want) {
			t.Errorf("%s %.80s: %d %.300s, want %d with %s", tt.what, tt.body, code, body, tt.code, tt.want)
		}
		if got := spend(1); got != tt.then {
			t.Errorf("%s %.80s: then a request gets %d, want %d", tt.what, tt.body, got, tt.then)
		}
	}
}

// What was set by hand survives a swap, unless the declaration changed.
func TestLimitsSetSurvivesASwap(t *testing.T) {
	th := run(t, map[string]string{"p.js": limitsPolicy}, "limits.api.per_key.rate=5")
	set := func(name string, params map[string]any) {
		t.Helper()
		if _, err := th.SetLimit(control.LimitChange{Limiter: name, Params: params}); err != nil {
			t.Fatal(err)
		}
	}
	rate := func(name string) any {
		t.Helper()
		return limiterIn(t, th.limits(control.LimitsQuery{}), name, "tokenBucket").Params["rate"]
	}
	set("p/pace", map[string]any{"rate": 7.0})
	set("limits.api.per_key", map[string]any{"rate": "8"})
	th.save("p.js", strings.Replace(limitsPolicy, `"k"`, `"other"`, 1))
	if _, err := th.Reload(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if rate("p/pace") != 7.0 || rate("limits.api.per_key") != 8.0 {
		t.Errorf("after a swap: %v and %v", rate("p/pace"), rate("limits.api.per_key"))
	}
	if l := limiterIn(t, th.limits(control.LimitsQuery{}), "p/pace", "tokenBucket"); !l.Altered || l.Generation != 1 {
		t.Errorf("after a swap: %+v", l)
	}
	th.save("p.js", strings.Replace(limitsPolicy, `burst: 3`, `burst: 4`, 1))
	if _, err := th.Reload(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if l := limiterIn(t, th.limits(control.LimitsQuery{}), "p/pace", "tokenBucket"); l.Params["rate"] != 100.0 || l.Altered || l.Generation != th.number() {
		t.Errorf("after another declaration: %+v", l)
	}
}

// Every kind of limiter shows its parameters, and takes them back as they are shown.
func TestLimitsOfEveryKind(t *testing.T) {
	var source strings.Builder
	source.WriteString(`import { limiter } from "gaia";` + "\n")
	for _, k := range limit.Kinds() {
		fields := map[string]string{"rate": "rate: 9", "max": "max: 9"}
		need, _ := k.Needs()
		fmt.Fprintf(&source, "const %s = limiter.%s(\"%s\", { %s });\n", k, k, k, fields[need])
	}
	source.WriteString("export function onRequest(req) {")
	for _, k := range limit.Kinds() {
		fmt.Fprintf(&source, " %s.take();", k)
	}
	source.WriteString("}")
	th := run(t, map[string]string{"p.js": source.String()}, "routes.api.url="+plainUpstream(t))
	th.get("/api/")
	for _, k := range limit.Kinds() {
		l := limiterIn(t, th.limits(control.LimitsQuery{}), "p/"+k.String(), k.String())
		if len(l.Params) == 0 || l.Altered {
			t.Errorf("%+v", l)
		}
		params := map[string]any{}
		for name, v := range l.Params {
			params[name] = fmt.Sprint(v)
		}
		done, err := th.SetLimit(control.LimitChange{Limiter: l.Name, Params: params})
		if err != nil || fmt.Sprint(done.Limiter.Params) != fmt.Sprint(l.Params) || done.Limiter.Altered {
			t.Errorf("%s: %v %+v, want %+v", k, err, done.Limiter, l)
		}
		if _, err := th.SetLimit(control.LimitChange{Limiter: l.Name, Params: map[string]any{"max_keys": 1e9}}); err == nil {
			t.Errorf("%s takes a billion keys", k)
		}
		key := "api"
		if done, err := th.PauseLimit(control.LimitChange{Limiter: l.Name, Key: &key, For: "1m"}); err != nil || len(done.Limiter.Keys) != 1 || done.Limiter.Keys[0].PausedMS < 1000 {
			t.Errorf("%s: pause: %v %+v", k, err, done)
		}
		if done, err := th.ResetLimit(control.LimitChange{Limiter: l.Name, Key: &key}); err != nil || len(done.Limiter.Keys) == 1 && done.Limiter.Keys[0].PausedMS > 0 {
			t.Errorf("%s: reset: %v %+v", k, err, done)
		}
	}
}

// Changes, pages, swaps and traffic at once.
func TestLimitsHammer(t *testing.T) {
	th := run(t, map[string]string{"p.js": limitsPolicy}, "routes.api.url="+plainUpstream(t), "limits.api.global.rate=1e6", "watch=false")
	end := time.Now().Add(400 * time.Millisecond)
	var wg sync.WaitGroup
	loop := func(fn func(i int)) {
		wg.Go(func() {
			for i := 0; time.Now().Before(end); i++ {
				fn(i)
			}
		})
	}
	key := func(i int) *string { k := fmt.Sprintf("k%d", i%50); return &k }
	for range 4 {
		loop(func(i int) {
			if code, _, body, err := th.try("/api/", "X-Key", *key(i)); err != nil || code != http.StatusOK && code != http.StatusTooManyRequests {
				t.Error(code, body, err)
			}
		})
	}
	must := func(_ control.LimitChanged, err error) {
		if err != nil {
			t.Error(err)
		}
	}
	loop(func(i int) {
		must(th.SetLimit(control.LimitChange{Limiter: "p/pace", Params: map[string]any{"rate": float64(i%9 + 1), "burst": "100"}}))
	})
	loop(func(i int) {
		must(th.SetLimit(control.LimitChange{Limiter: "limits.api.global", Params: map[string]any{"concurrency": float64(i%3 + 2), "rate": 1e6}}))
	})
	loop(func(i int) { must(th.ResetLimit(control.LimitChange{Limiter: "p/pace", Key: key(i)})) })
	loop(func(i int) { must(th.PauseLimit(control.LimitChange{Limiter: "p/pace", Key: key(i), For: "1ms"})) })
	loop(func(i int) {
		if _, err := th.Limits(control.LimitsQuery{Count: i%20 + 1, Key: "k*"}); err != nil {
			t.Error(err)
		}
	})
	loop(func(int) {
		if _, err := th.Reload(t.Context(), true); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
}

func TestGlob(t *testing.T) {
	for _, tt := range []struct {
		pattern, text string
		want          bool
	}{
		{"*", "", true}, {"a*", "abc", true}, {"*c", "abc", true}, {"a?c", "abc", true}, {"a?c", "ac", false},
		{"*b*", "abc", true}, {"*x*", "abc", false}, {"a*b*c", "aXXbYYc", true}, {"a*b*c", "aXXbYYcZ", false}, {"", "", true}, {"?", "", false},
		{"*" + strings.Repeat("a*", 100) + "b", strings.Repeat("a", 10_000), false},
	} {
		if got := glob(tt.pattern, tt.text); got != tt.want {
			t.Errorf("glob(%.20q, %.20q) = %v", tt.pattern, tt.text, got)
		}
	}
}
