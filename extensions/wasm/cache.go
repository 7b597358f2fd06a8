package wasm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
)

// sumSuffix names the file that holds the checksum of a cache entry.
const sumSuffix = ".sum"

// maxEntries bounds the cache; the oldest entries go first.
const maxEntries = 128

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// diskCache is the directory in which wazero keeps machine code, in one folder for each version of it. wazero checks neither
// the lengths nor the offsets in an entry, so each entry has a checksum beside it, and one that does not match is removed before
// wazero sees it. The checksum finds damage, not forgery: whoever can write here runs code in this process, therefore the
// directory must be ours alone.
type diskCache struct {
	dir string
	log *slog.Logger
	mu  sync.Mutex // one sweep or seal at a time
}

// openCache makes the directory, or takes one that belongs to this user alone.
func openCache(dir string, log *slog.Logger) (*diskCache, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the compile cache: %w", err)
	}
	st, err := os.Lstat(dir)
	if err != nil {
		return nil, fmt.Errorf("open the compile cache: %w", err)
	}
	if !st.IsDir() {
		return nil, fmt.Errorf("open the compile cache: %s is no directory", dir)
	}
	if st.Mode().Perm()&0o077 != 0 {
		// This succeeds only for the owner.
		if err := os.Chmod(dir, 0o700); err != nil {
			return nil, fmt.Errorf("close the compile cache to others: %w", err)
		}
	}
	return &diskCache{dir: dir, log: log}, nil
}

// sweep removes what is damaged, unknown or too much.
func (c *diskCache) sweep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	type kept struct {
		path string
		age  int64
	}
	var entries []kept
	c.each(func(path string, info fs.FileInfo) {
		sum, err := checksum(path)
		if err == nil && sumOf(path) == sum {
			entries = append(entries, kept{path, info.ModTime().UnixNano()})
			return
		}
		c.log.Warn("compile cache: removed a damaged or unfinished entry", "file", path)
		remove(path)
	})
	sort.Slice(entries, func(i, j int) bool { return entries[i].age > entries[j].age })
	for i := maxEntries; i < len(entries); i++ {
		remove(entries[i].path)
	}
}

// seal writes the checksums of entries that have none: those that wazero just wrote, whole, under their final names.
func (c *diskCache) seal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.each(func(path string, _ fs.FileInfo) {
		if _, err := os.Stat(path + sumSuffix); !errors.Is(err, fs.ErrNotExist) {
			return
		}
		sum, err := checksum(path)
		if err == nil {
			err = os.WriteFile(path+sumSuffix, binary.LittleEndian.AppendUint32(nil, sum), 0o600)
		}
		if err != nil {
			c.log.Warn("compile cache: an entry will not be used again", "file", path, "error", err)
		}
	})
}

// each calls fn for every entry of every version.
func (c *diskCache) each(fn func(path string, info fs.FileInfo)) {
	paths, err := filepath.Glob(filepath.Join(c.dir, "wazero-*", "*"))
	if err != nil {
		return // only a malformed pattern fails
	}
	for _, path := range paths {
		info, err := os.Lstat(path)
		if err == nil && info.Mode().IsRegular() && !strings.HasSuffix(path, sumSuffix) && !strings.HasSuffix(path, ".tmp") {
			fn(path, info)
		}
	}
}

func checksum(path string) (uint32, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	h := crc32.New(castagnoli)
	if _, err := io.Copy(h, f); err != nil {
		return 0, err
	}
	return h.Sum32(), nil
}

// sumOf returns the recorded checksum; where there is none, one that does not match.
func sumOf(path string) uint32 {
	b, err := os.ReadFile(path + sumSuffix)
	if err != nil || len(b) != 4 {
		sum, _ := checksum(path)
		return ^sum
	}
	return binary.LittleEndian.Uint32(b)
}

func remove(path string) {
	// What cannot be removed is met again by the next sweep.
	_ = os.Remove(path)
	_ = os.Remove(path + sumSuffix)
}
