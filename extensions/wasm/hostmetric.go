package wasm

import (
	"fmt"
	"math"
	"strings"

	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/natives"
)

// valueDecl is a number of its own that a policy opened.
type valueDecl struct {
	kind  metrics.FieldKind
	name  string
	value *metrics.Value
}

func addMetricFuncs(fs map[string]hostFunc) {
	fs["metric_open"] = metricOpen
	fs["metric_add"] = func(g *guest, s []uint64) { metricWrite(g, s, (*natives.Call).Add) }
	fs["metric_set"] = func(g *guest, s []uint64) { metricWrite(g, s, (*natives.Call).SetGauge) }
}

func metricOpen(g *guest, s []uint64) {
	id, err := g.openMetric(uint32(s[0]), g.str(s[1], s[2]))
	if err != nil {
		id = g.refuse(err)
	}
	s[0] = i32(id)
}

func (g *guest) openMetric(number uint32, name string) (int32, error) {
	kind, name := metrics.FieldKind(number&1), strings.Clone(name)
	d := &g.policy.declared
	switch {
	case number > uint32(metrics.Gauge):
		return 0, fmt.Errorf("open metric %q: kind %d: %w", name, number, errRange)
	case g.call.Running():
		return 0, fmt.Errorf("open metric %q: %w", name, natives.ErrHook)
	case d.complete && (g.values >= len(d.values) || d.values[g.values].kind != kind || d.values[g.values].name != name):
		return 0, errDiffers
	case !d.complete:
		v, err := g.call.Metric(kind, name)
		if err != nil {
			return 0, fmt.Errorf("open metric %q: %w", name, err)
		}
		d.values = append(d.values, valueDecl{kind, name, v})
	}
	g.values++
	return int32(g.values - 1), nil
}

func metricWrite(g *guest, s []uint64, write func(*natives.Call, *metrics.Value, float64)) {
	vs := g.policy.declared.values
	if uint64(uint32(s[0])) >= uint64(len(vs)) {
		s[0] = i32(g.refuse(errID))
		return
	}
	n := math.Float64frombits(s[1])
	if math.IsNaN(n) || math.IsInf(n, 0) {
		s[0] = i32(g.refuse(errRange))
		return
	}
	write(g.call, vs[uint32(s[0])].value, n)
	s[0] = 0
}
