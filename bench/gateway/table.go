package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/gaia-host/gaia/bench/internal/measure"
)

// baseline is the system that costs are held against.
const baseline = "reverseproxy"

// write prints what was measured as Markdown.
func write(w io.Writer, o options, began time.Time, rows []row) {
	fmt.Fprintf(w, "Measured %s, %d cores, load average %s; %d connections of wrk, %d x %v each in turn; %s %s/%s.\n",
		began.UTC().Format(time.DateOnly), runtime.NumCPU(), loadAverage(), o.conns, o.rounds, o.time, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	fmt.Fprintf(w, "%s.\n\n", strings.Join(versions(o), ", "))
	fmt.Fprintln(w, "| case | system | requests/s | CPU µs a request | of "+baseline+" | p50 ms | p99 ms | p99 ms at half | MiB |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|")
	rows = slices.DeleteFunc(rows, func(r row) bool { return len(r.rounds) == 0 }) // it was interrupted
	for _, r := range rows {
		half := ""
		if r.half > 0 {
			half = fmt.Sprintf("%.2f", r.half)
		}
		fmt.Fprintf(w, "| %s | %s | %.0f | %.1f | %s | %.2f | %.2f | %s | %.1f |\n", r.kase.name, r.system, r.median(rateOf), r.median(cpuOf),
			against(r, find(rows, r.kase, baseline)), r.median(p50Of), r.median(p99Of), half, r.median(mibOf))
	}
	writeOver(w, rows)
}

// writeOver prints the cost of gaia's rows over that of all others of their case.
func writeOver(w io.Writer, rows []row) {
	var others []string
	for _, r := range rows {
		if !isGaia(r.system) && r.system != "direct" && !slices.Contains(others, r.system) {
			others = append(others, r.system)
		}
	}
	if len(others) == 0 {
		return
	}
	fmt.Fprintf(w, "\nCPU of a request of gaia over that of the others, the median of the turns:\n\n| case | gaia | %s |\n|---|---%s|\n", strings.Join(others, " | "), strings.Repeat("|---", len(others)))
	for _, r := range rows {
		if !isGaia(r.system) {
			continue
		}
		fmt.Fprintf(w, "| %s | %s |", r.kase.name, r.system)
		for _, name := range others {
			fmt.Fprintf(w, " %s |", against(r, find(rows, r.kase, name)))
		}
		fmt.Fprintln(w)
	}
}

func find(rows []row, k kase, system string) row {
	for _, r := range rows {
		if r.kase.name == k.name && r.system == system {
			return r
		}
	}
	return row{}
}

// against is the median of the ratios of two rows' costs, each of one turn; "" where
// there is none.
func against(r, other row) string {
	var ratios []float64
	for i := range min(len(r.rounds), len(other.rounds)) {
		if a, b := r.rounds[i].cpu, other.rounds[i].cpu; a > 0 && b > 0 {
			ratios = append(ratios, a/b)
		}
	}
	if len(ratios) == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", measure.Median(ratios))
}

func rateOf(s sample) float64 { return s.rate }
func cpuOf(s sample) float64  { return s.cpu }
func p50Of(s sample) float64  { return s.p50 }
func p99Of(s sample) float64  { return s.p99 }
func mibOf(s sample) float64  { return s.mib }

func (r row) median(of func(sample) float64) float64 {
	var vs []float64
	for _, s := range r.rounds {
		vs = append(vs, of(s))
	}
	return measure.Median(vs)
}

func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}

// versions are those of the systems that are there.
func versions(o options) []string {
	list := []string{"gaia " + first(o.gaia, "version")}
	for _, v := range [][]string{{"nginx", "-v"}, {"haproxy", "-v"}, {"caddy", "version"}, {"wrk", "-v"}} {
		if path := program(v[0]); path != "" {
			list = append(list, v[0]+" "+first(path, v[1:]...))
		}
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/valyala/fasthttp" {
				list = append(list, "fasthttp "+m.Version)
			}
		}
	}
	return list
}

// first is the word of what a program says of itself that looks like a version; the first
// word after the program's name where none does, as of a build without one.
func first(path string, args ...string) string {
	out, _ := exec.Command(path, args...).CombinedOutput() // wrk ends with 1 after its version
	words := strings.Fields(string(out))
	for _, word := range words {
		word = word[strings.LastIndexByte(word, '/')+1:]
		if strings.HasPrefix(strings.TrimPrefix(word, "v"), "(") {
			break
		}
		if strings.ContainsAny(word, "0123456789") && strings.Contains(word, ".") {
			return word
		}
	}
	if len(words) < 2 {
		return "unknown"
	}
	return words[1]
}
