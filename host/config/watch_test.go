package config

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"
)

// watching starts a watcher on paths and returns it with the channel of what it
// reports, which holds the content that was there at the report.
func watching(t *testing.T, paths ...string) (*Watcher, chan string) {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	reports := make(chan string, 100)
	w := NewWatcher(paths, func(changed []string) {
		var texts []string
		for _, path := range changed {
			text, err := os.ReadFile(path)
			if err != nil {
				text = []byte("<missing>")
			}
			texts = append(texts, filepath.Base(path)+"="+string(text))
		}
		reports <- strings.Join(texts, ",")
	}, nil)
	w.Start(context.Background())
	t.Cleanup(func() {
		w.Stop()
		goleak.VerifyNone(t, leaks)
	})
	return w, reports
}

func expect(t *testing.T, reports chan string, want string) {
	t.Helper()
	select {
	case got := <-reports:
		if got != want {
			t.Errorf("reported %q, want %q", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Errorf("nothing reported, want %q", want)
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// Each way in which editors and tools save a file is one report, of the whole
// new content.
func TestWatcherSaves(t *testing.T) {
	for name, save := range map[string]func(t *testing.T, path, text string){
		"in place": put,
		"truncate, then write": func(t *testing.T, path, text string) {
			put(t, path, "")
			put(t, path, text)
		},
		"rename over": func(t *testing.T, path, text string) {
			put(t, path+".tmp", text)
			must(t, os.Rename(path+".tmp", path))
		},
		"move away, then write": func(t *testing.T, path, text string) {
			must(t, os.Rename(path, path+"~"))
			put(t, path, text)
			must(t, os.Remove(path+"~"))
		},
		"remove, then create": func(t *testing.T, path, text string) {
			must(t, os.Remove(path))
			put(t, path, text)
		},
		"five saves in a row": func(t *testing.T, path, text string) {
			for i := range 5 {
				put(t, path, strings.Repeat("x", i))
			}
			put(t, path, text)
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "gaia.yaml")
			put(t, path, "one")
			_, reports := watching(t, path)
			for _, text := range []string{"two", "three", "four"} {
				save(t, path, text)
				expect(t, reports, "gaia.yaml="+text)
			}
			if len(reports) != 0 {
				t.Errorf("reported too much: %q", <-reports)
			}
		})
	}
}

// A save that takes a while, with an event for each step, is one report: pauses are those
// of the bubble, so that a busy machine makes none longer.
func TestWatcherSavesWithPauses(t *testing.T) {
	for name, c := range map[string]struct {
		pause time.Duration
		steps []func(t *testing.T, path, text string)
	}{
		"truncate, then write": {5 * time.Millisecond, []func(*testing.T, string, string){
			func(t *testing.T, path, _ string) { put(t, path, "") }, put,
		}},
		"remove, then create": {50 * time.Millisecond, []func(*testing.T, string, string){
			func(t *testing.T, path, _ string) { must(t, os.Remove(path)) }, put,
		}},
		"three saves in a row": {10 * time.Millisecond, []func(*testing.T, string, string){
			func(t *testing.T, path, _ string) { put(t, path, "x") },
			func(t *testing.T, path, _ string) { put(t, path, "xx") }, put,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "gaia.yaml")
			put(t, path, "one")
			synctest.Test(t, func(t *testing.T) {
				told, reports := watchingInBubble(t, path)
				for _, text := range []string{"two", "three", "four"} {
					for _, step := range c.steps {
						step(t, path, text)
						told()
						time.Sleep(c.pause)
					}
					expect(t, reports, text)
				}
				if len(reports) != 0 {
					t.Errorf("reported too much: %q", <-reports)
				}
			})
		})
	}
}

// watchingInBubble starts a watcher on path that hears of events from told alone, and
// returns the channel of the contents that it reports.
func watchingInBubble(t *testing.T, path string) (told func(), reports chan string) {
	events := make(chan fsnotify.Event)
	reports = make(chan string, 100)
	w := NewWatcher([]string{path}, func([]string) {
		text, err := os.ReadFile(path)
		must(t, err)
		reports <- string(text)
	}, nil)
	w.poll = time.Hour
	w.open = func() (notifier, <-chan fsnotify.Event, <-chan error, error) { return deaf{}, events, nil, nil }
	w.Start(t.Context())
	t.Cleanup(w.Stop)
	return func() { events <- fsnotify.Event{Name: path} }, reports
}

func TestWatcherConfigMap(t *testing.T) {
	dir := t.TempDir()
	for _, version := range []string{"1", "2", "3"} {
		must(t, os.Mkdir(filepath.Join(dir, "..v"+version), 0o700))
		put(t, filepath.Join(dir, "..v"+version, "gaia.yaml"), version)
	}
	data, path := filepath.Join(dir, "..data"), filepath.Join(dir, "gaia.yaml")
	must(t, os.Symlink("..v1", data), os.Symlink("..data/gaia.yaml", path))
	_, reports := watching(t, path)
	for _, version := range []string{"2", "3", "1"} {
		must(t, os.Symlink("..v"+version, data+"_tmp"), os.Rename(data+"_tmp", data))
		expect(t, reports, "gaia.yaml="+version)
	}
}

func TestWatcherMissingAndEmpty(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "p.js")
	_, reports := watching(t, path)
	put(t, path, "a")
	expect(t, reports, "p.js=a")
	put(t, path, "")
	expect(t, reports, "p.js=")
	must(t, os.Remove(path))
	expect(t, reports, "p.js=<missing>")
	put(t, path, "b")
	expect(t, reports, "p.js=b")
}

