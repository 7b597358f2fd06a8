package config

import (
	"context"
	"crypto/sha256"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Times of a Watcher.
const (
	watchDebounce = 100 * time.Millisecond // quiet time after an event
	watchLongest  = time.Second            // events that never end are looked at after this
	watchSettle   = 50 * time.Millisecond  // between the two reads that must agree
	watchPoll     = 2 * time.Second        // the net under the events
)

// notifier is the part of fsnotify that the watcher uses.
type notifier interface {
	Add(dir string) error
	Remove(dir string) error
	WatchList() []string
	Close() error
}

// digest is the content of a file as far as the watcher tells contents apart.
// The zero digest is a file that cannot be read.
type digest [sha256.Size]byte

// Watcher reports files whose content has changed. It watches their folders, so
// it sees files that are replaced, removed and created again, and symbolic
// links that are switched over (Kubernetes); it also looks at the files every
// two seconds, for file systems without events. A change is reported when two
// reads agree and differ from what was reported last, so a half-written file is
// not. An empty file and a missing one are contents like any other.
//
// Safe for concurrent use. Start and Stop work once.
type Watcher struct {
	onChange func(changed []string)
	log      *slog.Logger
	poll     time.Duration
	open     func() (notifier, <-chan fsnotify.Event, <-chan error, error)

	stop context.CancelFunc // guarded by mu
	done chan struct{}
	mu   sync.Mutex
	// files are the watched paths; guarded by mu.
	files map[string]*watched
	// notify is nil where the system has no events left to give; guarded by mu.
	notify notifier
}

// watched is one file.
type watched struct {
	reported digest
	seen     digest // at the last look, if it differed from reported
	pending  bool   // seen once, not yet twice
	stat     fileStat
}

// fileStat is what the poll compares.
type fileStat struct {
	exists bool
	size   int64
	mtime  time.Time
}

// NewWatcher returns a watcher of paths, which need not exist. onChange is
// called from one goroutine, with the changed paths as they were given, sorted;
// it may call SetPaths but not Stop. A nil log discards.
func NewWatcher(paths []string, onChange func(changed []string), log *slog.Logger) *Watcher {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	w := &Watcher{
		onChange: onChange, log: log, poll: watchPoll, open: openNotifier,
		done: make(chan struct{}), files: map[string]*watched{},
	}
	for _, path := range paths {
		w.files[path] = &watched{}
	}
	return w
}

func openNotifier() (notifier, <-chan fsnotify.Event, <-chan error, error) {
	n, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, nil, nil, err
	}
	return n, n.Events, n.Errors, nil
}

// Start takes the present contents as reported and watches until ctx ends or
// Stop is called. Start before loading the files, and no change falls in between.
// Without events from the system it polls, and logs so.
func (w *Watcher) Start(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stop != nil {
		return
	}
	ctx, w.stop = context.WithCancel(ctx)
	n, events, errs, err := w.open()
	if err != nil {
		w.log.Warn("no file events, polling instead", "error", err)
	} else {
		w.notify = n
	}
	for path, f := range w.files {
		f.reported, f.stat = read(path), stat(path)
	}
	w.watchFoldersLocked()
	go w.loop(ctx, events, errs)
}

// Stop ends the watching and returns when onChange has returned. It is
// idempotent; before Start it does nothing.
func (w *Watcher) Stop() {
	w.mu.Lock()
	stop := w.stop
	w.mu.Unlock()
	if stop == nil {
		return
	}
	stop()
	<-w.done
}

// SetPaths replaces the set of paths. The present content of a new path is
// taken as reported; a path that stays keeps what was.
func (w *Watcher) SetPaths(paths []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	files := make(map[string]*watched, len(paths))
	for _, path := range paths {
		f, ok := w.files[path]
		if !ok {
			f = &watched{reported: read(path), stat: stat(path)}
		}
		files[path] = f
	}
	w.files = files
	w.watchFoldersLocked()
}

