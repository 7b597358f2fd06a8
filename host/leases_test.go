package host

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/host/control"
)

const sharedPolicy = `
import { limiter } from "gaia";
const pace = limiter.tokenBucket("pace", { rate: 1000, burst: 1000 });
export function onRequest(req) { return pace.admit("all"); }`

// sharedStore is a store that notes what it granted, and answers as long as it is open.
type sharedStore struct {
	limit.Granter
	asked, granted atomic.Int64
	down           atomic.Bool
	open           chan struct{} // nil: always
}

func (c *sharedStore) Grant(ctx context.Context, name, key string, want int64) (int64, int64, error) {
	if c.asked.Add(1); c.open != nil {
		<-c.open
	}
	if c.down.Load() {
		return 0, 0, errors.New("no store")
	}
	n, until, err := c.Granter.Grant(ctx, name, key, want)
	c.granted.Add(n)
	return n, until, err
}

// sharing starts a host that counts sharedPolicy's limiter in the store.
func sharing(t *testing.T, store limit.Granter, most int64) *testHost {
	t.Helper()
	file := filepath.Join(t.TempDir(), "p.js")
	save(t, file, sharedPolicy)
	return sharingLimit(t, Options{Policies: []string{file}, Store: store, Leases: map[string]int64{"p/pace": most}}, "routes.api.url="+plainUpstream(t))
}

func sharingLimit(t *testing.T, o Options, set ...string) *testHost {
	t.Helper()
	set = append(set, "listen=127.0.0.1:0", `control=""`, "socket="+filepath.Join(t.TempDir(), "g.sock"))
	cfg, err := config.Load(config.Options{Set: set})
	if err != nil {
		t.Fatal(err)
	}
	return runOptions(t, cfg, o, set...)
}

// Two hosts share one limit of 40, and no more: each would let a thousand through.
func TestTwoHostsShareALimit(t *testing.T) {
	const quota = 40
	whole, err := limit.New(limit.FixedWindow, limit.Params{Max: quota, Per: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	store := &sharedStore{Granter: limit.NewLocal(map[string]limit.Limiter{"p/pace": whole}, time.Hour, func() int64 { return time.Now().UnixNano() })}
	var hosts []*testHost
	for range 2 {
		hosts = append(hosts, sharing(t, store, 6))
	}
	var served, asked atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 1000 {
				code, _, body, err := hosts[i%2].try("/api/" + strconv.Itoa(i))
				asked.Add(1)
				switch {
				case err != nil || code != 200 && code != 429:
					t.Error(code, body, err)
					return
				case code == 200:
					served.Add(1)
				}
				// What was granted to one host and not used is not the other's.
				if store.granted.Load() == quota && asked.Load() > 20*quota {
					return
				}
			}
		})
	}
	wg.Wait()
	if n := served.Load(); n > quota || n < quota/2 || store.granted.Load() > quota {
		t.Errorf("%d of %d served, %d granted; the limit is %d", n, asked.Load(), store.granted.Load(), quota)
	}
}

// Two hosts share a configured limit of 20. Nobody is refused before it is spent, a reload
// forgets nothing, and then the store says when to come back.
func TestTwoHostsShareAConfiguredLimit(t *testing.T) {
	const quota = 20
	for _, name := range []string{"limits.api.global", "limits.api.per_key", "limits.api.per_upstream"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole, err := limit.New(limit.FixedWindow, limit.Params{Max: quota, Per: 1000 * time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			store := limit.NewLocal(map[string]limit.Limiter{name: whole}, time.Hour, func() int64 { return time.Now().UnixNano() })
			hosts, up := []*testHost(nil), plainUpstream(t)
			for range 2 {
				hosts = append(hosts, sharingLimit(t, Options{Store: store, Leases: map[string]int64{name: 1}}, name+".rate=1000", "routes.api.url="+up))
			}
			for i := range quota {
				if code, _, body := hosts[i%2].get("/api/"); code != 200 {
					t.Fatalf("request %d: %d %s", i, code, body)
				}
				if i == quota/2 {
					if _, err := hosts[1].Reload(t.Context(), false); err != nil {
						t.Error(err)
					}
				}
			}
			for _, th := range hosts {
				if code, h, body := th.get("/api/"); code != 429 || h.Get("Retry-After") == "" || h.Get("Retry-After") == "1" || !strings.Contains(body, name) {
					t.Errorf("%d %v %s", code, h, body)
				}
			}
		})
	}
}

