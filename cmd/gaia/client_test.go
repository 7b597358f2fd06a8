package main

import (
	"strings"
	"testing"

	"github.com/gaia-host/gaia/host/control"
)

func TestStatusShowsUpstreams(t *testing.T) {
	var b strings.Builder
	printUpstreams(&b, []control.Route{
		{Name: "single", Upstreams: []control.Upstream{{Name: "single", Health: "healthy"}}},
		{Name: "r", Upstreams: []control.Upstream{
			{Name: "one", Health: "healthy", Weight: 3, InFlight: 2, P50MS: 1.5, P95MS: 12.25},
			{Name: "two", Health: "ejected", Weight: 1, Tier: 1, ErrorRate: 0.5},
		}},
	})
	var got []string
	for line := range strings.Lines(b.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	want := "ROUTE UPSTREAM HEALTH TIER WEIGHT IN FLIGHT ERRORS P50 P95\n" +
		"r one healthy 0 3 2 0 % 1.5 ms 12.2 ms\n" +
		"r two ejected 1 1 0 50 % 0 ms 0 ms"
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}
