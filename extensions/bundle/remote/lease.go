package remote

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A lease keeps files of the cache from being swept, by this process or another: it
// holds a shared lock on each, which ends with the process at the latest. The zero
// lease holds nothing.
type lease struct {
	held *holding
}

type holding struct {
	mu    sync.Mutex
	files []*os.File // nil once released
}

// read leases a file and returns its bytes.
func (l *lease) read(path string, limit int64) ([]byte, error) {
	f, err := l.take(path)
	if err != nil {
		return nil, err
	}
	return readUpTo(f, limit)
}

// add leases a file.
func (l *lease) add(path string) error {
	_, err := l.take(path)
	return err
}

// take leases a file and marks it as used now.
func (l *lease) take(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the path
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) || err == nil && !stillAt(f, path) { // it is being swept
		return nil, errors.Join(os.ErrNotExist, f.Close())
	}
	// A file system without locks still has the time of the last use.
	now := time.Now()
	_ = os.Chtimes(path, now, now)
	if l.held == nil {
		l.held = &holding{}
	}
	l.held.mu.Lock()
	defer l.held.mu.Unlock()
	l.held.files = append(l.held.files, f)
	return f, nil
}

func stillAt(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}

// release marks the files as used until now, and lets them be swept.
func (l *lease) release() {
	if l.held == nil {
		return
	}
	l.held.mu.Lock()
	defer l.held.mu.Unlock()
	now := time.Now()
	for _, f := range l.held.files {
		if stillAt(f, f.Name()) {
			_ = os.Chtimes(f.Name(), now, now)
		}
		_ = f.Close()
	}
	l.held.files = nil
}

// lockTimeout bounds how long a process waits for another that writes into the cache,
// which takes milliseconds.
const lockTimeout = 5 * time.Second

// lock holds all others off from writing into the cache and from sweeping it. Reading
// takes no lock but leases.
func (s *Store) lock() (unlock func(), err error) {
	if err := os.MkdirAll(s.c.Dir, 0o700); err != nil {
		return nil, err //nolint:wrapcheck // it names the path
	}
	f, err := os.OpenFile(filepath.Join(s.c.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the path
	}
	wait := time.NewTicker(5 * time.Millisecond)
	defer wait.Stop()
	for give := time.Now().Add(lockTimeout); ; <-wait.C {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) { // held, or a file system without locks
			return func() { _ = f.Close() }, nil
		}
		if time.Now().After(give) {
			return nil, errors.Join(errors.New("another process writes into the cache and does not end"), f.Close())
		}
	}
}

// smallestEntry is what a file of the cache takes at least, in bytes: it bounds their
// number too.
const smallestEntry = 4096

type entry struct {
	path string
	size int64
	used time.Time
}

// sweep drops what was not used for longest until the cache is within its bound, under
// the lock of the cache. What somebody holds a lease on stays.
func (s *Store) sweep() {
	entries, total := s.entries()
	if total <= s.c.MaxCache {
		return
	}
	slices.SortFunc(entries, func(a, b entry) int { return a.used.Compare(b.used) })
	for _, e := range entries {
		if total <= s.c.MaxCache {
			return
		}
		if drop(e.path) {
			total -= e.size
			s.c.Log.Debug("a kept policy was dropped: the cache is full", "file", e.path, "last_used", e.used)
		}
	}
}

func (s *Store) entries() (list []entry, total int64) {
	for _, kind := range []string{modulesDir, manifestsDir, addressesDir} {
		files, err := os.ReadDir(filepath.Join(s.c.Dir, kind))
		if err != nil {
			continue // it was never made
		}
		for _, f := range files {
			info, err := f.Info()
			if err != nil || !info.Mode().IsRegular() || strings.HasPrefix(f.Name(), ".") && time.Since(info.ModTime()) < time.Hour { // still being written
				continue
			}
			e := entry{path: s.path(kind, f.Name()), size: max(info.Size(), smallestEntry), used: info.ModTime()}
			list, total = append(list, e), total+e.size
		}
	}
	return list, total
}

// drop removes a file that nobody holds a lease on.
func drop(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false
	}
	return stillAt(f, path) && os.Remove(path) == nil
}
