package host

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gaia-host/gaia/subsystems/files"
)

// filesGuarantees are the guarantees 10 to 13.
func filesGuarantees() []guarantee {
	return []guarantee{
		{10, "a-write-stores-what-it-was-given-or-leaves-the-file-as-it-was", writesAreWhole},
		{11, "XML-and-JSON-are-parsed-and-errors-say-where", parsesForReal},
		{12, "a-batch-reports-every-failure-and-runs-a-bounded-number-at-once", batchesReport},
		{13, "files-are-confined-capped-counted-and-read-through-pooled-buffers", filesAreConfined},
	}
}

// filesHost runs a host with a root "data" with a quota of 1 MiB, and returns its folder.
func filesHost(t *testing.T) (*files.Manager, string) {
	dir := t.TempDir()
	h := run(t, nil, "files.roots.data.path="+dir, "files.roots.data.quota=1MiB", "files.max_concurrent=4", "files.max_read=1MiB")
	return h.Files(), dir
}

func at(path string) files.Ref { return files.Ref{Root: "data", Path: path} }

func writesAreWhole(t *testing.T) {
	m, dir := filesHost(t)
	name := filepath.Join(dir, "f")
	want := bytes.Repeat([]byte("text"), 50_000)
	if _, err := m.Write(t.Context(), at("f"), bytes.NewReader(want), files.Options{Durability: files.DurabilityFull}); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the source broke")
	for why, src := range map[string]io.Reader{
		"a source that breaks": io.MultiReader(strings.NewReader("half"), errorReader{broken}),
		"a full quota":         io.LimitReader(zeroes{}, 2<<20),
	} {
		if _, err := m.Write(t.Context(), at("f"), src, files.Options{}); err == nil {
			t.Error(why, "is reported as success")
		}
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("after %s the file has %d bytes, %v", why, len(got), err)
		}
	}
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }

type zeroes struct{}

func (zeroes) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func parsesForReal(t *testing.T) {
	m, dir := filesHost(t)
	save(t, filepath.Join(dir, "a.xml"), "<a><b k='v'>text</b></a>")
	save(t, filepath.Join(dir, "bad.xml"), "<a>\n<b></a>")
	save(t, filepath.Join(dir, "bad.json"), "{\n\"a\": }")
	n, err := m.XML(t.Context(), at("a.xml"), files.Options{})
	if err != nil || n.Name != "a" || len(n.Children) != 1 || n.Children[0].Attrs["k"] != "v" || n.Children[0].Text != "text" {
		t.Errorf("%+v, %v", n, err)
	}
	if _, err := m.XML(t.Context(), at("bad.xml"), files.Options{}); !errors.Is(err, files.ErrSyntax) || !strings.Contains(err.Error(), "2:") {
		t.Error(err)
	}
	if _, err := m.JSON(t.Context(), at("bad.json"), nil, files.Options{}); !errors.Is(err, files.ErrSyntax) || !strings.Contains(err.Error(), "2:6") {
		t.Error(err)
	}
}

func batchesReport(t *testing.T) {
	m, _ := filesHost(t)
	var steps []files.Step
	for range 200 {
		steps = append(steps, files.Step{Action: "read", Ref: at("none")})
	}
	results, err := m.Batch(t.Context(), steps, 50, files.Options{})
	if !errors.Is(err, fs.ErrNotExist) || len(results) != len(steps) {
		t.Error("a batch in which every step failed ended with", err)
	}
	for i := range results {
		if !errors.Is(results[i].Err, fs.ErrNotExist) {
			t.Error(i, results[i].Err)
		}
	}
	if c := m.Core().Config().Limits.Global.Concurrency; c != 4 {
		t.Error("operations at once:", c)
	}
}

func filesAreConfined(t *testing.T) {
	m, dir := filesHost(t)
	outside := filepath.Join(t.TempDir(), "secret")
	save(t, outside, "secret")
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"link", "../secret", outside} {
		if got, err := m.Read(t.Context(), at(path), files.Options{}); !errors.Is(err, files.ErrPath) {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	save(t, filepath.Join(dir, "big"), strings.Repeat("x", 1<<20+1))
	if _, err := m.Read(t.Context(), at("big"), files.Options{}); !errors.Is(err, files.ErrTooLarge) {
		t.Error(err)
	}
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			for range 20 {
				r, err := m.Open(t.Context(), at("big"), files.Options{})
				if err != nil {
					t.Error(err)
					return
				}
				if n, err := r.WriteTo(io.Discard); n != 1<<20+1 || err != nil {
					t.Error(n, err)
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	if _, err := m.Walk(t.Context(), at(""), files.Options{}, func(files.Entry) error { return nil }); err != nil {
		t.Error(err)
	}
	s := m.Stats()
	if s.BuffersTaken < 160 || s.BuffersMade > s.BuffersTaken/2 && slowdown == 1 {
		t.Errorf("%d buffers made for %d uses", s.BuffersMade, s.BuffersTaken)
	}
	if s.Requests < 162 || s.InFlight != 0 {
		t.Errorf("walks and streams are not counted: %+v", s)
	}
}
