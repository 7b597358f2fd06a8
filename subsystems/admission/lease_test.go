package admission

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/policy"
)

// silent is a store that never answers.
type silent struct{}

func (silent) Grant(ctx context.Context, _, _ string, _ int64) (n, until int64, err error) {
	<-ctx.Done()
	return 0, 0, ctx.Err()
}

// Who waits for a store that never answers goes when his time is over, when he leaves and
// when all is cut, and leaves nothing behind: a reload meanwhile changes nothing for him.
func TestAStoreThatNeverAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		cfg.Limits.Global = Limit{Rate: 1, Per: time.Hour, Burst: 100, MaxWait: Patient}
		leased := limit.NewLeased("global", silent{}, 10)
		var here []limit.Limiter
		cfg.Share = func(_ string, l limit.Limiter) limit.Limiter {
			here = append(here, l)
			return limit.NewShared(l, leased)
		}
		c, err := New(Options{Subsystem: policy.SubsystemAPI, Config: cfg})
		if err != nil {
			t.Fatal(err)
		}
		d := NewDriver(c, nil, nil)
		var wg sync.WaitGroup
		asks, stop := context.WithCancel(t.Context())
		wg.Go(func() { _ = leased.Refill(asks, d.Now()) })
		ends := func(what string, ctx context.Context, after time.Duration, is func(error) bool) {
			wg.Go(func() {
				start := time.Now()
				if _, err := call(ctx, d, 5, 0); !is(err) || time.Since(start) != after {
					t.Errorf("%s: %v after %v", what, err, time.Since(start))
				}
			})
			synctest.Wait()
		}
		denied := func(k Kind, reason string) func(error) bool {
			return func(err error) bool {
				var e *DeniedError
				return errors.As(err, &e) && e.Kind == k && strings.Contains(e.Reason, reason) && e.RetryAfter >= time.Second
			}
		}
		ends("its time is over", t.Context(), limit.LeaseWait, denied(KindQueue, "the store that counts limits.api.global did not answer in time"))
		ctx, leave := context.WithCancel(t.Context())
		ends("the caller leaves", ctx, time.Second, func(err error) bool { return errors.Is(err, context.Canceled) })
		time.Sleep(time.Second)
		leave()
		synctest.Wait()
		none := cfg
		none.Limits.Global = Limit{}
		if err := d.SetConfig(none); err != nil || c.Stats().Queued != 1 {
			t.Errorf("one still waits: %v", err)
		}
		time.Sleep(limit.LeaseWait)
		if err := d.SetConfig(cfg); err != nil {
			t.Error(err)
		}
		ends("all is cut", t.Context(), time.Second, denied(KindClosed, ""))
		time.Sleep(time.Second)
		d.Cut()
		stop()
		wg.Wait()
		if s := c.Stats(); s.Queued != 0 || s.InFlight != 0 || len(here) != 2 {
			t.Errorf("left behind: %+v, of %d limiters", s, len(here))
		}
		for i, l := range here {
			if r := l.Peek(d.Now(), "", 0); r.Remaining != 100 {
				t.Errorf("limiter %d: %+v", i, r)
			}
		}
	})
}

// broke is a store that grants nothing, and says for how long.
type broke struct{}

func (broke) Grant(context.Context, string, string, int64) (n, until int64, err error) {
	return 0, time.Now().Add(time.Minute).UnixNano(), nil
}

// Who waits for a store that grants nothing is told so, and when to come back.
func TestAStoreThatGrantsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		cfg.Limits.Global = Limit{Rate: 1, Per: time.Hour, Burst: 100, MaxWait: Patient}
		leased := limit.NewLeased("global", broke{}, 10)
		cfg.Share = func(_ string, l limit.Limiter) limit.Limiter { return limit.NewShared(l, leased) }
		c, err := New(Options{Subsystem: policy.SubsystemAPI, Config: cfg})
		if err != nil {
			t.Fatal(err)
		}
		d := NewDriver(c, nil, nil)
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := call(t.Context(), d, 5, 0)
			var e *DeniedError
			const reason = "the store that counts limits.api.global grants nothing for now"
			if !errors.As(err, &e) || e.Kind != KindLimit || e.Reason != reason || e.RetryAfter != time.Minute {
				t.Errorf("%+v", err)
			}
		})
		synctest.Wait()
		if err := leased.Refill(t.Context(), d.Now()); err != nil {
			t.Error(err)
		}
		wg.Wait()
	})
}
