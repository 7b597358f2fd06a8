package files

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"syscall"
)

// newFileMode is that of a new file, before the umask.
const newFileMode = 0o644

// Write makes the file hold what src gives, in place of what it held. A file that is replaced
// keeps its mode, and its owner where that is allowed; a link is replaced
// itself. It reads Durability, Exclusive, Parents and Size. Where src can seek, the
// write can be tried again.
//
// Errors: those of ref, ErrQuota, ErrTooLarge, ErrReadOnly, fs.ErrExist with Exclusive, src's, a
// *admission.DeniedError, the context's. After one the old file is as it was,
// unless Durability is DurabilityNone.
func (m *Manager) Write(ctx context.Context, ref Ref, src io.Reader, o Options) (Entry, error) {
	return m.put(ctx, "write", ref, src, &o)
}

// WriteBytes is Write of data.
func (m *Manager) WriteBytes(ctx context.Context, ref Ref, data []byte, o Options) (Entry, error) {
	o.Size = int64(len(data))
	return m.put(ctx, "write", ref, bytes.NewReader(data), &o)
}

// Append makes the file, or a new one, end with what src gives. It is atomic as a
// write is, and therefore makes a copy of the file, in the kernel where it can; with
// DurabilityNone it writes at the end of the file itself, and takes back
// what it wrote when it fails.
func (m *Manager) Append(ctx context.Context, ref Ref, src io.Reader, o Options) (Entry, error) {
	return m.put(ctx, "append", ref, src, &o)
}

func (m *Manager) put(ctx context.Context, action string, ref Ref, src io.Reader, o *Options) (Entry, error) {
	var e Entry
	t := task{action: action, ref: ref, size: -1, writes: true, once: action == "append", o: o}
	if o.Size > 0 {
		t.size = o.Size
	}
	used := false
	t.again = func() bool {
		if !used {
			return true
		}
		s, ok := src.(io.Seeker)
		if !ok {
			return false
		}
		_, err := s.Seek(0, io.SeekStart)
		used = err != nil
		return err == nil
	}
	t.do = func(ctx context.Context, r *root, name string) (int64, error) {
		if name == "." {
			return 0, errNotFile
		}
		w := writer{m: m, ctx: ctx, r: r, name: name, o: o, level: r.durability(o.Durability), quota: r.conf.Load().quota()}
		if o.Parents {
			if err := r.parents(name, w.level == DurabilityFull); err != nil {
				return 0, err
			}
		}
		used = true
		var err error
		switch {
		case w.level == DurabilityNone:
			e, err = w.inPlace(src, action == "append")
		default:
			e, err = w.replace(src, action == "append")
		}
		return w.size, err
	}
	_, err := m.run(ctx, &t)
	return e, err
}

var errNotFile = fmt.Errorf("%w: it is the root itself", ErrNotRegular)

// writer is one write on its way.
type writer struct {
	m     *Manager
	ctx   context.Context
	r     *root
	name  string
	o     *Options
	level Durability
	quota quota

	f           *os.File
	size        int64 // bytes of the new file so far
	credit      int64 // bytes of the old file, which need no room
	held, files int64 // promised by the usage
	placed      bool  // the staged file has its new name
}

// replace stages the new file and puts it in place.
func (w *writer) replace(src io.Reader, appends bool) (Entry, error) {
	old, err := w.target()
	if err != nil {
		return Entry{}, err
	}
	if appends { // what it holds must not change between the copy and the rename
		defer w.lock()()
		if old, err = w.target(); err != nil {
			return Entry{}, err
		}
	}
	staged, err := w.stage(old)
	if err != nil {
		return Entry{}, err
	}
	defer w.discard(staged)
	if appends && old != nil {
		if err := w.copyOld(); err != nil {
			return Entry{}, err
		}
	}
	if err := w.fill(src); err != nil {
		return Entry{}, err
	}
	if err := w.finish(old); err != nil {
		return Entry{}, err
	}
	if !appends {
		defer w.lock()()
	}
	return w.commit(staged)
}

func (w *writer) lock() (unlock func()) {
	at := w.r.name + "/" + w.name
	return w.m.locks.lock(at, at)
}

// target looks at what is in the place of the new file, nil for nothing. A link
// counts as an entry without bytes.
func (w *writer) target() (fs.FileInfo, error) {
	info, err := w.r.dir.Lstat(w.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case w.o.Exclusive:
		return nil, fs.ErrExist
	case info.IsDir():
		return nil, syscall.EISDIR
	case !info.Mode().IsRegular() && info.Mode()&fs.ModeSymlink == 0:
		return nil, notRegular(info)
	}
	return info, nil
}

// stage makes the staged file and promises the room for its entry.
func (w *writer) stage(old fs.FileInfo) (string, error) {
	dir, err := w.r.staging()
	if err != nil {
		return "", err
	}
	if old == nil {
		if err := w.r.use.hold(0, 1, w.quota); err != nil {
			return "", err
		}
		w.files = 1
	} else {
		w.credit = bytesOf(old)
	}
	name := dir + "/" + strconv.FormatUint(w.r.seq.Add(1), 10)
	if w.f, err = w.r.dir.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, newFileMode); err != nil {
		w.r.use.release(0, w.files)
		return "", mend(err)
	}
	w.m.counts.staged.Add(1)
	w.m.at("staged")
	return name, nil
}

// bytesOf is what an entry counts for.
func bytesOf(info fs.FileInfo) int64 {
	if info != nil && info.Mode().IsRegular() {
		return info.Size()
	}
	return 0
}

