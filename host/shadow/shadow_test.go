package shadow

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/policy/hooktest"
	"github.com/gaia-host/gaia/subsystems/admission"
)

func shadowOf(h *hooktest.Policy) *Shadow {
	return New(Config{Name: "s", Chain: policy.NewChain(policy.NewMember(h, policy.MemberConfig{}))})
}

// admitted are operations that no policy in force holds.
func admitted(t *testing.T, n int) []*admission.Op {
	t.Helper()
	c, err := admission.New(admission.Options{Subsystem: policy.SubsystemAPI, Config: admission.DefaultConfig()})
	if err != nil {
		t.Fatal(err)
	}
	ops := make([]*admission.Op, n)
	for i := range ops {
		ops[i] = c.NewOp()
		ops[i].Req.Key, ops[i].Req.Path = "k", "/"
		if v := c.Begin(1, ops[i]); v.Kind != admission.Go {
			t.Fatalf("%+v", v)
		}
	}
	return ops
}

// Each attempt is counted by what would have become of it, the policy is asked dry (and told of
// the end only of what it let go), and the latest that differs is kept.
func TestDisagreementsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, live := 0, 0
		s := shadowOf(&hooktest.Policy{Request: func(r *policy.Request, d *policy.Decision) {
			if r.Dry == nil || r.Ledger == nil {
				live++
			}
			switch n++; n {
			case 1:
				d.Action, d.Reason = policy.ActionDeny, "no"
			case 2:
				d.Action, d.Delay = policy.ActionDelay, time.Second
			case 3:
				d.Action, d.Delay = policy.ActionDelay, time.Hour // longer than may be waited
			}
		}})
		s.Start()
		for i, op := range admitted(t, 5) {
			note := s.Decided(op, int64(i+1), time.Minute)
			s.Ended(note, int64(i+1), &policy.Response{Status: 200})
		}
		synctest.Wait()
		s.Stop()
		st := s.Stats()
		if st.Would != [Woulds]uint64{Allow: 2, Deny: 2, Delay: 1} || st.Diffs != [Diffs]uint64{Same: 2, Denies: 2, More: 1} {
			t.Errorf("would %v, differs %v", st.Would, st.Diffs)
		}
		if st.Latest == nil || st.Latest.At != 3 || st.Latest.Diff != Denies || st.Latest.Key != "k" || st.Calls != 8 || st.Faults != 0 || st.Dropped != 0 {
			t.Errorf("%+v, latest %+v", st, st.Latest)
		}
		if live > 0 {
			t.Errorf("%d of the questions were live", live)
		}
	})
}

// A policy that works all the time has a tenth of one core: it rests nine times as long
// as it worked, after a burst.
func TestShareOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const work, asks = 10 * time.Millisecond, 200
		var stamps []time.Time
		s := shadowOf(&hooktest.Policy{Request: func(*policy.Request, *policy.Decision) {
			time.Sleep(work) // of the bubble's clock
			stamps = append(stamps, time.Now())
		}})
		began := time.Now()
		s.Start()
		for _, op := range admitted(t, asks) {
			s.Decided(op, 1, time.Minute)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		s.Stop()
		if len(stamps) != asks {
			t.Fatalf("asked %d times", len(stamps))
		}
		took := stamps[asks-1].Sub(began)
		if least := share * (asks*work - burst) * 9 / 10; took < least || took > share*asks*work {
			t.Errorf("%d hooks of %v took %v, want at least %v", asks, work, took, least)
		}
	})
}

// More than the queue holds is dropped and counted, blocks nobody, and what was asked
// still ends.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free, ended := make(chan struct{}), 0
		s := shadowOf(&hooktest.Policy{Request: func(*policy.Request, *policy.Decision) { <-free }, Done: func(*policy.Request, *policy.Response) { ended++ }})
		s.Start()
		op := admitted(t, 1)[0]
		var notes []*Note
		for range queueLen + 100 {
			if note := s.Decided(op, 1, time.Minute); note != nil {
				notes = append(notes, note)
			}
			if len(notes) == 1 {
				synctest.Wait() // the first is in hand
			}
		}
		if len(notes) != queueLen+1 || s.Stats().Dropped != 99 {
			t.Fatalf("%d taken, %d dropped", len(notes), s.Stats().Dropped)
		}
		for _, n := range notes {
			s.Ended(n, 1, nil) // the queue is full
		}
		close(free)
		synctest.Wait()
		s.Decided(op, 2, time.Minute)
		synctest.Wait()
		s.Stop()
		if len(s.late) != 0 || s.Stats().Calls < uint64(len(notes)) {
			t.Errorf("%d have not ended, %d calls", len(s.late), s.Stats().Calls)
		}
		if ended != 0 {
			t.Errorf("%d hooks ran at the end of an action that never started", ended)
		}
	})
}
