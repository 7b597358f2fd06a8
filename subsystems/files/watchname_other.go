//go:build !linux

package files

import (
	"os"
	"path/filepath"
)

// watchName is the path of a folder: there is no name for an open one.
func watchName(r *root, _ *os.File, name string) string {
	return filepath.Join(r.conf.Load().Path, filepath.FromSlash(name))
}
