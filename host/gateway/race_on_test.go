//go:build race

package gateway

const underRace = true