// The callers of a key that is new wait for the store's answer, which is asked for all of
// them at once; none is refused.
func TestANewKeyWaitsForItsLease(t *testing.T) {
	const callers = 40
	whole, err := limit.New(limit.TokenBucket, limit.Params{Rate: 1000, Burst: 1000})
	if err != nil {
		t.Fatal(err)
	}
	store := &sharedStore{open: make(chan struct{}),
		Granter: limit.NewLocal(map[string]limit.Limiter{"p/pace": whole}, time.Hour, func() int64 { return time.Now().UnixNano() })}
	th := sharing(t, store, callers)
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			if code, _, body, err := th.try("/api/"); code != 200 {
				t.Error(code, body, err)
			}
		})
	}
	th.waitFor("all to wait", func() bool {
		for _, k := range limiterIn(t, th.limits(control.LimitsQuery{}), "p/pace", "tokenBucket").Keys {
			if k.Key == "all" && k.Waiting == callers {
				return true
			}
		}
		return false
	})
	asked := store.asked.Load()
	close(store.open)
	wg.Wait()
	if asked != 1 {
		t.Errorf("%d questions were under way at once", asked)
	}
}

// A store that does not answer lets nothing through that is not leased, and is asked
// again.
func TestAStoreThatFailsIsAskedAgain(t *testing.T) {
	whole, err := limit.New(limit.TokenBucket, limit.Params{Rate: 1000, Burst: 1000})
	if err != nil {
		t.Fatal(err)
	}
	store := &sharedStore{Granter: limit.NewLocal(map[string]limit.Limiter{"p/pace": whole}, time.Hour, func() int64 { return time.Now().UnixNano() })}
	store.down.Store(true)
	th := sharing(t, store, 5)
	if code, h, _ := th.get("/api/"); code != 429 || h.Get("Retry-After") == "" {
		t.Errorf("status %d without a lease", code)
	}
	th.waitFor("the log says so", func() bool {
		return strings.Contains(th.log.String(), "the store of limits does not answer; what is not leased is refused")
	})
	store.down.Store(false)
	th.waitFor("the store is asked again", func() bool {
		code, _, _ := th.get("/api/")
		return code == 200
	})
}

// A limiter of slots cannot be shared: it counts here, and the log says so.
func TestALimiterOfSlotsIsNotShared(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.js")
	save(t, file, strings.Replace(sharedPolicy, `tokenBucket("pace", { rate: 1000, burst: 1000 })`, `concurrency("pace", { max: 10 })`, 1))
	store := &sharedStore{}
	store.down.Store(true)
	th := sharingLimit(t, Options{Policies: []string{file}, Store: store, Leases: map[string]int64{"p/pace": 5}}, "routes.api.url="+plainUpstream(t))
	if code, _, body := th.get("/api/"); code != 200 || store.asked.Load() != 0 {
		t.Errorf("%d %s, the store was asked %d times", code, body, store.asked.Load())
	}
	if !strings.Contains(th.log.String(), "a limiter cannot be shared") {
		t.Errorf("log: %s", th.log.String())
	}
}

