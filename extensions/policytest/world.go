package policytest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/state"
)

// Bounds of a case.
const (
	maxTrials  = 64
	maxTicks   = 100_000                   // of one advance
	maxAdvance = 10 * 365 * 24 * time.Hour // of all of them together, about
)

// caseStart is when the clock of a case stands at first: a Saturday at midnight, 2000-01-01.
const caseStart = 946_684_800 * int64(time.Second)

// Setup is how a case wants a policy opened.
type Setup struct {
	Params map[string]any    `json:"params"`
	Env    map[string]string `json:"env"` // the environment, all of it granted
}

// Opened is a policy under test.
type Opened struct {
	policy.Policy
	Match policy.Match
}

// OpenPolicy opens the policy of a file, with its declarations in tx. The case closes it.
type OpenPolicy func(ctx context.Context, use string, s Setup, tx *natives.Tx) (Opened, error)

// world is what one case sees: a clock, and policies with a host of their own each.
type world struct {
	ctx    context.Context
	open   OpenPolicy
	dir    string // of the test file
	own    func() (string, error)
	now    int64
	trials []*trial
	whole  OpenWhole
	wholes []Whole
}

// trial is one policy under test. Its hooks are asked live, not dry.
type trial struct {
	Opened
	host     *natives.Host
	attempts map[string]*ledger // that started and did not end, by the text of the request
}

func newWorld(ctx context.Context, s *Suite, file string) *world {
	return &world{ctx: ctx, open: s.Open, whole: s.Whole, dir: filepath.Dir(file), now: caseStart, own: func() (string, error) { return PolicyOf(file) }}
}

// close closes the policies.
func (w *world) close() error {
	var errs []error
	for _, t := range w.trials {
		errs = append(errs, t.Close())
	}
	for _, g := range w.wholes {
		errs = append(errs, g.Close())
	}
	return errors.Join(errs...)
}

// openTrial opens a policy and returns its number. Without a file it is that of the test's folder.
func (w *world) openTrial(file string, s Setup) (int, error) {
	if len(w.trials) >= maxTrials {
		return 0, fmt.Errorf("more than %d policies in one case", maxTrials)
	}
	switch {
	case file == "":
		own, err := w.own()
		if err != nil {
			return 0, err
		}
		file = own
	case !filepath.IsAbs(file) && !strings.HasPrefix(file, "std/"):
		file = filepath.Join(w.dir, file)
	}
	t := &trial{host: natives.NewHost(natives.HostConfig{}), attempts: map[string]*ledger{}}
	tx := t.host.Begin(w.now)
	var err error
	if t.Opened, err = w.open(w.ctx, file, s, tx); err != nil {
		return 0, err
	}
	w.trials = append(w.trials, t)
	tx.Commit()
	return len(w.trials) - 1, tx.Apply()
}

func (w *world) trial(n int) (*trial, error) {
	if n < 0 || n >= len(w.trials) {
		return nil, errors.New("that policy was opened in another case; open it in this one")
	}
	return w.trials[n], nil
}

// advance moves the clock and ticks the policies at every second it passes.
func (w *world) advance(by time.Duration) error {
	until := w.now + int64(by)
	if by > maxAdvance || until-caseStart > int64(maxAdvance) {
		return fmt.Errorf("the clock of a case goes at most %v", maxAdvance)
	}
	var listening []*trial
	for _, t := range w.trials {
		if t.Hooks().Has(policy.HookTick) {
			listening = append(listening, t)
		}
	}
	if listening != nil && by > maxTicks*time.Second {
		return fmt.Errorf("a policy with onTick: want at most %d seconds at once", maxTicks)
	}
	for next := w.now - w.now%int64(time.Second) + int64(time.Second); listening != nil && next <= until; next += int64(time.Second) {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		for _, t := range listening {
			if err := t.tick(next); err != nil {
				return err
			}
		}
	}
	for _, g := range w.wholes {
		if err := g.Advance(w.ctx, until); err != nil {
			return err
		}
	}
	w.now = until
	return nil
}

func (t *trial) tick(now int64) error {
	return plainly(t.OnTick(&policy.Tick{Now: now, Metrics: func(string) map[string]float64 { return nil }}))
}

