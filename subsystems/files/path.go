package files

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"
)

const (
	maxPath    = 4096
	maxElement = 255
	// stageDir is the folder of a root that holds writes under way. No operation
	// reaches it.
	stageDir = ".gaia"
)

// Ref names a file or folder: a path, with slashes, relative to a root. The path
// "" or "." is the root itself.
type Ref struct{ Root, Path string }

// String returns root:path.
func (r Ref) String() string { return r.Root + ":" + r.Path }

// Clean returns the short form of a path within a root, or an ErrPath: an absolute
// path, one with "..", with a NUL byte, too long, or within the stage folder.
func Clean(name string) (string, error) {
	switch {
	case len(name) > maxPath:
		return "", fmt.Errorf("%w: longer than %d bytes", ErrPath, maxPath)
	case strings.IndexByte(name, 0) >= 0:
		return "", fmt.Errorf("%w: it holds a NUL byte", ErrPath)
	case strings.HasPrefix(name, "/"):
		return "", fmt.Errorf("%w: it is absolute", ErrPath)
	}
	if name == "" {
		return ".", nil
	}
	for rest, more := name, true; more; {
		var element string
		element, rest, more = strings.Cut(rest, "/")
		if element == ".." {
			return "", fmt.Errorf("%w: it holds \"..\"", ErrPath)
		}
		if len(element) > maxElement {
			return "", fmt.Errorf("%w: a name in it is longer than %d bytes", ErrPath, maxElement)
		}
	}
	clean := path.Clean(name)
	if !filepath.IsLocal(filepath.FromSlash(clean)) {
		return "", ErrPath
	}
	if isStage(clean) {
		return "", fmt.Errorf("%w: %s is gaia's own", ErrPath, stageDir)
	}
	return clean, nil
}

// isStage reports whether a clean path is the stage folder or within it. Without
// regard to case, for there are file systems that have none.
func isStage(clean string) bool {
	return len(clean) >= len(stageDir) && strings.EqualFold(clean[:len(stageDir)], stageDir) &&
		(len(clean) == len(stageDir) || clean[len(stageDir)] == '/')
}
