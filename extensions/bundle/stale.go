package bundle

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// maxSources bounds the files that are looked at for their age.
const maxSources = 10_000

// Stale reports whether the module that Build makes of a folder is missing or older than one of its sources. A folder without
// gaia.json, and one in JavaScript or TypeScript, which runs without a build, are never stale.
func Stale(dir string) (bool, error) {
	if _, err := os.Stat(filepath.Join(dir, ManifestFile)); err != nil {
		return false, nil //nolint:nilerr // no project of ours
	}
	p, err := readProject(dir)
	if err != nil || p.script() {
		return false, err
	}
	built, err := os.Stat(filepath.Join(dir, p.name+".wasm"))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	newest, err := newestSource(dir)
	return newest.After(built.ModTime()), err
}

// newestSource is when a source of a folder changed last. What tools make, tests and modules are none.
func newestSource(dir string) (newest time.Time, err error) {
	left := maxSources
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if left--; err != nil || left < 0 {
			return errors.Join(err, fs.SkipAll)
		}
		name := d.Name()
		if d.IsDir() {
			if path != dir && (strings.HasPrefix(name, ".") || name == "target" || name == "node_modules" || name == "build") {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) == ".wasm" || strings.Contains(name, ".test.") || !d.Type().IsRegular() {
			return nil
		}
		info, err := d.Info()
		if err == nil && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
		return err
	})
	return newest, err
}