// A key about which the store does not answer holds up no other.
func TestAKeyWithoutAnAnswerHoldsUpNoOther(t *testing.T) {
	whole, err := limit.New(limit.TokenBucket, limit.Params{Rate: 1000, Burst: 1000})
	if err != nil {
		t.Fatal(err)
	}
	store := &stuckStore{asked: make(chan struct{}), answer: make(chan struct{}), Granter: limit.NewLocal(map[string]limit.Limiter{"p/pace": whole}, time.Hour, func() int64 { return time.Now().UnixNano() })}
	file := filepath.Join(t.TempDir(), "p.js")
	save(t, file, strings.Replace(sharedPolicy, `"all"`, "req.path", 1))
	th := sharingLimit(t, Options{Policies: []string{file}, Store: store, Leases: map[string]int64{"p/pace": 10}}, "routes.api.url="+plainUpstream(t))
	var wg sync.WaitGroup
	wg.Go(func() {
		if code, _, body, err := th.try("/api/stuck"); code != 429 || !strings.Contains(body, "grants nothing") {
			t.Error(code, body, err)
		}
	})
	<-store.asked
	for range 3 {
		if code, _, body := th.get("/api/free"); code != 200 {
			t.Errorf("%d %s", code, body)
		}
	}
	if store.over.Load() {
		t.Error("they waited for the other's answer")
	}
	close(store.answer)
	wg.Wait()
}

// stuckStore does not answer about one key until it may.
type stuckStore struct {
	limit.Granter
	asked, answer chan struct{}
	over          atomic.Bool // the question was given up
}

func (s *stuckStore) Grant(ctx context.Context, name, key string, want int64) (int64, int64, error) {
	if !strings.Contains(key, "stuck") {
		return s.Granter.Grant(ctx, name, key, want)
	}
	select {
	case s.asked <- struct{}{}:
	case <-ctx.Done():
	}
	select {
	case <-s.answer:
		return 0, time.Now().Add(time.Hour).UnixNano(), nil
	case <-ctx.Done():
		s.over.Store(true)
		return 0, 0, ctx.Err()
	}
}

// timedStore notes when it is asked, grants nothing, and may be asked again at once.
type timedStore struct {
	mu    sync.Mutex // guards what follows
	asked []time.Time
	err   error
}

func (s *timedStore) Grant(context.Context, string, string, int64) (int64, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, time.Now())
	return 0, time.Now().UnixNano(), s.err
}

// wantsOnce has a host want a unit of a store, looks after its leases for a second, and
// returns what the host said.
func wantsOnce(t *testing.T, store *timedStore) string {
	t.Helper()
	var said strings.Builder
	h := &Host{clock: func() int64 { return time.Now().UnixNano() }, log: slog.New(slog.NewTextHandler(&said, nil)),
		o: Options{Store: store, Leases: map[string]int64{"p/pace": 10}}}
	ctx, cancel := context.WithCancel(t.Context())
	h.leases.start(ctx, h)
	l, err := limit.New(limit.TokenBucket, limit.Params{Rate: 1000, Burst: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if r := h.share("p/pace", l).Take(h.clock(), "k", 1, 0); r.OK {
		t.Errorf("%+v", r)
	}
	time.Sleep(time.Second + time.Millisecond)
	cancel()
	h.wg.Wait()
	return said.String()
}

// What is wanted is asked for at once, and then a tenth of a second after each answer that
// granted nothing.
func TestLeasesAreLookedAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, began := &timedStore{}, time.Now()
		said := wantsOnce(t, store)
		if len(store.asked) != 11 {
			t.Fatalf("asked %d times in a second: %v", len(store.asked), store.asked)
		}
		for i, at := range store.asked {
			if after := at.Sub(began); after != time.Duration(i)*refillEvery {
				t.Errorf("question %d after %v", i, after)
			}
		}
		if said != "" {
			t.Errorf("said %s", said)
		}
	})
}

// That a store fails is said once, of which limiter.
func TestAStoreThatFailsIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &timedStore{err: errors.New("no store")}
		said := wantsOnce(t, store)
		if want := `msg="the store of limits does not answer; what is not leased is refused" limiter=p/pace error="no store"`; strings.Count(said, want) != 1 || len(store.asked) < 2 {
			t.Errorf("asked %d times, said %s", len(store.asked), said)
		}
	})
}
