package js

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
)

func TestMain(m *testing.M) {
	// regexp2 keeps its clock for a while after the last match with a time limit.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/dlclark/regexp2/v2.runClock"))
}

const epoch = int64(1_700_000_000_000_000_000)

// world is a host with one open policy.
type world struct {
	host *natives.Host
	tx   *natives.Tx
	logs *strings.Builder
	*Policy
}

type setup struct {
	files  map[string]string // besides the entry
	entry  string
	scope  natives.ScopeConfig
	config Config
	host   *natives.Host
}

// patient is for tests that are not about the budget, on machines that are busy.
var patient = policy.Options{Budget: 5 * time.Second}

func openWith(t testing.TB, code string, s setup) (*world, error) {
	t.Helper()
	w := &world{logs: &strings.Builder{}, host: s.host}
	if w.host == nil {
		w.host = natives.NewHost(natives.HostConfig{Log: slog.New(slog.NewTextHandler(w.logs, nil)), Sources: []metrics.Source{newInFlight()}})
	}
	w.tx = w.host.Begin(epoch)
	s.scope.Policy, s.scope.Local = "p", true
	s.config.Scope = w.tx.Scope(s.scope)
	if s.entry == "" {
		s.entry = "p.js"
	}
	files := fstest.MapFS{s.entry: {Data: []byte(code)}}
	for name, text := range s.files {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	p, err := Open(context.Background(), Source{Name: "p", Path: s.entry, FS: files}, s.config)
	if err != nil {
		return nil, err
	}
	w.Policy = p
	w.tx.Commit()
	if err := w.tx.Apply(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return w, nil
}

func open(t testing.TB, code string) *world {
	t.Helper()
	w, err := openWith(t, code, setup{config: Config{Override: patient}})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return w
}

func loadError(t *testing.T, code string, s setup) *policy.LoadError {
	t.Helper()
	_, err := openWith(t, code, s)
	var e *policy.LoadError
	if !errors.As(err, &e) {
		t.Fatalf("want a *policy.LoadError, got %T %v\nof %s", err, err, code)
	}
	return e
}

type headers http.Header

func (h headers) Lookup(name string) (string, bool) {
	v, ok := h[http.CanonicalHeaderKey(name)]
	return strings.Join(v, ", "), ok
}

type ledger struct{ entries []policy.Entry }

func (l *ledger) Add(e policy.Entry) { l.entries = append(l.entries, e) }

func (l *ledger) Settle(_ int64, limiter, key string, actual int64) bool {
	for i := len(l.entries) - 1; i >= 0; i-- {
		if l.entries[i].Limiter == limiter && l.entries[i].Key == key {
			l.entries[i].Cost = actual
			return true
		}
	}
	return false
}

func request() *policy.Request {
	return &policy.Request{Subsystem: "api", Action: "request", Key: "api.example.com", Method: "GET", URL: "https://api.example.com/v1/users/12345?expand=true",
		Host: "api.example.com", Path: "/v1/users/12345", Tenant: "tenant-42", Priority: 5, Attempt: 1, Cost: 1, Size: -1, Now: epoch,
		Header: headers{"X-A": {"one"}}, Body: headers{"Model": {"m1"}}}
}

func (w *world) ask(t testing.TB) policy.Decision {
	t.Helper()
	var d policy.Decision
	if err := w.OnRequest(request(), &d); err != nil {
		t.Fatalf("onRequest: %v", err)
	}
	return d
}

func (w *world) fault(t testing.TB) *policy.Fault {
	t.Helper()
	var d policy.Decision
	err := w.OnRequest(request(), &d)
	var f *policy.Fault
	if !errors.As(err, &f) {
		t.Fatalf("want a *policy.Fault, got %T %v", err, err)
	}
	return f
}
