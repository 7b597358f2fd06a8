package report

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"math"
	"strings"
	"time"

	"github.com/gaia-host/gaia/host/experiment"
)

// assets are the page and what is inlined into it. uPlot is as npm has it; CHECKSUMS
// says which.
//
//go:embed assets
var assets embed.FS

// Bounds that keep a page below three megabytes, whatever was compared.
const (
	maxScript     = 256 << 10
	maxShown      = 60 // strategies in charts; the files beside the page have all
	maxNumbers    = 150_000
	maxShownKeys  = 6000 // over all strategies
	minSteps      = 30
	maxNameLength = 200
)

// page is what the page's script draws.
type page struct {
	Name       string              `json:"name"`
	About      string              `json:"about"`
	Seeds      string              `json:"seeds"`
	Partial    string              `json:"partial,omitempty"`
	Metrics    []experiment.Metric `json:"metrics"`
	Upstreams  []string            `json:"upstreams"`
	Step       float64             `json:"step"`
	Strategies []pageStrategy      `json:"strategies"`
	Thresholds []pageThreshold     `json:"thresholds"`
	Script     string              `json:"script"`
}

type pageThreshold struct {
	Metric    string   `json:"metric"`
	Strategy  string   `json:"strategy"`
	Condition string   `json:"condition"`
	Value     *float64 `json:"value"`
	OK        bool     `json:"ok"`
}

type pageStrategy struct {
	Name     string                        `json:"name"`
	From     string                        `json:"from,omitempty"`
	Point    map[string]any                `json:"point,omitempty"`
	Means    []*[2]float64                 `json:"means"` // mean and upper end; null: cannot be told
	Rates    map[string]experiment.Numbers `json:"rates"`
	InSystem experiment.Numbers            `json:"in_system"`
	Queue    []experiment.Numbers          `json:"queue"`
	Waits    [][2]float64                  `json:"waits"`
	Keys     [][2]uint64                   `json:"keys"` // offered, good
	Faults   uint64                        `json:"faults,omitempty"`
	Fault    string                        `json:"fault,omitempty"`
}

// HTML writes the page: one file that needs no network. Every text of the experiment
// is data for its script, which never takes one for HTML; the content security policy
// lets nothing else run.
func HTML(w io.Writer, r *experiment.Result, script string) error {
	data, err := json.Marshal(pageOf(r, script)) // escapes < > & and the line separators
	if err != nil {
		return err
	}
	var failed error
	read := func(name string) string {
		text, err := assets.ReadFile("assets/" + name)
		if err != nil {
			failed = err
		}
		return string(text)
	}
	uplot, js := strings.TrimSpace(read("uPlot.iife.min.js")), strings.TrimSpace(read("page.js"))
	text := strings.NewReplacer(
		"{{.Hashes}}", sourceHash(uplot)+" "+sourceHash(js), "{{.Title}}", html.EscapeString(clip(r.Spec.Name, maxNameLength)+" - gaia experiment"),
		"{{.UPlotCSS}}", read("uPlot.min.css"), "{{.CSS}}", read("page.css"), "{{.Data}}", string(data),
		"{{.License}}", read("uPlot.LICENSE"), "{{.UPlotJS}}", uplot, "{{.JS}}", js,
	).Replace(read("page.html"))
	if failed != nil {
		return failed
	}
	_, err = io.Copy(w, bytes.NewReader([]byte(text)))
	return err
}

