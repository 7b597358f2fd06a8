package host

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Its budget is long: what is tested is the swap, whatever else the machine does.
const markedJS = `
export const options = { budget: "2s" };
import { allow, limiter } from "gaia";
const l = limiter.tokenBucket("l", { rate: 1000000, burst: 1000000 });
const mark = allow({ headers: { "X-Generation": "%d" } });
export function onRequest(req) { l.take(); return mark; }
`

// echoMark is an upstream that answers the mark of the policy that let the request go.
func echoMark(t *testing.T) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("X-Generation"))
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// Reloads under load: no request fails, and nothing leaks: what is there after the
// first quarter of them is there after all.
func TestReloadsUnderLoad(t *testing.T) {
	reloads := 100
	if acceptance() {
		reloads = 1000
	}
	th := run(t, map[string]string{"p.js": fmt.Sprintf(markedJS, 0)}, "routes.up.url="+echoMark(t), "watch=false")
	done := reloadUnderLoad(t, th, 1, reloads/4)
	goroutines, warm := settled(th), heap()
	done += reloadUnderLoad(t, th, reloads/4+1, reloads)
	after, grown := settled(th), heap()-warm
	t.Logf("%d requests over %d reloads; goroutines %d then %d; heap grew by %d KiB", done, reloads, goroutines, after, grown>>10)
	if after > goroutines+5 {
		var b strings.Builder
		_ = pprof.Lookup("goroutine").WriteTo(&b, 1)
		t.Errorf("goroutines grew from %d to %d\n%s", goroutines, after, b.String())
	}
	if grown > 16<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
	if _, _, body := th.get("/up/"); body != fmt.Sprint(reloads) {
		t.Errorf("the last generation is not in force: %s", body)
	}
}

// reloadUnderLoad saves and reloads while four clients ask, and counts the answers.
func reloadUnderLoad(t *testing.T, th *testHost, from, to int) int64 {
	t.Helper()
	var done atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				code, _, body, err := th.try("/up/")
				if err != nil || code != 200 || body == "" {
					t.Errorf("%d %q %v", code, body, err)
					return
				}
				done.Add(1)
			}
		})
	}
	for i := from; i <= to; i++ {
		th.save("p.js", fmt.Sprintf(markedJS, i))
		if _, err := th.Reload(t.Context(), false); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	wg.Wait()
	return done.Load()
}

// settled counts the goroutines once connections are closed and what was stopping has
// stopped: the bundler's own end a while after a build.
func settled(th *testHost) int {
	th.client.CloseIdleConnections()
	least, same := runtime.NumGoroutine(), 0
	for same < 40 {
		<-time.After(20 * time.Millisecond)
		if now := runtime.NumGoroutine(); now < least {
			least, same = now, 0
		} else {
			same++
		}
	}
	return least
}

// A broken file saved ten times: the policy in force serves on and its limits keep
// their counts.
func TestBrokenFileChangesNothing(t *testing.T) {
	const good = `
import { limiter } from "gaia";
const l = limiter.tokenBucket("l", { rate: 1, per: "1h", burst: 3 });
export function onRequest() { return l.admit(); }
`
	th := run(t, map[string]string{"p.js": good}, "routes.up.url="+plainUpstream(t))
	if code, _, _ := th.get("/up/"); code != 200 {
		t.Fatal(code)
	}
	for i := range 10 {
		th.save("p.js", fmt.Sprintf("// %d\nimport { limiter } from \"gaia\";\nlimiter.tokenBucket(\"l\", { rate: 99, burst: 99 });\nexport function onRequest( {", i))
		ev := th.reloaded()
		if ev.Err == nil || !strings.Contains(ev.Err.Error(), "p.js:4:") {
			t.Fatalf("save %d: %v", i, ev.Err)
		}
	}
	st := th.Status()
	if st.Generation != 1 || st.LastReload.OK || !strings.Contains(st.LastReload.Error, "p.js:4:") {
		t.Errorf("status: generation %d, %+v", st.Generation, st.LastReload)
	}
	var codes []int
	for range 3 {
		code, _, _ := th.get("/up/")
		codes = append(codes, code)
	}
	if fmt.Sprint(codes) != "[200 200 429]" {
		t.Errorf("the limit of 3 was touched: %v", codes)
	}
	th.save("p.js", strings.Replace(good, "burst: 3", "burst: 5", 1))
	if ev := th.reloaded(); ev.Err != nil {
		t.Fatal(ev.Err)
	}
	codes = nil
	for range 3 {
		code, _, _ := th.get("/up/")
		codes = append(codes, code)
	}
	if fmt.Sprint(codes) != "[200 200 429]" {
		t.Errorf("3 of 5 were spent, 2 are left: %v", codes)
	}
}

// An empty file is an error, not an empty policy.
func TestEmptyFileIsRefused(t *testing.T) {
	th := run(t, map[string]string{"p.js": `export function onRequest() { return true; }`}, "routes.up.url="+plainUpstream(t))
	th.save("p.js", "")
	if ev := th.reloaded(); ev.Err == nil || !strings.Contains(ev.Err.Error(), "empty") {
		t.Errorf("got %v", ev.Err)
	}
	if code, _, _ := th.get("/up/"); code != 200 {
		t.Errorf("got %d", code)
	}
}

// State and module names survive; a rollback gets a new number.
func TestRollbackUnderANewNumber(t *testing.T) {
	src := func(text string) string {
		return `import { deny, state } from "gaia";
export function onRequest() { return deny(418, { reason: "` + text + ` " + state.incr("n") }); }`
	}
	th := run(t, map[string]string{"p.js": src("one")}, "routes.up.url="+plainUpstream(t), "watch=false")
	ask := func() string { _, _, body := th.get("/up/"); return body }
	expect := func(want string, generation uint64) {
		t.Helper()
		if body := ask(); !strings.Contains(body, want) {
			t.Errorf("got %s, want %s", body, want)
		}
		if g := th.Status().Generation; g != generation {
			t.Errorf("generation %d, want %d", g, generation)
		}
	}
	expect("one 1", 1)
	if _, err := th.Rollback(t.Context()); err == nil {
		t.Error("a rollback without an earlier generation")
	}
	th.save("p.js", src("two"))
	if _, err := th.Reload(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	expect("two 2", 2)
	for i, want := range []string{"one 3", "two 4", "one 5"} {
		if _, err := th.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		expect(want, uint64(3+i))
	}
	if ch, err := th.Reload(t.Context(), false); err != nil || ch.Unchanged {
		t.Errorf("a reload after a rollback acts on the files: %+v, %v", ch, err)
	}
	expect("two 6", 6)
	if ch, err := th.Reload(t.Context(), false); err != nil || !ch.Unchanged || ch.To != 6 {
		t.Errorf("same bytes and settings: %+v, %v", ch, err)
	}
}

// A swap from JavaScript to Wasm and back by the file that is named.
func TestSameBehaviourInWasm(t *testing.T) {
	twin := filepath.Join("..", "examples", "wasm-c")
	for _, file := range []string{"policy.js", "policy.wasm"} {
		t.Run(file, func(t *testing.T) {
			th := runFiles(t, []string{filepath.Join(twin, file)}, "routes.up.url="+plainUpstream(t))
			began := time.Now()
			if got := hammer(t, th.client, "http://"+th.Addr()+"/up/", 4, 25); got[200] != 25 {
				t.Errorf("25 requests against 20 at once and 10 a second: %v", got)
			}
			if took := time.Since(began); took < 300*time.Millisecond || took > 3*time.Second {
				t.Errorf("took %v, want about half a second of waits", took)
			}
		})
	}
}
