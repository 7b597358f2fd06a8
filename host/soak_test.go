package host

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gaia-host/gaia/internal/testkit"
)

// soakFor is how long the soak goes on: GAIA_SOAK in minutes; two in the long forms; 0: not at all.
func soakFor(t *testing.T) time.Duration {
	t.Helper()
	if text := os.Getenv("GAIA_SOAK"); text != "" {
		minutes, err := strconv.ParseFloat(text, 64)
		if err != nil || minutes <= 0 {
			t.Fatalf("GAIA_SOAK=%s: want minutes", text)
		}
		return time.Duration(minutes * float64(time.Minute))
	}
	if acceptance() {
		return 2 * time.Minute
	}
	return 0
}

// soakEvery is how far apart samples are: 10 s, and less where a soak is short.
func soakEvery(long time.Duration) time.Duration { return min(10*time.Second, long/24) }

// soakPolicies are of both engines; whichever was written last differs from the one
// before, so that every reload is a swap.
func soakPolicies(t *testing.T, dir string) (files []string, change func(i int)) {
	t.Helper()
	script := filepath.Join(dir, "pace.js")
	text := `import { limiter } from "gaia";
const all = limiter.tokenBucket("all", { rate: %d, burst: 400, maxWait: "10s" });
let n = 0;
export function onRequest(req) {
  if (++n %% 50 === 0) throw new Error("injected"); // answered by on_failure, which is open
  return all.admit(req.subsystem);
}
`
	change = func(i int) { save(t, script, fmt.Sprintf(text, 300+i%7)) }
	change(0)
	return []string{script, "../examples/one-policy/policy.wasm"}, change
}

// soaking counts what went well, what failed as it was to, and what should not have.
type soaking struct {
	work sync.RWMutex // held for reading by what is under way

	ok, injected, wrong atomic.Int64
	mu                  sync.Mutex
	faults              []string // the first few that should not have been
}

func (k *soaking) note(name string, err error) {
	if err == nil {
		k.ok.Add(1)
		return
	}
	k.wrong.Add(1)
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.faults) < 10 {
		k.faults = append(k.faults, name+": "+err.Error())
	}
}

// repeat repeats one operation at a bounded rate until ctx ends.
func (k *soaking) repeat(ctx context.Context, wg *sync.WaitGroup, every time.Duration, name string, do func(int) error) {
	wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				k.work.RLock()
				err := do(i)
				k.work.RUnlock()
				k.note(name, err)
			}
		}
	})
}

// calm calls fn when nothing is under way and nothing of it is left: what happens to be
// at work is no growth, and neither are the connections that the soak itself kept open,
// which are as many as were ever needed at once.
func (k *soaking) calm(t *testing.T, s *stress, fn func()) {
	t.Helper()
	k.work.Lock()
	defer k.work.Unlock()
	s.hangUp()
	settle(t)
	fn()
}

// mustFail runs an operation into a fault: it has to end with an error, and soon.
func (k *soaking) mustFail(do func(int) error) func(int) error {
	return func(i int) error {
		if do(i) == nil {
			return fmt.Errorf("went well in spite of the fault")
		}
		k.injected.Add(1)
		return nil
	}
}

// brokenServer is a server that answers wrongly in one way after another.
func brokenServer() *httptest.Server {
	var n atomic.Int64
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1)%2 == 0 {
			panic(http.ErrAbortHandler) // the connection ends without an answer
		}
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte("half of"))
	}))
}

// What happens to be under way, and the connections left of a busier moment, are in no
// sample.
func TestSamplesAreTakenWhileNothingIsUnderWay(t *testing.T) {
	temp := t.TempDir()
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	s, k := &stress{hangUp: client.CloseIdleConnections}, &soaking{}
	var before, after []float64
	k.calm(t, s, func() { before = sample(t, temp) })

	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var met atomic.Int64
	for range 8 {
		k.repeat(ctx, &wg, time.Millisecond, "busy", func(int) error {
			met.Add(1)
			var inner sync.WaitGroup
			for range 3 {
				inner.Go(func() {
					res, err := client.Get(srv.URL)
					if err == nil {
						err = res.Body.Close()
					}
					if err != nil {
						t.Error(err)
					}
				})
			}
			inner.Wait()
			return nil
		})
	}
	testkit.Until(t, "they are busy", func() bool { return met.Load() >= 100 })
	k.calm(t, s, func() { after = sample(t, temp) })
	cancel()
	wg.Wait()
	if more := after[0] - before[0]; more > 8 { // the eight that repeat
		t.Errorf("%v goroutines more", more)
	}
	if at := slices.Index(sampleNames(), "open files"); after[at] > before[at] {
		t.Errorf("%v open files, %v before", after[at], before[at])
	}
}

