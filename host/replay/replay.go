package replay

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/gaia-host/gaia/extensions/bundle"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/wasm"
	"github.com/gaia-host/gaia/host/record"
	"github.com/gaia-host/gaia/host/shadow"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// Schema is the value of Report.Schema.
const Schema = "gaia.replay/v1"

const (
	// MaxWait is the longest wait of an operation; a longer one is a denial.
	MaxWait = 60 * time.Second
	// budget of a hook: on a machine under load the usual one would make faults that
	// say nothing about the policy.
	budget      = time.Second
	maxExamples = 5
	maxTicks    = 3600 // of one gap in the trace
)

// Config says what is replayed. New, Trace and Wasm are required.
type Config struct {
	New     string         // a path, or std/NAME
	Against string         // what it is compared with; "" what was recorded
	Params  map[string]any // of New and Against
	Trace   io.Reader
	File    string // the trace's name, for errors
	Wasm    *wasm.Engine
	Log     *slog.Logger // of the policies; nil: discarded
}

// Report says how New differs.
type Report struct {
	Schema    string         `json:"schema"`
	New       string         `json:"new"`
	Against   string         `json:"against"` // "the recording" where no policy was given
	Trace     string         `json:"trace"`
	Attempts  int            `json:"attempts"`
	Seconds   float64        `json:"seconds"` // from the first to the last
	Same      int            `json:"same"`
	Differs   map[string]int `json:"differs"` // denies, allows, delays_more, delays_less, elsewhere
	Would     map[string]int `json:"would"`   // by New: allow, deny, delay, route
	Faults    uint64         `json:"faults"`  // hooks of New that failed
	Fault     string         `json:"fault,omitempty"`
	Examples  []Example      `json:"examples"`
	Different int            `json:"different"`
}

// Example is one of the first differences of its kind.
type Example struct {
	Line    int         `json:"line"` // of the trace
	Differs string      `json:"differs"`
	Key     string      `json:"key"`
	Tenant  string      `json:"tenant,omitempty"`
	Method  string      `json:"method,omitempty"`
	Path    string      `json:"path,omitempty"`
	Against record.Said `json:"against"`
	New     record.Said `json:"new"`
	Reason  string      `json:"reason,omitempty"`
}

// Run replays. An error of the trace names its line; one of a policy is a
// *policy.LoadError.
func Run(ctx context.Context, c Config) (*Report, error) {
	rows, err := read(c.Trace, c.File)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	first := slices.MinFunc(rows, func(a, b *row) int { return cmp.Compare(a.at(), b.at()) }).at()
	fresh, err := open(ctx, &c, c.New, first)
	if err != nil {
		return nil, err
	}
	defer fresh.close()
	rep := &Report{Schema: Schema, New: fresh.policy.Name(), Against: "the recording", Trace: c.File, Attempts: len(rows),
		Differs: map[string]int{}, Would: map[string]int{}, Examples: []Example{}}
	var old *side
	if c.Against != "" {
		if old, err = open(ctx, &c, c.Against, first); err != nil {
			return nil, err
		}
		defer old.close()
		rep.Against = old.policy.Name()
	}
	if err := rep.play(ctx, rows, fresh, old); err != nil {
		return nil, err
	}
	for _, m := range fresh.chain.Members() {
		rep.Faults += m.AllFaults()
	}
	rep.Fault = fresh.fault
	return rep, nil
}

// side is one policy and the world it sees.
type side struct {
	policy  *bundle.Policy
	chain   *policy.Chain
	overlay *natives.Overlay
	cases   map[*row]*shadow.Case // under way
	fault   string                // the first
}

func open(ctx context.Context, c *Config, use string, now int64) (*side, error) {
	host := natives.NewHost(natives.HostConfig{Log: c.Log})
	tx := host.Begin(now)
	random := rand.New(rand.NewPCG(1, 2)) // the same every time
	p, err := bundle.Open(ctx, "", use, bundle.Settings{Params: c.Params, Options: policy.Options{Budget: budget}},
		bundle.Config{Wasm: c.Wasm, Tx: tx, Log: c.Log, Rand: random.Float64})
	if err != nil {
		return nil, err
	}
	tx.Commit()
	s := &side{policy: p, overlay: natives.NewOverlay(), cases: map[*row]*shadow.Case{}}
	s.chain = policy.NewChain(policy.NewMember(p.Policy, policy.MemberConfig{Match: p.Match, Body: p.Options.Body, OnFailure: p.Options.OnFailure,
		OnFault: func(f *policy.Fault) {
			if s.fault == "" {
				s.fault = f.Error()
			}
		}}))
	return s, tx.Apply()
}

