package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// Copy makes to hold what the file from holds. The policies are asked twice: about
// a read of from, and about a copy to to. It reads what Write reads, and fails with
// its errors.
func (m *Manager) Copy(ctx context.Context, from, to Ref, o Options) (Entry, error) {
	source, name, size, err := m.consent(ctx, "read", from, o)
	if err != nil {
		return Entry{}, err
	}
	if size > 0 {
		o.Size = size
	}
	src := &lateFile{r: source, name: name}
	defer src.close()
	e, err := m.put(ctx, "copy", to, src, &o)
	return e, src.blame(err, from)
}

// consent asks the policies about an operation on a file without doing it, and says
// where it is and how large.
func (m *Manager) consent(ctx context.Context, action string, ref Ref, o Options) (r *root, name string, size int64, err error) {
	o.Outcome, o.Size = nil, 0
	_, err = m.run(ctx, &task{action: action, ref: ref, size: -1, o: &o, do: func(_ context.Context, at *root, path string) (int64, error) {
		info, err := at.dir.Stat(path)
		if err != nil {
			return 0, err
		}
		r, name, size = at, path, bytesOf(info)
		return 0, nil
	}})
	return r, name, size, err
}

// lateFile opens a file at its first read, when its reader holds a slot.
type lateFile struct {
	r    *root
	name string
	f    *os.File
	err  error
}

func (l *lateFile) Read(b []byte) (int, error) {
	if l.f == nil {
		if l.f, _, l.err = l.r.open(l.name, os.O_RDONLY, 0); l.err != nil {
			return 0, l.err
		}
	}
	n, err := l.f.Read(b)
	if err != nil && err != io.EOF {
		l.err = err
	}
	l.r.m.counts.read.Add(uint64(n))
	return n, err
}

// Seek goes back to the start; others are not asked for.
func (l *lateFile) Seek(int64, int) (int64, error) {
	l.close()
	return 0, nil
}

func (l *lateFile) close() {
	if l.f != nil {
		_ = l.f.Close()
		l.f = nil
	}
}

// blame names the source in an error that is its own.
func (l *lateFile) blame(err error, from Ref) error {
	if err != nil && l.err != nil && errors.Is(err, l.err) {
		return &Error{"read", from.Root, from.Path, l.err}
	}
	return err
}

// Move gives a file or, within a root, a folder another name. Within a root it is
// one rename; a file that goes to another root is copied as durably as DurabilityFile at
// least, and then removed: a crash between the two leaves both. The policies are asked
// twice: about a move of from, and about a move to to. It reads
// Durability, Exclusive and Parents, and fails with the errors of Write.
func (m *Manager) Move(ctx context.Context, from, to Ref, o Options) (Entry, error) {
	source, name, size, err := m.consent(ctx, "move", from, o)
	if err != nil {
		return Entry{}, err
	}
	if name == "." {
		return Entry{}, &Error{"move", from.Root, from.Path, errNotFile}
	}
	if err := source.writable(); err != nil {
		return Entry{}, &Error{"move", from.Root, from.Path, err}
	}
	var e Entry
	t := task{action: "move", ref: to, size: size, writes: true, once: true, o: &o}
	t.do = func(ctx context.Context, r *root, target string) (int64, error) {
		if target == "." {
			return 0, errNotFile
		}
		var err error
		if r == source {
			e, err = m.rename(r, name, target, &o)
		} else {
			e, err = m.carry(ctx, source, name, r, target, &o)
		}
		return max(e.Size, 0), err
	}
	_, err = m.run(ctx, &t)
	return e, err
}

// rename moves within a root.
func (m *Manager) rename(r *root, name, target string, o *Options) (Entry, error) {
	full := r.durability(o.Durability) == DurabilityFull
	if o.Parents {
		if err := r.parents(target, full); err != nil {
			return Entry{}, err
		}
	}
	defer m.locks.lock(r.name+"/"+name, r.name+"/"+target)()
	info, err := r.dir.Lstat(name)
	if err != nil {
		return Entry{}, err
	}
	old, err := r.dir.Lstat(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return Entry{}, err
	case o.Exclusive:
		return Entry{}, fs.ErrExist
	}
	if err := r.dir.Rename(name, target); err != nil {
		return Entry{}, mend(err)
	}
	m.at("renamed")
	if old != nil && !os.SameFile(old, info) {
		r.use.add(-bytesOf(old), -1)
	}
	if full {
		for _, dir := range []string{path.Dir(target), path.Dir(name)} {
			if err := r.syncDir(dir); err != nil {
				return Entry{}, err
			}
		}
	}
	return entryOf(target, info), nil
}

