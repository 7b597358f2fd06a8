package files

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"sync"
	"syscall"

	"github.com/fsnotify/fsnotify"
)

// The kinds of an Event.
const (
	EventCreated = "created"
	EventWritten = "written"
	EventRemoved = "removed"
	EventRenamed = "renamed" // away: the new name comes as created
	EventChanged = "changed" // its mode or owner
	// EventMissed says that events were lost: look again at all of it.
	EventMissed = "missed"
)

// Event is a change of a watched folder.
type Event struct {
	Kind string
	Path string // within the root; "" of EventMissed
}

// eventsKept is how many events wait for their reader before some are lost.
const eventsKept = 1024

// Watch tells of changes in a folder. Its owner reads Events and closes it.
type Watch struct {
	m         *Manager
	r         *root
	recursive bool
	notify    *fsnotify.Watcher
	events    chan Event
	done      sync.WaitGroup
	once      sync.Once
	missed    bool                // events were lost since the last one was given
	dirs      map[string]*os.File // by path; open, so that their names here stay theirs
	names     map[string]string   // path by the name that the notifier knows
}

// Watch tells of changes in a folder from now on, with Recursive in all below it
// too, until the Watch is closed, ctx ends or the manager stops. The operation is under way only
// until it is set up. Errors: ErrWatchLimit, and those of ref.
func (m *Manager) Watch(ctx context.Context, ref Ref, o Options) (*Watch, error) {
	var w *Watch
	_, err := m.run(ctx, &task{action: "watch", ref: ref, size: -1, o: &o, do: func(ctx context.Context, r *root, name string) (int64, error) {
		var err error
		w, err = m.openWatch(ctx, r, name, o.Recursive)
		return 0, err
	}})
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	stopped := m.closed
	m.watches[w] = struct{}{}
	m.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { _ = w.notify.Close() })
	w.done.Go(func() {
		defer stop()
		w.pass()
	})
	if stopped {
		_ = w.Close()
	}
	return w, nil
}

func (m *Manager) openWatch(ctx context.Context, r *root, name string, recursive bool) (*Watch, error) {
	notify, err := fsnotify.NewBufferedWatcher(eventsKept)
	if err != nil {
		return nil, watchError(err, "instances")
	}
	w := &Watch{m: m, r: r, recursive: recursive, notify: notify, events: make(chan Event, eventsKept),
		dirs: map[string]*os.File{}, names: map[string]string{}}
	if err := w.add(ctx, name, nil); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// watchError says which limit of the system is reached, and what to do.
func watchError(err error, which string) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EMFILE) {
		return fmt.Errorf("%w: the system allows no more; raise fs.inotify.max_user_%s with sysctl: %w", ErrWatchLimit, which, err)
	}
	return err
}

// add watches a folder and, of a recursive watch, what is in it; found is told of
// entries below it, nil for none.
func (w *Watch) add(ctx context.Context, name string, found func(path string)) error {
	if err := w.m.alive(ctx); err != nil {
		return err
	}
	if most := w.m.live.Load().MaxWatches; most > 0 && len(w.dirs) >= most {
		return fmt.Errorf("%w: max_watches is %d folders", ErrWatchLimit, most)
	}
	if _, twice := w.dirs[name]; twice {
		return nil
	}
	d, err := w.r.openDir(name)
	if err != nil {
		return err
	}
	at := watchName(w.r, d, name)
	if err := w.notify.Add(at); err != nil {
		_ = d.Close()
		return watchError(err, "watches")
	}
	w.dirs[name], w.names[at] = d, name
	if !w.recursive {
		return nil
	}
	entries, _, err := w.r.readDir(name, maxFolder)
	if err != nil && !gone(err) {
		return err
	}
	for _, e := range entries {
		below := join(name, e.Name())
		if found != nil {
			found(below)
		}
		if e.IsDir() {
			if err := w.add(ctx, below, found); err != nil && !gone(err) {
				return err
			}
		}
	}
	return nil
}

// Events gives the changes. It is closed when the watch ends. One who does not
// read gets EventMissed in place of what he missed.
func (w *Watch) Events() <-chan Event { return w.events }

// Close ends the watch. Calling it again does nothing.
func (w *Watch) Close() error {
	err := w.notify.Close()
	w.done.Wait()
	return err
}

// close lets go of what the watch holds.
func (w *Watch) close() {
	w.once.Do(func() {
		_ = w.notify.Close()
		for _, d := range w.dirs {
			_ = d.Close()
		}
		close(w.events)
		w.m.mu.Lock()
		delete(w.m.watches, w)
		w.m.mu.Unlock()
	})
}

// pass gives on what the notifier says, until it ends.
func (w *Watch) pass() {
	defer w.close()
	for {
		select {
		case e, ok := <-w.notify.Events:
			if !ok {
				return
			}
			w.event(e)
		case err, ok := <-w.notify.Errors:
			if !ok {
				return
			}
			w.missed = w.missed || err != nil
			w.flush()
		}
	}
}

// event gives on one event, and follows the folders of a recursive watch.
func (w *Watch) event(e fsnotify.Event) {
	dir, known := w.names[path.Dir(e.Name)]
	if !known {
		return // of the watched folder itself
	}
	name := join(dir, path.Base(e.Name))
	if isStage(name) {
		return
	}
	for _, k := range [...]struct {
		op   fsnotify.Op
		kind string
	}{{fsnotify.Create, EventCreated}, {fsnotify.Write, EventWritten}, {fsnotify.Remove, EventRemoved}, {fsnotify.Rename, EventRenamed}, {fsnotify.Chmod, EventChanged}} {
		if e.Has(k.op) {
			w.give(Event{k.kind, name})
		}
	}
	if !w.recursive {
		return
	}
	if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
		w.drop(name)
	}
	if e.Has(fsnotify.Create) {
		w.follow(name)
	}
}

// follow watches a folder that came. What is in it already came before it was watched.
func (w *Watch) follow(name string) {
	if info, err := w.r.dir.Lstat(name); err != nil || !info.IsDir() {
		return
	}
	err := w.add(context.Background(), name, func(below string) { w.give(Event{EventCreated, below}) })
	if err != nil && !gone(err) {
		w.m.log.Warn("a new folder cannot be watched", "root", w.r.name, "path", name, "error", err)
		w.missed = true
		w.flush()
	}
}

// drop forgets a folder that went, and what was below it.
func (w *Watch) drop(name string) {
	for p, d := range w.dirs {
		if p != name && !strings.HasPrefix(p, name+"/") {
			continue
		}
		at := watchName(w.r, d, p)
		_ = w.notify.Remove(at) // the system may have dropped it already
		delete(w.names, at)
		delete(w.dirs, p)
		_ = d.Close()
	}
}

func (w *Watch) give(e Event) {
	w.flush()
	if w.missed {
		return
	}
	select {
	case w.events <- e:
		w.m.counts.events.Add(1)
	default:
		w.missed = true
	}
}

// flush says that events were missed, once there is room to say so.
func (w *Watch) flush() {
	if !w.missed {
		return
	}
	select {
	case w.events <- Event{Kind: EventMissed}:
		w.missed = false
	default:
	}
}

// endWatches ends all watches.
func (m *Manager) endWatches() {
	m.mu.Lock()
	var open []*Watch
	for w := range m.watches {
		open = append(open, w)
	}
	m.mu.Unlock()
	for _, w := range open {
		_ = w.Close()
	}
}
