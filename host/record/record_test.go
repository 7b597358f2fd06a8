package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/route"
	"github.com/gaia-host/gaia/internal/testkit"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// header is a message's fields.
type header map[string]string

func (h header) Lookup(name string) (string, bool) { v, ok := h[name]; return v, ok }
func (h header) AnyName(match func(string) bool) bool {
	for name := range h {
		if match(name) {
			return true
		}
	}
	return false
}

const now = int64(1_700_000_000_000_000_000)

func newCore(t *testing.T) *admission.Core {
	t.Helper()
	c, err := admission.New(admission.Options{Subsystem: policy.SubsystemAPI, Config: admission.DefaultConfig()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// one records one attempt that ends well.
func one(r *Recorder, c *admission.Core, reqHeader, resHeader policy.Lookup) {
	op := c.NewOp()
	defer op.Free()
	op.Req.Key, op.Req.Action, op.Req.Header, op.Req.URL = "k", "request", reqHeader, "https://h/p?token=hush"
	l := r.Begin(op, c.Begin(now, op), time.Minute)
	c.Started(now+int64(time.Millisecond), op)
	res := &policy.Response{Status: 200, Bytes: 3, Header: resHeader}
	r.Answered(l, now+int64(3*time.Millisecond), res, c.Answered(now+int64(3*time.Millisecond), op, res))
	c.Settle(now+int64(5*time.Millisecond), op, res, nil)
	r.End(l, now+int64(5*time.Millisecond), op, res)
}

func lines(t *testing.T, path string) []Line {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []Line
	for text := range bytes.Lines(data) {
		var l Line
		if err := json.Unmarshal(text, &l); err != nil || text[len(text)-1] != '\n' {
			t.Fatalf("%v: %q", err, text)
		}
		list = append(list, l)
	}
	return list
}

// Only named fields are there, those with credentials never, and no query.
func TestWhatIsRecorded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.jsonl")
	r := New(Config{File: path, Fields: Fields{Headers: []string{"x-a", "authorization", "x-own", "set-cookie"}, Mask: []string{"X-OWN"}}})
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	one(r, newCore(t), header{"X-A": "a", "Authorization": "hush", "X-Own": "hush", "X-Other": "hush"},
		header{"Set-Cookie": "hush", "Retry-After": "3", "X-Ratelimit-Remaining": "7", "Server": "hush"})
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(path)
	if strings.Contains(string(data), "hush") {
		t.Errorf("a secret is in %s", data)
	}
	l := lines(t, path)[0]
	if l.Headers["X-A"] != "a" || l.Headers["Authorization"] != "***" || l.Headers["X-Own"] != "***" || len(l.Headers) != 3 {
		t.Errorf("headers %v", l.Headers)
	}
	if h := l.ResponseHeaders; h["Retry-After"] != "3" || h["X-Ratelimit-Remaining"] != "7" || h["Set-Cookie"] != "***" || len(h) != 3 {
		t.Errorf("headers of the answer %v", h)
	}
	if l.URL != "https://h/p" || l.End != EndDone || *l.Service < 3.99 || *l.Service > 4.01 || *l.Answered < 1.99 || l.Wait < 0.99 || l.Status != 200 || l.Bytes != 3 || l.Said.Action != "allow" {
		t.Errorf("%+v", l)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// The upstreams that there were are told of, where they are not too many.
func TestUpstreamsAreRecorded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.jsonl")
	r := New(Config{File: path})
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	c := newCore(t)
	for _, n := range []int{2, MaxUpstreams + 1} {
		ups := make([]route.Upstream, n)
		for i := range ups {
			host := fmt.Sprintf("h%d.example", i)
			ups[i] = route.Upstream{Name: fmt.Sprint("u", i), URL: &url.URL{Scheme: "https", Host: host, User: url.UserPassword("me", "hush")}, Weight: i + 1}
		}
		g, err := route.NewGroup(ups, nil)
		if err != nil {
			t.Fatal(err)
		}
		op := c.NewOp()
		op.Req.Key, op.Group = "k", g
		l := r.Begin(op, c.Begin(now, op), time.Minute)
		c.Cancel(now, op, nil)
		r.End(l, now, op, nil)
		op.Free()
	}
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	got := lines(t, path)
	want := []Upstream{{Name: "u0", Host: "h0.example", Weight: 1, Healthy: true}, {Name: "u1", Host: "h1.example", Weight: 2, Healthy: true}}
	if len(got) != 2 || !slices.Equal(got[0].Upstreams, want) || got[1].Upstreams != nil || got[1].Upstream == "" {
		t.Errorf("%+v", got)
	}
}

func TestDeniedAndCanceled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.jsonl")
	r := New(Config{File: path})
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	c := newCore(t)
	op := c.NewOp()
	l := r.Begin(op, c.Begin(now, op), time.Minute)
	c.Cancel(now, op, nil)
	r.End(l, now+int64(time.Second), op, nil)
	op.Free()
	c.Close()
	op = c.NewOp()
	if l := r.Begin(op, c.Begin(now, op), time.Minute); l != nil {
		t.Error("a denial is not written at once")
	}
	op.Free()
	op = c.NewOp()
	op.Req.Part = true
	if l := r.Begin(op, c.Begin(now, op), time.Minute); l != nil {
		t.Error("a part has a line")
	}
	op.Free()
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	got := lines(t, path)
	if len(got) != 2 || got[0].End != EndCanceled || got[0].Wait != 1000 || got[0].Service != nil || got[1].End != EndDenied || got[1].By != "closed" || got[1].Status != 503 {
		t.Errorf("%+v", got)
	}
}

// Files are rotated, so that no more than a bounded number of bytes is on disk.
func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.jsonl")
	f, err := openFile(path, 100, 2)
	if err != nil {
		t.Fatal(err)
	}
	line := []byte(head + `,"time":1}` + "\n")
	for range 20 {
		if err := f.write(line); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 3 {
		t.Fatalf("%v, %v", entries, err)
	}
	for _, e := range entries {
		if info, _ := e.Info(); info.Size() > 100 || info.Size() == 0 {
			t.Errorf("%s has %d bytes", e.Name(), info.Size())
		}
	}
}

// What a kill left unfinished is cut off; what is no recording is left alone.
func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.jsonl")
	line := head + `,"time":1}` + "\n"
	for text, want := range map[string]string{"": line, line: line + line, line + head[:7]: line + line, head[:9]: line} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := openFile(path, 1<<20, 1)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if err := errors.Join(f.write([]byte(line)), f.close()); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(path); string(got) != want {
			t.Errorf("%q became %q", text, got)
		}
	}
	const foreign = "export function onRequest() {}"
	if err := os.WriteFile(path, []byte(foreign), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openFile(path, 1<<20, 1); !errors.Is(err, errForeign) {
		t.Errorf("a file that is no recording: %v", err)
	}
	if got, _ := os.ReadFile(path); string(got) != foreign {
		t.Errorf("it became %q", got)
	}
	if _, err := openFile("/dev/null", 1<<20, 1); err == nil {
		t.Error("a device was opened")
	}
}

// A queue that nobody empties is bounded, and what finds no room is counted.
func TestFullQueue(t *testing.T) {
	r := New(Config{File: filepath.Join(t.TempDir(), "r.jsonl")})
	c := newCore(t)
	for range queueLen + 5 {
		one(r, c, nil, nil)
	}
	if s := r.Stats(); s.Dropped != 5 {
		t.Errorf("%d dropped, want 5", s.Dropped)
	}
}

// A full disk loses lines, which are counted; it goes on as soon as there is room.
func TestFullDisk(t *testing.T) {
	dir := testkit.Disk(t, "64k")
	r := New(Config{File: filepath.Join(dir, "r.jsonl")})
	f, err := openFile(r.c.File, 1<<20, 1)
	if err != nil {
		t.Fatal(err)
	}
	r.file = f
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 60<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newCore(t)
	fill := func() {
		for range 40 {
			one(r, c, nil, nil)
			r.add(<-r.queue)
		}
		r.flush()
	}
	fill()
	if s := r.Stats(); s.Failed != 40 || s.Written != 0 || !strings.Contains(s.Error, syscall.ENOSPC.Error()) {
		t.Errorf("%+v", s)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	fill()
	if s := r.Stats(); s.Failed != 40 || s.Written != 40 || s.Error != "" {
		t.Errorf("%+v", s)
	}
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
	if got := lines(t, r.c.File); len(got) != 40 {
		t.Errorf("%d lines", len(got))
	}
}
