package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// root is an open root. It is safe for concurrent use.
type root struct {
	name string
	m    *Manager
	dir  *os.Root
	at   *os.File // the same folder
	conf atomic.Pointer[Root]
	use  usage

	counted atomic.Bool            // use has been counted once
	trouble atomic.Pointer[string] // what the last look at the root failed with
	free    atomic.Int64           // bytes of the file system that may be used, -1 unknown
	seq     atomic.Uint64          // names staged files
	mu      sync.Mutex             // guards what follows
	stage   string                 // this process's stage folder, "" none
	lock    *os.File               // it, locked while it is used
}

// openRoot opens a root, and removes what crashed processes left of writes there.
func (m *Manager) openRoot(ctx context.Context, r *root) error {
	conf := r.conf.Load()
	dir, err := os.OpenRoot(conf.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open root %s: %s does not exist; make the folder first", r.name, conf.Path)
	} else if err != nil {
		return fmt.Errorf("open root %s: %w", r.name, err)
	}
	r.dir = dir
	if r.at, err = dir.Open("."); err != nil {
		return fmt.Errorf("open root %s: %w", r.name, err)
	}
	if !conf.ReadOnly {
		if _, err := r.staging(); err != nil {
			return fmt.Errorf("open root %s: %w", r.name, err)
		}
	}
	r.look()
	if !conf.quota().none() {
		if err := r.count(ctx); err != nil {
			return fmt.Errorf("count root %s: %w", r.name, err)
		}
	}
	return nil
}

func (c *Root) quota() quota { return quota{c.Quota, c.QuotaFiles} }

// staging returns the stage folder, which it makes at the first use.
func (r *root) staging() (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stage != "" {
		return r.stage, nil
	}
	if err := r.sweep(); err != nil {
		return "", err
	}
	for range 100 { // another process may sweep it before it is locked
		if err := r.dir.Mkdir(stageDir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("make the stage folder: %w", err)
		}
		name := stageDir + "/" + r.m.unique()
		if err := r.dir.Mkdir(name, 0o700); errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) {
			continue
		} else if err != nil {
			return "", fmt.Errorf("make the stage folder: %w", err)
		}
		if f := r.locked(name); f != nil {
			r.stage, r.lock = name, f
			return name, nil
		}
	}
	return "", errors.New("make the stage folder: it keeps being removed")
}

// locked opens a folder and locks it, or returns nil: it is gone, or somebody's.
func (r *root) locked(name string) *os.File {
	f, err := r.openDir(name)
	if err != nil {
		return nil
	}
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		opened, err1 := f.Stat()
		there, err2 := r.dir.Lstat(name)
		if err1 == nil && err2 == nil && os.SameFile(opened, there) {
			return f
		}
	}
	_ = f.Close()
	return nil
}

// sweep removes the stage folders of processes that are gone: their locks ended
// with them.
func (r *root) sweep() error {
	entries, err := fs.ReadDir(r.dir.FS(), stageDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("sweep the stage folder: %w", err)
	}
	for _, e := range entries {
		name := stageDir + "/" + e.Name()
		f := r.locked(name)
		if f == nil {
			continue
		}
		err := r.dir.RemoveAll(name)
		_ = f.Close()
		if err != nil {
			return fmt.Errorf("sweep the stage folder: %w", err)
		}
		r.m.counts.swept.Add(1)
	}
	return nil
}

// close removes the stage folder and lets go of the root.
func (r *root) close() error {
	if r.dir == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	if r.stage != "" {
		errs = append(errs, r.dir.RemoveAll(r.stage), r.lock.Close())
		_ = r.dir.Remove(stageDir) // unless another process uses it
		r.stage = ""
	}
	if r.at != nil {
		errs = append(errs, r.at.Close())
	}
	return errors.Join(append(errs, r.dir.Close())...)
}

// open opens a regular file. Nothing that a pipe or a device does can hold it up.
func (r *root) open(name string, flag int, perm fs.FileMode) (*os.File, fs.FileInfo, error) {
	f, err := r.dir.OpenFile(name, flag|syscall.O_NONBLOCK|syscall.O_NOCTTY, perm)
	if err != nil {
		return nil, nil, mend(err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = notRegular(info)
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

func notRegular(info fs.FileInfo) error {
	return fmt.Errorf("%w: it is a %s", ErrNotRegular, kindOf(info.Mode()))
}

func (r *root) openDir(name string) (*os.File, error) {
	f, err := r.dir.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	return f, mend(err)
}

// parents makes the folders above name that are missing, and counts them.
func (r *root) parents(name string, sync bool) error {
	dir := path.Dir(name)
	if dir == "." {
		return nil
	}
	if info, err := r.dir.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	for at := 0; at < len(dir); {
		end := strings.IndexByte(dir[at:], '/')
		if end < 0 {
			end = len(dir) - at
		}
		if err := r.mkdir(dir[:at+end], sync); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		at += end + 1
	}
	return nil
}

// mkdir makes one folder within the quota.
func (r *root) mkdir(name string, sync bool) error {
	if err := r.use.hold(0, 1, r.conf.Load().quota()); err != nil {
		return err
	}
	err := r.dir.Mkdir(name, 0o755)
	r.use.release(0, 1)
	if err != nil {
		return mend(err)
	}
	r.use.add(0, 1)
	if sync {
		return r.syncDir(path.Dir(name))
	}
	return nil
}

// syncDir forces the entries of a folder to the disk.
func (r *root) syncDir(name string) error {
	d, err := r.openDir(name)
	if err != nil {
		return err
	}
	err = r.m.sync(d)
	_ = d.Close()
	return err
}

// writable refuses what changes a read-only root.
func (r *root) writable() error {
	if r.conf.Load().ReadOnly {
		return ErrReadOnly
	}
	return nil
}

// durability is the level of a write that asked for d.
func (r *root) durability(d Durability) Durability {
	if d == DurabilityDefault {
		d = r.conf.Load().Durability
	}
	if d == DurabilityDefault {
		d = DurabilityFile
	}
	return d
}
