package host

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/internal/testkit"
)

// load is the work of one subsystem: n operations, some at once, each of which must
// come out right.
type load struct {
	name  string
	n     int
	width int
	do    func(i int) error
}

// result is how a load went.
type result struct {
	times []time.Duration
	lost  []error
}

// put runs a load.
func (l load) put() result {
	var r result
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := make(chan int)
	for range l.width {
		wg.Go(func() {
			for i := range next {
				began := time.Now()
				err := l.do(i)
				mu.Lock()
				r.times = append(r.times, time.Since(began))
				if err != nil {
					r.lost = append(r.lost, fmt.Errorf("%s %d: %w", l.name, i, err))
				}
				mu.Unlock()
			}
		})
	}
	for i := range l.n {
		next <- i
	}
	close(next)
	wg.Wait()
	slices.Sort(r.times)
	return r
}

func (r *result) at(part float64) time.Duration {
	return r.times[min(int(part*float64(len(r.times))), len(r.times)-1)].Round(10 * time.Microsecond)
}

// leftovers is what a process may leave behind.
type leftovers struct {
	goroutines, files int
	children, temp    []string
}

func look(t *testing.T, temp string) leftovers {
	t.Helper()
	var l leftovers
	l.goroutines = runtime.NumGoroutine()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	l.files = len(fds)
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		_, rest, _ := bytes.Cut(text, []byte(") "))
		fields := bytes.Fields(rest)
		if len(fields) > 1 && string(fields[1]) == strconv.Itoa(os.Getpid()) {
			l.children = append(l.children, strings.TrimSpace(string(text[:min(len(text), 40)]))+" "+string(fields[0]))
		}
	}
	entries, err := os.ReadDir(temp)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		l.temp = append(l.temp, e.Name())
	}
	return l
}

// over says what there is more of than before, "" for nothing.
func (l *leftovers) over(before *leftovers) string {
	var more []string
	if l.goroutines > before.goroutines {
		more = append(more, fmt.Sprintf("%d goroutines, %d before", l.goroutines, before.goroutines))
	}
	if l.files > before.files {
		more = append(more, fmt.Sprintf("%d open files, %d before", l.files, before.files))
	}
	if len(l.children) > len(before.children) {
		more = append(more, fmt.Sprintf("children %q, before %q", l.children, before.children))
	}
	if len(l.temp) > len(before.temp) {
		more = append(more, fmt.Sprintf("temporary files %q", l.temp))
	}
	return strings.Join(more, "; ")
}

// stress is what the loads work with.
type stress struct {
	th     *testHost
	client *http.Client
	proxy  *http.Client // goes through the gateway
	web    string       // nginx with TLS
	page   string       // plain, for browsers
	echo   string       // ADDRESS that says everything back
	hangUp func()       // ends the connections that the clients keep; of a started one
	naive  bool         // wired as one would without thinking; see compare_test.go
	// policies and set are of the host that run starts, where they are given.
	policies, set []string
	halfway       func() // called once, when all loads have begun; nil: not
}

// ask asks for an action; the answer's body is returned.
func (s *stress) ask(action string, in any) ([]byte, error) {
	data, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	res, done, err := s.post(action, data)
	if err != nil {
		return nil, err
	}
	defer done()
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s %s", action, res.Status, body)
	}
	return body, err
}

// want asks and checks that the answer holds a text.
func (s *stress) want(text, action string, in any) error {
	body, err := s.ask(action, in)
	if err == nil && !bytes.Contains(body, []byte(text)) {
		err = fmt.Errorf("%s answered %.200q, want %q in it", action, body, text)
	}
	return err
}

type in map[string]any

func (s *stress) api(int) error { return s.want("from nginx", "api/request", in{"url": s.web}) }

