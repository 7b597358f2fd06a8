package files

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gaia-host/gaia/subsystems/admission"
)

func TestWriteReadAppendInEveryDurability(t *testing.T) {
	for level := DurabilityDefault; level <= DurabilityFull; level++ {
		t.Run(level.String(), func(t *testing.T) {
			m, dir := newManager(t, nil)
			o := Options{Durability: level, Parents: true}
			big := strings.Repeat("0123456789abcdef", 3*bufferSize/16+1)
			for _, text := range []string{"first", "", big, "short"} {
				e, err := m.Write(t.Context(), data("a/b/c"), strings.NewReader(text), o)
				if err != nil || e.Size != int64(len(text)) {
					t.Fatal(e, err)
				}
				if got := content(t, filepath.Join(dir, "a/b/c")); got != text {
					t.Fatalf("got %d bytes, want %d", len(got), len(text))
				}
			}
			for _, more := range []string{" and", " more"} {
				if _, err := m.Append(t.Context(), data("a/b/c"), strings.NewReader(more), o); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := m.Append(t.Context(), data("new"), strings.NewReader("x"), o); err != nil {
				t.Fatal(err)
			}
			got, err := m.Read(t.Context(), data("a/b/c"), Options{})
			if string(got) != "short and more" || err != nil {
				t.Fatalf("%q, %v", got, err)
			}
			if content(t, filepath.Join(dir, "new")) != "x" {
				t.Fatal("a new file was not appended to")
			}
		})
	}
}

func TestReadGivesTheRangeAskedFor(t *testing.T) {
	m, dir := newManager(t, func(c *Config) { c.MaxRead = 20 })
	mustWrite(t, filepath.Join(dir, "f"), "0123456789")
	for _, c := range []struct {
		offset, length int64
		want           string
	}{{0, 0, "0123456789"}, {3, 4, "3456"}, {8, 10, "89"}, {10, 0, ""}, {99, 5, ""}} {
		o := Options{Offset: c.offset, Length: c.length}
		got, err := m.Read(t.Context(), data("f"), o)
		if string(got) != c.want || err != nil {
			t.Errorf("%d+%d: %q, %v", c.offset, c.length, got, err)
		}
		r, err := m.Open(t.Context(), data("f"), o)
		if err != nil {
			t.Fatal(err)
		}
		streamed, err := io.ReadAll(r)
		if string(streamed) != c.want || err != nil || r.Size() != int64(len(c.want)) {
			t.Errorf("stream %d+%d: %q, %v", c.offset, c.length, streamed, err)
		}
		for range 2 {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	mustWrite(t, filepath.Join(dir, "big"), strings.Repeat("x", 21))
	if _, err := m.Read(t.Context(), data("big"), Options{}); !errors.Is(err, ErrTooLarge) || Status(err) != 413 {
		t.Error("a file over max_read:", err)
	}
	if _, err := m.Read(t.Context(), data("f"), Options{Offset: -1}); Status(err) != 400 {
		t.Error("a negative offset:", err)
	}
	if s := m.Stats(); s.Readers != 0 || s.InFlight != 0 || s.BytesRead == 0 {
		t.Error(s)
	}
}

func TestChangesOfFilesAndFolders(t *testing.T) {
	other := t.TempDir()
	m, dir := newManager(t, func(c *Config) { c.Roots["other"] = Root{Path: other} })
	ctx := t.Context()
	mustWrite(t, filepath.Join(dir, "a"), "A")
	mustWrite(t, filepath.Join(dir, "b"), "B")
	check := func(err error, name, want string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if got := content(t, name); got != want {
			t.Fatalf("%s holds %q, want %q", name, got, want)
		}
	}
	_, err := m.Copy(ctx, data("a"), data("x/copy"), Options{Parents: true})
	check(err, filepath.Join(dir, "x/copy"), "A")
	_, err = m.Copy(ctx, data("a"), Ref{"other", "copy"}, Options{})
	check(err, filepath.Join(other, "copy"), "A")
	if _, err := m.Copy(ctx, data("a"), data("b"), Options{Exclusive: true}); !errors.Is(err, fs.ErrExist) || Status(err) != 409 {
		t.Fatal("an exclusive copy:", err)
	}
	if _, err := m.Copy(ctx, data("none"), data("b"), Options{}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "data:none") {
		t.Fatal("a copy of nothing:", err)
	}
	_, err = m.Move(ctx, data("a"), data("b"), Options{Durability: DurabilityFull})
	check(err, filepath.Join(dir, "b"), "A")
	_, err = m.Move(ctx, data("x"), data("y"), Options{}) // a folder
	check(err, filepath.Join(dir, "y/copy"), "A")
	_, err = m.Move(ctx, data("b"), Ref{"other", "moved"}, Options{})
	check(err, filepath.Join(other, "moved"), "A")
	for _, gone := range []string{"a", "b", "x"} {
		if _, err := m.Stat(ctx, data(gone), Options{}); !errors.Is(err, fs.ErrNotExist) {
			t.Error(gone, "is still there:", err)
		}
	}
	if _, err := m.Move(ctx, data("y"), Ref{"other", "y"}, Options{}); !errors.Is(err, ErrNotRegular) {
		t.Error("a folder moved to another root:", err)
	}
	if err := m.Remove(ctx, data("y"), Options{}); Status(err) != 409 {
		t.Error("a folder that is not empty was removed:", err)
	}
	if err := m.Remove(ctx, data("y"), Options{Recursive: true}); err != nil {
		t.Error(err)
	}
	if err := m.Remove(ctx, data("."), Options{Recursive: true}); err == nil {
		t.Error("a root was removed")
	}
	if err := m.Mkdir(ctx, data("p/q"), Options{}); Status(err) != 404 {
		t.Error("a folder below none:", err)
	}
	if err := errors.Join(m.Mkdir(ctx, data("p/q"), Options{Parents: true}), m.Mkdir(ctx, data("p/q"), Options{Parents: true})); err != nil {
		t.Error(err)
	}
}

func TestAReplacedFileKeepsItsMode(t *testing.T) {
	m, dir := newManager(t, nil)
	name := filepath.Join(dir, "secret")
	mustWrite(t, name, "old")
	if err := os.Chmod(name, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := m.WriteBytes(t.Context(), data("secret"), []byte("new"), Options{}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
}

func TestListWalkAndGlob(t *testing.T) {
	m, dir := newManager(t, nil)
	for _, f := range []string{"a.txt", "b.json", "x/c.txt", "x/y/d.txt", "x/y/e.json"} {
		mustWrite(t, filepath.Join(dir, f), f)
	}
	if err := os.Symlink("x", filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	paths := func(entries []Entry) string {
		var ps []string
		for _, e := range entries {
			ps = append(ps, e.Path)
		}
		return strings.Join(ps, " ")
	}
	entries, more, err := m.List(t.Context(), data(""), Options{})
	if got := paths(entries); got != "a.txt b.json loop x" || more || err != nil {
		t.Error(got, more, err)
	}
	if entries, more, err = m.List(t.Context(), data(""), Options{Limit: 2}); len(entries) != 2 || !more || err != nil {
		t.Error(entries, more, err)
	}
	var walked []Entry
	collect := func(e Entry) error { walked = append(walked, e); return nil }
	more, err = m.Walk(t.Context(), data("."), Options{}, collect)
	if got := paths(walked); got != "a.txt b.json loop x x/c.txt x/y x/y/d.txt x/y/e.json" || more || err != nil {
		t.Error(got, more, err)
	}
	walked = nil
	if more, err = m.Walk(t.Context(), data("."), Options{Limit: 6}, collect); len(walked) != 6 || !more || err != nil {
		t.Error(paths(walked), more, err)
	}
	stop := errors.New("stop")
	if _, err := m.Walk(t.Context(), data(""), Options{}, func(Entry) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
	for pattern, want := range map[string]string{
		"*.txt": "a.txt", "**/*.txt": "a.txt x/c.txt x/y/d.txt", "x/*": "x/c.txt x/y", "x/**/*.json": "x/y/e.json",
		"{a,b}.*": "a.txt b.json", "x/{c,y/d}.txt": "x/c.txt x/y/d.txt", "none/*": "",
	} {
		entries, more, err := m.Glob(t.Context(), data(""), pattern, Options{})
		if got := paths(entries); got != want || more || err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %q, want %q, %v", pattern, got, want, err)
		}
	}
	for _, bad := range []string{"", "[", "../*", "/etc/*", strings.Repeat("{a,b}", 20)} {
		if _, _, err := m.Glob(t.Context(), data(""), bad, Options{}); !errors.Is(err, ErrPath) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestABatchReportsEveryStep(t *testing.T) {
	m, dir := newManager(t, nil)
	steps := []Step{
		{Action: "write", Ref: data("a"), Data: []byte(`{"n":1}`)},
		{Action: "read", Ref: data("missing")},
		{Action: "write", Ref: data("b"), Data: []byte("<a>x</a>")},
		{Action: "explode", Ref: data("a")},
		{Action: "mkdir", Ref: data("d")},
	}
	results, err := m.Batch(t.Context(), steps, 0, Options{})
	if !errors.Is(err, fs.ErrNotExist) || !errors.Is(err, ErrAction) {
		t.Error("the error does not join those of the steps:", err)
	}
	for i, want := range []int{200, 404, 200, 400, 200} {
		if got := Status(results[i].Err); got != want {
			t.Errorf("step %d: %d, want %d: %v", i, got, want, results[i].Err)
		}
	}
	results, err = m.Batch(t.Context(), []Step{
		{Action: "json", Ref: data("a")}, {Action: "xml", Ref: data("b")}, {Action: "stat", Ref: data("a")},
		{Action: "copy", Ref: data("a"), To: data("c")}, {Action: "append", Ref: data("e"), Data: []byte("x")},
		{Action: "move", Ref: data("d"), To: data("f")},
	}, 3, Options{})
	if err != nil || string(results[0].Data) != `{"n":1}` || results[1].XML.Text != "x" || results[2].Entry.Size != 7 {
		t.Error(results, err)
	}
	if content(t, filepath.Join(dir, "c")) != `{"n":1}` {
		t.Error("not copied")
	}
	if _, err := m.Batch(t.Context(), make([]Step, MaxBatch+1), 0, Options{}); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
}

func TestStopCutsWhatDoesNotEnd(t *testing.T) {
	dir := t.TempDir()
	c := DefaultConfig()
	c.Roots = map[string]Root{"data": {Path: dir}}
	m, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Stat(t.Context(), data("."), Options{}); !errors.Is(err, errNotStarted) {
		t.Error("an operation before Start:", err)
	}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, filepath.Join(dir, "f"), "old")
	r, err := m.Open(t.Context(), data("f"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	reading, reader := make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := m.Write(context.Background(), data("f"), endless{reading}, Options{})
		reader <- err
	}()
	<-reading
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := <-reader; !errors.Is(err, errCut) {
		t.Error("the write ended with", err)
	}
	if _, err := r.Read(make([]byte, 1)); err == nil {
		t.Error("a stream goes on after Stop")
	}
	if got := content(t, filepath.Join(dir, "f")); got != "old" {
		t.Errorf("the file holds %.20q", got)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Error("something is left:", entries)
	}
	_, err = m.Read(t.Context(), data("f"), Options{})
	if d := IsDenied(err); d == nil || d.Kind != admission.KindClosed {
		t.Error("an operation after Stop:", err)
	}
	if err := m.Stop(t.Context()); err != nil {
		t.Error("the second Stop:", err)
	}
}

func TestCheckFindsEveryFault(t *testing.T) {
	c := DefaultConfig()
	c.MaxRead, c.MaxDepth = -1, -1
	c.Roots = map[string]Root{"a-b": {Path: "x"}, "a_b": {Path: "x"}, "bad name": {}, "q": {Path: "x", Quota: -1}}
	err := c.Check()
	for _, want := range []string{"max_read", "max_depth", "same name in metrics", `"bad name"`, "path is missing", "quotas"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	m, err := New(Config{Roots: map[string]Root{"x": {Path: filepath.Join(t.TempDir(), "none")}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "make the folder first") {
		t.Error(err)
	}
	if err := m.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
