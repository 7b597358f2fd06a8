package host

import (
	"fmt"
	"testing"
)

// guarantee is one thing that gaia promises, by the number of the group of defects
// that it excludes.
type guarantee struct {
	number int
	// name is the behaviour as words joined by "-".
	name string
	test func(t *testing.T)
}

// TestGuarantees shows what gaia promises, on real parts, as
// TestGuarantees/NN-name. Each subsystem has a file, guarantees_NAME_test.go:
//
//	 1- 9  guarantees_api_test.go
//	10-13  guarantees_files_test.go
//	14-17  guarantees_browser_test.go
//	18-22  guarantees_process_test.go
//	23-25  guarantees_network_test.go
//	26-29  guarantees_metrics_test.go
func TestGuarantees(t *testing.T) {
	var all []guarantee
	for _, some := range [][]guarantee{
		apiGuarantees(), filesGuarantees(), browserGuarantees(), processGuarantees(), networkGuarantees(), metricsGuarantees(),
	} {
		all = append(all, some...)
	}
	last, numbers := 0, map[int]bool{}
	for _, g := range all {
		if g.number <= last {
			t.Errorf("guarantee %d stands after %d", g.number, last)
		}
		last = g.number
		numbers[g.number] = true
		t.Run(fmt.Sprintf("%02d-%s", g.number, g.name), g.test)
	}
	for n := 1; n <= guaranteed; n++ {
		if !numbers[n] {
			t.Errorf("guarantee %d is not shown", n)
		}
	}
}

// guaranteed is how many guarantees there are.
const guaranteed = 29
