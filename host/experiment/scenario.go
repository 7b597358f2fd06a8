package experiment

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/experiment/dist"
	"github.com/gaia-host/gaia/host/experiment/sim"
	"github.com/gaia-host/gaia/host/experiment/trace"
)

const defaultPatience = 30 * time.Second

// Trace is recorded traffic, read once.
type Trace struct {
	trace.Config
	data *trace.Data
}

// rows reads the file at the first call.
func (t *Trace) rows(s *Spec) (sim.Rows, error) {
	if t.data == nil {
		c := t.Config
		c.File = s.file(c.File)
		d, err := trace.Load(c)
		if err != nil {
			return nil, err
		}
		t.data = d
	}
	return t.data.Rows(), nil
}

// build makes the scenario anew: processes and readers are used up by a run.
func (s *Scenario) build(spec *Spec, name string) (sim.Scenario, error) {
	out := sim.Scenario{Name: name, Users: s.Users, Think: s.Think.Dist, Cost: s.Cost.Dist, Tenant: s.Tenant, Priority: policy.DefaultPriority,
		Method: s.Method, Path: s.Path, From: time.Duration(s.Start), Patience: defaultPatience}
	if given := count(s.Arrivals != nil, s.Users != 0, s.Trace != nil); given != 1 {
		return out, errors.New("want exactly one of arrivals, users and trace")
	}
	if s.Users < 0 || s.Users > 1_000_000 {
		return out, errors.New("users: want at most 1000000")
	}
	for _, d := range []Duration{s.Start, s.For} {
		if d < 0 || time.Duration(d) > MaxDuration {
			return out, fmt.Errorf("startTime and duration: want 0 to %v", MaxDuration)
		}
	}
	if s.For > 0 {
		out.Until = out.From + time.Duration(s.For)
	}
	if s.Patience != nil {
		out.Patience = time.Duration(*s.Patience)
	}
	if s.Priority != nil {
		out.Priority = *s.Priority
	}
	if out.Patience < 0 || out.Patience > MaxDuration || out.Priority < 0 || out.Priority > policy.MaxPriority {
		return out, fmt.Errorf("want a patience of 0 to %v, and a priority of 0 to %d", MaxDuration, policy.MaxPriority)
	}
	if out.Method == "" {
		out.Method = "GET"
	}
	if out.Path == "" {
		out.Path = "/"
	}
	var err error
	if out.KeyNames, out.Keys, err = s.Keys.build("key"); err != nil {
		return out, err
	}
	if s.Tenants.N > 0 || len(s.Tenants.Names) > 0 {
		if len(out.KeyNames) > 1 {
			return out, errors.New("want one key where there are tenants")
		}
		out.Key = out.KeyNames[0]
		if out.KeyNames, out.Keys, err = s.Tenants.build("tenant"); err != nil {
			return out, err
		}
	}
	switch {
	case s.Arrivals != nil:
		out.Process, err = s.Arrivals.process()
	case s.Trace != nil:
		out.Rows, err = s.Trace.rows(spec)
	}
	return out, err
}

func count(given ...bool) (n int) {
	for _, g := range given {
		if g {
			n++
		}
	}
	return n
}

func (k *Keys) build(base string) ([]string, dist.Dist, error) {
	names := k.Names
	if k.N < 0 || k.N > 0 && len(names) > 0 {
		return nil, dist.Dist{}, errors.New("keys: want names, or n of 1 or more, not both")
	}
	n := max(k.N, len(names), 1)
	d, err := dist.Zipf(n, k.S)
	if err != nil {
		return nil, d, err
	}
	if len(names) == 0 {
		if k.Name != "" {
			base = k.Name
		}
		if k.N == 0 {
			return []string{base}, d, nil
		}
		for i := range n {
			names = append(names, base+"-"+strconv.Itoa(i))
		}
	}
	return names, d, nil
}
