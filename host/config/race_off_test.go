//go:build !race

package config

// underRace says that the race detector slows everything down.
const underRace = false
