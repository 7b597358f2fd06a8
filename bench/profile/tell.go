package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/google/pprof/profile"
)

// topRows is how many rows a list has at most.
const topRows = 15

// column is the index of a sample's value of that type, the last where there is none.
func column(p *profile.Profile, kind string) int {
	for i, t := range p.SampleType {
		if t.Type == kind {
			return i
		}
	}
	return len(p.SampleType) - 1
}

// tally adds up numbers by name.
type tally struct {
	by    map[string]int64
	total int64
}

// sum adds up one column by what name says of each stack.
func sum(p *profile.Profile, kind string, name func([]frame) string) tally {
	t := tally{by: map[string]int64{}}
	at := column(p, kind)
	for _, s := range p.Sample {
		n := s.Value[at]
		if n == 0 {
			continue
		}
		t.by[name(stackOf(s))] += n
		t.total += n
	}
	return t
}

func (t tally) share(name string) float64 { return float64(t.by[name]) / float64(max(t.total, 1)) }

// print writes the largest rows, with their share and their number in words.
func (t tally) print(w io.Writer, words func(int64) string) {
	names := make([]string, 0, len(t.by))
	for name := range t.by {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(t.by[b], t.by[a]), cmp.Compare(a, b)) })
	rest := int64(0)
	for i, name := range names {
		if i < topRows {
			fmt.Fprintf(w, "  %5.1f %%  %12s  %s\n", 100*t.share(name), words(t.by[name]), name)
		} else {
			rest += t.by[name]
		}
	}
	if rest > 0 {
		fmt.Fprintf(w, "  %5.1f %%  %12s  %d others\n", 100*float64(rest)/float64(t.total), words(rest), len(names)-topRows)
	}
}

func spent(n int64) string { return time.Duration(n).Round(10 * time.Microsecond).String() }

func bytes(n int64) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
}

func count(n int64) string { return fmt.Sprint(n) }

// ioBound is the share of system calls and runtime in the processor time from which on
// a run is said to be bound by input and output.
const ioBound = 0.5

// tellCPU says whose code ran. The verdict is of this process alone: children and the
// kernel's own threads are not in its profile.
func tellCPU(w io.Writer, p *profile.Profile) {
	kinds := sum(p, "cpu", func(s []frame) string { return kindOf(leaf(s)) })
	fmt.Fprintf(w, "processor time: %s in %s\n", spent(kinds.total), time.Duration(p.DurationNanos).Round(10*time.Millisecond))
	kinds.print(w, spent)
	outside := kinds.share(kindSyscall) + kinds.share(kindRuntime)
	busy := float64(kinds.total) / float64(max(p.DurationNanos, 1))
	verdict := "bound by the processor"
	if outside >= ioBound || busy < ioBound {
		verdict = "bound by input and output"
	}
	fmt.Fprintf(w, "verdict: %s (system calls and runtime %.1f %%, %.2f cores busy)\n\n", verdict, 100*outside, busy)
	fmt.Fprintln(w, "processor time on behalf of (the nearest package of gaia above the leaf):")
	sum(p, "cpu", owner).print(w, spent)
	fmt.Fprintln(w, "\nfunctions that used the most:")
	sum(p, "cpu", func(s []frame) string { return leaf(s).function }).print(w, spent)
}

func tellAllocations(w io.Writer, p *profile.Profile) {
	all := sum(p, "alloc_space", owner)
	objects := sum(p, "alloc_objects", owner)
	fmt.Fprintf(w, "allocated: %s in %d objects, by package on whose behalf:\n", bytes(all.total), objects.total)
	all.print(w, bytes)
	fmt.Fprintln(w, "\nfunctions that allocated the most:")
	sum(p, "alloc_space", func(s []frame) string { return leaf(s).function }).print(w, bytes)
}

func tellGoroutines(w io.Writer, p *profile.Profile) {
	all := sum(p, "goroutine", starter)
	fmt.Fprintf(w, "goroutines: %d, by what they run:\n", all.total)
	all.print(w, count)
}

func tellWaits(what string) func(io.Writer, *profile.Profile) {
	return func(w io.Writer, p *profile.Profile) {
		all := sum(p, "delay", owner)
		fmt.Fprintf(w, "%s: %s, by package:\n", what, spent(all.total))
		all.print(w, spent)
	}
}
