package policy

import "testing"

// A connection for a request is asked of those who speak of connections, and of
// nobody else: they were asked about the request.
func TestPartsAreAskedOfThoseWhoNameTheSubsystem(t *testing.T) {
	for _, tt := range []struct {
		name       string
		match      any
		whole, its bool
	}{
		{"none", nil, true, false},
		{"its subsystem", map[string]any{"subsystem": "network"}, true, true},
		{"a star", map[string]any{"subsystem": "*"}, true, true},
		{"another", map[string]any{"subsystem": "api"}, false, false},
		{"its host", map[string]any{"host": "example.com"}, true, false},
		{"one of several", []any{map[string]any{"host": "example.com"}, map[string]any{"subsystem": "network", "host": "*.com"}}, true, true},
	} {
		m, err := ParseMatch(tt.match)
		if err != nil {
			t.Fatal(err)
		}
		r := &Request{Subsystem: SubsystemNetwork, Host: "example.com"}
		if m.Matches(r) != tt.whole {
			t.Errorf("%s: a whole operation: %t", tt.name, !tt.whole)
		}
		r.Part = true
		if m.Matches(r) != tt.its {
			t.Errorf("%s: a part: %t", tt.name, !tt.its)
		}
	}
}
