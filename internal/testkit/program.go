package testkit

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// Program is the path of a program that a test needs, in PATH or /usr/sbin. Where it is
// not installed the test is skipped by name, and fails in CI.
func Program(t testing.TB, name string) string {
	t.Helper()
	for _, file := range []string{name, filepath.Join("/usr/sbin", name)} {
		if path, err := exec.LookPath(file); err == nil {
			return path
		}
	}
	Missing(t, "%s is not installed; make deps installs it", name)
	return ""
}
