package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/gaia-host/gaia/host/control"
)

// hopeless is how many operations may fail, with none that went well, before a row ends.
const hopeless = 20

// benchLoad repeats one operation.
type benchLoad struct {
	ops, callers int
	long         time.Duration
	do           func(ctx context.Context, i int) error

	mu    sync.Mutex
	next  int
	times []time.Duration // of those that went well
	row   benchRow
}

// benchRow is what is told of one load. Latencies are of operations that went well, in milliseconds.
type benchRow struct {
	Name   string  `json:"name"`
	OK     int     `json:"ok"`
	Denied int     `json:"denied"`
	Failed int     `json:"failed"`
	PerSec float64 `json:"ops_per_second"`
	P50    float64 `json:"p50_ms"`
	P95    float64 `json:"p95_ms"`
	P99    float64 `json:"p99_ms"`
	Error  string  `json:"error,omitempty"` // the first
}

// put runs the load to the end of its number or its time. What is under way then is
// waited for.
func (l *benchLoad) put(ctx context.Context) benchRow {
	began := time.Now()
	var wg sync.WaitGroup
	for range min(l.callers, l.ops) {
		wg.Go(func() {
			for ctx.Err() == nil && time.Since(began) < l.long {
				i, ok := l.take()
				if !ok {
					return
				}
				at := time.Now()
				err := l.do(ctx, i)
				l.note(time.Since(at), err)
			}
		})
	}
	wg.Wait()
	l.row.PerSec = float64(l.row.OK) / time.Since(began).Seconds()
	slices.Sort(l.times)
	l.row.P50, l.row.P95, l.row.P99 = percentile(l.times, 0.50), percentile(l.times, 0.95), percentile(l.times, 0.99)
	return l.row
}

func (l *benchLoad) take() (i int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next >= l.ops || l.row.OK == 0 && l.row.Denied+l.row.Failed >= hopeless {
		return 0, false
	}
	l.next++
	return l.next - 1, true
}

func (l *benchLoad) note(took time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.row.OK++
		l.times = append(l.times, took)
		return
	case isDenied(err):
		l.row.Denied++
	default:
		l.row.Failed++
	}
	if l.row.Error == "" {
		l.row.Error = err.Error()
	}
}

// isDenied reports whether a policy or a limit said no.
func isDenied(err error) bool {
	var answer *control.AnswerError
	var status *statusError
	return errors.As(err, &answer) && answer.Problem.Status == http.StatusTooManyRequests ||
		errors.As(err, &status) && status.code == http.StatusTooManyRequests
}

// percentile is of sorted times, in milliseconds; 0 of none.
func percentile(times []time.Duration, part float64) float64 {
	if len(times) == 0 {
		return 0
	}
	d := times[min(int(part*float64(len(times))), len(times)-1)]
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}

// engineRow is what the policies of one engine did meanwhile.
type engineRow struct {
	Engine   string `json:"engine"`
	Policies int    `json:"policies"`
	Calls    uint64 `json:"calls"`
	Faults   uint64 `json:"faults"`
}

// engineRows tell what changed between two states, by engine in the order of the policies.
func engineRows(before, after []control.Policy) []engineRow {
	rows := []engineRow{}
	for _, p := range after {
		calls, faults := p.Calls, p.Faults
		for _, old := range before {
			if old.Name == p.Name && old.Calls <= calls && old.Faults <= faults {
				calls, faults = calls-old.Calls, faults-old.Faults
			}
		}
		i := slices.IndexFunc(rows, func(r engineRow) bool { return r.Engine == p.Engine })
		if i < 0 {
			i = len(rows)
			rows = append(rows, engineRow{Engine: p.Engine})
		}
		rows[i].Policies++
		rows[i].Calls += calls
		rows[i].Faults += faults
	}
	return rows
}

// liveReport is the whole answer.
type liveReport struct {
	Schema  string      `json:"schema"`
	Callers int         `json:"callers"`
	Rows    []benchRow  `json:"rows"`
	Engines []engineRow `json:"engines"`
}

func (r *liveReport) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "WORK\tOK\tDENIED\tFAILED\tOPS/S\tP50\tP95\tP99")
	for _, row := range r.Rows {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%.0f\t%.3g ms\t%.3g ms\t%.3g ms\n", row.Name, row.OK, row.Denied, row.Failed, row.PerSec, row.P50, row.P95, row.P99)
	}
	_ = t.Flush()
	for _, row := range r.Rows {
		if row.Error != "" {
			fmt.Fprintf(w, "%s, first error: %s\n", row.Name, row.Error)
		}
	}
	if len(r.Engines) == 0 {
		return
	}
	fmt.Fprintln(t, "ENGINE\tPOLICIES\tCALLS\tFAULTS")
	for _, e := range r.Engines {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\n", e.Engine, e.Policies, e.Calls, e.Faults)
	}
	_ = t.Flush()
}
