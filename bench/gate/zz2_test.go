package main

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/gaia-host/gaia/bench/internal/measure"
)

func TestZBallast(t *testing.T) {
	raw, _ := rawGoja()
	for _, procs := range []int{1, 2} {
		runtime.GOMAXPROCS(procs)
		for _, ms := range []int{3, 25} {
			for _, mb := range []int{0, 16, 0} {
				b := make([]byte, mb<<20)
				runtime.GC()
				s := measure.Serial(raw, time.Duration(ms)*time.Millisecond)
				f := measure.Serial(alternate(readFresh), time.Duration(ms)*time.Millisecond)
				var cs, fs []float64
				n := 0
				for range 40 {
					c, q, _ := s()
					cs = append(cs, c)
					c, _, _ = f()
					fs = append(fs, c)
					if q {
						n++
					}
				}
				fmt.Printf("procs %d, %d ms, %d MB: goja %.1f (%.1f - %.1f), map %.1f (%.1f - %.1f) %d\n", procs, ms, mb, measure.Median(cs), measure.Quantile(cs, .25), measure.Quantile(cs, .75), measure.Median(fs), measure.Quantile(fs, .25), measure.Quantile(fs, .75), n)
				runtime.KeepAlive(b)
			}
		}
	}
}
