package host

import (
	"strings"
	"testing"

	"github.com/gaia-host/gaia/host/config"
)

// An entry without `use` configures a policy of the command line, or the shadow; of
// neither it is an error.
func TestEntryWithoutUse(t *testing.T) {
	entry := config.Policy{Params: map[string]any{"n": 1}}
	for name, tt := range map[string]struct {
		shadow, command, want string
	}{
		"command line": {"", "quota.js", ""},
		"shadow":       {"oci://registry.example/team/quota:1", "p.js", ""},
		"both":         {"next/quota.js", "quota.js", ""},
		"neither":      {"next/other.js", "p.js", "has no `use`"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := &config.Config{Shadow: tt.shadow, Policies: map[string]config.Policy{"quota": entry}}
			s, err := allSpecs(cfg, []string{tt.command})
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatal(err)
				}
				return
			}
			if err != nil || len(s.chain) != 1 {
				t.Fatalf("%d policies: %v", len(s.chain), err)
			}
			if s.shadow != nil && s.shadow.Settings.Params["n"] != 1 {
				t.Errorf("the shadow's settings: %+v", s.shadow.Settings)
			}
		})
	}
}
