package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	sentinel "github.com/alibaba/sentinel-golang/api"
	"github.com/alibaba/sentinel-golang/core/config"
	"github.com/alibaba/sentinel-golang/core/flow"

	"github.com/gaia-host/gaia/bench/internal/measure"
	"github.com/gaia-host/gaia/extensions/limit"
)

// quietLog keeps sentinel from making log files.
type quietLog struct{}

func (quietLog) Debug(string, ...interface{})        {}
func (quietLog) DebugEnabled() bool                  { return false }
func (quietLog) Info(string, ...interface{})         {}
func (quietLog) InfoEnabled() bool                   { return false }
func (quietLog) Warn(string, ...interface{})         {}
func (quietLog) WarnEnabled() bool                   { return false }
func (quietLog) Error(error, string, ...interface{}) {}
func (quietLog) ErrorEnabled() bool                  { return false }

// startSentinel starts it once: it is global to the process. It collects no figures of
// the system meanwhile.
var startSentinel = sync.OnceValue(func() error {
	c := config.NewDefaultConfig()
	c.Sentinel.Log.Logger = quietLog{}
	c.Sentinel.Log.Metric.FlushIntervalSec = 0
	c.Sentinel.Stat.System = config.SystemStatConfig{}
	if err := sentinel.InitWithConfig(c); err != nil {
		return fmt.Errorf("start sentinel: %w", err)
	}
	_, err := flow.LoadRules([]*flow.Rule{{Resource: "gate", Threshold: 1e12, StatIntervalInMs: 1000}})
	return err
})

func limitSentinel(_ context.Context, e effort) (outcome, error) {
	if err := startSentinel(); err != nil {
		return outcome{}, err
	}
	r, err := limit.NewRate(1e9, time.Second, neverEmpty)
	if err != nil {
		return outcome{}, err
	}
	var bucket limit.Bucket
	c := newClock()
	ours := ops(func() error {
		if !bucket.Take(c.now(), &r, 1, 0).OK {
			return errRefused
		}
		return nil
	})
	theirs := ops(func() error {
		entry, blocked := sentinel.Entry("gate")
		if blocked != nil {
			return errRefused
		}
		entry.Exit()
		return nil
	})
	allocs, err := measure.Allocs(ours, e.Allocs)
	if err != nil {
		return outcome{}, err
	}
	res, err := measure.Interleave(e.plan(), measure.Ratio, measure.Serial(ours, e.Garbage), measure.Serial(theirs, e.Garbage))
	return compared(res, allocs, "limit.Bucket", "sentinel Entry and Exit"), err
}
