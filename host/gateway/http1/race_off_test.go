//go:build !race

package http1

const underRace = false
