//go:build !race

package host

// slowdown is what the race detector does to times.
const slowdown = 1
