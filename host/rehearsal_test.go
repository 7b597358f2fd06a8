package host

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/policytest"
	"github.com/gaia-host/gaia/host/config"
)

const rehearsalStart = 946_684_800 * int64(time.Second)

func rehearse(t *testing.T, source string, set ...string) *Rehearsal {
	t.Helper()
	path := filepath.Join(t.TempDir(), "p.js")
	save(t, path, source)
	cfg, err := config.Load(config.Options{Set: append([]string{"policies.p.use=" + path}, set...)})
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewRehearsal(cfg, RehearsalOptions{Start: rehearsalStart, Budget: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func callOf(host string, answers ...policy.Response) policytest.Sent {
	in, err := policytest.ParseInput([]byte(`{"host": "`+host+`"}`), rehearsalStart)
	if err != nil {
		panic(err)
	}
	return policytest.Sent{Input: *in, Answers: answers}
}

// The waits that chance has a part in are the same in every run.
func TestRehearsalIsTheSameEveryTime(t *testing.T) {
	run := func() (text string) {
		r := rehearse(t, `import { limiter } from "gaia";
const l = limiter.tokenBucket("l", { rate: 5, burst: 3, maxWait: "20s" });
export function onRequest() { return Math.random() < 0.1 ? false : l.admit(); }`, "limits.api.global.concurrency=4")
		var ids []int
		for i := range 60 {
			id, err := r.Send(callOf(fmt.Sprint("h", i%3), policy.Response{Status: 429, Bytes: -1}, policy.Response{Status: 429, Bytes: -1, Duration: time.Duration(i) * time.Millisecond},
				policy.Response{Status: 200, Bytes: -1, Duration: 30 * time.Millisecond}))
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		if err := r.Advance(t.Context(), rehearsalStart+int64(time.Hour)); err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			e, ok := r.Ended(id)
			if !ok {
				t.Fatalf("call %d did not end", id)
			}
			e.Explain = nil // it names the file
			data, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			text += string(data) + "\n"
		}
		if s := r.core.Stats(); s.InFlight != 0 || s.Queued != 0 {
			t.Errorf("left over: %+v", s)
		}
		return text
	}
	first := run()
	if again := run(); again != first {
		t.Errorf("another run went otherwise:\n%s\nthen\n%s", first, again)
	}
	for _, want := range []string{`"attempts":3`, `"action":"deny"`} {
		if !strings.Contains(first, want) {
			t.Errorf("no call had %s:\n%s", want, first)
		}
	}
}

// A case that ends in the middle of its calls leaves nothing.
func TestRehearsalThatIsClosedInTheMiddle(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("closed", func(t *testing.T) {
		r := rehearse(t, `import { delay } from "gaia"; const d = delay("10s"); export function onRequest(req) { return req.host === "slow" ? d : true; }`, "limits.api.global.concurrency=1")
		for _, host := range []string{"slow", "a", "b", "slow"} {
			if _, err := r.Send(callOf(host, policy.Response{Status: 200, Bytes: -1, Duration: time.Minute})); err != nil {
				t.Fatal(err)
			}
		}
		if _, ok := r.Ended(0); ok {
			t.Error("it ended too early")
		}
	})
	for range 100 {
		if runtime.NumGoroutine() <= before+2 {
			return
		}
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > before+5 {
		t.Errorf("goroutines: %d before, %d after", before, n)
	}
}

func TestRehearsalRefusesWhatIsNone(t *testing.T) {
	r := rehearse(t, `export function onRequest() {}`)
	files := callOf("a", policy.Response{Status: 200})
	files.Request.Subsystem = policy.SubsystemFiles
	nowhere := callOf("", policy.Response{Status: 200})
	for _, s := range []policytest.Sent{files, nowhere, {Route: "none", Answers: nowhere.Answers}} {
		if _, err := r.Send(s); err == nil {
			t.Errorf("%+v was sent", s)
		}
	}
	if _, ok := r.Ended(-1); ok {
		t.Error("a call that was never sent ended")
	}
	if _, ok := r.Next(); ok {
		t.Error("something is due")
	}
}