// discard ends the staging, whether the file took its place or not.
func (w *writer) discard(staged string) {
	if w.f != nil {
		_ = w.f.Close()
	}
	if !w.placed {
		_ = w.r.dir.Remove(staged)
	}
	w.r.use.release(w.held, w.files)
	w.m.counts.staged.Add(-1)
}

// grow promises room for n more bytes before they are written.
func (w *writer) grow(n int64) error {
	if most := w.m.live.Load().MaxFile; most > 0 && w.size+n > most {
		return fmt.Errorf("%w: the bound of a file is %d bytes", ErrTooLarge, most)
	}
	need := max(w.size+n-w.credit-w.held, 0)
	if need > 0 {
		if err := w.r.use.hold(need, 0, w.quota); err != nil {
			return err
		}
		w.held += need
	}
	return nil
}

// copyOld copies what the file holds into the staged one, in the kernel if it can.
func (w *writer) copyOld() error {
	f, info, err := w.r.open(w.name, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	for left := info.Size(); left > 0; {
		if err := w.m.alive(w.ctx); err != nil {
			return err
		}
		part := min(left, 64<<20)
		if err := w.grow(part); err != nil {
			return err
		}
		n, err := io.Copy(w.f, io.LimitReader(f, part))
		w.size += n
		left -= n
		if err != nil {
			return err
		}
		if n == 0 { // it shrank
			break
		}
	}
	w.m.at("copied")
	return nil
}

// fill writes what src gives, block by block through a pooled buffer. bytes.Reader
// and the like pass through it too: a quota is enforced block by block.
func (w *writer) fill(src io.Reader) error {
	buf := w.m.bufs.get()
	defer w.m.bufs.put(buf)
	for {
		if err := w.m.alive(w.ctx); err != nil {
			return err
		}
		n, err := src.Read(buf[:])
		if n > 0 {
			if err := w.grow(int64(n)); err != nil {
				return err
			}
			written, err := w.f.Write(buf[:n])
			w.size += int64(written)
			w.m.counts.written.Add(uint64(written))
			if err != nil {
				return err
			}
			w.m.at("block")
		}
		if err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("read what to write: %w", err)
		}
	}
}

// finish gives the staged file the mode and owner of the old one and, by the level,
// forces it to the disk.
func (w *writer) finish(old fs.FileInfo) error {
	if old != nil && old.Mode().IsRegular() {
		if err := w.f.Chmod(old.Mode().Perm()); err != nil {
			return err
		}
		if was, ok := old.Sys().(*syscall.Stat_t); ok && (int(was.Uid) != os.Geteuid() || int(was.Gid) != os.Getegid()) {
			_ = w.f.Chown(int(was.Uid), int(was.Gid)) // only the superuser may
		}
	}
	if w.level >= DurabilityFile {
		if err := w.m.sync(w.f); err != nil {
			return err
		}
	}
	w.m.at("synced")
	return nil
}

// commit puts the staged file in place, under the lock of its path.
func (w *writer) commit(staged string) (Entry, error) {
	old, err := w.target()
	if err != nil {
		return Entry{}, err
	}
	bytes, files := w.size-bytesOf(old), int64(1)
	if old != nil {
		files = 0
	}
	if err := w.r.use.exchange(w.held, w.files, max(bytes, 0), files, w.quota); err != nil {
		return Entry{}, err
	}
	w.held, w.files = max(bytes, 0), files
	info, err := w.f.Stat()
	if err != nil {
		return Entry{}, err
	}
	if w.o.Exclusive {
		err = w.r.dir.Link(staged, w.name) // a rename would replace
	} else {
		err = w.r.dir.Rename(staged, w.name)
		w.placed = err == nil
	}
	if err != nil {
		return Entry{}, mend(err)
	}
	w.m.at("renamed")
	w.r.use.add(bytes, files)
	if w.level == DurabilityFull {
		if err := w.r.syncDir(path.Dir(w.name)); err != nil {
			return Entry{}, err
		}
	}
	w.m.at("done")
	return entryOf(w.name, info), nil
}

// inPlace writes the file itself.
func (w *writer) inPlace(src io.Reader, appends bool) (Entry, error) {
	defer w.lock()()
	old, err := w.target()
	if err != nil {
		return Entry{}, err
	}
	if old == nil {
		if err := w.r.use.hold(0, 1, w.quota); err != nil {
			return Entry{}, err
		}
		w.files = 1
	}
	defer func() { w.r.use.release(w.held, w.files) }()
	flag := os.O_WRONLY | os.O_CREATE
	if w.o.Exclusive {
		flag |= os.O_EXCL
	}
	var before fs.FileInfo
	if w.f, before, err = w.r.open(w.name, flag, newFileMode); err != nil {
		return Entry{}, err
	}
	defer func() { _ = w.f.Close() }()
	if old == nil {
		w.r.use.add(0, 1)
	}
	w.credit = before.Size()
	if appends {
		w.size = before.Size()
		_, err = w.f.Seek(0, io.SeekEnd)
	} else {
		err = w.f.Truncate(0)
	}
	if err == nil {
		err = w.fill(src)
	}
	if err != nil {
		return Entry{}, w.takeBack(err, old == nil, appends, before.Size())
	}
	w.r.use.add(w.size-before.Size(), 0)
	info, err := w.f.Stat()
	return entryOf(w.name, info), err
}

// takeBack undoes a write in place that failed with err: what was appended is cut off again, and half
// a file is removed.
func (w *writer) takeBack(err error, isNew, appends bool, before int64) error {
	if appends && !isNew {
		return errors.Join(err, w.f.Truncate(before))
	}
	if gone := w.r.dir.Remove(w.name); gone != nil {
		return errors.Join(err, gone)
	}
	w.r.use.add(-before, -1)
	return err
}
