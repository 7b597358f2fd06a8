package main

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/gaia-host/gaia/bench/internal/measure"
)

// effort says how much of everything a row measures.
type effort struct {
	Repeat   int           // interleaved repeats wanted
	Sample   time.Duration // length of one sample of what allocates nothing
	Garbage  time.Duration // length of one where a side keeps the garbage collector busy: several of its rounds
	Limit    time.Duration // for the repeats of one row
	Allocs   int           // operations over which allocations are counted
	Requests int           // in one sample where several processes take part
	Keys     int           // that a keyed limiter holds
	Over     time.Duration // how long admissions over the bound are looked for
}

// fullEffort is what the gate takes unless told otherwise.
var fullEffort = effort{Repeat: 41, Sample: 3 * time.Millisecond, Garbage: 100 * time.Millisecond, Limit: 12 * time.Second, Allocs: 20_000, Requests: 4000, Keys: 1_000_000, Over: time.Second}

// plan is what a row within this process takes.
func (e effort) plan() measure.Plan { return measure.Plan{Turns: e.Repeat, Limit: e.Limit} }

// noAllocs is the allowance of a row without a target for allocations.
const noAllocs = -1

// row is one line of the table of what gaia must cost.
type row struct {
	name    string
	target  float64 // the most that the ratio may be
	allocs  int     // the most allocations, or noAllocs
	measure func(context.Context, effort) (outcome, error)
}

// outcome is what a row measured.
type outcome struct {
	ratio  float64
	allocs float64 // of one operation; of no meaning where the row has no allowance
	how    measure.Result
	sides  []string // names of how.Costs
}

// compared is the outcome of a comparison.
func compared(res measure.Result, allocs float64, sides ...string) outcome {
	return outcome{ratio: res.Score, allocs: allocs, how: res, sides: sides}
}

// detail tells the costs, the spread and the repeats.
func (o outcome) detail() string {
	var b strings.Builder
	for i, name := range o.sides {
		fmt.Fprintf(&b, "%s %.1f ns, ", name, o.how.Costs[i])
	}
	fmt.Fprintf(&b, "half of the ratios in %.3f to %.3f, %d of %d repeats undisturbed", o.how.Low, o.how.High, o.how.Quiet, o.how.Turns)
	if o.how.Disturbed {
		b.WriteString(" (too few: all count)")
	}
	return b.String()
}

// verdict is an outcome held to its row.
type verdict struct {
	row    row
	ratio  float64 // rounded up to what is printed, so that print and verdict agree
	allocs int     // rounded to the nearest: now and then the runtime makes one of its own
	short  bool
}

func (r row) judge(o outcome) verdict {
	v := verdict{row: r, ratio: math.Ceil(o.ratio*1000-1e-6) / 1000, allocs: int(math.Round(o.allocs))}
	v.short = !(v.ratio <= r.target) || r.allocs != noAllocs && v.allocs > r.allocs
	return v
}

// line is the row as printed: NAME RATIO TARGET [N/MAX allocs] ok|SHORT.
func (v verdict) line(width int) string {
	allocs, word := "", "ok"
	if v.row.allocs != noAllocs {
		allocs = fmt.Sprintf("%d/%d allocs", v.allocs, v.row.allocs)
	}
	if v.short {
		word = "SHORT"
	}
	return fmt.Sprintf("%-*s %8.3f %6s  %-10s  %s", width, v.row.name, v.ratio, strconv.FormatFloat(v.row.target, 'f', -1, 64), allocs, word)
}

// ops makes an operation of one that is done once, and stops at its first error. The
// call costs the same on both sides of a comparison.
func ops(once func() error) measure.Op {
	return func(n int) error {
		for range n {
			if err := once(); err != nil {
				return err
			}
		}
		return nil
	}
}
