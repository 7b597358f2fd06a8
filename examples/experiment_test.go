package examples_test

import (
	"os"
	"strings"
	"testing"

	"github.com/gaia-host/gaia/host/experiment"
	"github.com/gaia-host/gaia/host/experiment/script"
)

// The experiment is fifteen lines, its policy never fails, and it is as good as it says.
func TestExperiment(t *testing.T) {
	s, err := script.Load(t.Context(), "experiment/experiment.js")
	if err != nil {
		t.Fatal(err)
	}
	res, err := experiment.Run(t.Context(), s.Spec, experiment.Options{Inline: s})
	if err != nil {
		t.Fatal(err)
	}
	for _, th := range res.Thresholds {
		if !th.OK {
			t.Errorf("%s: %s is %v", th.Strategy, th.Condition, th.Value)
		}
	}
	mine := res.Strategies[2]
	if mine.Name != "mine" || mine.Faults > 0 || mine.Means["goodput"].Mean < 9 || mine.Means["wait_p95"].Mean > 1500 {
		t.Errorf("%s: %d faults (%s), %+v", mine.Name, mine.Faults, mine.Fault, mine.Means["goodput"])
	}
	text, err := os.ReadFile("experiment/experiment.js")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); n > 15 {
		t.Errorf("it has %d lines", n)
	}
}