func TestWatcherFolderReplaced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sub")
	path := filepath.Join(dir, "p.js")
	w := NewWatcher([]string{path}, nil, nil)
	w.poll = 20 * time.Millisecond
	reports := make(chan string, 10)
	w.onChange = func([]string) {
		text, _ := os.ReadFile(path)
		reports <- string(text)
	}
	w.Start(context.Background())
	defer w.Stop()
	for _, text := range []string{"a", "b"} {
		must(t, os.Mkdir(dir, 0o700))
		put(t, path, text)
		expect(t, reports, text)
		must(t, os.RemoveAll(dir))
		expect(t, reports, "")
	}
}

func TestWatcherSetPaths(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	a, b := filepath.Join(dir, "a.js"), filepath.Join(other, "b.js")
	put(t, a, "1")
	put(t, b, "1")
	w, reports := watching(t, a)
	w.SetPaths([]string{b})
	put(t, a, "2")
	put(t, b, "2")
	expect(t, reports, "b.js=2")
	w.SetPaths([]string{a, b})
	put(t, a, "3")
	put(t, b, "3")
	got := <-reports
	if got != "a.js=3,b.js=3" { // the second may settle later on a busy machine
		more := <-reports
		if both := []string{got, more}; !slices.Contains(both, "a.js=3") || !slices.Contains(both, "b.js=3") {
			t.Errorf("reported %q", both)
		}
	}
}

func TestWatcherSameContentIsNoChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.js")
	put(t, path, "1")
	synctest.Test(t, func(t *testing.T) {
		told, reports := watchingInBubble(t, path)
		put(t, path, "1")
		must(t, os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)))
		told()
		time.Sleep(2*watchDebounce + 2*watchSettle)
		put(t, path, "2")
		told()
		expect(t, reports, "2")
	})
}

// Without events the poll finds the change; time is the bubble's.
func TestWatcherPolls(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.js")
	put(t, path, "1")
	synctest.Test(t, func(t *testing.T) {
		var reported atomic.Int32
		w := NewWatcher([]string{path}, func([]string) { reported.Add(1) }, nil)
		w.open = func() (notifier, <-chan fsnotify.Event, <-chan error, error) {
			return nil, nil, nil, errors.New("no inotify instances left")
		}
		w.Start(t.Context())
		defer w.Stop()
		for want := range int32(3) {
			put(t, path, strings.Repeat("2", int(want)+2))
			time.Sleep(watchPoll + watchDebounce + 2*watchSettle)
			synctest.Wait()
			if reported.Load() != want+1 {
				t.Fatalf("%d reports, want %d", reported.Load(), want+1)
			}
		}
	})
}

// Events that never end do not keep a change from being reported.
func TestWatcherUnderConstantEvents(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.js")
	put(t, path, "1")
	synctest.Test(t, func(t *testing.T) {
		told, reports := watchingInBubble(t, path)
		put(t, path, "2")
		for range 100 {
			told()
			time.Sleep(watchDebounce / 2)
		}
		if len(reports) != 1 {
			t.Errorf("%d reports", len(reports))
		}
	})
}

// deaf is a notifier without a system.
type deaf struct{}

func (deaf) Add(string) error    { return errors.New("no such folder") }
func (deaf) Remove(string) error { return nil }
func (deaf) WatchList() []string { return nil }
func (deaf) Close() error        { return nil }

func TestWatcherStops(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.js")
	w := NewWatcher([]string{path}, func([]string) { t.Error("reported after the end") }, nil)
	w.Stop() // not started
	ctx, cancel := context.WithCancel(context.Background())
	w.Start(ctx)
	w.Start(ctx)
	cancel()
	w.Stop()
	w.Stop()
	put(t, path, "x")
	w.SetPaths([]string{path, path + "2"})
}