// watchFoldersLocked watches the folder of each path, and of each file that a
// link on the way leads to; others it lets go.
func (w *Watcher) watchFoldersLocked() {
	if w.notify == nil {
		return
	}
	dirs := map[string]bool{}
	for path := range w.files {
		dirs[filepath.Dir(path)] = true
		if target, err := filepath.EvalSymlinks(path); err == nil {
			dirs[filepath.Dir(target)] = true
		}
	}
	for _, dir := range w.notify.WatchList() {
		if !dirs[dir] {
			_ = w.notify.Remove(dir) // it may be gone already
		}
	}
	for dir := range dirs {
		if err := w.notify.Add(dir); err != nil {
			w.log.Debug("folder without events, polling it", "dir", dir, "error", err)
		}
	}
}

// loop is the one goroutine. The timer is armed while something may have changed.
func (w *Watcher) loop(ctx context.Context, events <-chan fsnotify.Event, errs <-chan error) {
	defer close(w.done)
	defer w.close()
	ticker := time.NewTicker(w.poll)
	defer ticker.Stop()
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	var first time.Time // of the events not yet looked at
	dirty := func() {
		if first.IsZero() {
			first = time.Now()
		}
		timer.Reset(max(0, min(watchDebounce, watchLongest-time.Since(first))))
	}
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-events:
			if !ok {
				events = nil
			} else if w.concerns(e.Name) {
				dirty()
			}
		case err, ok := <-errs:
			if !ok {
				errs = nil
				continue
			}
			w.log.Warn("file events were lost, looking at the files", "error", err)
			dirty()
		case <-ticker.C:
			if w.moved() {
				dirty()
			}
		case <-timer.C:
			first = time.Time{}
			changed, again := w.look()
			if again {
				timer.Reset(watchSettle)
			}
			if len(changed) > 0 {
				w.onChange(changed)
			}
		}
	}
}

func (w *Watcher) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.notify != nil {
		_ = w.notify.Close()
		w.notify = nil
	}
}

// concerns reports whether an event may be about a watched file: its name, or a
// name such as ..data that links run through.
func (w *Watcher) concerns(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	base := filepath.Base(name)
	if strings.HasPrefix(base, "..") {
		return true
	}
	for path := range w.files {
		if filepath.Base(path) == base {
			return true
		}
		if target, err := filepath.EvalSymlinks(path); err == nil && filepath.Base(target) == base {
			return true
		}
	}
	return false
}

// moved reports whether a file looks different from outside. It also takes up
// folders that were removed and are there again.
func (w *Watcher) moved() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watchFoldersLocked()
	any := false
	for path, f := range w.files {
		if now := stat(path); now != f.stat {
			f.stat, any = now, true
		}
	}
	return any
}

// look reads every file. It returns those whose content is new and the same as
// at the look before, and whether another look is needed for some.
func (w *Watcher) look() (changed []string, again bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for path, f := range w.files {
		f.stat = stat(path)
		now := read(path)
		switch {
		case now == f.reported:
			f.pending = false
		case f.pending && now == f.seen:
			f.reported, f.pending = now, false
			changed = append(changed, path)
		default:
			f.seen, f.pending, again = now, true, true
		}
	}
	if len(changed) > 0 {
		w.watchFoldersLocked() // a link may lead elsewhere now
	}
	slices.Sort(changed)
	return changed, again
}

func stat(path string) fileStat {
	info, err := os.Stat(path)
	if err != nil {
		return fileStat{}
	}
	return fileStat{exists: true, size: info.Size(), mtime: info.ModTime()}
}

// read is the digest of a file's content, the zero digest if it is no readable
// regular file.
func read(path string) digest {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Type()&fs.ModeType != 0 {
		return digest{}
	}
	f, err := os.Open(path)
	if err != nil {
		return digest{}
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return digest{}
	}
	return digest(hash.Sum(nil))
}
