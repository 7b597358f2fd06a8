package host

import "time"

// newClock returns the clock of the process: nanoseconds since the Unix epoch that
// advance monotonically, so that a step of the wall clock never moves a limiter.
func newClock() func() int64 {
	base := time.Now()
	wall := base.UnixNano()
	return func() int64 { return wall + int64(time.Since(base)) }
}
