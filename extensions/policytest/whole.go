package policytest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
)

// Whole is all of gaia under test: the policies of a configuration and its limits, waits and retries, as
// production has them, in the time of a case. It is for one goroutine.
type Whole interface {
	// Send begins a call now, and lets happen what is due now.
	Send(s Sent) (id int, err error)
	// Next is when something is due next; false: nothing is.
	Next() (at int64, ok bool)
	// Advance moves its clock and lets happen what is due until then.
	Advance(ctx context.Context, until int64) error
	// Ended tells how a call ended, false while it has not.
	Ended(id int) (*Ended, bool)
	Natives() *natives.Host
	Close() error
}

// OpenWhole makes the Whole of a configuration. file is its path; text, where it is not nil, is what it holds.
type OpenWhole func(ctx context.Context, file string, text []byte, s Setup, now int64) (Whole, error)

// Sent is a call that a case sends.
type Sent struct {
	Input
	Route string // of the configuration; "": Input.Request.Host is called
	// Answers are those of its attempts in turn; the last one answers all after it. Duration is the time to the headers.
	Answers []policy.Response
}

// Ended is how a call ended.
type Ended struct {
	Action     string // deny, or allow for one that was sent
	Status     int    // of the denial, or of the last answer
	Error      string // of the last attempt
	Wait, Took time.Duration
	Attempts   int      // that were sent
	Upstreams  []string // of the attempts, where there are several to choose among
	RetryAfter time.Duration
	Reason     string
	By         string // of a denial: policy, limit, queue, breaker, max_wait, deadline
	Policy     string // that decided
	Explain    *policy.Explanation
}

// MarshalJSON gives times in milliseconds, as of a decision.
func (e *Ended) MarshalJSON() ([]byte, error) {
	a := struct {
		Answer
		Wait      float64  `json:"wait"`
		Error     string   `json:"error,omitempty"`
		Took      float64  `json:"took"`
		Attempts  int      `json:"attempts"`
		Upstreams []string `json:"upstreams,omitempty"`
		By        string   `json:"by,omitempty"`
		Policy    string   `json:"policy,omitempty"`
	}{Answer{Action: e.Action, Status: e.Status, RetryAfter: ms(e.RetryAfter), Reason: e.Reason, Explain: e.Explain},
		ms(e.Wait), e.Error, ms(e.Took), e.Attempts, e.Upstreams, e.By, e.Policy}
	if n := len(e.Upstreams); n > 0 {
		a.Upstream = e.Upstreams[n-1]
	}
	return json.Marshal(a)
}

// defaultConfigs are looked for beside a test that names none.
var defaultConfigs = [...]string{"gaia.yaml", "gaia.json"}

// openWholeOf makes the Whole of a configuration as a case gives it: nothing, the name of a file, or an object.
func (w *world) openWholeOf(given json.RawMessage, s Setup) (int, error) {
	if w.whole == nil {
		return 0, errors.New("there is no gaia to be had here")
	}
	if len(w.wholes) >= maxTrials {
		return 0, fmt.Errorf("more than %d of them in one case", maxTrials)
	}
	var file string
	var text []byte
	switch {
	case len(given) == 0 || string(given) == "null":
		for _, name := range defaultConfigs {
			if _, err := os.Stat(filepath.Join(w.dir, name)); err == nil && file == "" {
				file = filepath.Join(w.dir, name)
			}
		}
		if file != "" {
			break
		}
		own, err := w.own()
		if err != nil {
			return 0, err
		}
		file = filepath.Join(w.dir, "gaia.json")
		if text, err = json.Marshal(map[string]any{"policies": map[string]any{strings.Split(filepath.Base(own), ".")[0]: map[string]any{"use": filepath.Base(own), "params": s.Params}}}); err != nil {
			return 0, err
		}
	case json.Unmarshal(given, &file) == nil:
		if !filepath.IsAbs(file) {
			file = filepath.Join(w.dir, file)
		}
	default:
		file, text = filepath.Join(w.dir, "gaia.json"), given
	}
	g, err := w.whole(w.ctx, file, text, s, w.now)
	if err != nil {
		return 0, err
	}
	w.wholes = append(w.wholes, g)
	return len(w.wholes) - 1, nil
}

func (w *world) wholeOf(n int) (Whole, error) {
	if n < 0 || n >= len(w.wholes) {
		return nil, errors.New("that gaia was started in another case; start it in this one")
	}
	return w.wholes[n], nil
}

// send begins a call: {"request": {...}, "route": "...", "answers": [{...}]}.
func (w *world) send(g Whole, data []byte) (int, error) {
	var o struct {
		Request json.RawMessage   `json:"request"`
		Route   string            `json:"route"`
		Answers []json.RawMessage `json:"answers"`
	}
	if err := strictly(data, &o); err != nil {
		return 0, fmt.Errorf("send: %s", tidy(err))
	}
	s := Sent{Route: o.Route}
	if len(o.Request) > 0 {
		in, err := ParseInput(o.Request, w.now)
		if err != nil {
			return 0, err
		}
		s.Input = *in
	} else {
		s.Request = (&Input{}).plain(w.now)
	}
	for _, text := range o.Answers {
		in, err := ParseInput(append(append([]byte(`{"request":{},"response":`), text...), '}'), w.now)
		if err != nil {
			return 0, err
		}
		s.Answers = append(s.Answers, announced(in.Response))
	}
	if len(s.Answers) == 0 {
		s.Answers = []policy.Response{{Status: 200, Bytes: -1}}
	}
	return g.Send(s)
}

// announced is an answer whose Retry-After stands in a field too, as it came.
func announced(res policy.Response) policy.Response {
	if _, ok := res.HeaderValue("Retry-After"); ok || res.RetryAfter <= 0 {
		return res
	}
	seconds := strconv.FormatInt(int64((res.RetryAfter+time.Second-1)/time.Second), 10)
	m := map[string]string{"retry-after": seconds}
	if have, ok := res.Header.(values); ok {
		maps.Copy(m, have.m)
	}
	res.Header = values{fold: true, m: m}
	return res
}

// plain is a request of which nothing is said.
func (in *Input) plain(now int64) policy.Request {
	in.parseRequest(map[string]any{}, now)
	return in.Request
}

// end moves the clock until a call has ended.
func (w *world) end(g Whole, id int) (*Ended, error) {
	for {
		if e, ok := g.Ended(id); ok {
			return e, nil
		}
		at, ok := g.Next()
		if !ok {
			return nil, errors.New("it does not end: nothing is due that would let it go on")
		}
		if err := w.advance(time.Duration(max(at-w.now, 0))); err != nil {
			return nil, err
		}
	}
}
