package main

import (
	"fmt"

	"github.com/gaia-host/gaia/host/experiment/compare"
	expreport "github.com/gaia-host/gaia/host/experiment/report"
	"github.com/spf13/cobra"
)

func newCompare(e env) *cobra.Command {
	var failIf []string
	var o output
	cmd := &cobra.Command{
		Use: "compare A B", Short: "what changed between two results of an experiment", Args: exactly(2),
		Long: `Compare two results of one experiment, folders of --out or their result.json:
for each strategy and metric what it was, what it is, and how sure the change is.

  gaia compare before after
  gaia compare before after --fail-if 'latency_p99 > +5%' --fail-if 'throttled > 0.01'
  gaia compare before after --fail-if 'goodput{strategy:mine} < -1%'

A change in % is of A's mean, else it is in the metric's own unit. The exit code is 99
where a condition holds for a strategy.`,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return runCompare(e, args[0], args[1], failIf, o.format)
		},
	}
	cmd.Flags().StringArrayVar(&failIf, "fail-if", nil, "a change that is too much, such as 'latency_p99 > +5%' (may be repeated)")
	o.add(cmd, "table", "json")
	return cmd
}

func runCompare(e env, pathA, pathB string, failIf []string, format string) error {
	conditions := make([]compare.Condition, 0, len(failIf))
	for _, text := range failIf {
		c, err := compare.ParseCondition(text)
		if err != nil {
			return usageError{fmt.Errorf("--fail-if %w", err)}
		}
		conditions = append(conditions, c)
	}
	a, err := expreport.Load(pathA)
	if err != nil {
		return err
	}
	b, err := expreport.Load(pathB)
	if err != nil {
		return err
	}
	c, err := compare.Compare(a, b)
	if err != nil {
		return err
	}
	failed, err := c.Judge(conditions)
	if err != nil {
		return usageError{fmt.Errorf("--fail-if %w", err)}
	}
	if format == "json" {
		err = writeJSON(e.out, c)
	} else {
		err = compare.Text(e.out, c)
	}
	if err == nil && failed > 0 {
		return silent(exitThresholds)
	}
	return err
}
