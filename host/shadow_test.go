package host

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gaia-host/gaia/host/control"
	"github.com/gaia-host/gaia/internal/testkit"
)

const liveQuota = `import { limiter } from "gaia";
const l = limiter.tokenBucket("q", { rate: 1, per: "1h", burst: 8 });
export function onRequest(req) { return l.admit(); }`

// shadowed starts a host with a policy in force and a shadow of the name given.
func shadowed(t *testing.T, live, name, shadow string, set ...string) *testHost {
	t.Helper()
	dir := t.TempDir()
	save(t, filepath.Join(dir, "p.js"), live)
	path := filepath.Join(dir, "sub", name+".js")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	save(t, path, shadow)
	set = append([]string{"routes.up.url=" + plainUpstream(t), "shadow=" + path}, set...)
	th := runFiles(t, []string{filepath.Join(dir, "p.js")}, set...)
	th.dir = dir
	return th
}

// shadowIs waits until the shadow's numbers are as they must be.
func shadowIs(t *testing.T, th *testHost, what string, ok func(*control.Shadow) bool) *control.Shadow {
	t.Helper()
	var s *control.Shadow
	testkit.Until(t, what, func() bool {
		s = th.Status().Shadow
		return s != nil && ok(s)
	})
	return s
}

// A shadow that fails in any way, or denies everything, changes no answer and no
// limit, also where it has the name of the policy in force and its limiter.
func TestShadowChangesNothing(t *testing.T) {
	bodies := map[string]string{"denies": `import { deny } from "gaia"; export function onRequest() { return deny(503); }`,
		"same-limiter": `import { limiter, delay } from "gaia";
const l = limiter.tokenBucket("q", { rate: 1, per: "1h", burst: 8 });
export function onRequest(req) { l.take(); l.take(); l.pause("up", "1h"); return delay("50s"); }
export function onResponse(req, res) { l.pause("up", "1h"); return { action: "retry" }; }`}
	for _, name := range []string{"loops", "throws", "promise", "no-upstream"} {
		bodies[name] = `export function onRequest(req) { ` + faulty[name].body + ` }`
	}
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			th := shadowed(t, liveQuota, "p", body)
			got := map[int]int{}
			for range 12 {
				code, _, _ := th.get("/up/")
				got[code]++
			}
			if want := map[int]int{200: 8, 429: 4}; !maps.Equal(got, want) {
				t.Errorf("answers %v, want %v", got, want)
			}
			shadowIs(t, th, "it was not asked", func(s *control.Shadow) bool { return s.Calls > 0 })
			st := th.Status()
			if st.Policies[0].Faults != 0 || len(st.Policies) != 1 {
				t.Errorf("the policy in force: %+v", st.Policies)
			}
			if name == "denies" {
				s := shadowIs(t, th, "denials", func(s *control.Shadow) bool {
					return s.Would["deny"] == 12 && s.Differs["denies"] == 8 && s.Agrees == 4
				})
				if d := s.Latest; d == nil || d.Differs != "denies" || d.Path != "/" || d.Live.Action != "allow" || d.Shadow.Action != "deny" {
					t.Errorf("the latest: %+v", s.Latest)
				}
				if text := gathered(t, th.Host); !strings.Contains(text, "gaia_policy_shadow_total") || !strings.Contains(text, "gaia_policy_shadow_differs_total") {
					t.Error("the shadow is not in the metrics")
				}
			}
		})
	}
}

// The shadow gets the real answers, copied, and its state lives in its overlay.
func TestShadowSeesRealAnswers(t *testing.T) {
	th := shadowed(t, `export function onRequest() {}`, "fresh", `import { deny, state } from "gaia";
export function onRequest(req) { if (state.get("seen") >= 2) return deny(429, { reason: req.header("x-who") }); }
export function onResponse(req, res) { if (res.status === 200 && res.header("content-length") === "2") state.incr("seen"); }
export function onDone(req, res) { if (res.bytes === 2) state.incr("seen"); }`)
	th.get("/up/")
	shadowIs(t, th, "hooks", func(s *control.Shadow) bool { return s.Calls == 3 })
	if code, _, _ := th.get("/up/", "X-Who", "ann"); code != 200 {
		t.Errorf("answered %d", code)
	}
	s := shadowIs(t, th, "a denial", func(s *control.Shadow) bool { return s.Would["deny"] == 1 })
	if s.Latest.Reason != "ann" || s.Name != "fresh" {
		t.Errorf("%+v", s)
	}
}