func (s *stress) files(i int) error {
	name, text := fmt.Sprintf("scratch:f%d", i/5), fmt.Sprintf("file %d", i/5)
	switch i % 5 { // five steps of one file, whichever comes first
	case 0:
		return s.want("f"+strconv.Itoa(i/5), "files/write", in{"file": name, "data": text})
	case 1:
		return s.want("", "files/append", in{"file": name + ".log", "data": text})
	case 2:
		if err := s.want("", "files/write", in{"file": name + ".own", "data": text}); err != nil {
			return err
		}
		return s.want(text, "files/read", in{"file": name + ".own"})
	case 3:
		return s.want("", "files/list", in{"file": "scratch:"})
	}
	return s.want("scratch", "files/roots", in{})
}

func (s *stress) network(i int) error {
	switch i % 4 {
	case 0, 1:
		return s.want("127.0.0.1", "network/resolve", in{"host": "localhost"})
	case 2:
		return s.want("reached", "network/connect", in{"address": s.echo})
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := s.th.Network().DialContext(ctx, "tcp", s.echo)
	if err != nil {
		return err
	}
	defer c.Close()
	sent := bytes.Repeat([]byte{byte(i)}, 64<<10)
	go func() { _, _ = c.Write(sent) }()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if !bytes.Equal(sent, got) {
		return fmt.Errorf("the bytes came back otherwise")
	}
	return nil
}

func (s *stress) browser(i int) error {
	page := fmt.Sprintf("%s/page%d", s.page, i)
	switch i % 4 {
	case 0:
		return s.want(fmt.Sprintf("/page%d", i), "browser/html", in{"url": page})
	case 1:
		return s.want(fmt.Sprintf("/page%d", i), "browser/evaluate", in{"url": page, "script": "document.title"})
	case 2:
		return s.want("\x89PNG", "browser/screenshot", in{"url": page})
	}
	return s.want("200", "browser/navigate", in{"url": page})
}

// through asks for a page through the gateway, as a forward proxy. Some connections end with their request.
func (s *stress) through(base string, i int) error {
	req, err := http.NewRequest(http.MethodGet, fmt.Sprintf("%s/page%d", base, i), nil)
	if err != nil {
		return err
	}
	req.Close = i%10 == 0
	res, err := s.proxy.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if want := fmt.Sprintf("/page%d", i); err == nil && (res.StatusCode != http.StatusOK || !bytes.Contains(body, []byte(want))) {
		err = fmt.Errorf("%s %.200q, want %q in it", res.Status, body, want)
	}
	return err
}

func (s *stress) process(i int) error {
	return s.want(fmt.Sprintf("child %d", i), "process/run", in{"args": []string{"sh", "-c", fmt.Sprintf("(echo child %d) && exit 0", i)}})
}

// echoServer says everything back.
func echoServer(t *testing.T) string {
	t.Helper()
	return testkit.Connections(t, func(c net.Conn, _ int) { _, _ = io.Copy(c, c) }).Host
}

// A thousand real operations over all five subsystems at once, asked for as a user
// would: none is lost, and nothing is left behind.
func TestCombinedSubsystemStress(t *testing.T) {
	if testing.Short() {
		t.Skip("not short")
	}
	testkit.Program(t, "chromium-headless-shell")
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	web, ca := nginx(t, 0)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "<!doctype html><title>%s</title><p>%s", r.URL.Path, r.URL.Path)
	}))
	defer page.Close()
	s := &stress{web: web, page: page.URL, echo: echoServer(t), policies: []string{"../examples/one-policy/policy.js"}}
	before := look(t, temp)
	profiles := filepath.Join(t.TempDir(), "profiles")
	s.halfway = func() { writeCensus(t) }
	s.run(t, ca, profiles, stressLoads(s))
	left, err := filepath.Glob(filepath.Join(profiles, "*", "*")) // the lock beside them is a file
	if err != nil || len(left) > 0 {
		t.Errorf("profile directories are left: %q %v", left, err)
	}
	page.CloseClientConnections()
	deadline := time.Now().Add(30 * time.Second)
	for {
		after := look(t, temp)
		more := after.over(&before)
		if more == "" {
			break
		}
		if time.Now().After(deadline) {
			stacks := make([]byte, 64<<10)
			t.Fatalf("left behind: %s\n%s", more, stacks[:runtime.Stack(stacks, true)])
		}
		<-time.After(50 * time.Millisecond)
	}
}

