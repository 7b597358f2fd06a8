package files

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/policy/hooktest"
	"github.com/gaia-host/gaia/subsystems/admission"
)

func TestPoliciesDenyAndSendElsewhere(t *testing.T) {
	other := t.TempDir()
	var seen []string
	h := &hooktest.Policy{Request: func(r *policy.Request, d *policy.Decision) {
		seen = append(seen, fmt.Sprintf("%s %s %s %s %d", r.Subsystem, r.Action, r.Key, r.Path, r.Size))
		switch r.Path {
		case "locked":
			d.Action, d.Status, d.Reason = policy.ActionDeny, 403, "locked"
		case "elsewhere":
			d.Action, d.Upstream = policy.ActionRoute, "other"
		}
	}}
	m, dir := newManager(t, func(c *Config) {
		c.Roots["other"] = Root{Path: other}
		c.Slot = hooktest.Slot(7, h)
	})
	ctx := t.Context()
	_, err := m.WriteBytes(ctx, data("locked"), []byte("xyz"), Options{})
	if d := IsDenied(err); d == nil || d.Status != 403 || d.Reason != "locked" {
		t.Error(err)
	}
	var how admission.Outcome
	if _, err := m.WriteBytes(ctx, data("./elsewhere"), []byte("xyz"), Options{Outcome: &how}); err != nil || how.Upstream != "other" || how.Generation != 7 {
		t.Error(how, err)
	}
	if content(t, filepath.Join(other, "elsewhere")) != "xyz" {
		t.Error("it did not go to the other root")
	}
	mustWrite(t, filepath.Join(dir, "locked"), "secret")
	if _, err := m.Copy(ctx, data("locked"), data("open"), Options{}); IsDenied(err) == nil {
		t.Error("a copy reads what may not be read:", err)
	}
	if _, err := m.Move(ctx, data("locked"), data("open"), Options{}); IsDenied(err) == nil {
		t.Error("a move takes what may not be moved:", err)
	}
	want := []string{"files write data locked 3", "files write data elsewhere 3", "files read data locked -1", "files move data locked -1"}
	if !slices.Equal(seen, want) {
		t.Errorf("the policy saw %q, want %q", seen, want)
	}
}

func TestAPolicyRetriesAWriteOnAnotherRoot(t *testing.T) {
	other := t.TempDir()
	h := &hooktest.Policy{Response: func(_ *policy.Request, res *policy.Response, d *policy.Decision) {
		if res.Status == 507 {
			d.Action, d.Upstream = policy.ActionRetry, "other"
		}
	}}
	m, _ := newManager(t, func(c *Config) {
		r := c.Roots["data"]
		r.Quota = 10
		c.Roots["data"], c.Roots["other"] = r, Root{Path: other}
		c.Slot = hooktest.Slot(7, h)
	})
	var how admission.Outcome
	text := strings.Repeat("x", 100)
	if _, err := m.Write(t.Context(), data("f"), strings.NewReader(text), Options{Outcome: &how}); err != nil || how.Upstream != "other" || how.Attempts != 2 {
		t.Error(how, err)
	}
	if content(t, filepath.Join(other, "f")) != text {
		t.Error("the second attempt did not write all of it")
	}
	if _, err := m.Write(t.Context(), data("f"), io.MultiReader(strings.NewReader(text)), Options{}); !errors.Is(err, ErrQuota) {
		t.Error("what cannot be read twice was tried twice:", err)
	}
}
