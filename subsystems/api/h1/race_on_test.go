//go:build race

package h1

const underRace = true