// stressLoads are a thousand operations.
func stressLoads(s *stress) []load {
	return []load{
		{"api", 400, 32, s.api}, {"files", 250, 16, s.files}, {"network", 200, 16, s.network}, {"browser", 100, 6, s.browser}, {"process", 50, 8, s.process},
	}
}

// lastWords is a log of which the end is kept: what an hour says is not to look like growth.
type lastWords struct {
	mu sync.Mutex
	b  []byte
}

func (l *lastWords) Write(p []byte) (int, error) {
	const most = 4000
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b == nil {
		l.b = make([]byte, 0, 4*most)
	}
	if len(l.b) > 2*most {
		l.b = l.b[:copy(l.b, l.b[len(l.b)-most:])]
	}
	l.b = append(l.b, p...)
	return len(p), nil
}

func (l *lastWords) String() string { l.mu.Lock(); defer l.mu.Unlock(); return string(l.b) }

// start starts a host; stop ends it.
func (s *stress) start(t *testing.T, ca, profiles string) (stop func()) {
	t.Helper()
	dir := t.TempDir()
	set := append([]string{"listen=127.0.0.1:0", `control=""`, "socket=" + filepath.Join(dir, "g.sock"), "watch=false",
		"api.ca_file=" + ca, "network.allow_ranges=[127.0.0.1]", "files.roots.scratch.path=" + t.TempDir(), "files.roots.scratch.quota=64MiB", "browser.dir=" + profiles}, s.set...)
	cfg, err := config.Load(config.Options{Set: set})
	if err != nil {
		t.Fatal(err)
	}
	log := &lastWords{}
	h, err := New(cfg, Options{Policies: s.policies, Version: "test", Log: slog.New(slog.NewTextHandler(log, nil)),
		ReadConfig: func() (*config.Config, error) { return config.Load(config.Options{Set: set}) }})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.th = &testHost{Host: h, t: t}
	transport := &http.Transport{MaxIdleConnsPerHost: 100, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", cfg.Socket)
	}}
	s.client = &http.Client{Transport: transport, Timeout: 2 * time.Minute}
	gateway := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: h.Addr()})}
	s.proxy = &http.Client{Transport: gateway, Timeout: 2 * time.Minute}
	s.hangUp = func() {
		transport.CloseIdleConnections()
		gateway.CloseIdleConnections()
	}
	return func() {
		s.hangUp()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := h.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", log)
		}
	}
}

// run starts a host, puts all loads on it at once, and stops it.
func (s *stress) run(t *testing.T, ca, profiles string, loads []load) []result {
	t.Helper()
	defer s.start(t, ca, profiles)()
	return s.put(t, loads)
}

// put puts all loads on the host at once. Each operation must come out right.
func (s *stress) put(t *testing.T, loads []load) []result {
	t.Helper()
	results := make([]result, len(loads))
	var wg sync.WaitGroup
	began := time.Now()
	for i, l := range loads {
		wg.Go(func() { results[i] = l.put() })
	}
	if s.halfway != nil {
		s.halfway()
	}
	wg.Wait()
	total := 0
	for i, l := range loads {
		r := &results[i]
		total += len(r.times)
		t.Logf("%-8s %4d operations  p50 %-10v p95 %-10v p99 %v", l.name, len(r.times), r.at(0.50), r.at(0.95), r.at(0.99))
		for _, err := range r.lost[:min(len(r.lost), 5)] {
			t.Error(err)
		}
		if len(r.lost) > 0 || len(r.times) != l.n {
			t.Errorf("%s: %d of %d lost", l.name, len(r.lost)+l.n-len(r.times), l.n)
		}
	}
	t.Logf("%d operations in %v", total, time.Since(began).Round(time.Millisecond))
	return results
}
