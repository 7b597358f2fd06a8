package files

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
)

// dirChunk is how many entries of a folder are read at once.
const dirChunk = 512

// eachEntry calls fn with every entry of a folder in the order in which the system
// gives them; the stage folder is left out.
func (r *root) eachEntry(name string, fn func(fs.DirEntry) error) error {
	d, err := r.openDir(name)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	for {
		entries, err := d.ReadDir(dirChunk)
		for _, e := range entries {
			if name == "." && isStage(e.Name()) {
				continue
			}
			if err := fn(e); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// errEnough ends a listing.
var errEnough = errors.New("enough")

// readDir lists a folder by name, and says whether there is more than limit.
func (r *root) readDir(name string, limit int) (entries []fs.DirEntry, more bool, err error) {
	err = r.eachEntry(name, func(e fs.DirEntry) error {
		if limit > 0 && len(entries) >= limit {
			more = true
			return errEnough
		}
		entries = append(entries, e)
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, more, err
}

// count counts the root anew. Folders that vanish meanwhile hold nothing.
func (r *root) count(ctx context.Context) error {
	r.use.beginCount()
	var bytes, files int64
	for todo := []string{"."}; len(todo) > 0; {
		dir := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if err := r.m.alive(ctx); err != nil {
			return err
		}
		err := r.eachEntry(dir, func(e fs.DirEntry) error {
			files++
			if e.IsDir() {
				todo = append(todo, join(dir, e.Name()))
			} else if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
				bytes += info.Size()
			}
			return nil
		})
		if err != nil && !gone(err) && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	r.use.endCount(bytes, files)
	r.counted.Store(true)
	r.m.counts.counts.Add(1)
	return nil
}

// gone reports whether a folder vanished, or became something else, while it was
// looked at.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, ErrPath) || errors.Is(err, syscall.ELOOP)
}

func join(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}

// look asks the file system how much room there is.
func (r *root) look() {
	free, err := freeBytes(r.at)
	r.free.Store(free)
	if err != nil {
		text := err.Error()
		r.trouble.Store(&text)
		return
	}
	r.trouble.Store(nil)
}

// freeBytes is how many bytes of a root's file system may still be used, -1 unknown.
func freeBytes(at *os.File) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Fstatfs(int(at.Fd()), &s); err != nil {
		return -1, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil //nolint:unconvert // other systems have other types
}
