package browser

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/target"
	"go.uber.org/goleak"

	"github.com/gaia-host/gaia/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen, on a machine under load.
const patience = 90 * time.Second

// needs skips a test where an engine is not installed; under CI it fails.
func needs(t *testing.T, e Engine) {
	t.Helper()
	c := DefaultConfig()
	if _, err := c.program(e); err != nil {
		testkit.Missing(t, "%v", err)
	}
	if testing.Short() {
		t.Skip("launches a browser")
	}
}

// recorder is a Launcher that remembers what it started.
type recorder struct {
	Launcher
	mu      sync.Mutex
	started []Process
}

func (r *recorder) Launch(ctx context.Context, c Command) (Process, error) {
	p, err := ExecLauncher{}.Launch(ctx, c)
	if err == nil {
		r.mu.Lock()
		r.started = append(r.started, p)
		r.mu.Unlock()
	}
	return p, err
}

func (r *recorder) processes() []Process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Process(nil), r.started...)
}

// rig is a pool with all that a test looks at.
type rig struct {
	*Pool
	t    *testing.T
	rec  *recorder
	log  *logBuffer
	stop sync.Once
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// shortDir is a folder whose name leaves room for the sockets of browsers.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "gb") //nolint:usetesting // that one's name is too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func newRig(t *testing.T, change func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, rec: &recorder{}, log: &logBuffer{}}
	c := DefaultConfig()
	c.Dir, c.Launcher = shortDir(t), r.rec
	c.LaunchTimeout, c.PingTimeout = patience, patience
	c.Log = slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c.Admission.MaxAttempts = 1
	c.Admission.Breaker.Enabled = false
	if change != nil {
		change(&c)
	}
	var err error
	if r.Pool, err = New(c); err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	return r
}

// close stops the pool and looks for what it left behind.
func (r *rig) close() {
	r.stop.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := r.Stop(ctx); err != nil {
			r.t.Errorf("stop: %v", err)
		}
		left, _ := filepath.Glob(filepath.Join(r.profiles.root, poolPrefix+"*"))
		if len(left) > 0 {
			r.t.Errorf("profiles are left: %v", left)
		}
		for _, p := range r.rec.processes() {
			select {
			case <-p.Done():
			default:
				r.t.Errorf("process %d still runs", p.PID())
			}
			r.until("the group of "+strconv.Itoa(p.PID())+" is empty", func() bool { return len(groupOf(p.PID())) == 0 })
		}
		if z := zombies(); len(z) > 0 {
			r.t.Errorf("zombies: %v", z)
		}
		if r.t.Failed() {
			r.t.Logf("log:\n%s", r.log)
		}
	})
}

// until waits for a condition that some event of the system brings about.
func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	limit := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			r.t.Fatalf("waited too long until %s", what)
		}
	}
}

func (r *rig) do(t Tab, j Job) *Result {
	r.t.Helper()
	res, err := r.Do(r.t.Context(), t, j)
	if err != nil {
		r.t.Fatalf("%s %s: %v", j.Action, shortened(j.URL), err)
	}
	return res
}

func (r *rig) open(t Tab) *Lease {
	r.t.Helper()
	l, err := r.Open(r.t.Context(), t, Caller{}, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	return l
}

// processTable reads of every process: pid, parent, group, state.
func processTable() [][]string {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	var rows [][]string
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(f) > 2 {
			rows = append(rows, []string{strings.Split(name, "/")[2], f[1], f[2], f[0]})
		}
	}
	return rows
}

// groupOf lists the living members of a process group.
func groupOf(group int) []string {
	var pids []string
	for _, row := range processTable() {
		if len(row) >= 4 && row[2] == strconv.Itoa(group) && !strings.HasPrefix(row[3], "Z") {
			pids = append(pids, row[0])
		}
	}
	return pids
}

// zombies lists children of this process that nobody waited for.
func zombies() []string {
	var pids []string
	for _, row := range processTable() {
		if len(row) >= 4 && row[1] == strconv.Itoa(os.Getpid()) && strings.HasPrefix(row[3], "Z") {
			pids = append(pids, row[0])
		}
	}
	return pids
}

// site serves the pages of the tests.
func site(t *testing.T) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	page := func(path, html string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write([]byte(html))
		})
	}
	page("/hello", `<!doctype html><title>Hello</title><style>body{background:#246;color:#fff;font:48px sans-serif}</style><h1>Hello, gaia</h1>`)
	page("/long", `<!doctype html><title>Long</title><body style="margin:0"><div style="height:3000px;background:linear-gradient(red,blue)"></div>`)
	page("/hang", `<!doctype html><title>Hang</title><script>while(true){}</script>`)
	page("/alert", `<!doctype html><title>Alert</title><script>alert("stop");document.title="after"</script>`)
	page("/popup", `<!doctype html><title>Popup</title><script>window.open("/hello")</script>`)
	page("/liar", `<!doctype html><title>Liar</title><script>Object.defineProperty(Element.prototype,"outerHTML",{get(){return "lie"}})</script><p>true`)
	mux.HandleFunc("/cookie", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "seen", Value: r.URL.Query().Get("v"), Path: "/", HttpOnly: true})
		_, _ = w.Write([]byte("ok"))
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.Header.Get("Cookie"))) })
	mux.HandleFunc("/missing", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	mux.HandleFunc("/download", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Disposition", "attachment; filename=x.bin")
		_, _ = w.Write(make([]byte, 1<<20))
	})
	mux.HandleFunc("/never", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	return serve(t, mux.ServeHTTP)
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// pages counts the pages of the browser that the tab is in.
func (b *tab) pages(t *testing.T) int {
	t.Helper()
	targets, err := call(t.Context(), b.in.root, target.GetTargets, target.GetTargetsParams{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, one := range targets.TargetInfos {
		if one.Type == "page" {
			n++
		}
	}
	return n
}