func (s *side) close() { _ = s.policy.Close() }

// moment is one thing that happens in a recording.
type moment struct {
	at   int64
	kind uint8 // of one time: ends come before headers, and those before questions
	row  *row
}

const (
	ended uint8 = iota
	answered
	asked
)

// moments lists what happens, in order. What follows a question comes later than it.
func moments(rows []*row) []moment {
	list := make([]moment, 0, 3*len(rows))
	for _, r := range rows {
		list = append(list, moment{r.at(), asked, r})
		end := max(r.began(), r.at()+1)
		if r.End == record.EndDone && r.Answered != nil {
			head := max(r.began()+ns(*r.Answered), r.at()+1)
			list = append(list, moment{head, answered, r})
			end = head + 1
		}
		if r.End == record.EndDone {
			end = max(end, r.began()+ns(*r.Service))
		}
		list = append(list, moment{end, ended, r})
	}
	slices.SortFunc(list, func(a, b moment) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.kind, b.kind), cmp.Compare(a.row.line, b.row.line))
	})
	return list
}

// play runs the moments in order, a tick for each second between them.
func (rep *Report) play(ctx context.Context, rows []*row, fresh, old *side) error {
	list := moments(rows)
	start, end := list[0].at, list[len(list)-1].at
	rep.Seconds = time.Duration(end - start).Seconds()
	tick := start + int64(time.Second)
	for i, m := range list {
		if i%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if m.at-tick > maxTicks*int64(time.Second) {
			tick = m.at - maxTicks*int64(time.Second)
		}
		for ; tick <= m.at; tick += int64(time.Second) {
			fresh.tick(tick)
			old.tick(tick)
		}
		if m.kind != asked {
			fresh.follow(m)
			old.follow(m)
			continue
		}
		here, reason := fresh.ask(m.row)
		there := m.row.said()
		if old != nil {
			there, _ = old.ask(m.row)
		}
		rep.count(m.row, there, here, reason)
	}
	return nil
}

func (rep *Report) count(r *row, there, here admission.Said, reason string) {
	rep.Would[shadow.WouldOf(here).String()]++
	went := r.Upstream
	if r.Said.Upstream != "" { // a policy's choice: what the balancer's were, nobody knows
		went = ""
	}
	d := shadow.Compare(there, here, went)
	if d == shadow.Same {
		rep.Same++
		return
	}
	rep.Different++
	rep.Differs[d.String()]++
	if rep.Differs[d.String()] <= maxExamples {
		rep.Examples = append(rep.Examples, Example{Line: r.line, Differs: d.String(), Key: r.Key, Tenant: r.Tenant, Method: r.Method, Path: r.Path,
			Against: record.SaidOf(there), New: record.SaidOf(here), Reason: reason})
	}
}

func (s *side) ask(r *row) (admission.Said, string) {
	c := &shadow.Case{Req: r.request(), View: r.view()}
	s.cases[r] = c
	said := c.Ask(s.chain, s.overlay, MaxWait)
	return said, c.Why()
}

// follow shows what happened to an attempt; a nil side sees nothing.
func (s *side) follow(m moment) {
	if s == nil {
		return
	}
	c := s.cases[m.row]
	if c == nil {
		return
	}
	if m.kind == answered {
		c.Answer(s.chain, m.at, m.row.response(false))
		return
	}
	delete(s.cases, m.row)
	if m.row.End == record.EndDone {
		c.Done(s.chain, m.at, m.row.response(true))
	} else {
		c.Done(s.chain, m.at, nil)
	}
}

func (s *side) tick(now int64) {
	if s != nil {
		s.chain.OnTick(&policy.Tick{Now: now, Dry: s.overlay, Metrics: func(string) map[string]float64 { return nil }})
	}
}