// sourceHash names a script in a content security policy.
func sourceHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func pageOf(r *experiment.Result, script string) *page {
	s := r.Spec
	p := &page{Name: clip(s.Name, maxNameLength), Partial: clip(r.Partial, 2000), Metrics: r.Metrics, Upstreams: s.Upstreams.Names(), Script: script, Thresholds: []pageThreshold{}}
	n := 0
	for i := range r.Strategies {
		n = max(n, replicas(r, &r.Strategies[i]))
	}
	seed := max(s.Seed, 1)
	p.About = fmt.Sprintf("%d strategies, %s of virtual time, of which the first %s are not counted, %d replicas.", len(r.Strategies), time.Duration(s.Duration), warmup(s), n)
	p.Seeds = fmt.Sprintf("Seed %d: replica i of 0 to %d draws from (%d, i). The same script, seed and version of gaia give the same numbers to the byte.", seed, n-1, seed)
	if len(script) > maxScript {
		p.Script = script[:maxScript] + "\n... cut here"
	}
	shown := r.Strategies
	if len(shown) > maxShown {
		shown = shown[:maxShown]
		p.About += fmt.Sprintf(" This page shows the first %d strategies; the files beside it have all.", maxShown)
	}
	each := 6 + len(p.Upstreams)
	steps := max(minSteps, maxNumbers/(each*len(shown)))
	for i := range shown {
		if x := shown[i].Series; x != nil {
			p.Step = x.Step * float64(stride(len(x.InSystem), steps))
		}
		p.Strategies = append(p.Strategies, p.strategy(&shown[i], steps, maxShownKeys/len(shown)))
	}
	for _, t := range r.Thresholds[:min(len(r.Thresholds), 500)] {
		out := pageThreshold{Metric: t.Metric, Strategy: clip(t.Strategy, maxNameLength), Condition: t.Condition, OK: t.OK}
		if len(t.Value) > 0 && finite(t.Value[0]) {
			out.Value = &t.Value[0]
		}
		p.Thresholds = append(p.Thresholds, out)
	}
	return p
}

func warmup(s *experiment.Spec) time.Duration {
	if s.Warmup != nil {
		return time.Duration(*s.Warmup)
	}
	return time.Duration(s.Duration) / 10
}

func (p *page) strategy(s *experiment.StrategyResult, steps, keys int) pageStrategy {
	out := pageStrategy{Name: clip(s.Name, maxNameLength), From: clip(s.From, maxNameLength), Point: s.Point, Rates: map[string]experiment.Numbers{},
		InSystem: experiment.Numbers{}, Waits: [][2]float64{}, Keys: [][2]uint64{}, Faults: s.Faults, Fault: clip(s.Fault, 2000)}
	for _, m := range p.Metrics {
		var e *[2]float64
		if v := s.Means[m.Name]; v.N > 0 && finite(v.Mean) && finite(v.High) {
			e = &[2]float64{short(v.Mean), short(v.High)}
		}
		out.Means = append(out.Means, e)
	}
	for _, name := range []string{"offered", "admitted", "good", "throttled", "denied"} {
		out.Rates[name] = experiment.Numbers{}
	}
	out.Queue = make([]experiment.Numbers, len(p.Upstreams))
	if s.Series != nil {
		for name := range out.Rates {
			out.Rates[name] = thin(s.Series.Rates[name], steps)
		}
		out.InSystem = thin(s.Series.InSystem, steps)
		for i, name := range p.Upstreams {
			out.Queue[i] = thin(s.Series.Queue[name], steps)
		}
	}
	for _, w := range s.Waits {
		out.Waits = append(out.Waits, [2]float64{short(w.X), w.Y})
	}
	for _, k := range s.Keys[:min(len(s.Keys), keys)] {
		out.Keys = append(out.Keys, [2]uint64{k.Offered, k.Good})
	}
	return out
}

// stride is how many steps become one, so that at most steps are left.
func stride(n, steps int) int { return max(1, (n+steps-1)/steps) }

// thin takes means over runs of values, so that at most steps are left.
func thin(values experiment.Numbers, steps int) experiment.Numbers {
	by := stride(len(values), steps)
	out := make(experiment.Numbers, 0, len(values)/by+1)
	for i := 0; i < len(values); i += by {
		run := values[i:min(i+by, len(values))]
		sum := 0.0
		for _, v := range run {
			sum += v
		}
		out = append(out, short(sum/float64(len(run))))
	}
	return out
}

// short keeps four significant digits.
func short(v float64) float64 {
	if v == 0 || !finite(v) {
		return v
	}
	scale := math.Pow(10, 3-math.Floor(math.Log10(math.Abs(v))))
	if scale == 0 || math.IsInf(scale, 0) {
		return v
	}
	return math.Round(v*scale) / scale
}

func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "") + "..."
}
