package policy

import (
	"reflect"
	"strings"
	"testing"
)

func TestCapabilitiesAreParsedWhole(t *testing.T) {
	want := Grants{State: true, Limiters: true, SharedState: true, SharedLimiters: true, Env: []string{"A"}, Headers: []string{"X-B"}, LogRate: 5}
	for _, keys := range [][3]string{{"sharedState", "sharedLimiters", "logRate"}, {"shared_state", "shared_limiters", "log_rate"}} {
		o, err := ParseOptions(map[string]any{"capabilities": map[string]any{
			"state": true, "limiters": true, keys[0]: true, keys[1]: true, "env": []any{"A"}, "headers": []any{"X-B"}, keys[2]: int64(5),
		}})
		if err != nil || !reflect.DeepEqual(o.Capabilities, want) {
			t.Errorf("%v: %+v, %v", keys, o.Capabilities, err)
		}
	}
	for _, bad := range []any{
		true, map[string]any{"stat": true}, map[string]any{"state": "yes"}, map[string]any{"env": "A"}, map[string]any{"env": []any{""}},
		map[string]any{"headers": []any{"a\nb"}}, map[string]any{"logRate": 0.0}, map[string]any{"logRate": 1.5}, map[string]any{"logRate": 1e9},
		map[string]any{"env": make([]any, 0), "headers": []any{strings.Repeat("a", 200)}},
	} {
		if _, err := ParseOptions(map[string]any{"capabilities": bad}); err == nil || !strings.Contains(err.Error(), "options.capabilities") {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestMissingGrantsAreYAMLToPaste(t *testing.T) {
	have := Grants{State: true, Env: []string{"A"}, Headers: []string{"x-a"}, LogRate: 5}
	if m := have.Missing(Grants{State: true, Env: []string{"A"}, Headers: []string{"X-A"}, LogRate: 5}); !m.IsZero() {
		t.Errorf("all is granted: %+v", m)
	}
	m := have.Missing(Grants{State: true, SharedState: true, Env: []string{"A", "ON"}, Headers: []string{"X-A", "x:b"}, LogRate: 6})
	want := "policies:\n  p:\n    grants:\n      shared_state: true\n      env: [\"ON\"]\n      headers: [\"x:b\"]\n      log_rate: 6\n"
	if got := m.YAML("p"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	all := have.Union(m)
	if again := all.Missing(have); !again.IsZero() || !all.Missing(m).IsZero() {
		t.Errorf("%+v", all)
	}
}
