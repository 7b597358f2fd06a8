package browser

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// profiles are the folders that browsers keep their files in. Under the root each
// pool has a folder with a lock file that it holds as long as it lives, so that
// another pool, of this or a later process, removes only what nobody uses.
type profiles struct {
	root string

	mu   sync.Mutex
	dir  string   // of this pool, "" until it is needed; guarded by mu
	lock *os.File // guarded by mu
	next int      // guarded by mu
}

const (
	poolPrefix = "pool-"
	lockName   = "lock"
)

// defaultRoot is where profiles are kept where nobody says otherwise.
func defaultRoot() string {
	return filepath.Join(os.TempDir(), "gaia-browser-"+strconv.Itoa(os.Getuid()))
}

// checkRoot refuses a root that somebody else could put things into.
func checkRoot(root string) error {
	info, err := os.Lstat(root)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || info.Mode().Perm()&0o022 != 0 || ok && int(stat.Uid) != os.Getuid() {
		return fmt.Errorf("%s must be a folder of this user that nobody else can write to", root)
	}
	return nil
}

// lockRoot holds off other pools that sweep or begin in the root.
func lockRoot(root string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(root, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return f, nil
}

// sweep removes what pools left that ended without removing it. It reports how
// many folders it removed. A root that does not exist is clean.
func (p *profiles) sweep() (int, error) {
	err := checkRoot(p.root)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	root, err := lockRoot(p.root)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	entries, err := os.ReadDir(p.root)
	if err != nil {
		return 0, err
	}
	removed := 0
	var errs []error
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), poolPrefix) {
			continue
		}
		dir := filepath.Join(p.root, e.Name())
		if inUse(dir) {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			errs = append(errs, err)
		} else {
			removed++
		}
	}
	return removed, errors.Join(errs...)
}

// inUse reports whether a pool holds the lock of its folder.
func inUse(dir string) bool {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil
}

// The whole browser makes a socket in its temporary folder, and ends if the path of that is
// too long for one.
const (
	maxSocket  = 107
	socketRoom = len("/org.chromium.Chromium.XXXXXX/SingletonSocket")
)

// tempOf is the temporary folder of the browser with this profile.
func tempOf(profile string) string { return filepath.Join(profile, "t") }

// make makes a new empty profile for an engine.
func (p *profiles) make(e Engine) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.beginLocked(); err != nil {
		return "", fmt.Errorf("make a profile: %w", err)
	}
	p.next++
	dir := filepath.Join(p.dir, strconv.Itoa(p.next))
	if n := len(tempOf(dir)) + socketRoom; e == Chromium && n > maxSocket {
		return "", fmt.Errorf("make a profile: %s is %d bytes too long: a browser keeps a socket below it; set browser.dir to a shorter one", p.root, n-maxSocket)
	}
	if err := os.MkdirAll(tempOf(dir), 0o700); err != nil {
		return "", fmt.Errorf("make a profile: %w", err)
	}
	return dir, nil
}

// beginLocked makes the pool's folder, if it is not there yet.
func (p *profiles) beginLocked() error {
	if p.dir != "" {
		return nil
	}
	if err := os.MkdirAll(p.root, 0o700); err != nil {
		return err
	}
	if err := checkRoot(p.root); err != nil {
		return err
	}
	root, err := lockRoot(p.root)
	if err != nil {
		return err
	}
	defer root.Close()
	var id [4]byte
	_, _ = rand.Read(id[:]) // it never fails
	dir := filepath.Join(p.root, poolPrefix+hex.EncodeToString(id[:]))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	p.dir, p.lock = dir, lock
	return nil
}

// removeTries bounds how often a folder is removed in which a process that is just
// being killed may still make files.
const removeTries = 5

func removeProfile(dir string) error {
	var err error
	for range removeTries {
		if err = os.RemoveAll(dir); err == nil {
			return nil
		}
	}
	return fmt.Errorf("remove a profile: %w", err)
}

// end removes the pool's folder. Profiles can be made again afterwards.
func (p *profiles) end() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dir == "" {
		return nil
	}
	err := removeProfile(p.dir)
	p.lock.Close()
	p.dir, p.lock = "", nil
	return err
}

// count is how many profiles there are.
func (p *profiles) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dir == "" {
		return 0
	}
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return 0
	}
	return len(entries) - 1 // the lock
}
