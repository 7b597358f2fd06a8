//go:build !race

package h1

const underRace = false
