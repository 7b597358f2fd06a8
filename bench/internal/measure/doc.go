// Package measure compares what two or more ways of doing a thing cost, on a machine
// that may be busy with other work.
//
// The ways take turns, one short sample each, and every turn gives one ratio of costs
// that were measured within a few milliseconds of each other; what counts is the median
// of the ratios. A turn during which other work held up this process is dropped. Costs
// are processor time where one goroutine works, because it does not run while others
// have the core, and wall time where several cores work together.
//
// It knows nothing of what it measures, gives no verdict, and prints nothing. Nothing in
// it is safe for concurrent use: two measurements at a time would disturb each other.
// It reads Linux's clocks and /proc.
package measure