// It is reloaded with the set, and one that is bad changes nothing.
func TestShadowReloads(t *testing.T) {
	th := shadowed(t, `export function onRequest() {}`, "fresh", `export function onRequest() {}`)
	path := filepath.Join(th.dir, "sub", "fresh.js")
	th.get("/up/")
	shadowIs(t, th, "asked", func(s *control.Shadow) bool { return s.Would["allow"] == 1 })
	save(t, path, `export function onRequest( {`)
	if ev := th.reloaded(); ev.Err == nil {
		t.Fatal("a shadow with a fault was taken")
	}
	th.get("/up/")
	shadowIs(t, th, "the one before goes on", func(s *control.Shadow) bool { return s.Would["allow"] == 2 })
	save(t, path, `import { deny } from "gaia"; export function onRequest() { return deny(); }`)
	if ev := th.reloaded(); ev.Err != nil || !ev.Outcome.Unchanged {
		t.Fatalf("%+v", ev)
	}
	th.get("/up/")
	shadowIs(t, th, "the new one", func(s *control.Shadow) bool { return s.Would["deny"] == 1 && s.Would["allow"] == 0 })
}

// Scalars that only the shadow reads are extracted for it.
func TestShadowReadsBodies(t *testing.T) {
	th := shadowed(t, `export function onRequest() {}`, "fresh", `import { deny } from "gaia";
export const options = { body: ["model"] };
export function onRequest(req) { return deny(429, { reason: req.body("model") }); }`)
	res, err := th.client.Post("http://"+th.Addr()+"/up/", "application/json", strings.NewReader(`{"model":"big"}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if s := shadowIs(t, th, "asked", func(s *control.Shadow) bool { return s.Would["deny"] == 1 }); s.Latest.Reason != "big" {
		t.Errorf("%+v", s.Latest)
	}
}

// Its route hook sees the upstreams and may deny; to choose what the balancer chose is no
// disagreement.
func TestShadowRoutes(t *testing.T) {
	th := shadowed(t, `export function onRequest() {}`, "fresh", `import { deny, route } from "gaia";
export function onRoute(req, ups) { return req.header("x-full") ? deny(429, { reason: "full" }) : route(ups[0].name); }`)
	th.get("/up/")
	shadowIs(t, th, "a choice that agrees", func(s *control.Shadow) bool { return s.Would["route"] == 1 && s.Agrees == 1 })
	th.get("/up/", "X-Full", "1")
	s := shadowIs(t, th, "a denial", func(s *control.Shadow) bool { return s.Would["deny"] == 1 && s.Differs["denies"] == 1 })
	if s.Latest.Reason != "full" || s.Faults != 0 {
		t.Errorf("%+v", s)
	}
}

// A looping shadow has its share of one core, and the traffic its speed: with and
// without it are measured in turn, and the quietest round of each counts.
func TestShadowIsNotFelt(t *testing.T) {
	plain := run(t, map[string]string{"p.js": `export function onRequest() {}`}, "routes.up.url="+plainUpstream(t))
	loops := shadowed(t, `export function onRequest() {}`, "loops", `export function onRequest() { for (;;) {} }`)
	const slack = 200 * time.Microsecond // of a shared machine's scheduler
	percentile99(plain, 300)             // connections and caches
	percentile99(loops, 300)
	alone, beside := time.Hour, time.Hour
	for round := range 24 {
		alone = min(alone, percentile99(plain, 300))
		beside = min(beside, percentile99(loops, 300))
		if round >= 4 && beside <= alone+alone/10 {
			break
		}
	}
	s := loops.Status().Shadow
	t.Logf("p99 alone %v, beside a looping shadow %v; %d hooks run, %d not", alone, beside, s.Calls, s.Dropped)
	if beside > alone+alone/10+slack*slowdown {
		t.Errorf("p99 went from %v to %v", alone, beside)
	}
	if s.Faults == 0 {
		t.Error("the shadow did not loop")
	}
}

// Traffic from many sides, while the shadow is replaced and everything is recorded.
func TestShadowHammer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.jsonl")
	body := func(n int) string {
		return fmt.Sprintf(`import { limiter, state } from "gaia";
const l = limiter.concurrency("c", { max: %d }); const q = limiter.tokenBucket("q", { rate: 100, burst: 10 });
export function onRequest(req) { state.incr("n"); const d = l.admit(); return d.action === "deny" ? d : q.admit(); }
export function onResponse(req, res) { q.learn(res); }
export function onDone(req, res) { state.incr("done"); }
export function onTick(stats) { state.set("t", 1); }`, n)
	}
	th := shadowed(t, body(1000), "p", body(2), "record.file="+file, "record.max_size=64KiB", "record.keep=2", "watch=false", "limits.api.max_wait=10ms")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				_, _, _, _ = th.try("/up/", "X-A", "b")
			}
		})
	}
	wg.Go(func() {
		for i := range 8 {
			save(t, filepath.Join(th.dir, "sub", "p.js"), body(3+i))
			if _, err := th.Reload(t.Context(), i%2 == 0); err != nil {
				t.Error(err)
			}
			gathered(t, th.Host)
		}
	})
	wg.Wait()
	var r *control.Record
	testkit.Until(t, "800 requests are written or dropped", func() bool {
		r = th.Status().Record
		return r.Written+r.Dropped >= 800
	})
	if r.Failed != 0 {
		t.Errorf("800 requests gave %+v", r)
	}
}
