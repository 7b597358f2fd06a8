package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
)

// The kinds of an Entry.
const (
	KindFile   = "file"
	KindFolder = "folder"
	KindLink   = "link"
	KindOther  = "other" // a pipe, a socket or a device
)

// Entry is a file or folder.
type Entry struct {
	Path     string      // within the root
	Kind     string      // one of the kinds
	Size     int64       // bytes, of a file
	Mode     fs.FileMode // permission bits
	Modified time.Time
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsRegular():
		return KindFile
	case mode.IsDir():
		return KindFolder
	case mode&fs.ModeSymlink != 0:
		return KindLink
	}
	return KindOther
}

func entryOf(name string, info fs.FileInfo) Entry {
	if info == nil {
		return Entry{Path: name}
	}
	return Entry{Path: name, Kind: kindOf(info.Mode()), Size: bytesOf(info), Mode: info.Mode().Perm(), Modified: info.ModTime()}
}

// Stat describes a file or folder; a link is described itself.
func (m *Manager) Stat(ctx context.Context, ref Ref, o Options) (Entry, error) {
	var e Entry
	_, err := m.run(ctx, &task{action: "stat", ref: ref, size: -1, o: &o, do: func(_ context.Context, r *root, name string) (int64, error) {
		info, err := r.dir.Lstat(name)
		if err != nil {
			return 0, err
		}
		e = entryOf(name, info)
		return 0, nil
	}})
	return e, err
}

// List returns what is in a folder, by name, and whether there is more than the
// limit of entries. It reads Limit.
func (m *Manager) List(ctx context.Context, ref Ref, o Options) (entries []Entry, more bool, err error) {
	_, err = m.run(ctx, &task{action: "list", ref: ref, size: -1, o: &o, do: func(_ context.Context, r *root, name string) (int64, error) {
		found, much, err := r.readDir(name, m.limit(&o))
		if err != nil {
			return 0, err
		}
		entries, more = make([]Entry, 0, len(found)), much
		for _, d := range found {
			info, err := d.Info()
			if err != nil {
				continue // it vanished
			}
			entries = append(entries, entryOf(join(name, d.Name()), info))
		}
		return 0, nil
	}})
	return entries, more, err
}

// limit is how many entries an operation may give.
func (m *Manager) limit(o *Options) int {
	most := m.live.Load().MaxEntries
	if o.Limit > 0 && (most == 0 || o.Limit < most) {
		return o.Limit
	}
	return most
}

// Walk calls fn with everything below a folder, folders before what is in them, by
// name, and reports whether there was more than the limit. Links are not followed;
// what vanishes meanwhile may be left out. fn may return fs.SkipDir or fs.SkipAll; another error
// ends the walk and is returned. It reads Limit.
func (m *Manager) Walk(ctx context.Context, ref Ref, o Options, fn func(Entry) error) (more bool, err error) {
	_, err = m.run(ctx, &task{action: "walk", ref: ref, size: -1, o: &o, once: true, do: func(ctx context.Context, r *root, name string) (int64, error) {
		w := walk{m: m, ctx: ctx, r: r, left: m.limit(&o), deep: -1, fn: fn}
		err := w.run(name)
		more = w.more
		return 0, err
	}})
	return more, err
}

// maxFolder bounds the entries of one folder that a walk keeps in memory.
const maxFolder = 1 << 20

// walk is one walk on its way.
type walk struct {
	m    *Manager
	ctx  context.Context
	r    *root
	left int // entries that may still be given; 0 from the start is no bound
	deep int // folders to go down into, below 0 all
	more bool
	fn   func(Entry) error
	seen int
}

func (w *walk) folder(name string, depth int) error {
	if err := w.m.alive(w.ctx); err != nil {
		return err
	}
	entries, more, err := w.r.readDir(name, maxFolder)
	w.more = w.more || more
	if err != nil {
		if depth > 0 && (gone(err) || errors.Is(err, fs.ErrPermission)) {
			return nil
		}
		return err
	}
	for _, d := range entries {
		info, err := d.Info()
		if err != nil {
			continue
		}
		if w.left > 0 && w.seen >= w.left {
			w.more = true
			return fs.SkipAll
		}
		w.seen++
		e := entryOf(join(name, d.Name()), info)
		err = w.fn(e)
		switch {
		case errors.Is(err, fs.SkipDir):
			if d.IsDir() {
				continue
			}
			return nil
		case err != nil:
			return err
		}
		if d.IsDir() && (w.deep < 0 || depth < w.deep) {
			if err := w.folder(e.Path, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// run walks; the end that fn or the limit asked for is no error.
func (w *walk) run(name string) error {
	if err := w.folder(name, 0); !errors.Is(err, fs.SkipAll) {
		return err
	}
	return nil
}

const (
	maxPattern = 1024
	maxBraces  = 8
)

// Glob returns what fits a pattern below a folder, in the order of a walk, and
// whether there is more than the limit. "*" stands for any part of a name, "**" for any
// number of folders, "{a,b}" for one of several, "[a-z]" for a class. Links are not
// followed. It reads Limit.
func (m *Manager) Glob(ctx context.Context, ref Ref, pattern string, o Options) (entries []Entry, more bool, err error) {
	if err := checkPattern(pattern); err != nil {
		return nil, false, &Error{"glob", ref.Root, ref.Path, err}
	}
	base, rest := doublestar.SplitPattern(pattern)
	if strings.ContainsRune(pattern, '{') || strings.ContainsRune(pattern, '\\') {
		base, rest = ".", pattern // braces and escapes may hold a slash
	}
	at := Ref{ref.Root, path.Join(ref.Path, base)}
	limit := m.limit(&o)
	_, err = m.run(ctx, &task{action: "glob", ref: at, size: -1, o: &o, do: func(ctx context.Context, r *root, name string) (int64, error) {
		entries, more = nil, false
		w := walk{m: m, ctx: ctx, r: r, deep: -1, fn: func(e Entry) error {
			fits, err := doublestar.Match(rest, strings.TrimPrefix(strings.TrimPrefix(e.Path, name), "/"))
			if err != nil || !fits {
				return err
			}
			if limit > 0 && len(entries) >= limit {
				more = true
				return fs.SkipAll
			}
			entries = append(entries, e)
			return nil
		}}
		if !strings.ContainsAny(rest, "{\\") && !strings.Contains(rest, "**") {
			w.deep = strings.Count(rest, "/")
		}
		err := w.run(name)
		return 0, err
	}})
	return entries, more, err
}

func checkPattern(pattern string) error {
	switch {
	case pattern == "" || len(pattern) > maxPattern || strings.Count(pattern, "{") > maxBraces || !doublestar.ValidatePattern(pattern):
		return fmt.Errorf("%w: not a pattern", ErrPath)
	case strings.HasPrefix(pattern, "/"):
		return fmt.Errorf("%w: the pattern is absolute", ErrPath)
	}
	return nil
}
