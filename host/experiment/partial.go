package experiment

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// keep keeps what the first replica of a variant had counted when it was stopped, so long
// after its warm-up.
func (t *trial) keep(v int, d *replica, measured time.Duration) {
	d.cut(t.spec.warmup() + measured)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cut[v] = d
}

// cut marks r as stopped at a virtual time: its series end with the last whole step.
func (r *replica) cut(at time.Duration) {
	r.cutAt = Duration(at)
	s := &r.series
	for _, list := range append([][]float64{s.Offered, s.Admitted, s.Good, s.Refused, s.Denied, s.InSystem, s.Wait}, s.Queue...) {
		for i := int(at / s.Step); i < len(list); i++ {
			list[i] = math.NaN()
		}
	}
}

// begun summarises the first replicas of the variants that have one, whole or not, and
// says what each is.
func (t *trial) begun(res *Result) {
	var ran []string
	for i, v := range t.variants {
		first, how := t.replicas[i][0], "to its end"
		if first == nil {
			if first = t.cut[i]; first == nil {
				continue
			}
			how = fmt.Sprintf("until %v of %v", time.Duration(first.cutAt).Round(time.Second), time.Duration(t.spec.Duration))
		}
		res.Strategies = append(res.Strategies, t.spec.summarize(v, []*replica{first}, res.Metrics))
		ran = append(ran, v.name+" ran "+how)
	}
	res.Partial += fmt.Sprintf("; of the first replica, %s; %d of %d strategies have nothing to show yet. Those that ran for different times do not compare",
		strings.Join(ran, ", "), len(t.variants)-len(ran), len(t.variants))
}
