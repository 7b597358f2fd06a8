package generation

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/bundle"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/wasm"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type fixture struct {
	*Manager
	slot policy.Slot
	dir  string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	e, err := wasm.NewEngine(wasm.EngineConfig{})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{dir: t.TempDir()}
	f.Manager = New(Config{Slot: &f.slot, Natives: natives.NewHost(natives.HostConfig{}), Wasm: e, Clock: func() int64 { return time.Now().UnixNano() }})
	t.Cleanup(func() {
		if err := errors.Join(f.Close(), e.Close()); err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *fixture) file(t *testing.T, name, code string) Spec {
	t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.WriteFile(path, []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	return Spec{Use: path}
}

func (f *fixture) load(t *testing.T, specs ...Spec) Outcome {
	t.Helper()
	out, err := f.Load(t.Context(), specs, false)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (f *fixture) ask() policy.Decision {
	var d policy.Decision
	var s policy.Scratch
	f.slot.Decide(&policy.Request{Subsystem: "api", Key: "k", Now: time.Now().UnixNano()}, &d, &s)
	return d
}

func denies(status int) string {
	return fmt.Sprintf("import { deny } from \"gaia\";\nexport function onRequest() { return deny(%d); }\n", status)
}

func TestRefusedSetChangesNothing(t *testing.T) {
	f := newFixture(t)
	good := f.file(t, "a.js", denies(418))
	f.load(t, good)
	bad := f.file(t, "b.js", "export function onRequest( {")
	worse := f.file(t, "c.js", "")
	_, err := f.Load(t.Context(), []Spec{good, bad, worse}, false)
	if err == nil || !strings.Contains(err.Error(), "b.js:1:") || !strings.Contains(err.Error(), "c.js") {
		t.Errorf("every fault at once: %v", err)
	}
	st := f.Status()
	if st.Generation != 1 || len(st.Policies) != 1 || st.LastReload.OK || st.LastReload.Error == "" {
		t.Errorf("%+v", st)
	}
	if d := f.ask(); d.Status != 418 {
		t.Errorf("%+v", d)
	}
	twin := Spec{Name: "a", Use: bad.Use}
	if _, err := f.Load(t.Context(), []Spec{good, {Name: "a", Use: f.file(t, "d.js", denies(403)).Use}}, false); err == nil || !strings.Contains(err.Error(), "is taken") {
		t.Errorf("two of one name: %v, %v", err, twin)
	}
}

func TestSameBytesAndSettingsAreNotSwapped(t *testing.T) {
	f := newFixture(t)
	s := f.file(t, "a.js", denies(418))
	f.load(t, s)
	if out := f.load(t, s); !out.Unchanged || out.To != 1 {
		t.Errorf("%+v", out)
	}
	s.Settings = bundle.Settings{Params: map[string]any{"x": 1}}
	if out := f.load(t, s); out.Unchanged || out.To != 2 {
		t.Errorf("other settings: %+v", out)
	}
	if out, err := f.Load(t.Context(), []Spec{s}, true); err != nil || out.Unchanged || out.To != 3 {
		t.Errorf("forced: %+v, %v", out, err)
	}
}

func TestPreviousAnswersForAFailingPolicy(t *testing.T) {
	f := newFixture(t)
	f.load(t, f.file(t, "a.js", denies(418)))
	f.load(t, f.file(t, "a.js", `export const options = { onFailure: "previous" };
export function onRequest() { throw new Error("boom"); }`))
	if d := f.ask(); d.Action != policy.ActionDeny || d.Status != 418 {
		t.Errorf("the earlier generation must answer: %+v", d)
	}
	// Once the failing one is itself the earlier one and comes back, nobody answers for it.
	f.load(t, f.file(t, "a.js", denies(403)))
	if _, err := f.Rollback(); err != nil {
		t.Fatal(err)
	}
	if d := f.ask(); d.Action != policy.ActionNone {
		t.Errorf("the set left must not answer previous: %+v", d)
	}
	if _, err := f.Rollback(); err != nil {
		t.Fatal(err)
	}
	if d := f.ask(); d.Status != 403 {
		t.Errorf("a second rollback goes forth again: %+v", d)
	}
	if st := f.Status(); st.Generation != 5 || !st.Earlier {
		t.Errorf("%+v", st)
	}
}

func TestSelfTestWarnsAndDoesNotRefuse(t *testing.T) {
	f := newFixture(t)
	f.load(t, f.file(t, "a.js", `export function onRequest(req) { if (!req.header("x-needed")) throw new Error("no"); }`))
	if st := f.Status(); st.Generation != 1 || st.Policies[0].Faults != 0 {
		t.Errorf("the self-test must neither refuse nor count: %+v", st)
	}
}

func TestClosedManagerRefuses(t *testing.T) {
	f := newFixture(t)
	s := f.file(t, "a.js", denies(418))
	f.load(t, s)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Load(t.Context(), []Spec{s}, false); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	if d := f.ask(); d.Action != policy.ActionNone {
		t.Errorf("a closed manager still decides: %+v", d)
	}
}

func TestStandardPoliciesLoad(t *testing.T) {
	f := newFixture(t)
	var specs []Spec
	for _, use := range bundle.Std() {
		specs = append(specs, Spec{Use: use})
	}
	if len(specs) < 4 {
		t.Fatal(bundle.Std())
	}
	f.load(t, specs...)
	if st := f.Status(); len(st.Policies) != len(specs) || len(f.Files()) != 0 {
		t.Errorf("%d policies, files %v", len(st.Policies), f.Files())
	}
}