// carry moves a file to another root.
func (m *Manager) carry(ctx context.Context, from *root, name string, to *root, target string, o *Options) (Entry, error) {
	before, err := from.dir.Lstat(name)
	switch {
	case err != nil:
		return Entry{}, err
	case !before.Mode().IsRegular():
		return Entry{}, fmt.Errorf("%w: a %s moves only within its root", ErrNotRegular, kindOf(before.Mode()))
	}
	w := writer{m: m, ctx: ctx, r: to, name: target, o: o, quota: to.conf.Load().quota()}
	w.level = max(to.durability(o.Durability), DurabilityFile)
	if o.Parents {
		if err := to.parents(target, w.level == DurabilityFull); err != nil {
			return Entry{}, err
		}
	}
	src := &lateFile{r: from, name: name}
	defer src.close()
	e, err := w.replace(src, false)
	if err != nil {
		return Entry{}, err
	}
	m.at("carried")
	defer m.locks.lock(from.name+"/"+name, from.name+"/"+name)()
	if now, err := from.dir.Lstat(name); err == nil && (!os.SameFile(before, now) || now.Size() != before.Size() || !now.ModTime().Equal(before.ModTime())) {
		return e, errors.New("it changed while it was copied, so both are there")
	}
	if err := m.remove(ctx, from, name, false); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return e, fmt.Errorf("it is copied, but still there: %w", err)
	}
	return e, nil
}

// Remove removes a file, a link, an empty folder or, with Recursive, a folder with
// all in it. One that fails half way has removed a part, and says at what it failed.
func (m *Manager) Remove(ctx context.Context, ref Ref, o Options) error {
	_, err := m.run(ctx, &task{action: "remove", ref: ref, size: -1, writes: true, o: &o, do: func(ctx context.Context, r *root, name string) (int64, error) {
		if name == "." {
			return 0, errNotFile
		}
		defer m.locks.lock(r.name+"/"+name, r.name+"/"+name)()
		if err := m.remove(ctx, r, name, o.Recursive); err != nil {
			return 0, err
		}
		if r.durability(o.Durability) == DurabilityFull {
			return 0, r.syncDir(path.Dir(name))
		}
		return 0, nil
	}})
	return err
}

// removeChunk is how many entries of a folder are removed before it is read again.
const removeChunk = 4096

func (m *Manager) remove(ctx context.Context, r *root, name string, deep bool) error {
	if err := m.alive(ctx); err != nil {
		return err
	}
	info, err := r.dir.Lstat(name)
	if err != nil {
		return err
	}
	for more := deep && info.IsDir(); more; {
		var entries []fs.DirEntry
		if entries, more, err = r.readDir(name, removeChunk); err != nil {
			return err
		}
		for _, e := range entries {
			if err := m.remove(ctx, r, join(name, e.Name()), true); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	if err := r.dir.Remove(name); err != nil {
		return err
	}
	r.use.add(-bytesOf(info), -1)
	return nil
}

// Mkdir makes a folder; with Parents those above it too, and one that is there
// already is no error then.
func (m *Manager) Mkdir(ctx context.Context, ref Ref, o Options) error {
	_, err := m.run(ctx, &task{action: "mkdir", ref: ref, size: -1, writes: true, o: &o, do: func(_ context.Context, r *root, name string) (int64, error) {
		full := r.durability(o.Durability) == DurabilityFull
		if o.Parents {
			if err := r.parents(name, full); err != nil {
				return 0, err
			}
			if info, err := r.dir.Stat(name); err == nil && info.IsDir() {
				return 0, nil
			}
		}
		return 0, r.mkdir(name, full)
	}})
	return err
}
