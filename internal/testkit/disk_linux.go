package testkit

import (
	"testing"

	"golang.org/x/sys/unix"
)

// Disk mounts a file system in memory of a size such as "64k" until the test ends, and
// returns its folder. Who may not mount skips the test; in CI it fails.
func Disk(t testing.TB, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("gaia-test", dir, "tmpfs", 0, "size="+size); err != nil {
		Missing(t, "a small tmpfs cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}
