package files

import (
	"fmt"
	"sync"
)

// usage counts what a root holds and what is promised to writes under way.
type usage struct {
	mu           sync.Mutex
	bytes, files int64 // held by the root, as far as is known
	// promised to writes under way; each gives it back at its end
	heldBytes, heldFiles int64
	grown                struct{ bytes, files int64 } // since the count under way began
}

// quota is the bound of a root; 0 is none.
type quota struct{ bytes, files int64 }

func (q quota) none() bool { return q.bytes == 0 && q.files == 0 }

// hold promises room for so many more bytes and entries, or fails with ErrQuota.
func (u *usage) hold(bytes, files int64, q quota) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.fitsLocked(bytes, files, q); err != nil {
		return err
	}
	u.heldBytes += bytes
	u.heldFiles += files
	return nil
}

// fitsLocked reports whether so much more fits. What does not grow always fits.
func (u *usage) fitsLocked(bytes, files int64, q quota) error {
	if want := u.bytes + u.heldBytes + bytes; bytes > 0 && q.bytes > 0 && want > q.bytes {
		return fmt.Errorf("%w: it would hold %d bytes of %d", ErrQuota, want, q.bytes)
	}
	if want := u.files + u.heldFiles + files; files > 0 && q.files > 0 && want > q.files {
		return fmt.Errorf("%w: it would hold %d files and folders of %d", ErrQuota, want, q.files)
	}
	return nil
}

// release gives a promise back.
func (u *usage) release(bytes, files int64) {
	u.mu.Lock()
	u.heldBytes -= bytes
	u.heldFiles -= files
	u.mu.Unlock()
}

// exchange gives a promise back and promises what is really needed instead, or
// changes nothing.
func (u *usage) exchange(heldBytes, heldFiles, bytes, files int64, q quota) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.heldBytes -= heldBytes
	u.heldFiles -= heldFiles
	if err := u.fitsLocked(bytes, files, q); err != nil {
		u.heldBytes += heldBytes
		u.heldFiles += heldFiles
		return err
	}
	u.heldBytes += bytes
	u.heldFiles += files
	return nil
}

// add counts what came or, below 0, went.
func (u *usage) add(bytes, files int64) {
	u.mu.Lock()
	u.bytes = max(u.bytes+bytes, 0)
	u.files = max(u.files+files, 0)
	u.grown.bytes += max(bytes, 0)
	u.grown.files += max(files, 0)
	u.mu.Unlock()
}

// beginCount and endCount stand around a count of the root. What came meanwhile may
// or may not be in it, so it is added: too much until the next count rather than
// too little.
func (u *usage) beginCount() {
	u.mu.Lock()
	u.grown.bytes, u.grown.files = 0, 0
	u.mu.Unlock()
}

func (u *usage) endCount(bytes, files int64) {
	u.mu.Lock()
	u.bytes, u.files = bytes+u.grown.bytes, files+u.grown.files
	u.mu.Unlock()
}

func (u *usage) now() (bytes, files int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.bytes, u.files
}