// ask asks one hook at the clock of the case. Requests of the same text belong to one attempt, from onRequest to onDone: what
// a denial took is given back, and what lasts as long as the attempt is released at its end, as admission does.
func (w *world) ask(t *trial, h policy.Hook, input json.RawMessage) (*Answer, error) {
	if !t.Hooks().Has(h) {
		return nil, fmt.Errorf("%s has no %s (it has %s)", t.Name(), h, strings.Join(t.Hooks().Names(), ", "))
	}
	if h == policy.HookTick {
		return &Answer{Action: policy.ActionNone.String()}, t.tick(w.now)
	}
	in, err := ParseInput(input, w.now)
	if err != nil {
		return nil, err
	}
	if !t.Match.Matches(&in.Request) {
		return &Answer{Action: policy.ActionNone.String(), Unasked: true, Explain: &policy.Explanation{Ledger: []policy.Taken{}}}, nil
	}
	var parts struct{ Request json.RawMessage }
	if err := json.Unmarshal(input, &parts); err != nil {
		return nil, err
	}
	led := t.attempts[string(parts.Request)]
	if led == nil || h == policy.HookRequest {
		led = &ledger{}
	}
	from := len(led.entries)
	in.Request.Ledger = led
	var d policy.Decision
	if err := askHook(t.Policy, h, in, &d, nil); err != nil {
		return nil, plainly(err)
	}
	switch {
	case h == policy.HookRequest && d.Action == policy.ActionDeny:
		led.giveBack(w.now)
	case h == policy.HookDone:
		led.release(w.now)
		delete(t.attempts, string(parts.Request))
	case len(led.entries) > 0:
		t.attempts[string(parts.Request)] = led
	}
	a := newAnswer(t.Name(), &d, led.entries[from:], in)
	if a.Wait = ms(d.Delay); d.Action != policy.ActionDeny {
		for _, e := range led.entries[from:] {
			if e.OK {
				a.Wait = max(a.Wait, ms(e.Wait))
			}
		}
	}
	return a, nil
}

// giveBack undoes what an attempt took that does not start.
func (l *ledger) giveBack(now int64) {
	for _, e := range l.entries {
		if e.OK {
			e.From.GiveBack(now, e.Key, e.Cost, e.Taken)
		}
	}
}

// release ends what lasts as long as the attempt.
func (l *ledger) release(now int64) {
	for _, e := range l.entries {
		if e.OK {
			e.From.Release(now, e.Key, e.Cost)
		}
	}
}

// plainly is a fault without the policy's name, which a test knows.
func plainly(err error) error {
	var f *policy.Fault
	if !errors.As(err, &f) {
		return err
	}
	at := f.Where
	if at != "" {
		at += ": "
	}
	return fmt.Errorf("%s: %s: %s%w", f.Hook, f.Kind, at, f.Err)
}

// SeenLevel is the level of a limiter as a test sees it.
type SeenLevel struct {
	OK         bool    `json:"ok"`
	Limit      int64   `json:"limit"`
	Remaining  int64   `json:"remaining"` // -1 unknown
	RetryAfter float64 `json:"retryAfter"`
	Reset      float64 `json:"reset"`
}

// level looks at a limiter without taking: whether cost units could go, and what is left now.
func (w *world) level(t *trial, name, key string, cost int64) (*SeenLevel, error) {
	return levelOf(t.host, t.Name()+"/", name, w.now, key, cost)
}

// levelOf finds a limiter by its name, which own stands before unless it is shared.
func levelOf(h *natives.Host, own, name string, now int64, key string, cost int64) (*SeenLevel, error) {
	scoped := own + name
	if strings.HasPrefix(name, natives.SharedPrefix) {
		scoped = name
	}
	var names []string
	for _, l := range h.Limiters() {
		if l.Name() == scoped {
			r := l.Limit().Peek(now, key, cost)
			left := l.Limit().Peek(now, key, 0).Remaining // r tells what would be left after the take
			return &SeenLevel{OK: r.OK, Limit: r.Limit, Remaining: left, RetryAfter: ms(r.Wait), Reset: ms(r.Reset)}, nil
		}
		names = append(names, strings.TrimPrefix(l.Name(), own))
	}
	sort.Strings(names)
	return nil, fmt.Errorf("there is no limiter %q (there are: %s)", name, strings.Join(names, ", "))
}

// stateOf is what a key of the policy's state holds, nil where there is nothing.
func (w *world) stateOf(t *trial, key string) any { return stateIn(t.host, t.Name(), w.now, key) }

func stateIn(h *natives.Host, own string, now int64, key string) any {
	store, plain := own, key
	if rest, ok := strings.CutPrefix(key, natives.SharedPrefix); ok {
		store, plain = "shared", rest
	}
	v, _ := h.State(store).Get(now, plain)
	switch v.Kind {
	case state.KindNumber:
		return v.Num
	case state.KindBool:
		return v.Num != 0
	case state.KindText:
		return v.Text
	case state.KindBytes:
		return []byte(v.Text)
	}
	return nil
}

// value is one of the policy's own numbers, nil where there is none of that name.
func (t *trial) value(name string) (found any) {
	t.host.Metrics().Range(func(_, n string, _ metrics.FieldKind, v float64) {
		if n == name {
			found = v
		}
	})
	return found
}
