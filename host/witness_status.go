package host

import (
	"time"

	"github.com/gaia-host/gaia/host/control"
	"github.com/gaia-host/gaia/host/record"
	"github.com/gaia-host/gaia/host/shadow"
	"github.com/gaia-host/gaia/subsystems/admission"
	"github.com/prometheus/client_golang/prometheus"
)

// shadowStatus describes the shadow that runs, nil for none.
func (w *witness) shadowStatus() *control.Shadow {
	by := w.shadow.Load()
	if by == nil {
		return nil
	}
	s := by.Stats()
	st := &control.Shadow{Name: s.Name, Use: by.policy.Use, Digest: by.policy.Digest, Would: map[string]uint64{}, Differs: map[string]uint64{},
		Agrees: s.Diffs[shadow.Same], Dropped: s.Dropped, Calls: s.Calls, Faults: s.Faults}
	for i, n := range s.Would {
		st.Would[shadow.Would(i).String()] = n
	}
	for i, n := range s.Diffs {
		if d := shadow.Diff(i); d != shadow.Same {
			st.Differs[d.String()] = n
		}
	}
	if d := s.Latest; d != nil {
		st.Latest = &control.Disagreement{At: time.Unix(0, d.At).UTC(), Differs: d.Diff.String(), Subsystem: d.Subsystem, Key: d.Key,
			Method: d.Method, Path: d.Path, Live: saidOf(d.Live), Shadow: saidOf(d.Shadow), Reason: d.Reason}
	}
	return st
}

func saidOf(s admission.Said) control.Said { return control.Said(record.SaidOf(s)) }

// recordStatus describes the recording, nil for none.
func (w *witness) recordStatus() *control.Record {
	if w.record == nil {
		return nil
	}
	s := w.record.Stats()
	return &control.Record{File: s.File, Written: s.Written, Dropped: s.Dropped, Failed: s.Failed, Error: s.Error}
}

// witnessDescs are the numbers of the shadow and the recording.
type witnessDescs struct{ would, differs, dropped, faults, lines *prometheus.Desc }

func newWitnessDescs() witnessDescs {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("gaia_"+name, help, labels, nil)
	}
	return witnessDescs{
		would:   desc("policy_shadow_total", "Attempts that the shadow was asked about, by what it would do.", "would"),
		differs: desc("policy_shadow_differs_total", "Attempts that the shadow would have decided otherwise, by how.", "how"),
		dropped: desc("policy_shadow_dropped_total", "Hooks of the shadow that were not run: it was behind, or had its share of time."),
		faults:  desc("policy_shadow_faults_total", "Hooks of the shadow that failed."),
		lines:   desc("record_lines_total", "Lines of the recording, by what became of them.", "result"),
	}
}

func (d *witnessDescs) all() []*prometheus.Desc {
	return []*prometheus.Desc{d.would, d.differs, d.dropped, d.faults, d.lines}
}

func (d *witnessDescs) collect(w *witness, counter func(d *prometheus.Desc, v float64, labels ...string)) {
	if s := w.shadowStatus(); s != nil {
		for would, n := range s.Would {
			counter(d.would, float64(n), would)
		}
		for how, n := range s.Differs {
			counter(d.differs, float64(n), how)
		}
		counter(d.dropped, float64(s.Dropped))
		counter(d.faults, float64(s.Faults))
	}
	if r := w.recordStatus(); r != nil {
		counter(d.lines, float64(r.Written), "written")
		counter(d.lines, float64(r.Dropped), "dropped")
		counter(d.lines, float64(r.Failed), "failed")
	}
}
