package policytest

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
)

// scriptRun is the host of one test file in JavaScript: what its module "gaia/test" asks.
type scriptRun struct {
	suite   *Suite
	path    string
	skipped []string
	world   *world  // of the case that runs; nil between cases
	result  *Result // likewise
}

// errOutside is told to what is called at module scope.
var errOutside = errors.New("call this inside of test(...)")

func (s *scriptRun) clock() int64 {
	if s.world == nil {
		return caseStart
	}
	return s.world.now
}

// end closes what the case opened.
func (s *scriptRun) end() error {
	err := s.world.close()
	s.world, s.result = nil, nil
	return err
}

// scriptOp is the argument of every question of the module.
type scriptOp struct {
	Setup
	File    string          `json:"file"`
	Policy  int             `json:"policy"`
	Hook    string          `json:"hook"`
	Input   json.RawMessage `json:"input"`
	By      any             `json:"by"`
	Limiter string          `json:"limiter"`
	Key     string          `json:"key"`
	Cost    int64           `json:"cost"`
	Name    string          `json:"name"`
	Config  json.RawMessage `json:"config"`
	Gaia    int             `json:"gaia"`
	Call    int             `json:"call"`

	OK       bool            `json:"ok"`
	Want     string          `json:"want"`
	Got      string          `json:"got"`
	Decision json.RawMessage `json:"decision"`
}

// answer implements Host.
func (s *scriptRun) answer(op string, value []byte, at func() Place) ([]byte, error) {
	switch op {
	case "skip":
		var name string
		if err := json.Unmarshal(value, &name); err != nil {
			return nil, fmt.Errorf("test.skip: want a name: %w", err)
		}
		s.skipped = append(s.skipped, name)
		return nil, nil
	case "duration":
		var text any
		if err := json.Unmarshal(value, &text); err != nil {
			return nil, err
		}
		d, err := policy.ParseDuration(text)
		if err != nil {
			return nil, err
		}
		return json.Marshal(ms(d))
	}
	if s.world == nil {
		return nil, errOutside
	}
	var o scriptOp
	if value != nil {
		if err := json.Unmarshal(value, &o); err != nil {
			return nil, fmt.Errorf("%s: %w", op, err)
		}
	}
	return s.inCase(op, &o, at)
}

func (s *scriptRun) inCase(op string, o *scriptOp, at func() Place) ([]byte, error) {
	w := s.world
	if err := w.ctx.Err(); err != nil {
		return nil, err
	}
	switch op {
	case "open":
		n, err := w.openTrial(o.File, o.Setup)
		if err != nil {
			return nil, err
		}
		return json.Marshal(n)
	case "now":
		return json.Marshal(w.now / int64(time.Millisecond))
	case "advance":
		by, err := policy.ParseDuration(o.By)
		if err == nil {
			err = w.advance(by)
		}
		if err != nil {
			return nil, fmt.Errorf("advance: %w", err)
		}
		return json.Marshal(w.now / int64(time.Millisecond))
	case "check":
		s.check(o, at)
		return nil, nil
	case "gaia":
		n, err := w.openWholeOf(o.Config, o.Setup)
		if err != nil {
			return nil, err
		}
		return json.Marshal(n)
	case "send", "end", "ended", "levelOf", "stateOf":
		return s.inWhole(op, o)
	}
	t, err := w.trial(o.Policy)
	if err != nil {
		return nil, err
	}
	var v any
	switch op {
	case "hook":
		h, _ := policy.ParseHook(o.Hook) // the module knows the hooks
		v, err = w.ask(t, h, o.Input)
	case "level":
		v, err = w.level(t, o.Limiter, o.Key, o.Cost)
	case "state":
		v = w.stateOf(t, o.Key)
	case "value":
		v = t.value(o.Name)
	default:
		return nil, fmt.Errorf("there is no %q", op)
	}
	if err != nil || v == nil {
		return nil, err
	}
	return json.Marshal(v)
}

// inWhole answers what a case asks of all of gaia.
func (s *scriptRun) inWhole(op string, o *scriptOp) ([]byte, error) {
	w := s.world
	g, err := w.wholeOf(o.Gaia)
	if err != nil {
		return nil, err
	}
	var v any
	switch op {
	case "send":
		v, err = w.send(g, o.Input)
	case "end":
		v, err = w.end(g, o.Call)
	case "ended":
		e, ok := g.Ended(o.Call)
		if !ok {
			return nil, nil
		}
		v = e
	case "levelOf":
		v, err = levelOf(g.Natives(), "", o.Limiter, w.now, o.Key, o.Cost)
	case "stateOf":
		v = stateIn(g.Natives(), o.Name, w.now, o.Key)
	}
	if err != nil || v == nil {
		return nil, err
	}
	return json.Marshal(v)
}

// check counts an expectation and keeps it where it was not met; the case goes on, so that all are shown.
func (s *scriptRun) check(o *scriptOp, at func() Place) {
	s.result.Checks++
	if !o.OK {
		s.result.fail(Failure{At: at(), Message: "want " + o.Want + ", got " + o.Got, Want: o.Want, Got: o.Got, Decision: o.Decision})
	}
}