// Hours of all five subsystems under policies of both engines, with a reload every ten
// seconds and faults among the work: nothing grows, and nothing fails that should not.
func TestSoak(t *testing.T) {
	long := soakFor(t)
	if long == 0 {
		t.Skip("a long form: set GAIA_SOAK to minutes, or GAIA_ACCEPTANCE; make soak does")
	}
	testkit.Program(t, "chromium-headless-shell")
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	web, ca := nginx(t, 0)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "<!doctype html><title>%s</title><p>%s", r.URL.Path, r.URL.Path)
	}))
	defer page.Close()
	bad := brokenServer()
	defer bad.Close()
	files, change := soakPolicies(t, t.TempDir())
	s := &stress{web: web, page: page.URL, echo: echoServer(t), policies: files}
	k := &soaking{}
	rows := k.soak(t, s, ca, bad.URL, temp, long, change)
	report(t, k, rows, long)
}

// soak runs everything for so long and returns the samples, each with its hour first.
func (k *soaking) soak(t *testing.T, s *stress, ca, bad, temp string, long time.Duration, change func(int)) [][]float64 {
	t.Helper()
	defer s.start(t, ca, filepath.Join(t.TempDir(), "profiles"))()
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	var wg sync.WaitGroup
	for range 4 {
		k.repeat(ctx, &wg, 100*time.Millisecond, "api", s.api)
	}
	k.repeat(ctx, &wg, 50*time.Millisecond, "gateway", func(i int) error { return s.through(s.page, i) })
	k.repeat(ctx, &wg, time.Second, "broken upstream behind the gateway", k.mustFail(func(i int) error { return s.through(bad, i) }))
	k.repeat(ctx, &wg, 100*time.Millisecond, "files", func(i int) error { return s.files(i % 50) })
	k.repeat(ctx, &wg, 100*time.Millisecond, "network", s.network)
	k.repeat(ctx, &wg, 2*time.Second, "browser", func(i int) error { return s.browser(i % 40) })
	k.repeat(ctx, &wg, time.Second, "process", s.process)
	k.repeat(ctx, &wg, time.Second, "broken upstream", k.mustFail(func(int) error {
		_, err := s.ask("api/request", in{"url": bad, "method": "POST"})
		return err
	}))
	k.repeat(ctx, &wg, 2*time.Second, "file that is not there", k.mustFail(func(int) error { return s.want("", "files/read", in{"file": "scratch:none"}) }))
	k.repeat(ctx, &wg, 3*time.Second, "program that is not there", k.mustFail(func(int) error { return s.want("", "process/run", in{"args": []string{"/no/such/program"}}) }))
	k.repeat(ctx, &wg, 10*time.Second, "reload", func(i int) error {
		change(i + 1)
		_, err := s.th.Reload(context.WithoutCancel(ctx), false)
		return err
	})
	every := soakEvery(long)
	rows := k.watch(ctx, t, s, temp, every, int(long/every))
	wg.Wait()
	return rows
}

// watch takes a sample at every tick until ctx ends, of which it expects n.
func (k *soaking) watch(ctx context.Context, t *testing.T, s *stress, temp string, every time.Duration, n int) (rows [][]float64) {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return rows
		case <-tick.C:
		}
		k.calm(t, s, func() {
			rows = append(rows, append([]float64{time.Since(began).Hours()}, sample(t, temp)...))
			switch {
			case len(rows) == n/4:
				writeEnd(t, "early")
			case len(rows) > n*9/10: // the last of these is kept; a busy machine leaves some out
				writeEnd(t, "late")
			}
		})
	}
}
