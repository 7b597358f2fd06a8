//go:build !race

package testkit

// Race says that the race detector is on. Then a test counts no allocations, for sync.Pool
// drops some of what it is given, and does what is only long less often.
const Race = false
